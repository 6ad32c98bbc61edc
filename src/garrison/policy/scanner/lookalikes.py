"""Names that look like others: among all tools of a fleet, and those that everybody knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from garrison.policy.scanner.normal import folded_word, mixes_scripts

WELL_KNOWN: Final = frozenset(
    [
        "read_file",
        "write_file",
        "edit_file",
        "create_file",
        "delete_file",
        "move_file",
        "list_directory",
        "list_files",
        "search_files",
        "create_directory",
        "directory_tree",
        "get_file_info",
        "get_file_contents",
        "read_text_file",
        "read_multiple_files",
        "execute_command",
        "run_command",
        "execute_query",
        "run_query",
        "execute_sql",
        "list_tables",
        "describe_table",
        "read_query",
        "write_query",
        "send_email",
        "send_message",
        "read_email",
        "search_emails",
        "list_emails",
        "send_whatsapp_message",
        "post_message",
        "create_issue",
        "get_issue",
        "list_issues",
        "update_issue",
        "search_issues",
        "create_pull_request",
        "merge_pull_request",
        "push_files",
        "create_repository",
        "search_repositories",
        "search_code",
        "fork_repository",
        "create_branch",
        "list_commits",
        "get_commit",
        "web_search",
        "fetch_url",
        "take_screenshot",
        "browser_navigate",
        "browser_click",
        "browser_snapshot",
        "search_nodes",
        "create_entities",
        "add_observations",
        "delete_entities",
        "read_graph",
        "open_nodes",
        "create_relations",
        "git_status",
        "git_diff",
        "git_commit",
        "git_add",
        "git_log",
        "git_checkout",
        "git_push",
        "get_current_time",
        "convert_time",
        "sequentialthinking",
        "brave_web_search",
        "get_weather",
        "get_forecast",
        "create_event",
        "list_events",
        "delete_event",
        "transfer_funds",
        "make_payment",
        "get_balance",
        "create_payment",
        "list_customers",
        "create_customer",
    ]
)
_TOKENS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W_]+")
_ENDINGS: Final = frozenset({"s", "es", "d", "ed", "r", "er", "ing", "y", "ies", "e", "n"})
TOKEN_CHARS_MIN: Final = 5


class Lookalike(NamedTuple):
    """A name, the one that it looks like, whose that is (empty: well known), and whether hardly anybody could tell."""

    server: str
    name: str
    other: str
    owner: str
    exact: bool


def lookalikes(names: Iterable[tuple[str, str]]) -> Iterator[Lookalike]:
    """Of all (server, name) of a fleet. The same name at two servers is no look-alike: clients see both prefixed."""
    known = list(dict.fromkeys(names))
    by_fold: dict[str, list[tuple[str, str]]] = {}
    for server, name in known:
        by_fold.setdefault(folded_word(name), []).append((server, name))
    by_shape: dict[tuple[object, ...], list[tuple[str, str]]] = {}
    for server, name in known:
        twins = [other for other in by_fold[folded_word(name)] if _differ_in_looks(name, other[1])]
        if twins and not _is_plain(name):
            yield Lookalike(server, name, twins[0][1], twins[0][0], True)
            continue
        for shape in _shapes(name):
            by_shape.setdefault(shape, []).append((server, name))
    yield from _near(by_shape)
    yield from _of_well_known(known)


def _differ_in_looks(name: str, other: str) -> bool:
    """Not only in case and separators, which conventions differ in."""
    return _bare(name) != _bare(other)


def _bare(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _is_plain(name: str) -> bool:
    """Letters alone: nothing in it is disguised."""
    return name.isascii() and not re.search(r"[a-z][01345]+[a-z]|[a-z][01]$", name)


def _shapes(name: str) -> Iterator[tuple[object, ...]]:
    """The name with one of its longer words left out, and what is left of that one: names one word apart meet."""
    tokens = [token.lower() for token in _TOKENS.findall(name)]
    for at, token in enumerate(tokens):
        if len(token) >= TOKEN_CHARS_MIN and token.isalpha():
            yield (at, *tokens[:at], None, *tokens[at + 1 :])


def _near(by_shape: dict[tuple[object, ...], list[tuple[str, str]]]) -> Iterator[Lookalike]:
    told: set[tuple[str, str]] = set()
    for shape, names in by_shape.items():
        at = shape[0]
        assert isinstance(at, int)
        for index, (server, name) in enumerate(names[:500]):
            for owner, other in names[:index]:
                if server != owner and (server, name) not in told and _one_slip(_token(name, at), _token(other, at)):
                    told.add((server, name))
                    yield Lookalike(server, name, other, owner, False)


def _token(name: str, at: int) -> str:
    tokens: list[str] = _TOKENS.findall(name)
    return tokens[at].lower()


def _of_well_known(names: list[tuple[str, str]]) -> Iterator[Lookalike]:
    bare = {_bare(name): name for name in WELL_KNOWN}
    folds = {folded_word(name): name for name in WELL_KNOWN}
    slips: dict[tuple[object, ...], list[str]] = {}
    for known in WELL_KNOWN:
        for shape in _shapes(known):
            slips.setdefault(shape, []).append(known)
    for server, name in names:
        if _bare(name) in bare:
            continue
        if mixes_scripts(name):
            yield Lookalike(server, name, folds.get(folded_word(name), ""), "", True)
        elif folded_word(name) in folds and not _is_plain(name):
            yield Lookalike(server, name, folds[folded_word(name)], "", True)
        else:
            near = (
                other for shape in _shapes(name) for other in slips.get(shape, ()) if _swapped(name, other, shape[0])
            )
            if other := next(near, ""):
                yield Lookalike(server, name, other, "", False)


def _swapped(name: str, other: str, at: object) -> bool:
    assert isinstance(at, int)
    return _one_slip(_token(name, at), _token(other, at))


def _one_slip(one: str, other: str) -> bool:
    """Whether they are one typing error apart, and not merely different endings of one word."""
    if one == other or abs(len(one) - len(other)) > 1 or min(len(one), len(other)) < TOKEN_CHARS_MIN:
        return False
    head = 0
    while head < min(len(one), len(other)) and one[head] == other[head]:
        head += 1
    if one[head:] in _ENDINGS | {""} and other[head:] in _ENDINGS | {""}:
        return False
    if head == 0:
        return False  # another first letter makes another word
    if len(one) != len(other):
        longer, shorter = sorted((one, other), key=len, reverse=True)
        return longer[head + 1 :] == shorter[head:]
    swapped = one[head : head + 2] == other[head : head + 2][::-1] and one[head + 2 :] == other[head + 2 :]
    return swapped or (len(one) >= 7 and one[head + 1 :] == other[head + 1 :])

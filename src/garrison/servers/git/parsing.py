"""Git's machine-readable output, read into structs. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, Literal

import msgspec

LOG_FORMAT: Final = "tformat:%H%x00%P%x00%an%x00%ae%x00%aI%x00%cI%x00%D%x00%s%x00%b"
_LOG_FIELDS: Final = 9
BRANCH_FORMAT: Final = (
    "%(HEAD)%00%(refname)%00%(objectname)%00%(upstream:short)%00%(committerdate:iso-strict)%00%(contents:subject)"
)

State = Literal["added", "copied", "deleted", "modified", "renamed", "type_changed", "unmerged"]
_STATES: Final[dict[str, State]] = {
    "A": "added", "C": "copied", "D": "deleted", "M": "modified", "R": "renamed", "T": "type_changed", "U": "unmerged",
}  # fmt: skip


class Commit(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    parents: list[str]
    author: str
    email: str
    authored: str
    """ISO 8601."""
    committed: str
    refs: list[str]
    subject: str
    body: str


class ChangedFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    state: State
    was: str | None
    """The earlier path of a renamed or copied file."""


class Status(msgspec.Struct, frozen=True, kw_only=True):
    repository: str
    branch: str | None
    """Null when HEAD is detached."""
    commit: str | None
    """Null before the first commit."""
    upstream: str | None
    ahead: int
    behind: int
    staged: list[ChangedFile]
    unstaged: list[ChangedFile]
    untracked: list[str]
    conflicted: list[str]
    truncated: bool


class FileCount(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    added: int | None
    """Lines; null for a binary file."""
    deleted: int | None


class Branch(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    remote: bool
    current: bool
    commit: str
    upstream: str | None
    committed: str
    subject: str


class BlamedLine(msgspec.Struct, frozen=True, kw_only=True):
    line: int
    commit: str
    """All zeros for a line that is not committed yet."""
    author: str
    authored: str
    summary: str
    text: str


def commits(output: str) -> list[Commit]:
    """Records of `git log -z` in `LOG_FORMAT`."""
    fields = output.split("\0")
    records = (fields[at : at + _LOG_FIELDS] for at in range(0, len(fields) - _LOG_FIELDS + 1, _LOG_FIELDS))
    return [
        Commit(
            id=each[0], parents=each[1].split(), author=each[2], email=each[3], authored=each[4], committed=each[5],
            refs=[ref for ref in each[6].split(", ") if ref], subject=each[7], body=each[8].strip(),
        )
        for each in records
    ]  # fmt: skip


class _Collected:
    """What the lines of a status add up to."""

    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.staged: list[ChangedFile] = []
        self.unstaged: list[ChangedFile] = []
        self.untracked: list[str] = []
        self.conflicted: list[str] = []

    def changed(self, codes: str, path: str, was: str | None) -> None:
        for code, where in zip(codes, (self.staged, self.unstaged), strict=True):
            if code in _STATES:
                state = _STATES[code]
                where.append(ChangedFile(path=path, state=state, was=was if state in ("renamed", "copied") else None))


def status(output: str, repository: str, *, truncated: bool) -> Status:
    """`git status --porcelain=v2 --branch -z`; a last, cut record is dropped."""
    records = iter(output.split("\0")[:-1])
    collected = _Collected()
    for record in records:
        _take(record, records, collected)
    headers = collected.headers
    ahead, _, behind = headers.get("branch.ab", "+0 -0").partition(" ")
    branch, commit = headers.get("branch.head", "(detached)"), headers.get("branch.oid", "(initial)")
    return Status(
        repository=repository,
        branch=None if branch == "(detached)" else branch,
        commit=None if commit == "(initial)" else commit,
        upstream=headers.get("branch.upstream"),
        ahead=int(ahead),
        behind=-int(behind),
        staged=collected.staged,
        unstaged=collected.unstaged,
        untracked=collected.untracked,
        conflicted=collected.conflicted,
        truncated=truncated,
    )


def _take(record: str, following: Iterator[str], collected: _Collected) -> None:
    kind, _, rest = record.partition(" ")
    if kind == "#":
        key, _, value = rest.partition(" ")
        collected.headers[key] = value
    elif kind == "1":  # XY sub mH mI mW hH hI path
        collected.changed(rest[:2], rest.split(" ", 7)[7], None)
    elif kind == "2":  # XY sub mH mI mW hH hI Xscore path, and then the earlier path
        collected.changed(rest[:2], rest.split(" ", 8)[8], next(following, None))
    elif kind == "u":  # XY sub m1 m2 m3 mW h1 h2 h3 path
        collected.conflicted.append(rest.split(" ", 9)[9])
    elif kind == "?":
        collected.untracked.append(rest)


def counts(output: str) -> list[FileCount]:
    """`git diff --numstat -z`: `added TAB deleted TAB path`, or for a rename no path and two more records."""
    records = iter(output.split("\0"))
    found = []
    for record in records:
        added, _, rest = record.partition("\t")
        deleted, tab, path = rest.partition("\t")
        if not tab:
            continue
        if not path:
            next(records, "")
            path = next(records, "")
        found.append(FileCount(path=path, added=_number(added), deleted=_number(deleted)))
    return found


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def branches(output: str) -> list[Branch]:
    """Lines of `git for-each-ref` in `BRANCH_FORMAT`."""
    found = []
    for line in output.split("\n")[:-1]:  # not splitlines: a subject may hold other line separators
        head, ref, commit, upstream, committed, subject = line.split("\0", 5)
        remote = ref.startswith("refs/remotes/")
        found.append(
            Branch(
                name=ref.split("/", 2)[2], remote=remote, current=head == "*", commit=commit,
                upstream=upstream or None, committed=committed, subject=subject,
            )
        )  # fmt: skip
    return found


def blamed(output: str) -> list[BlamedLine]:
    """`git blame --line-porcelain`: a header `id original final [count]`, keyed lines, then TAB and the text."""
    found: list[BlamedLine] = []
    commit, number = "", 0
    keys: dict[str, str] = {}
    for line in output.split("\n"):
        if line.startswith("\t"):
            found.append(_blamed_line(commit, number, keys, line[1:]))
            commit, keys = "", {}
        elif not commit:
            commit, _, rest = line.partition(" ")
            number = int(rest.split(" ")[1]) if rest else 0
        else:
            key, _, value = line.partition(" ")
            keys[key] = value
    return found


def _blamed_line(commit: str, number: int, keys: dict[str, str], text: str) -> BlamedLine:
    when = datetime.fromtimestamp(int(keys.get("author-time", "0")), UTC)
    return BlamedLine(
        line=number, commit=commit, author=keys.get("author", ""), authored=when.isoformat(),
        summary=keys.get("summary", ""), text=text,
    )  # fmt: skip

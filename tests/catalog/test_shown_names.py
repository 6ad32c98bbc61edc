"""Names, filters and profiles in garrison.yaml: read, checked, written out again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from garrison.catalog.importer import plan_import
from garrison.catalog.load import Loaded
from garrison.catalog.shown_names import preferred
from garrison.catalog.spec import Filter, Offer, ProfileSpec, Selection, ServerSpec

Load = Callable[[str, str], Loaded]

WHOLE = """
servers:
  git:
    command: [x]
    tools: {allow: ["git_*"], rename: {git_status: status}, describe: {git_status: "What: has changed"}}
    prompts: {deny: [a], rename: {b: c}, describe: {b: d}}
    resources: {allow: ["file:///*"], deny: ["file:///etc/*"]}
    prefix: repo
  docs: {url: https://h/mcp, prefix: ""}
profiles:
  review:
    description: For reading
    servers:
      git: {tools: {allow: [git_log], deny: ["*x"]}, prompts: {allow: []}, resources: {deny: ["a:*"]}}
      docs:
  empty: {}
"""


def test_filters_names_and_profiles_are_read(load_text: Load) -> None:
    loaded = load_text("garrison.yaml", WHOLE)
    assert loaded.problems == ()
    git, docs = loaded.snapshot.servers.values()
    assert git.tools == Offer(
        allow=("git_*",), rename={"git_status": "status"}, describe={"git_status": "What: has changed"}
    )
    assert git.prompts == Offer(deny=("a",), rename={"b": "c"}, describe={"b": "d"})
    assert git.resources == Filter(allow=("file:///*",), deny=("file:///etc/*",))
    assert (git.prefix, docs.prefix) == ("repo", "")
    selection = Selection(
        tools=Filter(allow=("git_log",), deny=("*x",)), prompts=Filter(allow=()), resources=Filter(deny=("a:*",))
    )
    assert loaded.snapshot.profiles == {
        "review": ProfileSpec(
            name="review", servers={"git": selection, "docs": Selection()}, description="For reading"
        ),
        "empty": ProfileSpec(name="empty"),
    }


def test_what_was_read_is_written_so_that_it_reads_the_same(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text("garrison.yaml", WHOLE)
    again = load_text("garrison.yaml", plan_import(loaded, str(tmp_path)).yaml_text)
    assert again.problems == ()
    assert again.snapshot == loaded.snapshot


def test_another_profile_is_another_version(load_text: Load) -> None:
    one, other = (load_text("garrison.yaml", WHOLE.replace("git_log", name)) for name in ("git_log", "git_diff"))
    assert one.snapshot.version != other.snapshot.version


@pytest.mark.parametrize(
    ("servers", "code", "line", "says"),
    [
        ("a: {command: [x], tools: {rename: {b: 'c d'}}}", "config.value", 3, "`b` must fit"),
        ("a: {command: [x], prefix: 'c d'}", "config.value", 3, "`prefix` must fit"),
        ("a: {command: [x], prompts: {alow: [x]}}", "config.unknown_key", 3, "alow"),
        ("a: {command: [x], tools: {rename: {b: n, c: n}}}", "shown.conflict", 3, "is also what `b` of `a`"),
        ("a: {command: [x], prefix: b}\n  b: {command: [y]}", "shown.taken", 3, "those of the server `b`"),
        (
            "a: {command: [x], prefix: '', tools: {rename: {t: b__t}}}\n  b: {command: [y]}",
            "shown.taken",
            3,
            "those of the server `b`",
        ),
        (
            "a: {command: [x], prefix: p, tools: {rename: {t: n}}}\n"
            "  b: {command: [y], prefix: p, tools: {rename: {u: n}}}",
            "shown.conflict",
            4,
            "`p__n` is also what `t` of `a`",
        ),
        ("a: {command: [x], prefix: p}\n  b: {command: [y], prefix: p}", "shown.shared_prefix", 4, "as those of `a`"),
    ],
)
def test_what_cannot_be_shown_as_asked_is_reported_at_its_place(
    load_text: Load, servers: str, code: str, line: int, says: str
) -> None:
    problems = load_text("garrison.yaml", f"\nservers:\n  {servers}\n").problems
    assert (code, line) in {(one.code, one.line) for one in problems}
    assert any(says in one.message for one in problems), problems


def test_a_profile_of_a_server_that_is_not_there_is_a_slip_of_the_pen(load_text: Load) -> None:
    text = "\nservers: {docs: {command: [x]}}\nprofiles:\n  p: {servers: {doc: {tool: {}}}}\n"
    problems = {one.code: one for one in load_text("garrison.yaml", text).problems}
    assert problems["profile.no_such_server"].hint == "did you mean `docs`?"
    assert problems["config.unknown_key"].severity == "error", "without its tools it would show them all"


def test_the_name_by_configuration() -> None:
    spec = ServerSpec(name="s", transport="stdio", tools=Offer(rename={"a": "b"}))
    assert [preferred(spec, "tool", name) for name in ("a", "c")] == ["s__b", "s__c"]
    assert preferred(spec, "prompt", "a") == "s__a"

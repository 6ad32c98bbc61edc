"""TOML and YAML give the same tree as JSONC, with places."""

from __future__ import annotations

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import cost
from garrison.catalog.notes import Place
from garrison.catalog.parse.toml import parse_toml
from garrison.catalog.parse.tree import Node, Table, plain
from garrison.catalog.parse.yaml import parse_yaml

COST_MAX = 500
"""In references of `costs.cost`, a few seconds; what is not linear takes minutes."""

CODEX = """\
model = "x"  # remark

[mcp_servers."my server"]
command = "npx"
args = [
  "-y",
  "thing",  # remark
]
env = { A = "1", "B C" = '2' }

[mcp_servers.b.env]
K.d = \"\"\"multi
line\"\"\"
after = 1

[[list]]
a = 1
[[list]]
a = 2
"""


def test_keys_and_values_of_toml_have_places() -> None:
    root = parse_toml(CODEX).roots[0]
    assert plain(root) == tomllib.loads(CODEX)
    assert place(root, "mcp_servers", "my server", "command") == Place(4, 11)
    assert place(root, "mcp_servers", "my server", "args", 1) == Place(7, 3)
    assert place(root, "mcp_servers", "my server", "env", "B C") == Place(9, 26)
    assert place(root, "mcp_servers", "b", "env", "after") == Place(14, 9)
    assert place(root, "list", 1, "a") == Place(19, 5)


def place(node: Node, *path: str | int) -> Place:
    for step in path:
        if isinstance(step, str):
            assert isinstance(node, Table)
            found = node.get(step)
            assert found is not None
            node = found
        else:
            assert not isinstance(node, Table)
            assert hasattr(node, "items")
            node = node.items[step]
    return node.place


def test_a_broken_toml_line_is_named_and_the_rest_is_read() -> None:
    parsed = parse_toml("[a]\nx = \n[b]\ny = 2\nz = oops\n")
    assert plain(parsed.roots[0]) == {"a": {}, "b": {"y": 2}}
    assert [(problem.line, problem.severity) for problem in parsed.problems] == [(2, "error"), (5, "error")]


def test_a_key_twice_in_toml_is_reported() -> None:
    parsed = parse_toml("a = 1\na = 2\n")
    assert parsed.problems[0].line == 2


def test_yaml_has_places_and_anchors_work() -> None:
    parsed = parse_yaml("base: &b {x: 1}\nservers:\n  a:\n    <<: *b\n    cmd: [npx, '-y']\n")
    assert not parsed.problems
    assert plain(parsed.roots[0]) == {"base": {"x": 1}, "servers": {"a": {"x": 1, "cmd": ["npx", "-y"]}}}
    assert place(parsed.roots[0], "servers", "a", "cmd", 1) == Place(5, 16)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a:\n\tb: 1\n", 2),
        ("a: [1, 2\nb: 3\n", 2),
        ("a: b: c\n", 1),
        ('a: "x\nb: 1\n', 2),
        ("a: *nobody\n", 1),
        ("a: 1\n b: 2\n", 2),
    ],
)
def test_broken_yaml_is_named_with_its_line(text: str, line: int) -> None:
    parsed = parse_yaml(text)
    assert parsed.problems
    assert parsed.problems[0].line in (line, line - 1)
    assert parsed.problems[0].severity == "error"


def test_words_of_a_broken_yaml_file_are_not_repeated() -> None:
    parsed = parse_yaml("a: *secretword\nb: {c: ${{ x }}}\n")
    assert all("secretword" not in problem.message for problem in parsed.problems)
    assert parsed.problems[1].message.startswith("not YAML: expected ',' or '}', but got '{'")


def test_a_key_twice_in_yaml_is_reported() -> None:
    parsed = parse_yaml("a: 1\nb: 2\na: 3\n")
    assert [(problem.code, problem.line) for problem in parsed.problems] == [("yaml.duplicate_key", 3)]


def test_yaml_keeps_how_numbers_were_written() -> None:
    root = parse_yaml("a: 010\nb: 1e3\nc: 2026-01-01\nd: yes\ne: 0o17\n").roots[0]
    assert isinstance(root, Table)
    assert [entry.value.text for entry in root if hasattr(entry.value, "text")] == [
        "010",
        "1e3",
        "2026-01-01",
        "yes",
        "0o17",
    ]


def test_aliases_cannot_blow_up() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 30)]
    parsed = parse_yaml("\n".join(lines))
    assert [problem.code for problem in parsed.problems] == ["yaml.depth"]


@given(st.text())
def test_no_text_breaks_the_toml_reader(text: str) -> None:
    check_places(text, parse_toml(text).problems)


@given(st.text(alphabet="ab: -\n\t{}[]&*#'\"|>!%@`,?~0\\\u2028\x85", max_size=60))
def test_no_text_breaks_the_yaml_reader(text: str) -> None:
    check_places(text, parse_yaml(text).problems)


@given(st.text(alphabet="ab.= -\n\t{}[]#'\"\\0,", max_size=60))
def test_no_toml_like_text_breaks_the_toml_reader(text: str) -> None:
    check_places(text, parse_toml(text).problems)


def check_places(text: str, problems: tuple[object, ...]) -> None:
    lines = text.split("\n")
    for problem in problems:
        line, column = getattr(problem, "line"), getattr(problem, "column")  # noqa: B009
        assert 0 <= line <= len(lines)
        assert line == 0 or 1 <= column <= len(lines[line - 1]) + 1


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "a." * 40_000 + "b=1", "a={" * 20_000, "[a]\n" * 10_000, 'a="' * 20_000]
)
def test_hostile_toml_is_refused_quickly(text: str) -> None:
    assert parse_toml(text).problems
    assert cost(lambda: parse_toml(text), COST_MAX) < COST_MAX


@pytest.mark.parametrize("text", ["[" * 5_000, "{" * 5_000, "- " * 20_000, "&a " * 20_000, "? " * 20_000])
def test_hostile_yaml_is_refused_quickly(text: str) -> None:
    assert parse_yaml(text).problems
    assert cost(lambda: parse_yaml(text), COST_MAX) < COST_MAX

"""garrison.yaml: strict, every mistake at its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog import render
from garrison.catalog.load import Loaded, load
from garrison.catalog.parse.tree import plain
from garrison.catalog.parse.yaml import parse_yaml
from garrison.catalog.schema import garrison_schema, schema_text
from garrison.catalog.spec import GrantSpec, Offer, RoleSpec

Load = Callable[[str, str], Loaded]
EXAMPLES = Path(__file__).parents[2] / "examples"
VALIDATOR = jsonschema_rs.validator_for(garrison_schema())


def test_the_annotated_example_is_right() -> None:
    loaded = load(EXAMPLES / "garrison.yaml")
    assert loaded.problems == ()
    assert list(loaded.snapshot.servers) == ["files", "time", "git", "docs"]
    assert loaded.snapshot.servers["git"].env["GIT_TERMINAL_PROMPT"] == "0"
    assert list(loaded.snapshot.roles) == ["reader", "developer", "lead"]


def test_the_annotated_example_shows_every_key() -> None:
    text = (EXAMPLES / "garrison.yaml").read_text()
    for definition in garrison_schema()["$defs"].values():
        assert [key for key in definition["properties"] if f"{key}:" not in text] == []


def test_the_schema_for_editors_is_up_to_date_and_named_in_the_first_line() -> None:
    first = (EXAMPLES / "garrison.yaml").read_text().partition("\n")[0]
    assert first == "# yaml-language-server: $schema=garrison.schema.json"
    assert (EXAMPLES / "garrison.schema.json").read_text() == schema_text(), "write schema_text() to it"


def test_the_schema_agrees_with_the_example() -> None:
    value = plain(parse_yaml((EXAMPLES / "garrison.yaml").read_text()).roots[0])
    assert VALIDATOR.is_valid(value)


def test_a_small_fleet_is_read(load_text: Load, tmp_path: Path) -> None:
    loaded = load_text(
        "garrison.yaml",
        """
servers:
  a: {command: [npx, -y, thing@1.0.0, --port, 8080], env: {PORT: 010, ON: true, S: "${secret:X}"}, cwd: sub}
  b: {url: https://h/mcp, transport: sse, headers: {A: "Bearer ${T}"}, enabled: false, timeout_s: 5}
  c: {command: [x], start: lazy, tools: {allow: [a_*], deny: [a_b]}, description: What for, startup_timeout_s: 1.5}
roles:
  r: {description: d, grants: [{servers: [a], tools: ["*"]}, {prompts: [p], resources: ["file://*"]}]}
settings:
  gateway: {listen: "127.0.0.1:1"}
""",
    )
    assert loaded.problems == ()
    a, b, c = loaded.snapshot.servers.values()
    assert a.command == ("npx", "-y", "thing@1.0.0", "--port", "8080")
    assert a.env == {"PORT": "010", "ON": "true", "S": "${secret:X}"}
    assert a.cwd == f"{tmp_path}/sub"
    assert c.cwd == str(tmp_path)
    assert (b.transport, b.enabled, b.timeout_s, b.headers) == ("sse", False, 5.0, {"A": "Bearer ${T}"})
    assert (c.start, c.tools, c.startup_timeout_s) == ("lazy", Offer(allow=("a_*",), deny=("a_b",)), 1.5)
    assert loaded.snapshot.roles["r"] == RoleSpec(
        name="r",
        description="d",
        grants=(GrantSpec(servers=("a",), tools=("*",)), GrantSpec(prompts=("p",), resources=("file://*",))),
    )
    assert loaded.settings == {"gateway": {"listen": "127.0.0.1:1"}}


@pytest.mark.parametrize(
    ("server", "code", "severity", "line", "column", "hint"),
    [
        ("command: npx -y thing", "config.type", "error", 3, 14, "write command: [first, second, …]"),
        ("command: []", "config.value", "error", 3, 14, "item"),
        ("command: [a, [b]]", "config.type", "error", 3, 18, ""),
        ("comand: [a]", "config.unknown_key", "warning", 3, 5, "did you mean `command`?"),
        ("description: nothing", "config.nothing_to_run", "error", 2, 3, "url"),
        ("{command: [a], url: https://h}", "config.two_ways", "error", 3, 25, "two servers"),
        ("url: 3", "config.type", "error", 3, 10, "quotes"),
        ("url: ftp://h", "url.invalid", "error", 3, 10, "https"),
        ("{command: [a], enabled: maybe}", "config.type", "error", 3, 29, ""),
        ("{command: [a], timeout_s: 0}", "config.value", "error", 3, 31, "default"),
        ("{command: [a], timeout_s: 1e9}", "config.value", "error", 3, 31, "default"),
        ("{command: [a], timeout_s: ten}", "config.type", "error", 3, 31, ""),
        ("{command: [a], start: lasy}", "config.type", "error", 3, 27, "did you mean `lazy`?"),
        ("{command: [a], env: [A=1]}", "config.type", "error", 3, 25, ""),
        ("{command: [a], env: {A: [1]}}", "config.type", "error", 3, 29, ""),
        ("{command: [a], tools: {alow: [x]}}", "config.unknown_key", "error", 3, 28, "did you mean `allow`?"),
        ("{command: [a], headers: {A: b}}", "config.idle_key", "warning", 3, 29, "remove"),
        ("{url: https://h, env: {A: b}}", "config.idle_key", "warning", 3, 27, "remove"),
        ("{command: [a], env: {API_KEY: abcdefg}}", "secret.plaintext", "warning", 3, 35, "import"),
        ("{command: [npx, a@1.0.0]}", "package.no_yes", "warning", 3, 16, "-y"),
        ("[command, a]", "config.type", "error", 3, 5, ""),
    ],
)
def test_a_mistake_is_named_at_its_place(
    load_text: Load, server: str, code: str, severity: str, line: int, column: int, hint: str
) -> None:
    loaded = load_text("garrison.yaml", f"servers:\n  a:\n    {server}\n")
    found = {problem.code: problem for problem in loaded.problems}
    assert code in found, loaded.problems
    problem = found[code]
    assert (problem.severity, problem.line, problem.column) == (severity, line, column)
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("server: {}\n", "config.unknown_key", 1),
        ("servers: []\n", "config.type", 1),
        ("servers:\n  a b: {command: [x]}\n", "config.name", 2),
        ("servers:\n  a: {command: [x]}\n  a: {command: [y]}\n", "yaml.duplicate_key", 3),
        ("servers:\n  a: {command: [x]}\nroles:\n  r: {grants: [{servers: [b]}]}\n", "role.no_such_server", 4),
        ("servers:\n  a: {command: [x]}\nroles:\n  r: {grants: {servers: [b]}}\n", "config.type", 4),
        ("servers:\n  a: {command: [x]}\nroles:\n  r: {grants: [{server: [b]}]}\n", "config.unknown_key", 4),
        ("servers:\n  a: {command: [x]}\nsettings: 3\n", "config.type", 3),
        ("just text\n", "config.type", 1),
        ("servers:\n\ta: x\n", "yaml.syntax", 2),
    ],
)
def test_a_mistake_elsewhere_is_named_too(load_text: Load, text: str, code: str, line: int) -> None:
    loaded = load_text("garrison.yaml", text)
    assert (code, line) in [(problem.code, problem.line) for problem in loaded.problems]


def test_a_misspelt_key_of_a_grant_is_an_error_for_it_would_widen_the_grant(load_text: Load) -> None:
    text = "servers:\n  a: {command: [x]}\nroles:\n  r: {grants: [{servrs: [a], tools: ['*']}]}\n"
    (problem,) = [one for one in load_text("garrison.yaml", text).problems if one.code == "config.unknown_key"]
    assert (problem.severity, problem.line, problem.column) == ("error", 4, 17)
    assert problem.hint == "did you mean `servers`?"


def test_all_mistakes_are_reported_at_once(load_text: Load) -> None:
    loaded = load_text(
        "garrison.yaml",
        "servers:\n  a: {comand: [x]}\n  b: {url: 3}\n  c: {command: x}\n  d: {command: [ok]}\nrules: {}\n",
    )
    assert sorted({problem.line for problem in loaded.problems}) == [2, 3, 4, 6]
    assert "d" in loaded.snapshot.servers


def test_keys_for_anchors_are_free(load_text: Load) -> None:
    loaded = load_text(
        "garrison.yaml",
        "x-env: &e {A: b}\nservers:\n  a: {command: [x], env: *e}\n  b: {<<: {command: [y]}, x-note: z}\n",
    )
    assert loaded.problems == ()
    assert loaded.snapshot.servers["a"].env == {"A": "b"}


def test_a_file_of_another_name_is_known_by_its_shape(load_text: Load) -> None:
    loaded = load_text("fleet.yaml", "servers:\n  a: {command: [npx, thing]}\n")
    assert loaded.snapshot.servers["a"].command == ("npx", "thing")


def test_several_instances_are_processes_or_addresses(load_text: Load) -> None:
    loaded = load_text(
        "garrison.yaml",
        """
servers:
  a: {command: [x], instances: 3}
  b: {url: https://h/mcp, urls: [https://i/mcp, "https://${HOST}/mcp"]}
  c: {urls: [https://j/mcp, https://k/mcp]}
  d: {command: [y]}
""",
    )
    assert loaded.problems == ()
    servers = loaded.snapshot.servers
    assert [spec.count for spec in servers.values()] == [3, 3, 2, 1]
    assert (servers["b"].url, servers["b"].urls) == ("https://h/mcp", ("https://i/mcp", "https://${HOST}/mcp"))
    assert (servers["c"].transport, servers["c"].url, servers["c"].urls) == (
        "http",
        "https://j/mcp",
        ("https://k/mcp",),
    )


def test_what_makes_no_sense_of_instances_is_said(load_text: Load) -> None:
    loaded = load_text(
        "garrison.yaml",
        """
servers:
  a: {url: https://h/mcp, instances: 3}
  b: {urls: [https://i/mcp, https://i/mcp]}
  c: {command: [x], urls: [https://j/mcp]}
  d: {urls: [https://k/mcp, nonsense]}
""",
    )
    found = {(problem.code, problem.line) for problem in loaded.problems}
    assert {("config.idle_key", 3), ("url.repeated", 4), ("config.two_ways", 5), ("url.invalid", 6)} <= found
    assert loaded.snapshot.servers["a"].count == 1


def test_addresses_survive_being_written_and_read_again(load_text: Load) -> None:
    text = (
        "servers:\n  a:\n    url: https://h/mcp\n    urls: [https://i/mcp]\n  b:\n    command: [x]\n    instances: 2\n"
    )
    before = load_text("garrison.yaml", text).snapshot.servers
    again = "servers:\n" + "\n".join(line for spec in before.values() for line in render.server(spec, "", ())) + "\n"
    after = load_text("garrison.yaml", again).snapshot.servers
    assert [(spec.url, spec.urls, spec.instances) for spec in after.values()] == [
        (spec.url, spec.urls, spec.instances) for spec in before.values()
    ]


WORDS = st.sampled_from(["a", "", "x y", "${A}", "true"]) | st.integers(0, 9) | st.booleans()
SERVERS = st.fixed_dictionaries(
    {},
    optional={
        "command": st.lists(WORDS, max_size=3) | WORDS,
        "url": st.sampled_from(["https://h", "", 3]),
        "urls": st.lists(st.sampled_from(["https://h", "https://i", "", 3]), max_size=2) | WORDS,
        "instances": st.sampled_from([0, 1, 64, 65, "2"]),
        "env": st.dictionaries(st.sampled_from(["A", "B"]), WORDS | st.lists(WORDS, max_size=1)),
        "enabled": WORDS,
        "start": st.sampled_from(["eager", "lazy", "never"]),
        "timeout_s": st.sampled_from([0, 1, 2.5, 90000, "3"]),
        "tools": st.sampled_from([{}, {"allow": ["x"]}, {"allow": "x"}, {"other": []}, []]),
        "unknown": st.just(1),
        "x-free": st.just(1),
    },
)


@given(st.dictionaries(st.sampled_from(["a", "b c"]), SERVERS, max_size=2))
def test_what_the_schema_refuses_the_reader_reports_and_the_other_way_round(
    tmp_path_factory: pytest.TempPathFactory, servers: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "garrison.yaml"
    path.write_text(json.dumps({"servers": servers}))  # JSON is YAML
    codes = {problem.code for problem in load(path).problems if problem.code.startswith("config.")}
    assert VALIDATOR.is_valid({"servers": servers}) == (not codes - {"config.idle_key"})

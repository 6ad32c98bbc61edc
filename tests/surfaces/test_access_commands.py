"""Who may do what, asked on the command line: by a configuration alone, and of a fleet that runs."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from brought_up import fixture_server
from command_line import Said, Shell

ROLES: dict[str, Any] = {
    "careful": {
        "grants": [
            {"servers": ["one"], "tools": ["echo", "add"], "resources": ["*"]},
            {"tools": ["echo"], "effect": "approve", "when": {"arguments": {"text": {"like": ["danger*"]}}}},
        ]
    },
    "lead": {"grants": [{"approves": ["echo"]}]},
}
POLICIES = {"freeze": {"cedar": 'forbid (principal, action, resource)\nwhen { resource.server == "frozen" };\n'}}


def write(folder: Path, workers: int = 1, **more: Any) -> None:
    document = {
        "servers": {"one": fixture_server("everything"), "frozen": fixture_server("modern_only")},
        "roles": ROLES,
        "policies": POLICIES,
        "groups": {"crew": {"roles": ["careful"], "members": ["grace*"]}},
        "settings": {"edge": {"listen": "127.0.0.1:0", "workers": workers}},
    }
    (folder / "garrison.yaml").write_text(json.dumps({**document, **more}, indent=1))


def test_a_decision_is_explained_with_the_rule_and_its_place(tmp_path: Path) -> None:
    write(tmp_path)
    shell = Shell(tmp_path)
    said = shell("explain", "ada", "one__echo", "--role", "careful", "-o", "json", code=0).json
    assert (said["decision"], said["tool"]) == ("allow, depending on the call", "one/echo")
    line = int(said["place"].rpartition(":")[2])
    assert said["place"].startswith(str(tmp_path / "garrison.yaml"))
    assert "{" in (tmp_path / "garrison.yaml").read_text().splitlines()[line - 1]
    asked = ("explain", "ada", "one/echo", "--role", "careful", "-o", "json", "--arguments")
    assert shell(*asked, '{"text": "danger"}', code=0).json["decision"] == "approve"
    assert shell(*asked, '{"text": "calm"}', code=0).json["rule"] == "role careful, grant 1"
    denied = shell("explain", "root", "frozen/x", "--role", "admin", "-o", "json", code=5).json
    assert (denied["decision"], denied["rule"]) == ("deny", "policy freeze")
    assert shell("explain", "ada", "nowhere/x", "--role", "careful", code=3)
    assert shell("explain", "nobody", "one/echo", code=3)


def test_who_can_and_how_policies_look(tmp_path: Path) -> None:
    write(tmp_path)
    shell = Shell(tmp_path)
    rows = shell("who-can", "one/add", "-o", "json", code=0).json
    assert [(row["who"], row["what"], row["decision"]) for row in rows] == [
        ("careful", "role", "allow"),
        ("crew", "group", "allow"),
    ]
    text = shell("policy", "show", code=0).out
    assert 'permit(principal in Role::"admin", action, resource);' in text
    assert '@effect("approve")' in text
    assert "entity Principal" in shell("policy", "show", "--schema", code=0).out


def test_what_is_wrong_with_a_policy_is_told_at_its_line(tmp_path: Path) -> None:
    text = "servers: {a: {command: [x]}}\npolicies:\n  p:\n    cedar: |\n      permit(principal, action, resource);\n"
    (tmp_path / "garrison.yaml").write_text(text + "      forbid(principal, action, resource) when { resource.nam };\n")
    shell = Shell(tmp_path)
    said = shell("policy", "check", "-o", "json", code=1).json
    assert {(one["line"], one["code"]) for one in said} == {(6, "policy.bad")}
    assert "nam" in said[0]["message"]
    assert shell("check", code=1).code == shell("policy", "test", code=2).code - 1


@pytest.mark.parametrize("text", ["forbidd (principal);", "hello", "{", "permit(principal, action, resource)"])
def test_what_is_no_policy_at_all_is_a_problem_and_no_defect(tmp_path: Path, text: str) -> None:
    document = {"servers": {"a": {"command": ["x"]}}, "policies": {"p": {"cedar": text}}}
    (tmp_path / "garrison.yaml").write_text(json.dumps(document, indent=1))
    said = Shell(tmp_path)("policy", "check", "-o", "json", code=1).json
    assert {one["code"] for one in said} == {"policy.bad"}


def test_tests_of_policies_say_what_was_expected_and_what_was_decided(tmp_path: Path) -> None:
    write(tmp_path)
    tests: list[dict[str, Any]] = [
        {"name": "fine", "principal": {"roles": ["careful"]}, "tool": "one/add", "expect": "allow"},
        {"name": "not fine", "principal": {"roles": ["careful"]}, "tool": "frozen/x", "expect": "allow"},
    ]
    (tmp_path / "policy-tests.yaml").write_text(json.dumps({"tests": tests}, indent=1))
    said = Shell(tmp_path)("policy", "test", code=1)
    assert "policy-tests.yaml:13" in said.out
    assert "- expected allow" in said.out
    assert "+ decided  deny (policy freeze)" in said.out
    assert "1 of 2 tests went well" in said.out
    tests[1]["expect"] = "deny"
    (tmp_path / "policy-tests.yaml").write_text(json.dumps({"tests": tests}))
    assert Shell(tmp_path)("policy", "test", code=0)
    (tmp_path / "policy-tests.yaml").write_text(json.dumps({"tests": [{**tests[0], "rolls": 1}]}))
    assert "rolls" in Shell(tmp_path)("policy", "test", code=2).out


def test_the_annotated_examples_tests_go_well() -> None:
    examples = Path(__file__).parents[2] / "examples"
    said = Shell(examples)("policy", "test", "policy-tests.yaml", "--config", "garrison.yaml", code=0)
    assert "8 of 8 tests went well" in said.out


@pytest.fixture(params=[1, 2], ids=["one worker", "two workers"])
def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Shell]:
    write(tmp_path, request.param)
    shell = Shell(tmp_path)
    shell("up", code=0)
    try:
        yield shell
    finally:
        shell("down")


def pending(shell: Shell, *words: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = shell("approvals", "list", "-o", "json", *words, code=0).json
    return rows


def waits(shell: Shell) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if rows := pending(shell):
            return rows[0]
    raise AssertionError("no call waits for approval")


@pytest.mark.slow
def test_a_running_fleet_tells_who_sees_what_and_a_call_is_approved_by_another_key(fleet: Shell) -> None:
    for name, role in (("ada", "careful"), ("linus", "lead"), ("grace", "")):
        fleet("keys", "create", name, *(("--role", role) if role else ()), "--to", f"{name}.key", code=0)
    seen = fleet("view-as", "grace", "-o", "json", code=0).json
    assert {row["shown"] for row in seen if row["kind"] == "tool"} == {"one__echo", "one__add"}, "by her group"
    assert {row["who"] for row in fleet("who-can", "one__add", "-o", "json").json} >= {"ada", "grace", "admin"}
    answers: list[Said] = []

    def call() -> None:
        answers.append(fleet("call", "one__echo", "text=danger", "--key-file", "ada.key", timeout_s=90))

    calling = threading.Thread(target=call)
    calling.start()
    question = waits(fleet)
    assert pending(fleet, "--key-file", "grace.key") == [], "not hers to see"
    shown = fleet("approvals", "show", question["id"], "--key-file", "linus.key", "-o", "json", code=0).json
    assert (shown["arguments"], shown["may_approve"]) == ({"text": "danger"}, True)
    assert fleet("approvals", "approve", question["id"], "--key-file", "ada.key").code == 5, "nobody's own"
    assert fleet("approvals", "approve", question["id"], "--key-file", "grace.key").code == 3
    fleet("approvals", "approve", question["id"], "--key-file", "linus.key", "--reason", "fine", code=0)
    calling.join()
    assert (answers[0].code, answers[0].out.strip()) == (0, "danger")
    told = fleet("audit", "tail", "-o", "json").out
    assert "approval.approve" in told
    assert "approval.use" in told
    assert "danger" not in told

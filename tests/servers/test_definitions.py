"""What every built-in server must offer, whatever it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from garrison.servers.registry import SERVERS, module_of, options_of
from garrison.servers.toolkit.app import App
from garrison.servers.toolkit.tool import READS

READING = {"time": 4, "filesystem": 8, "git": 7}


def app(name: str, folder: Path, *, writable: bool) -> App:
    values: dict[str, Any] = {
        "filesystem": {"roots": [str(folder)], "writable": writable},
        "git": {"repositories": [str(folder)], "writable": writable},
        "time": {},
    }[name]
    return module_of(name).build(options_of(name, values))


@pytest.mark.parametrize("name", SERVERS)
def test_every_tool_is_described_in_full(name: str, tmp_path: Path) -> None:
    for tool in app(name, tmp_path, writable=True).definitions:
        assert tool.title, tool.name
        assert tool.description, tool.name
        assert tool.description[0].isupper(), tool.name
        hints = tool.annotations
        assert hints is not None, tool.name
        assert None not in (hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert not (hints.read_only_hint and hints.destructive_hint)
        for schema in (tool.input_schema, tool.output_schema):
            assert schema is not None, tool.name
            assert schema["type"] == "object"
            assert "$ref" not in str(schema)
            jsonschema_rs.meta.validate(schema)


@pytest.mark.parametrize("name", SERVERS)
def test_every_argument_is_described_and_no_other_is_taken(name: str, tmp_path: Path) -> None:
    for tool in app(name, tmp_path, writable=True).definitions:
        assert tool.input_schema["additionalProperties"] is False
        for key, schema in tool.input_schema["properties"].items():
            assert schema.get("description"), f"{tool.name}.{key}"


@pytest.mark.parametrize("name", SERVERS)
def test_a_read_only_server_lists_only_reading_tools(name: str, tmp_path: Path) -> None:
    listed = app(name, tmp_path, writable=False).definitions
    assert len(listed) == READING[name]
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in listed)


@pytest.mark.parametrize("name", SERVERS)
def test_every_option_is_described(name: str) -> None:
    for key, schema in msgspec.json.schema(module_of(name).Options)["$defs"]["Options"]["properties"].items():
        assert schema.get("description"), key


async def test_wrong_arguments_are_named_with_their_place(caller: Any, tmp_path: Path) -> None:
    files = caller("filesystem", roots=[str(tmp_path)])
    for arguments, place in (
        ({}, "path"), ({"path": 1}, "$.path"), ({"path": "a", "first_line": 0}, "$.first_line"), ({"pth": "a"}, "pth"),
    ):  # fmt: skip
        answer = await files("read_text_file", **arguments)
        assert answer.code == "arguments.invalid"
        assert place in answer.text


async def test_a_crash_in_a_tool_tells_nothing_of_its_insides(calling: Any, caplog: pytest.LogCaptureFixture) -> None:
    crashing = App("crashing", "Crashing", "")
    crashing.add("Crash", READS, crash)
    answer = await calling(crashing)("crash")
    assert (answer.code, "secret" in answer.text) == ("server.defect", False)
    assert "secret inside" in caplog.text


class Nothing(msgspec.Struct):
    pass


def crash() -> Nothing:
    """Crash."""
    raise ValueError("secret inside")

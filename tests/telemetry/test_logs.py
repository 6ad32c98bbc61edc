from __future__ import annotations

import io
import json
import logging
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costs import cost
from garrison.identity.key_format import mint
from garrison.telemetry.logs import LogHandler, configure_logs
from garrison.telemetry.redaction import MASK, Redactor, redactor

log = logging.getLogger("garrison.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    target = io.StringIO()
    with configured(target):
        yield target


class configured:  # noqa: N801 (reads as a statement)
    """Logging as configured by the arguments, and as it was before afterwards."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._root = logging.getLogger()
        self._before = self._root.level
        self._handler = configure_logs(*arguments, **options)

    def __enter__(self) -> LogHandler:
        return self._handler

    def __exit__(self, *_: object) -> None:
        self._root.removeHandler(self._handler)
        self._handler.close()
        self._root.setLevel(self._before)


def lines(target: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in target.getvalue().splitlines()]


def test_a_record_is_one_line_of_json_with_time_level_logger_message_and_fields(stream: io.StringIO) -> None:
    log.warning("server %s stopped", "git", extra={"code": 3, "tools": ["a", "b"]})
    [line] = lines(stream)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("time"))
    assert line == {
        "level": "warning",
        "logger": "garrison.test",
        "message": "server git stopped",
        "code": 3,
        "tools": ["a", "b"],
    }


def test_what_a_library_repeats_in_colours_is_left_out(stream: io.StringIO) -> None:
    log.info("serving", extra={"color_message": "\x1b[36mserving\x1b[0m"})
    assert lines(stream)[0].keys() == {"time", "level", "logger", "message"}


def test_an_exception_comes_with_its_trace_on_the_same_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("no Bearer abcdefghijk here")
    except ValueError:
        log.exception("failed")
    [line] = lines(stream)
    assert line["error"]["type"] == "ValueError"
    assert "Traceback" in line["error"]["trace"]
    assert "abcdefghijk" not in stream.getvalue()


def test_levels_below_the_configured_one_are_left_out() -> None:
    target = io.StringIO()
    with configured(target, "warning"):
        log.info("no")
        log.warning("yes")
    assert [line["message"] for line in lines(target)] == ["yes"]


def test_configuring_again_replaces_the_earlier_target() -> None:
    first, second = io.StringIO(), io.StringIO()
    with configured(first), configured(second):
        log.warning("once")
    assert first.getvalue() == ""
    assert len(lines(second)) == 1


def directly(message: str, *arguments: object, **fields: object) -> str:
    """The line of one record that no other handler (pytest's) gets to see."""
    target = io.StringIO()
    record = log.makeRecord(log.name, logging.WARNING, "", 0, message, arguments, None, extra=fields)
    LogHandler(target).handle(record)
    return target.getvalue()


def test_arguments_that_do_not_fit_and_strange_objects_are_logged_all_the_same() -> None:
    class Strange:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "arguments lost" in json.loads(directly("%d", "x"))["message"]
    line = json.loads(directly("fields", it=Strange(), nan=float("nan"), deep=_nested(50), data=b"x"))
    assert "unprintable" in line["it"]
    assert line["nan"] == "nan"


def _nested(depth: int) -> Any:
    return {"down": _nested(depth - 1)} if depth else "end"


def test_a_field_cannot_forge_time_or_level(stream: io.StringIO) -> None:
    log.warning("m", extra={"time": "1970", "level": "debug", "error": "none"})
    [line] = lines(stream)
    assert line["level"] == "warning"
    assert line["time"].startswith("2")


@given(st.text())
def test_no_message_can_break_out_of_its_line_or_drive_a_terminal(message: str) -> None:
    target = io.StringIO()
    with configured(target):
        log.warning("%s", "\n\r\x1b[31m\x7f\x9b\u2028" + message, extra={"field": message, "f\n{": 1})
    text = target.getvalue()
    assert text.endswith("\n")
    assert all(" " <= character <= "~" for character in text[:-1])
    json.loads(text)


def test_huge_texts_are_cut_after_masking() -> None:
    key = mint()
    text = directly("x" * 16_340 + " " + key + " " + "y" * 1_000_000)
    assert len(text) < 20_000
    assert "[cut " in text
    assert key[13:20] not in text


CANARY = "Canary-4f1d8a2b"
PIECES = [
    *(
        "gsn_",
        "abcdefgh_",
        "Bearer ",
        "BEARER ",
        "basic ",
        "Basic ",
        "dXNlcjpw",
        "Cookie",
        "AUTHORIZATION",
        ": ",
        "=",
        "x",
    ),
    *(
        "://",
        "u:p@h",
        "@",
        "/",
        "PassWord",
        "api_key",
        "Api-Key",
        "--",
        " ",
        '"',
        "'",
        "\\",
        "registered-value",
        "session id",
    ),
    *("private key", "X-API-KEY", "credential", "credentials", "passphrase", "passwd", "access key", "Token", "secret"),
]
PLACES = [
    f"Authorization: Bearer {CANARY}",
    f"authorization: {CANARY}",
    f"{{'Authorization': 'Bearer {CANARY}'}}",
    f"Cookie: a=1; session={CANARY}",
    f"set-cookie: sid={CANARY}; Path=/",
    f'{{"password": "{CANARY}"}}',
    f'{{"db_password":"x \\"{CANARY}"}}',
    f"password={CANARY}",
    f"DB_PASSWORD: {CANARY}",
    f"GITHUB_TOKEN={CANARY} ./run",
    f"--api-key {CANARY}",
    f"--token={CANARY}",
    f"https://example.org/x?access_token={CANARY}&y=1",
    f"postgres://user:{CANARY}@db:5432/x",
    f"https://{CANARY}@example.org/",
    f"postgres://user:p@{CANARY}@db/x",
    f"client_secret={CANARY}&grant_type=x",
    f"X-Api-Key: {CANARY}",
    f"bearer {CANARY}",
    r"{\"secret\": \"" + CANARY + r"\"}",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_canary_in_any_usual_place_is_masked(text: str, stream: io.StringIO) -> None:
    log.warning("text: %s", text)
    log.warning("field", extra={"detail": {"inner": [text]}})
    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count(MASK) >= 2


@pytest.mark.parametrize(
    "name", ["authorization", "Cookie", "password", "api_key", "apiKey", "clientSecret", "access_token", "private-key"]
)
def test_the_value_of_a_field_with_a_telling_name_is_masked(name: str, stream: io.StringIO) -> None:
    log.warning("m", extra={name: CANARY, "inner": {name: [CANARY]}})
    assert CANARY not in stream.getvalue()


def test_a_garrison_key_is_masked_and_its_public_prefix_is_kept(stream: io.StringIO) -> None:
    key = mint()
    log.warning("got %s", key, extra={"headers": {"x": key}, "quoted": repr(key)})
    assert key[13:] not in stream.getvalue()
    assert key[:13] in stream.getvalue()


def test_registered_values_are_masked_wherever_and_however_they_appear(stream: io.StringIO) -> None:
    value = 'dull-"wörd"/with\\things 7Q'
    redactor.add(value)
    escaped = json.dumps(value)
    log.warning("a%sb %s %r %s", value, escaped, value, "dull-%22w%C3%B6rd%22%2Fwith%5Cthings%207Q", extra={value: 1})
    assert "things" not in stream.getvalue()


def test_a_private_key_is_masked_line_by_line() -> None:
    mask = Redactor()
    mask.add("-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQE\nabc\n-----END KEY-----\n")
    assert mask.text("x MIIEvQIBADANBgkqhkiG9w0BAQE y") == f"x {MASK} y"


@given(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=12).map("".join))
def test_the_shortcut_for_harmless_text_hides_nothing(text: str) -> None:
    mask, thorough = Redactor(), Redactor()
    for one in (mask, thorough):
        one.add("registered-value")
    thorough.suspects = lambda *_, **__: True  # type: ignore[method-assign]
    assert mask.text(text) == thorough.text(text)


def test_short_registered_values_do_not_blank_out_ordinary_text() -> None:
    mask = Redactor()
    mask.add("on")
    assert mask.text("one connection") == "one connection"


def test_harmless_text_is_left_alone() -> None:
    for text in (
        "GET https://example.org:8443/a/b?x=1 took 12 ms",
        "basic understanding of tokens",
        "tools/call echo → ok",
        "mail to someone@example.org",
    ):
        assert Redactor().text(text) == text


@given(st.text(max_size=200))
def test_masking_twice_is_masking_once(text: str) -> None:
    mask = Redactor()
    once = mask.text(text)
    assert mask.text(once) == once


def test_hostile_texts_cost_linear_time() -> None:
    mask = Redactor()
    for piece in (
        "://",
        "token",
        "gsn_",
        'password="',
        "--token-",
        "bearer ",
        "secret=\\",
        "token=,",
        "cookie:",
        "a" * 9,
    ):
        text = piece * (200_000 // len(piece))
        assert cost(lambda text=text: mask.text(text), 300) < 300, piece


def test_the_quick_look_sees_every_shape_that_it_promises() -> None:
    mask = Redactor()
    mask.add("registered-value")
    for text in (mint(), "Bearer abc", "bearer abc", "http://u:p@h/", "x registered-value y"):
        assert mask.suspects(text)
    assert not mask.suspects("tools/call echo")
    assert mask.suspects('{"password": "x"}', names_too=True)


def test_the_file_is_private_and_rotates_by_size(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "garrison.log"
    with configured(path, size_bytes_max=2000, files_kept=2):
        for number in range(100):
            log.warning("line %d", number)
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["garrison.log", "garrison.log.1", "garrison.log.2"]
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)
    assert all(file.stat().st_size <= 2000 for file in files)
    newest = [json.loads(line)["message"] for file in reversed(files) for line in file.read_text().splitlines()]
    assert newest == [f"line {number}" for number in range(100 - len(newest), 100)]


WRITE_MANY = """
import sys
from pathlib import Path
from garrison.telemetry.logfile import LogFile
file = LogFile(Path(sys.argv[1]), 3000, 1000)
for number in range(300):
    file.write(f"{sys.argv[2]}:{number}:{'x' * 20}\\n")
file.close()
"""


def test_several_processes_rotate_one_file_without_losing_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_MANY, str(tmp_path / "garrison.log")]
    processes = [subprocess.Popen([*command, str(who)]) for who in range(3)]
    assert [process.wait(30) for process in processes] == [0, 0, 0]
    written = [line for file in tmp_path.iterdir() for line in file.read_text().splitlines()]
    missing = {f"{who}:{number}:{'x' * 20}" for who in range(3) for number in range(300)} - set(written)
    assert not missing
    assert len(written) == 900
    assert len(list(tmp_path.iterdir())) > 5


def test_a_log_that_cannot_be_written_never_ends_the_program() -> None:
    with configured(Path("/dev/full")) as handler:
        log.warning("lost")
        assert handler.dropped == 1


def _log_often() -> None:
    for _ in range(50):
        log.warning("y" * 500)


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "garrison.log"
    with configured(path):
        threads = [threading.Thread(target=_log_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert all(json.loads(line) for line in path.read_text().splitlines())

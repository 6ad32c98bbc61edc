"""What callers wrote into records and logs is shown by commands on lines of ours, and drives no terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from command_line import Shell
from garrison.protection.entries import Entry, encode
from garrison.protection.ledger import writing_once
from garrison.telemetry.redaction import redactor

pytestmark = pytest.mark.slow

HOSTILE = "x\n2026-01-01T00:00:00Z forged\r\x1b[2J\x1b]8;;http://evil\x07\x9b31m\u2028\u202e\x00\u200b\U000e0041"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    logs = made.home / "logs" / "servers"
    logs.mkdir(parents=True)
    (logs / "git.log").write_text(f"2026-11-22T00:14:46Z err| {HOSTILE}\n", encoding="utf-8")
    (made.home / "logs" / "node.out").write_text(f"{HOSTILE}\n", encoding="utf-8")
    entry = Entry(1, "refusal", HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, {HOSTILE: HOSTILE})
    with writing_once(made.home / "ledger.sqlite") as log:
        log.note(log.append([encode(entry, redactor)]))
    return made


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (("logs", "git"), None),
        (("audit", "tail"), None),
        (("audit", "search", "--output", "yaml"), None),
        (("audit", "export", "--format", "cef"), 1),
        (("audit", "export", "--format", "syslog"), 1),
    ],
)
def test_a_command_shows_it_and_does_not_obey_it(shell: Shell, words: tuple[str, ...], lines: int | None) -> None:
    said = shell(*words, code=0)
    shown = said.out.replace("\n", "").replace("\ufeff", "")
    assert shown.isprintable()
    assert "forged" in shown
    if words[0] == "audit":
        assert not any(line.lstrip().startswith("2026-01-01") for line in said.out.splitlines())
    if lines is not None:
        assert len(said.out.splitlines()) == lines

"""Structured logs: one JSON object per line, through the standard library's `logging`.

A line holds `time` (RFC 3339, UTC), `level`, `logger`, `message`, then the fields passed as `extra={…}`, then `error`.
Everything is masked by the redactor first. The JSON is pure ASCII with all control characters escaped, so that no
message can forge a line or drive a terminal.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from pathlib import Path
from typing import TextIO

from garrison.kernel.clock import rfc3339
from garrison.telemetry.logfile import LogFile
from garrison.telemetry.redaction import Redactor, redactor

TEXT_CHARS_MAX = 16_384
"""Longest text in a line; the rest is cut after masking, so that no half secret is left."""
SIZE_BYTES_MAX = 10 * 1024 * 1024
FILES_KEPT = 5

_STANDARD = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None))) | {"message", "asctime", "taskName"}
_NOISE = frozenset({"color_message"})
"""What uvicorn repeats in colours."""
_OWN = frozenset({"time", "level", "logger", "error"})


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON."""

    def __init__(self, mask: Redactor = redactor) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": rfc3339(int(record.created * 1_000_000) * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._mask.text(_message(record)),
        }
        for name, value in vars(record).items():
            if name not in _STANDARD and name not in _NOISE:
                line[f"{name}_" if name in _OWN else self._mask.text(name)] = self._mask.value(value, name)
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = self._error(record.exc_info[1])
        return json.dumps(_cut(line), separators=(",", ":")).replace("\x7f", "\\u007f")

    def _error(self, error: BaseException) -> dict[str, object]:
        trace = "".join(traceback.format_exception(error))
        return {
            "type": type(error).__name__,
            "message": self._mask.value(error),
            "trace": self._mask.text(trace),
        }


class LogHandler(logging.Handler):
    """Writes lines to a file or a stream; a log that cannot be written never ends the program."""

    def __init__(self, target: LogFile | TextIO) -> None:
        super().__init__()
        self._target = target
        self.dropped = 0
        self.setFormatter(JsonFormatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._target.write(self.format(record) + "\n")
            self._target.flush()
        except Exception:  # noqa: BLE001 (boundary: logging must not end what it reports on)
            self.dropped += 1

    def close(self) -> None:
        if isinstance(self._target, LogFile):
            self._target.close()
        super().close()


def configure_logs(
    target: Path | TextIO | None = None,
    level: str = "info",
    size_bytes_max: int = SIZE_BYTES_MAX,
    files_kept: int = FILES_KEPT,
) -> LogHandler:
    """Send all logging of this process to `target` (standard error by default), replacing an earlier configuration.

    A path is rotated by size (`garrison.log.1` is the newest old one) and may be shared by several processes.
    """
    file = LogFile(target, size_bytes_max, files_kept) if isinstance(target, Path) else target or sys.stderr
    handler = LogHandler(file)
    root = logging.getLogger()
    for earlier in [h for h in root.handlers if isinstance(h, LogHandler)]:
        root.removeHandler(earlier)
        earlier.close()
    root.addHandler(handler)
    root.setLevel(level.upper())
    return handler


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 (boundary: arguments that do not fit, or a stranger's __str__)
        return f"{record.msg} [arguments lost: {type(error).__name__}]"


def _cut(value: object) -> object:
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return f"{value[:TEXT_CHARS_MAX]}…[cut {len(value) - TEXT_CHARS_MAX}]"
    if isinstance(value, dict):
        return {_cut(key): _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value

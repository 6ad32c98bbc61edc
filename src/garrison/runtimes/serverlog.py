"""One server's log: what it prints, line by line, bounded in every direction, and unable to forge a line of ours."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import quote

from garrison.kernel.clock import Clock, rfc3339
from garrison.telemetry.printable import one_line
from garrison.telemetry.redaction import redactor

LINE_BYTES_MAX = 8 * 1024
FILE_BYTES_MAX = 5 * 1024 * 1024
FILES = 3
"""The file that is written and two older ones, `.1` and `.2`."""

TAIL_LINES = 50
BYTES_PER_S_MAX = 1024 * 1024
"""What a server prints beyond this is counted and dropped: one chatty server must not slow its neighbours."""

Origin = Literal["err", "out", "---"]
"""Its stderr; what it printed on stdout between the messages; our own remarks."""


def log_path(folder: Path, server: str) -> Path:
    """`FOLDER/NAME.log`; whatever the name holds, it stays one file in that folder."""
    return folder / f"{quote(server, safe='')}.log"


def visible(line: bytes) -> str:
    """Text in which control characters, ANSI sequences and text direction marks are seen, not obeyed."""
    return "\t".join(one_line(part) for part in line.decode("utf-8", "replace").split("\t"))


class LineSplitter:
    """Cuts a stream into lines of at most `LINE_BYTES_MAX`; the rest of a longer one is dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def feed(self, data: bytes) -> list[bytes]:
        *lines, rest = (self._rest + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        if self._skipping:
            rest = b""
        elif len(rest) > LINE_BYTES_MAX:
            lines.append(rest)
            rest, self._skipping = b"", True
        self._rest = rest
        return [_cut(line) for line in lines]

    def flush(self) -> list[bytes]:
        """What is left without an end of line."""
        rest, self._rest = self._rest, b""
        return [_cut(rest)] if rest else []


class ServerLog:
    """`2026-11-22T00:14:46.123456Z err| text`; rotates by size; keeps a tail in memory for error reports.

    Secrets are masked: a server may well print what was entrusted to it, and the tail goes into error messages.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self.tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._path = path
        self._clock = clock
        self._file: BinaryIO | None = None
        self._size = 0
        self._second = 0
        self._spent = 0
        self._dropped = 0

    def write(self, origin: Origin, lines: list[bytes]) -> None:
        """Append lines. A disk that refuses costs the file, never the server: the tail is kept all the same."""
        stamp = rfc3339(self._clock.wall_ns())
        admitted = [f"{stamp} {origin}| {redactor.text(visible(line))}" for line in self._admit(lines)]
        if not admitted:
            return
        self.tail.extend(admitted)
        self._store("".join(line + "\n" for line in admitted).encode("utf-8", "replace"))

    def remark(self, text: str) -> None:
        """A line of our own."""
        self.write("---", [text.encode("utf-8", "replace")])

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _admit(self, lines: list[bytes]) -> list[bytes]:
        """The lines that this second has room for."""
        second = int(self._clock.monotonic_s())
        if second != self._second:
            dropped, self._dropped = self._dropped, 0
            self._second, self._spent = second, 0
            if dropped:
                lines = [b"(%d lines dropped: more than %d bytes a second)" % (dropped, BYTES_PER_S_MAX), *lines]
        admitted = []
        for line in lines:
            self._spent += len(line) + 40
            if self._spent > BYTES_PER_S_MAX:
                self._dropped += 1
            else:
                admitted.append(line)
        return admitted

    def _store(self, data: bytes) -> None:
        try:
            if self._size + len(data) > FILE_BYTES_MAX:
                self._rotate()
            if self._file is None:
                self._open()
            assert self._file is not None
            self._size += self._file.write(data)
        except OSError:
            self.close()  # the next write tries again

    def _open(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._path.open("ab", buffering=0)
        self._path.chmod(0o600)
        self._size = self._file.tell()

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, FILES))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        self._size = 0


def read_tail(path: Path, lines: int) -> list[str]:
    """The last lines of a log file, oldest first, from its last 256 KiB; none when there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - 256 * 1024))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return []
    return text.split("\n")[:-1][-lines:] if lines > 0 else []


def _cut(line: bytes) -> bytes:
    """Long lines end in `…`; a CR before the LF belongs to the line's end."""
    line = line.removesuffix(b"\r")
    return line if len(line) <= LINE_BYTES_MAX else line[:LINE_BYTES_MAX] + "…".encode()

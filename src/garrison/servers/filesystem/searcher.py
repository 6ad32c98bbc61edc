"""The search itself, as a program of its own: so that a hostile pattern can be ended, whatever it does.

Started with a descriptor of the folder to search (argument 1) and a JSON request on stdin; writes one JSON object per
line: `{"hit": …}`, `{"seen": n}` now and then, and at last `{"done": reason}` or `{"error": message}`. It needs only
the standard library, follows no links and opens everything relative to the descriptor, as the server does.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

PIECE_BYTES = 64 * 1024
SNIFF_BYTES = 8 * 1024
SHOWN_CHARACTERS = 400
SEEN_EVERY = 512
DEPTH_MAX = 200
HOME_MARK = ".garrison-home"
"""Marks a folder with keys and secrets, which is not entered; the same as `kernel.home.MARK`."""

Found = tuple[int, str, str, os.stat_result]
"""(descriptor of the folder, name, path relative to the start, state)"""


def say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")


def shown(name: str) -> str:
    return os.fsencode(name).decode(errors="replace")


def glob_pattern(glob: str) -> re.Pattern[str]:
    """`*` and `?` stay within a name, `**` spans folders; a glob without `/` means a name at any depth."""
    parts = (glob if "/" in glob else f"**/{glob}").lstrip("/").split("/")
    out = []
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            out.append(".*" if last else "(?:.*/)?")
        else:
            out.append(segment_pattern(part) + ("" if last else "/"))
    return re.compile("(?s:" + "".join(out) + r")\Z")


def segment_pattern(part: str) -> str:
    out, index = [], 0
    while index < len(part):
        character = part[index]
        negated = part[index + 1 : index + 2] in ("!", "^")
        closing = part.find("]", index + 2 + negated) if character == "[" else -1
        if character == "*":
            out.append("[^/]*")
        elif character == "?":
            out.append("[^/]")
        elif closing > 0:
            inner = part[index + 1 : closing].replace("\\", r"\\").replace("[", r"\[")
            out.append(f"[^{inner[1:]}]" if negated else f"[{inner}]")
            index = closing
        else:
            out.append(re.escape(character))
        index += 1
    return "".join(out)


def walk(directory: int, prefix: str, excluded: Callable[[str], bool], depth: int = 0) -> Iterator[Found]:
    """Everything below, depth first, by name; excluded folders are not entered."""
    for name in sorted(os.listdir(directory)):
        path = prefix + name
        try:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
        except OSError:
            continue
        if excluded(path):
            continue
        yield directory, name, path, status
        if stat.S_ISDIR(status.st_mode) and depth < DEPTH_MAX:
            yield from walk_below(directory, name, path, excluded, depth + 1)


def walk_below(directory: int, name: str, path: str, excluded: Callable[[str], bool], depth: int) -> Iterator[Found]:
    try:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=directory)
    except OSError:
        return
    try:
        if HOME_MARK not in os.listdir(below):  # noqa: PTH208  a descriptor is no path
            yield from walk(below, path + "/", excluded, depth)
    finally:
        os.close(below)


def line_finder(request: dict[str, Any]) -> Callable[[str], tuple[int, int] | None]:
    """Where the first match in a line begins and ends."""
    pattern = request["pattern"] if request["regex"] else re.escape(request["pattern"])
    compiled = re.compile(pattern, re.IGNORECASE if request["ignore_case"] else 0)

    def find(line: str) -> tuple[int, int] | None:
        match = compiled.search(line)
        return match.span() if match else None

    return find


def opened_text(directory: int, name: str) -> BinaryIO | None:
    """The file for reading, or None when it is no regular file, or binary."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    except OSError:
        return None
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode) or b"\0" in file.read(SNIFF_BYTES):
        file.close()
        return None
    file.seek(0)
    return file


def hits_in(file: BinaryIO, path: str, find: Callable[[str], tuple[int, int] | None], context: int) -> Iterator[Any]:
    """One object per matching line. Lines after it arrive later, so a hit waits until it has its context."""
    before: deque[str] = deque(maxlen=context)
    waiting: deque[dict[str, Any]] = deque()
    number = 1
    for piece in iter(lambda: file.readline(PIECE_BYTES), b""):
        line = piece.decode(errors="replace").rstrip("\r\n")
        for each in waiting:
            each["after"].append(line[:SHOWN_CHARACTERS])
        while waiting and len(waiting[0]["after"]) >= context:
            yield waiting.popleft()
        if span := find(line):
            hit = {"path": shown(path), "line": number, "column": span[0] + 1, "text": around(line, span)}
            waiting.append({**hit, "before": list(before), "after": []})
            if not context:
                yield waiting.popleft()
        if context:
            before.append(line[:SHOWN_CHARACTERS])
        number += piece.endswith(b"\n")
    yield from waiting


def around(line: str, span: tuple[int, int]) -> str:
    """The line, or of a long one the part around the match."""
    start = max(0, span[0] - SHOWN_CHARACTERS // 4) if len(line) > SHOWN_CHARACTERS else 0
    return line[start : start + SHOWN_CHARACTERS]


def name_hits(found: Found, _request: dict[str, Any]) -> Iterator[dict[str, Any]]:
    _, _, path, status = found
    kind = "directory" if stat.S_ISDIR(status.st_mode) else "link" if stat.S_ISLNK(status.st_mode) else "file"
    yield {"path": shown(path), "kind": kind, "size_bytes": status.st_size}


def text_hits(request: dict[str, Any]) -> Callable[[Found, dict[str, Any]], Iterator[dict[str, Any]]]:
    find = line_finder(request)

    def search(found: Found, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        directory, name, path, status = found
        file = opened_text(directory, name) if stat.S_ISREG(status.st_mode) else None
        if file is not None:
            with file:
                yield from hits_in(file, path, find, request["context"])

    return search


def search(directory: int, request: dict[str, Any]) -> str:
    """Say every hit; returns why it ended: `complete` or `limit`."""
    included = [glob_pattern(glob) for glob in request["include"]]
    excluded = [glob_pattern(glob) for glob in request["exclude"]]
    hits_of = text_hits(request) if request["what"] == "text" else name_hits
    skip, left = request["skip"], request["limit"]
    for seen, found in enumerate(walk(directory, "", lambda path: any(p.match(path) for p in excluded)), 1):
        if seen % SEEN_EVERY == 0:
            say({"seen": seen})
            sys.stdout.flush()
        if included and not any(pattern.match(found[2]) for pattern in included):
            continue
        for hit in hits_of(found, request):
            if skip:
                skip -= 1
                continue
            if not left:
                return "limit"
            left -= 1
            say({"hit": hit})
            sys.stdout.flush()
    return "complete"


def main() -> None:
    try:
        say({"done": search(int(sys.argv[1]), json.load(sys.stdin))})
    except (re.error, RecursionError, OverflowError) as error:
        say({"error": f"The pattern cannot be used: {error}"})
    except MemoryError:
        say({"error": "The search needs more memory than it may use."})


if __name__ == "__main__":
    main()

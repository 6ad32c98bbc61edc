"""Searching names and contents. The work is done by `searcher.py` in a process that a deadline can end."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from garrison.kernel.errors import Invalid, Unavailable
from garrison.servers.filesystem.reading import FilePath
from garrison.servers.toolkit.call import Call
from garrison.servers.toolkit.paths import Roots, opened_directory
from garrison.servers.toolkit.processes import Limits, feed, started

HITS_BYTES_MAX: Final = 1024 * 1024
MEMORY_BYTES_MAX: Final = 1024 * 1024 * 1024
_PROGRAM: Final = str(Path(__file__).with_name("searcher.py"))

Stopped = Literal["complete", "limit", "time", "size"]
Glob = Annotated[str, Meta(min_length=1, max_length=1_000)]
Globs = Annotated[tuple[Glob, ...], Meta(max_length=50)]
LimitCount = Annotated[int, Meta(ge=1, le=5_000, description="How many hits at most.")]
SkipCount = Annotated[int, Meta(ge=0, le=1_000_000, description="Leave out this many hits: how to get the next page.")]
Seconds = Annotated[float, Meta(gt=0, le=120, description="Give what was found after this many seconds.")]


class NameHit(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """Relative to the folder that was searched."""
    kind: Literal["file", "directory", "link"]
    size_bytes: int


class TextHit(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    """Relative to the folder that was searched."""
    line: int
    column: int
    """Where the first match in the line begins, from 1."""
    text: str
    before: list[str]
    after: list[str]


class NamesFound(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    hits: list[NameHit]
    stopped: Stopped
    """Why the search ended: `complete` means that there is nothing more."""


class TextsFound(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    hits: list[TextHit]
    stopped: Stopped

    def as_texts(self) -> list[str]:
        lines = [f"{hit.path}:{hit.line}:{hit.column}: {hit.text}" for hit in self.hits]
        note = [] if self.stopped == "complete" else [f"The search ended early: {self.stopped}."]
        return ["\n".join(lines) or "Nothing found.", *note]


class Searching:
    def __init__(self, roots: Roots) -> None:
        self._roots = roots

    async def search_files(
        self,
        call: Call,
        pattern: Annotated[Glob, Meta(description="Glob: *.py at any depth, or src/**/test_*.py from the folder.")],
        path: FilePath = ".",
        exclude: Annotated[Globs, Meta(description="Globs of what to leave out; such folders are not entered.")] = (
            ".git",
        ),
        limit: LimitCount = 200,
        skip: SkipCount = 0,
        timeout_s: Seconds = 20.0,
    ) -> NamesFound:
        """Find files and folders by name, sorted by path. Symbolic links are found, not followed."""
        request = {"what": "names", "include": [pattern], "exclude": exclude, "limit": limit, "skip": skip}
        hits, stopped = await self._search(call, path, request, timeout_s)
        return NamesFound(path=path, hits=msgspec.convert(hits, list[NameHit]), stopped=stopped)

    async def search_text(
        self,
        call: Call,
        pattern: Annotated[str, Meta(min_length=1, max_length=1_000, description="What a line must contain.")],
        path: FilePath = ".",
        regex: Annotated[bool, Meta(description="Read the pattern as a regular expression (Python's).")] = False,
        ignore_case: Annotated[bool, Meta(description="Take A and a for the same.")] = False,
        include: Annotated[Globs, Meta(description="Only files that match one of these globs.")] = (),
        exclude: Annotated[Globs, Meta(description="Globs of what to leave out; such folders are not entered.")] = (
            ".git",
        ),
        context: Annotated[int, Meta(ge=0, le=10, description="Lines to show before and after each hit.")] = 0,
        limit: LimitCount = 200,
        skip: SkipCount = 0,
        timeout_s: Seconds = 20.0,
    ) -> TextsFound:
        """Find lines in text files, sorted by path. Binary files and symbolic links are skipped."""
        request = {
            "what": "text", "pattern": pattern, "regex": regex, "ignore_case": ignore_case, "context": context,
            "include": include, "exclude": exclude, "limit": limit, "skip": skip,
        }  # fmt: skip
        hits, stopped = await self._search(call, path, request, timeout_s)
        return TextsFound(path=path, hits=msgspec.convert(hits, list[TextHit]), stopped=stopped)

    async def _search(
        self, call: Call, path: str, request: dict[str, Any], timeout_s: float
    ) -> tuple[list[Any], Stopped]:
        place = self._roots.place(path)
        limits = Limits(timeout_s=timeout_s, memory_bytes_max=MEMORY_BYTES_MAX)
        with opened_directory(place) as directory:
            argv = [sys.executable, "-I", "-S", _PROGRAM, str(directory)]
            async with started(argv, env={"LC_ALL": "C.UTF-8"}, pass_fds=(directory,), limits=limits) as process:
                collected = _Hits(call, place.shown)
                try:
                    async with asyncio.timeout(timeout_s):
                        return collected.hits, await collected.read(process, msgspec.json.encode(request))
                except TimeoutError:
                    return collected.hits, "time"


class _Hits:
    """Reads what the searcher says. `hits` keeps what came before a deadline."""

    def __init__(self, call: Call, path: str) -> None:
        self._call = call
        self._path = path
        self.hits: list[Any] = []

    async def read(self, process: asyncio.subprocess.Process, request: bytes) -> Stopped:
        assert process.stdout is not None
        await feed(process, request)
        size_bytes = 0
        async for line in process.stdout:
            said = msgspec.json.decode(line)
            match said:
                case {"hit": hit}:
                    self.hits.append(hit)
                    size_bytes += len(line)
                    if size_bytes > HITS_BYTES_MAX:
                        return "size"
                case {"seen": int(seen)}:
                    await self._call.progress(seen, message=f"{len(self.hits)} found")
                case {"done": ("complete" | "limit") as reason}:
                    return reason  # type: ignore[no-any-return]
                case {"error": str(message)}:
                    raise Invalid("search.pattern", message, "Simplify the pattern, or search for literal text.")
        raise Unavailable("search.ended", f"The search in {self._path} ended unexpectedly.", "Narrow it and try again.")

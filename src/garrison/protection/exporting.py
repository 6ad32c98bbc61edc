"""What an export is asked for. Every format is one function `lines(request) -> Iterator[bytes]`; each piece is written
out as it is, line ends included.

The formats are in the table `FORMATS` of surfaces/cli/audit_export.py. A format that proves what it holds
(`proven.py`) takes whole ranges only; the others take what `wanted` matches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from garrison.protection.place import Place
from garrison.protection.reader import Filter


@dataclass(frozen=True)
class Request:
    """first, last: numbers of the entries, both inclusive; `last` 0: to the end. wanted: which of those."""

    place: Place
    first: int = 1
    last: int = 0
    wanted: Filter = field(default_factory=Filter)


Format = Callable[[Request], Iterator[bytes]]

"""Why a server's part of a list is not fresh."""

from __future__ import annotations

from typing import NamedTuple


class Lapse(NamedTuple):
    """`state`: the server is `away`, its list was `unread` lately, or is just `reading`. `is_kept`: the last good list
    is served in its place."""

    state: str
    is_kept: bool
    why: str

"""Lists that are not fresh in every part say so: the last good list of a server that is away is served, and marked.

`_meta["garrison/servers"]` of a list's result names each such server: its `state` (`away`, `unread`, `reading`), what
stands in the list for it (`list`: `last`, its last good one, or `none`), and `why`. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from garrison.gateway.upstreams.lapse import Lapse
from garrison.protocol.messages import encode

META_SERVERS = "garrison/servers"
_WHY_CHARS_MAX = 200


def marked(page: bytes, lapses: Mapping[str, Lapse]) -> bytes:
    """A list's result, an object without `_meta`, with what has to be said of it."""
    if not lapses:
        return page
    said = {
        server: {"state": lapse.state, "list": "last" if lapse.is_kept else "none", "why": lapse.why[:_WHY_CHARS_MAX]}
        for server, lapse in lapses.items()
    }
    return page[:-1] + b',"_meta":' + encode({META_SERVERS: said}) + b"}"

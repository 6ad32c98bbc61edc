"""What one client sees of its servers, where a process of its own has come to list other things than the shared one.

Some servers offer more after a call: a toolset that was enabled, a project that was opened. In a process of a client's
own only that client may see it, so it sees that process's lists in place of the shared ones.
"""

from __future__ import annotations

from collections.abc import Hashable

from garrison.gateway.call import Call
from garrison.gateway.endpoints import Endpoint, Endpoints
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.own import OwnConnections
from garrison.gateway.upstreams.upstream import Upstream

KEPT_MAX = 256


class Seen:
    """Costs those whose lists are the usual ones one look."""

    def __init__(self, directory: Directory, endpoints: Endpoints, own: OwnConnections) -> None:
        self._directory = directory
        self.endpoints = endpoints
        self._own = own
        self._kept: dict[tuple[str, str], tuple[object, Hashable, Endpoint]] = {}

    def endpoint(self, call: Call) -> Endpoint | None:
        """The endpoint as this client sees it; None where it shows one server, or is not there."""
        found = self.endpoints.find(call.endpoint)
        if not self._own.views or found is None:
            return found
        views = self._views(call)
        return self._changed(call, found, views) if views else found

    def server(self, call: Call, upstream: Upstream) -> Upstream:
        """The same for one server."""
        return self._views(call).get(upstream.name, upstream) if self._own.views else upstream

    def whose(self, call: Call) -> Hashable:
        """Equal for those who see the same, as far as processes go."""
        return _edition(_owner_id(call), self._views(call)) if self._own.views else None

    def _views(self, call: Call) -> dict[str, Upstream]:
        """By server, under the filters of this moment."""
        views = self._own.views_of(_owner_id(call))
        for name, view in views.items():
            usual = self._directory.upstreams.get(name)
            if usual is not None and view.spec is not usual.spec:
                view.take_over(usual.spec)
        return views

    def _changed(self, call: Call, usual: Endpoint, views: dict[str, Upstream]) -> Endpoint:
        key, edition = (_owner_id(call), call.endpoint), _edition(_owner_id(call), views)
        kept = self._kept.get(key)
        if kept is not None and kept[0] is usual and kept[1] == edition:
            return kept[2]
        made = Endpoint(usual.view, {**self._directory.upstreams, **views})
        if len(self._kept) >= KEPT_MAX:
            self._kept.clear()
        self._kept[key] = (usual, edition, made)
        return made


def _owner_id(call: Call) -> str:
    if call.session is not None:
        return call.session.id
    return call.principal.id if call.principal is not None else ""


def _edition(owner_id: str, views: dict[str, Upstream]) -> Hashable:
    """Another one with each list that was read; None where all is as usual."""
    return (owner_id, *((name, view.readings) for name, view in sorted(views.items()))) if views else None

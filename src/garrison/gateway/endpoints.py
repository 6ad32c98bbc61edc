"""The endpoints that show several servers, `/mcp` and the profiles: each a view, and the names that it shows now.

What was found out is kept until a snapshot or a list comes; names lead to their servers by one look-up.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from msgspec import Raw

from garrison.catalog.shown_names import Listed, Named
from garrison.gateway import aggregate, apps
from garrison.gateway.call import Target
from garrison.gateway.refusals import unknown
from garrison.gateway.upstreams.definition import KIND, Definition
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.upstreams.upstream import Upstream
from garrison.gateway.views import Conflict, Index, Ref, View
from garrison.protocol import methods
from garrison.protocol.messages import raw

_LIST: dict[Named, str] = {"tool": methods.TOOLS_LIST, "prompt": methods.PROMPTS_LIST}

log = logging.getLogger("garrison.gateway")


class Found(NamedTuple):
    """Where a shown name leads; `name` is the thing's own name as JSON."""

    upstream: Upstream
    target: Target
    name: Raw


class Entry(NamedTuple):
    """One entry of a list: whose it is, and how it is shown."""

    upstream: Upstream
    definition: Definition
    body: Raw


class Endpoint:
    """One view of one moment; another moment has another object. `upstreams`: all there are, by name."""

    def __init__(self, view: View, upstreams: Mapping[str, Upstream]) -> None:
        self.view = view
        self._upstreams = {name: upstreams[name] for name in view.faces}
        self._found: dict[Named, dict[str, Found]] = {"tool": {}, "prompt": {}}
        self._indexes: dict[str, Index] = {}

    @property
    def upstreams(self) -> Mapping[str, Upstream]:
        """The servers that it shows, in the catalog's order."""
        return self._upstreams

    def named(self, kind: Named, shown: str) -> Found:
        """What a name means here. Raises `NotFound` for what is not listed, unless its server has not listed yet."""
        found = self._found[kind].get(shown)
        if found is None:
            ref = self.index(_LIST[kind]).refs.get(shown)
            found = self._lead(kind, ref if ref is not None else self._meant(kind, shown))
            if ref is not None:
                self._found[kind][shown] = found
        return found

    def resource(self, shown: str) -> tuple[Upstream, str]:
        """Whose a resource is and what it is called there. Raises `NotFound`.

        It is the first one's that lists it, else the first one's of which a template fits.
        """
        ref = self.index(methods.RESOURCES_LIST).refs.get(shown)
        if ref is not None:
            return self._upstreams[ref.server], ref.name
        of_app = apps.original(shown, self._upstreams)
        for server, upstream in self._upstreams.items():
            uri = shown if of_app is None else of_app[1]
            if (of_app is None or of_app[0] == server) and self._has_template(server, uri):
                return upstream, uri
        raise unknown("resource", shown)

    def _has_template(self, server: str, uri: str) -> bool:
        face, templates = self.view.faces[server], self._upstreams[server].lists[methods.TEMPLATES_LIST]
        fitting = (one for one in templates if aggregate.template_matches(one, uri))
        return face.offers("resource", uri) and any(face.offers("resource", one) for one in fitting)

    def entries(self, method: str) -> Iterator[Entry]:
        """A list as it is shown, in the catalog's order; of one URI only its first owner's."""
        kind = KIND[method]
        for ref in self.index(method).shown:
            upstream = self._upstreams[ref.server]
            definition = upstream.lists[method][ref.name]
            yield Entry(upstream, definition, self._body(kind, method, ref, definition))

    def conflicts(self) -> list[Conflict]:
        """What cannot be shown as it should be, of all that is listed now."""
        return [conflict for method in methods.LIST_MEMBER for conflict in self.index(method).conflicts]

    def index(self, method: str) -> Index:
        found = self._indexes.get(method)
        if found is None:
            found = self._indexes[method] = self._made(method)
        return found

    # ── inside ──

    def _made(self, method: str) -> Index:
        offered = {name: upstream.lists[method] for name, upstream in self._upstreams.items()}
        kind = KIND[method]
        return self.view.resources(offered) if kind == "resource" else self.view.index(kind, offered)

    def _lead(self, kind: Named, ref: Ref) -> Found:
        return Found(self._upstreams[ref.server], Target(kind, ref.server, ref.name), raw(ref.name))

    def _meant(self, kind: Named, shown: str) -> Ref:
        """A name that is in no list: whoever may have it by configuration is asked, if there is only one.

        What is listed has its name already; a server that has not listed yet comes before one that has, which can
        only say that it knows nothing of it, in its place in the pipeline.
        """
        method = _LIST[kind]
        refs = [
            ref for ref in self.view.meant(kind, shown) if ref.name not in self._upstreams[ref.server].lists[method]
        ]
        untold = [ref for ref in refs if not self._upstreams[ref.server].has_listed(method)]
        if len(untold or refs) != 1:
            raise unknown(kind, shown)
        return (untold or refs)[0]

    def _body(self, kind: Listed, method: str, ref: Ref, definition: Definition) -> Raw:
        content = definition.content
        if apps.MARK in bytes(definition.body):
            content = apps.entry(ref.server, content)
        if kind == "resource":
            return definition.body if content is definition.content else raw(content)
        told = self.view.faces[ref.server].description(kind, ref.name)
        own = {} if told is None else {"description": told}
        return raw({**content, "name": self.index(method).shown[ref], **own})


class Endpoints:
    """All of them, always those of this moment."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._names: object = None
        self._now: Mapping[str, Endpoint] = {}
        self._told: set[tuple[str, str]] = set()
        directory.on_settled(self.tell_conflicts)

    def find(self, endpoint: str) -> Endpoint | None:
        """None for an endpoint of another kind, and for one that is not there."""
        if self._names is not self._directory.names:
            self._renew()
        return self._now.get(endpoint)

    def all(self) -> Mapping[str, Endpoint]:
        self.find("")
        return self._now

    def resource(self, endpoint: str, shown: str) -> tuple[Upstream, str]:
        """Whose a resource is, for whoever is at this endpoint, and what it is called there. Raises `NotFound`."""
        found = self.find(endpoint)
        if found is not None:
            return found.resource(shown)
        upstream = self._directory.get(endpoint)
        if not upstream.sieves["resource"].passes(shown):
            raise unknown("resource", shown)
        return upstream, shown

    def reaches(self, endpoint: str, server: str, kind: Listed, name: str) -> bool:
        """Whether this thing of a server can be had at this endpoint; without a name, anything of it."""
        found = self.find(endpoint)
        if found is None:
            return endpoint == server
        face = found.view.faces.get(server)
        return face is not None and (not name or face.offers(kind, name))

    def shows(self, endpoint: str, server: str) -> bool:
        """Whether this server's news concern whoever listens there."""
        found = self.find(endpoint)
        return endpoint == server if found is None else server in found.upstreams

    def tell_conflicts(self) -> None:
        """Log what is shown otherwise than it should be, each once for as long as it is so."""
        now = {(name, conflict.text) for name, endpoint in self.all().items() for conflict in endpoint.conflicts()}
        for name, text in sorted(now - self._told):
            log.warning(
                "a name is not shown as configured", extra={"endpoint": f"/{name}/mcp" if name else "/mcp", "why": text}
            )
        self._told = now

    def _renew(self) -> None:
        directory = self._directory
        self._names = directory.names
        self._now = {name: Endpoint(view, directory.upstreams) for name, view in directory.views.items()}

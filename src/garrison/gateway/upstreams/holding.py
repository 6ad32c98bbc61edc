"""What of one server's lists is held: they are compared with the pins, at every instance and wherever else seen."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from garrison.catalog.pins import Kind, Why
from garrison.catalog.spec import ServerSpec
from garrison.gateway.upstreams.definition import KEY
from garrison.gateway.upstreams.pinning import KIND_OF, Pinning

Items = list[object]


class Holding:
    """`held`: by kind and name, why. `each`: the lists of each instance, where there are several."""

    def __init__(self, pins: Pinning) -> None:
        self._pins = pins
        self.held: Mapping[tuple[Kind, str], Why] = {}
        self.each: dict[str, list[Items]] = {}
        self.doubted: set[str] = set()
        """Lists that may be others by now, and are being read or could not be: what was known does not hold."""
        self._elsewhere: dict[str, dict[str, object]] = {}
        """Entries that differed from their pins on connections of clients' own, until the server is started anew."""

    def begin_anew(self) -> None:
        """Another instance serves."""
        self._elsewhere.clear()

    def read(self, method: str) -> None:
        """A list was read, and is about to be compared."""
        self.doubted.discard(method)

    def unread(self, server: str, method: str) -> None:
        """A list could not be read. Where nothing of it was ever pinned, nothing of it can be out of date."""
        pins = self._pins.book.servers.get(server)
        if pins is None or not pins.of(KIND_OF[method]):
            self.doubted.discard(method)

    def is_unread(self, server: str, kind: str) -> bool:
        """Whether something of this kind is pinned, and could not be compared with what is offered now."""
        pins = self._pins.book.servers.get(server)
        kinds = {"resource", "template"} if kind == "resource" else {kind}
        return pins is not None and any(pins.of(KIND_OF[method]) for method in self.doubted if KIND_OF[method] in kinds)

    def sift(self, spec: ServerSpec, method: str, items: Items) -> Items:
        """The list without what is held."""
        elsewhere = list(self._elsewhere.get(method, {}).values())
        passed, held = self._pins.sift(spec, method, [items, *self.each.get(method, ()), elsewhere])
        kind = KIND_OF[method]
        if held or self.held:
            kept = {key: why for key, why in self.held.items() if key[0] != kind}
            self.held = {**kept, **{(kind, name): why for name, why in held.items()}}
        return passed

    def held_of(self, method: str, items: Items) -> Iterator[tuple[str, object]]:
        """The entries of a list that are held, by name."""
        for item in items:
            name = item.get(KEY[method]) if isinstance(item, dict) else None
            if isinstance(name, str) and (KIND_OF[method], name) in self.held:
                yield name, item

    def distrust(self, method: str, name: str, item: object) -> bool:
        """Whether this is news."""
        known = self._elsewhere.setdefault(method, {})
        if known.get(name) == item:
            return False
        known[name] = item
        return True

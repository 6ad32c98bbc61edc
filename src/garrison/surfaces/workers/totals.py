"""The fleet's metrics: what all workers counted, together, as if one process had.

A worker that was started again begins at zero; what its former life was last seen to have counted stays in the sum, so
that no counter ever falls. What it counted between the last scrape and its death is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from garrison.telemetry import names
from garrison.telemetry.exposition import render_families
from garrison.telemetry.metrics import AnyFamily, Cell, Family, GaugeCell, HistogramCell, Metrics
from garrison.telemetry.names import prometheus_name

Dump = list[list[Any]]
"""Of each family: kind, name, text, labels, cells. Of each cell: label values; its number, or bounds, counts, sum."""

_OF_THE_FLEET = frozenset(
    {names.SERVER_RUNNING, names.SERVER_INSTANCES, names.SERVER_RESTARTS, names.PROCESS_START, names.PROCESS_MAX_FDS}
)
"""Gauges that say the same whoever looks: the primary's count."""
_WORST = frozenset({"garrison.breaker.state", names.INSTANCE_LEFT_ALONE})
"""Gauges of which the highest counts."""

OF_THE_FLEET = frozenset(map(prometheus_name, _OF_THE_FLEET))
WORST = frozenset(map(prometheus_name, _WORST))


def dump(metrics: Metrics) -> Dump:
    """All that a process has counted, as plain data."""
    return [
        [family.kind, family.name, family.text, list(family.labels), [[list(key), _of(cell)] for key, cell in family]]
        for family in metrics.families()
    ]


class Totals:
    """Kept by the primary."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[int, Dump]] = {}
        self._former: list[Dump] = []

    def add(self, worker: int, life: int, dumped: Dump) -> None:
        """What a worker says now; `life` is another number after each start."""
        before = self._latest.get(worker)
        if before is not None and before[0] != life:
            self._former.append([family for family in before[1] if family[0] != "gauge"])
            self._former = [_flat(_sum(self._former))]
        self._latest[worker] = (life, dumped)

    def gone(self, worker: int) -> None:
        """It does not answer: its gauges say nothing any more."""
        life, dumped = self._latest.get(worker, (0, []))
        self._latest[worker] = (life, [family for family in dumped if family[0] != "gauge"])

    def render(self, own: Metrics) -> bytes:
        """In Prometheus's text format."""
        dumps = [dump(own), *(dumped for _, dumped in self._latest.values()), *self._former]
        return render_families(list(_sum(dumps).values()))


def _of(cell: Cell | HistogramCell) -> Any:
    if isinstance(cell, HistogramCell):
        return [list(cell.bounds), list(cell.counts), cell.sum]
    return cell.current() if isinstance(cell, GaugeCell) else cell.value


def _sum(dumps: Iterable[Dump]) -> Mapping[str, AnyFamily]:
    """The first one is the primary's."""
    found: dict[str, AnyFamily] = {}
    for place, dumped in enumerate(dumps):
        for kind, name, text, labels, cells in dumped:
            if place and name in OF_THE_FLEET:
                continue
            family = found.get(name)
            if family is None:
                family = found[name] = _family(kind, name, text, labels, cells)
            for key, value in cells:
                _add(family.cell(*key), value, worst=name in WORST)
    return dict(sorted(found.items()))


def _family(kind: str, name: str, text: str, labels: list[str], cells: list[list[Any]]) -> AnyFamily:
    bounds = tuple(cells[0][1][0]) if kind == "histogram" and cells else ()
    make: Callable[[], Any] = {"counter": Cell, "gauge": GaugeCell}.get(kind, lambda: HistogramCell(bounds))
    family: AnyFamily = Family(kind, name, text, labels, make, 1 << 20)
    return family


def _add(cell: Cell | HistogramCell, value: Any, *, worst: bool) -> None:
    if isinstance(cell, HistogramCell):
        _, counts, total = value
        cell.counts = [one + other for one, other in zip(cell.counts, counts, strict=True)]
        cell.sum += total
    elif worst:
        cell.value = max(cell.value, value)
    else:
        cell.value += value


def _flat(families: Mapping[str, AnyFamily]) -> Dump:
    return [
        [family.kind, family.name, family.text, list(family.labels), [[list(key), _of(cell)] for key, cell in family]]
        for family in families.values()
    ]

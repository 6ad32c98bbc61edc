"""Counters, gauges and histograms as pre-bound cells.

A family has a name and label names; a cell is one family with its label values filled in. Bind a cell once and
keep it: adding to it is one attribute update. Cells are updated by the thread that owns them, or by several under
the interpreter lock, where an update is one uninterrupted read-add-write.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, Protocol, TypeVar

from garrison.kernel.errors import Defect
from garrison.telemetry.names import DURATION_BUCKETS_S, prometheus_name

OTHER = "other"
CELLS_MAX = 1000
"""Label combinations per family; later ones share the cell `other`, so that nobody can fill the memory with names."""
LABEL_CHARS_MAX = 128


class Cell:
    """One number."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def add(self, amount: float = 1) -> None:
        self.value += amount


class GaugeCell(Cell):
    """One number that can also be set, or read from somewhere when it is scraped."""

    __slots__ = ("_read",)

    def __init__(self) -> None:
        super().__init__()
        self._read: Callable[[], float] | None = None

    def set(self, value: float) -> None:
        self.value = value

    def read_from(self, read: Callable[[], float]) -> None:
        self._read = read

    def current(self) -> float:
        return self.value if self._read is None else self._read()


class HistogramCell:
    """Counts per bucket and the sum; `counts[i]` is not cumulative, the last one is `+Inf`."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


AnyCell = TypeVar("AnyCell", Cell, GaugeCell, HistogramCell)


class Family(Generic[AnyCell]):
    """A metric with its label names and its cells, by label values."""

    def __init__(
        self, kind: str, name: str, text: str, labels: Sequence[str], make: Callable[[], AnyCell], cells_max: int
    ) -> None:
        self.kind = kind
        self.name = name
        self.text = text
        self.labels = tuple(prometheus_name(label) for label in labels)
        self._make: Callable[[], AnyCell] = make
        self._cells_max = cells_max
        self._cells: dict[tuple[str, ...], AnyCell] = {}
        if not labels:
            self.cell()  # a metric without labels shows 0 before anything happened

    def cell(self, *values: str) -> AnyCell:
        """The cell of these label values, in the order of the label names."""
        found = self._cells.get(values)
        return found if found is not None else self._add(values)

    def __iter__(self) -> Iterator[tuple[tuple[str, ...], AnyCell]]:
        return iter(list(self._cells.items()))

    def _add(self, values: tuple[str, ...]) -> AnyCell:
        if len(values) != len(self.labels):
            raise Defect("metric.labels", f"{self.name} takes {len(self.labels)} label values, not {len(values)}")
        key = tuple(_clean(value) for value in values)
        if key not in self._cells and len(self._cells) >= self._cells_max:
            key = (OTHER,) * len(self.labels)
        return self._cells.setdefault(key, self._make())


def _clean(value: str) -> str:
    """Cut, and without lone surrogates, which no text format can carry."""
    return value[:LABEL_CHARS_MAX].encode("utf-8", "replace").decode()


Counter = Family[Cell]
Gauge = Family[GaugeCell]
Histogram = Family[HistogramCell]
AnyFamily = Counter | Gauge | Histogram


class Collector(Protocol):
    """Refreshes gauges just before they are rendered."""

    def __call__(self) -> None: ...


class Metrics:
    """All families of one process. Names are dotted or flat; Prometheus's spelling is made here."""

    def __init__(self) -> None:
        self._families: dict[str, AnyFamily] = {}
        self._collectors: list[Collector] = []

    def counter(self, name: str, text: str, labels: Sequence[str] = (), cells_max: int = CELLS_MAX) -> Counter:
        family = Family("counter", prometheus_name(name, "total"), text, labels, Cell, cells_max)
        return self._register(family)

    def gauge(
        self, name: str, text: str, labels: Sequence[str] = (), unit: str = "", cells_max: int = CELLS_MAX
    ) -> Gauge:
        return self._register(Family("gauge", prometheus_name(name, unit), text, labels, GaugeCell, cells_max))

    def histogram(
        self,
        name: str,
        text: str,
        labels: Sequence[str] = (),
        bounds_s: tuple[float, ...] = DURATION_BUCKETS_S,
        cells_max: int = CELLS_MAX,
    ) -> Histogram:
        def make() -> HistogramCell:
            return HistogramCell(bounds_s)

        return self._register(Family("histogram", prometheus_name(name, "seconds"), text, labels, make, cells_max))

    def before_rendering(self, collector: Collector) -> None:
        self._collectors.append(collector)

    def families(self) -> list[AnyFamily]:
        """All families by name, freshly collected."""
        for collect in self._collectors:
            collect()
        return [self._families[name] for name in sorted(self._families)]

    def _register(self, family: Family[AnyCell]) -> Family[AnyCell]:
        if family.name in self._families:
            raise Defect("metric.duplicate", f"{family.name} is registered twice")
        self._families[family.name] = family
        return family

"""Prometheus text format 0.0.4.

Source: https://prometheus.io/docs/instrumenting/exposition_formats/ (text-based format).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from garrison.telemetry.metrics import AnyFamily, GaugeCell, HistogramCell, Metrics

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def render(metrics: Metrics) -> bytes:
    """All families, each with HELP and TYPE, as UTF-8."""
    return render_families(metrics.families())


def render_families(families: Iterable[AnyFamily]) -> bytes:
    lines: list[str] = []
    for family in families:
        lines.append(f"# HELP {family.name} {_escape_help(family.text)}")
        lines.append(f"# TYPE {family.name} {family.kind}")
        lines.extend(_samples(family))
    return ("\n".join(lines) + "\n").encode("utf-8", "replace") if lines else b""


def _samples(family: AnyFamily) -> Iterator[str]:
    for values, cell in family:
        pairs = [f'{label}="{_escape_label(value)}"' for label, value in zip(family.labels, values, strict=True)]
        if isinstance(cell, HistogramCell):
            yield from _buckets(family.name, pairs, cell)
        else:
            value = cell.current() if isinstance(cell, GaugeCell) else cell.value
            yield _line(family.name, pairs, value)


def _buckets(name: str, pairs: list[str], cell: HistogramCell) -> Iterator[str]:
    counts = list(cell.counts)  # one copy, so that the last bucket and the count agree
    total = 0
    for bound, count in zip((*cell.bounds, math.inf), counts, strict=True):
        total += count
        yield _line(f"{name}_bucket", [*pairs, f'le="{_number(bound)}"'], total)
    yield _line(f"{name}_sum", pairs, cell.sum)
    yield _line(f"{name}_count", pairs, total)


def _line(name: str, pairs: list[str], value: float) -> str:
    labels = f"{{{','.join(pairs)}}}" if pairs else ""
    return f"{name}{labels} {_number(value)}"


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value):
        return repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')

"""A strict reader of Prometheus' text format 0.0.4, and a judge of it by the rules of `promtool check metrics`.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from dataclasses import dataclass, field

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_COMMENT = re.compile(rf"# (HELP|TYPE) ({_NAME}) (.*)")
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (NaN|[+-]Inf|[0-9.e+-]+)")
_PAIR = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)')
_UNESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}
_TYPES = ("counter", "gauge", "histogram")
_PARTS = ("_bucket", "_sum", "_count")
_ABBREVIATED = {
    "s",
    "ms",
    "us",
    "ns",
    "sec",
    "secs",
    "b",
    "kb",
    "mb",
    "gb",
    "pct",
    "milliseconds",
    "minutes",
    "hours",
    "percent",
}

Labels = tuple[tuple[str, str], ...]
Sample = tuple[str, Labels, float]


@dataclass
class Family:
    name: str
    help: str
    type: str = ""
    samples: list[Sample] = field(default_factory=list)


def read(data: bytes) -> list[Family]:
    """The families in their order. Fails on anything that is not exactly as the format has it."""
    text = data.decode("utf-8")
    assert text.endswith("\n"), "the last line ends too"
    families: list[Family] = []
    for line in text[:-1].split("\n"):
        if line.startswith("#"):
            _comment(line, families)
        else:
            assert families, f"no HELP and TYPE before {line}"
            assert families[-1].type, f"no TYPE before {line}"
            sample = _sample(line)
            assert sample[0] in _names(families[-1]), f"{line} does not belong to {families[-1].name}"
            families[-1].samples.append(sample)
    names = [one.name for one in families]
    assert len(set(names)) == len(names), "a family stands together, once"
    samples = [(name, frozenset(labels)) for one in families for name, labels, _ in one.samples]
    assert len(set(samples)) == len(samples), "a sample appears twice"
    return families


def flaws(families: list[Family]) -> list[str]:
    """What is well formed and wrong all the same."""
    found = [f"{one.name}: {flaw}" for one in families for flaw in _flaws_of_name(one)]
    return found + [
        f"{one.name}: {flaw}" for one in families if one.type == "histogram" for flaw in _flaws_of_buckets(one)
    ]


def _comment(line: str, families: list[Family]) -> None:
    comment = _COMMENT.fullmatch(line)
    assert comment, line
    if comment[1] == "HELP":
        assert not re.search(r"(?<!\\)(?:\\\\)*\\(?![\\n])", comment[3]), f"an escape that means nothing: {line}"
        families.append(Family(comment[2], comment[3]))
    else:
        about = [(one.name, one.type) for one in families[-1:]]
        assert about == [(comment[2], "")], f"TYPE follows its HELP: {line}"
        assert comment[3] in _TYPES, line
        families[-1].type = comment[3]


def _names(family: Family) -> set[str]:
    return {family.name + part for part in _PARTS} if family.type == "histogram" else {family.name}


def _sample(line: str) -> Sample:
    found = _SAMPLE.fullmatch(line)
    assert found, line
    pairs, rest = [], found[2] or ""
    while rest:
        pair = _PAIR.match(rest)
        assert pair, line
        pairs.append((pair[1], re.sub(r'\\[\\"n]', lambda escape: _UNESCAPE[escape[0]], pair[2])))
        rest = rest[pair.end() :]
    assert len({name for name, _ in pairs}) == len(pairs), f"a label twice: {line}"
    return found[1], tuple(pairs), float(found[3].replace("Inf", "inf"))


def _flaws_of_name(family: Family) -> list[str]:
    labels = {name for _, pairs, _ in family.samples for name, _ in pairs}
    wrong = {
        "no help": not family.help.strip(),
        "a counter ends in _total": family.type == "counter" and not family.name.endswith("_total"),
        "only a counter ends in _total": family.type != "counter" and family.name.endswith("_total"),
        "an ending that histograms have": family.name.endswith(_PARTS),
        "le is a histogram's": family.type != "histogram" and "le" in labels,
        "a colon is for recording rules": ":" in family.name,
        "capitals": family.name != family.name.lower(),
        "a unit that is not a base unit": bool(_ABBREVIATED & set(family.name.split("_"))),
        "a reserved label": any(name.startswith("__") for name in labels),
        "less than nothing": family.type == "counter" and any(value < 0 for _, _, value in family.samples),
    }
    return [flaw for flaw, holds in wrong.items() if holds]


def _flaws_of_buckets(family: Family) -> list[str]:
    series: dict[frozenset[tuple[str, str]], dict[str, list[tuple[float, float]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for name, labels, value in family.samples:
        bound = float(dict(labels).get("le", "nan").replace("Inf", "inf"))
        rest = frozenset(pair for pair in labels if pair[0] != "le")
        series[rest][name.removeprefix(family.name)].append((bound, value))
    found = []
    for each in series.values():
        buckets = each["_bucket"]
        if [len(each[part]) for part in ("_sum", "_count")] != [1, 1] or not buckets:
            found.append("buckets, a sum and a count belong together")
        elif buckets != sorted(buckets) or buckets[-1][0] != math.inf or any(math.isnan(bound) for bound, _ in buckets):
            found.append("buckets go up to +Inf")
        elif [count for _, count in buckets] != sorted(count for _, count in buckets):
            found.append("buckets are cumulative")
        elif buckets[-1][1] != each["_count"][0][1]:
            found.append("the last bucket is the count")
    return found

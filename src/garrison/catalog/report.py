"""Problems as text for people: one finding, one place, one hint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from garrison.catalog.problems import Problem, Severity

_PLURALS: Final[tuple[tuple[Severity, str], ...]] = (("error", "errors"), ("warning", "warnings"), ("note", "notes"))


def render_report(problems: Iterable[Problem]) -> str:
    """Two lines for each problem (`file:line:column: severity: message [code]`, then the hint) and a last one that
    counts; empty if there are none."""
    problems = list(problems)
    if not problems:
        return ""
    lines = [line for problem in problems for line in _lines(problem)]
    return "\n".join([*lines, summary(problems), ""])


def _lines(problem: Problem) -> list[str]:
    place = f"{problem.place}: " if problem.place else ""
    first = f"{place}{problem.severity}: {problem.message} [{problem.code}]"
    return [first, f"    {problem.hint}"] if problem.hint else [first]


def summary(problems: Iterable[Problem]) -> str:
    """`1 error, 2 warnings, 1 note`."""
    counts = Counter(problem.severity for problem in problems)
    parts = [f"{counts[one]} {one if counts[one] == 1 else many}" for one, many in _PLURALS if counts[one]]
    return ", ".join(parts) or "no problems"

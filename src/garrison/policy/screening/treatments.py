"""Which treatment is whose: the section `screening` as one screener for each server and tool. Pure."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final, TypeVar

from garrison.catalog.screening import CATEGORIES, Action, Category, Screening, ScreeningRule
from garrison.policy.screening.prefilter import Prefilter
from garrison.policy.screening.screener import Screener

T = TypeVar("T")
KNOWN_MAX: Final = 4096


class Treatments:
    """An edition: a changed section makes a new one. `prefilter` has to know all categories that are wanted."""

    def __init__(self, section: Screening, prefilter: Prefilter) -> None:
        self._section = section
        self._prefilter = prefilter
        self._results: dict[tuple[str, str], Screener] = {}
        self._inputs: dict[tuple[str, str], Screener | None] = {}

    def of_results(self, server: str, name: str) -> Screener:
        """For what comes back from a tool, prompt or resource of that name."""
        known = self._results.get((server, name))
        if known is None:
            rule = self._rule(server, name)
            actions = {category: _said(self._section, rule, category) for category in CATEGORIES}
            size = (
                self._section.result_bytes_max
                if rule is None or rule.result_bytes_max is None
                else rule.result_bytes_max
            )
            known = _kept(self._results, (server, name), Screener(actions, self._prefilter, size))
        return known

    def of_inputs(self, server: str, name: str) -> Screener | None:
        """For the arguments of calls; None where nobody wants them looked at."""
        if (server, name) not in self._inputs:
            action = _said(self._section, self._rule(server, name), "inputs")
            made = Screener({"secrets": action}, self._prefilter) if action != "off" else None
            return _kept(self._inputs, (server, name), made)
        return self._inputs[server, name]

    def _rule(self, server: str, name: str) -> ScreeningRule | None:
        for rule in self._section.rules:
            if _fits(rule.servers, server) and _fits(rule.tools, name):
                return rule
        return None


def wanted(section: Screening) -> frozenset[Category]:
    """The categories that anything is done about, for anybody."""
    rules: tuple[Screening | ScreeningRule, ...] = (section, *section.rules)
    found = {category for category in CATEGORIES for rule in rules if getattr(rule, category) not in (None, "off")}
    if any(rule.inputs not in (None, "off") for rule in rules):
        found.add("secrets")
    return frozenset(found)


def _said(section: Screening, rule: ScreeningRule | None, name: str) -> Action:
    own: Action | None = getattr(rule, name) if rule is not None else None
    general: Action = getattr(section, name)
    return general if own is None else own


def _fits(patterns: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _kept(known: dict[tuple[str, str], T], key: tuple[str, str], made: T) -> T:
    if len(known) >= KNOWN_MAX:
        known.clear()
    known[key] = made
    return made

"""What must happen so that what runs is what should run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from garrison.catalog.spec import RUNTIME_FIELDS, ServerSpec
from garrison.runtimes.instance import Observed

Step = Literal["add", "start", "stop", "restart", "update"]
"""`add`: a new one (started when eager). `start`: a known one that has become eager. `update`: take the new spec
over without touching the instance. `stop`: it should no longer exist."""


@dataclass(frozen=True)
class Action:
    step: Step
    server: str
    reason: str


def reconcile(desired: Mapping[str, ServerSpec], observed: Mapping[str, Observed]) -> list[Action]:
    """Stops first, so that what they held (ports, locks) is free for the rest; then in the catalog's order."""
    wanted = {name: spec for name, spec in desired.items() if spec.enabled}
    stops = [Action("stop", name, _why_not(name, desired)) for name in observed if name not in wanted]
    rest = [_judge(name, spec, observed.get(name)) for name, spec in wanted.items()]
    return stops + [action for action in rest if action is not None]


def _judge(name: str, spec: ServerSpec, now: Observed | None) -> Action | None:
    if now is None:
        return Action("add", name, "it is new")
    if spec == now.spec:
        return None
    changed = [field for field in spec.__struct_fields__ if getattr(spec, field) != getattr(now.spec, field)]
    if any(field in RUNTIME_FIELDS for field in changed):
        return Action("restart", name, f"changed: {', '.join(changed)}")
    if "start" in changed and spec.start == "eager":
        return Action("start", name, "it starts eagerly now")
    return Action("update", name, f"changed: {', '.join(changed)}")


def _why_not(name: str, desired: Mapping[str, ServerSpec]) -> str:
    return "it is disabled" if name in desired else "it is no longer in the catalog"

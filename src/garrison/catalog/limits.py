"""`limits:` in garrison.yaml: how much of what may be used, by whom, of which servers and tools."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from garrison.catalog.notes import Notes, Place, did_you_mean
from garrison.catalog.parse.tree import Node, Table

Metric = Literal["calls", "bytes_in", "bytes_out", "result_tokens"]
METRICS: Final[tuple[Metric, ...]] = ("calls", "bytes_in", "bytes_out", "result_tokens")

Amount = int | Annotated[str, Meta(pattern=r"^\d+(\.\d+)?[kMG]?$")]
"""`500`, `20k`, `1.5M`, `2G`: thousands, millions, milliards."""
Rate = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?[kMG]? ?/ ?(second|minute|hour|day)$")]
"""`100/minute`, `5M/hour`."""

_FACTOR: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9}
_PERIOD_S: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


class AmountsSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What may be used within one period; 0: no limit."""

    calls: Annotated[Amount, Meta(description="Calls.")] = 0
    bytes_in: Annotated[Amount, Meta(description="Bytes of requests.")] = 0
    bytes_out: Annotated[Amount, Meta(description="Bytes of results.")] = 0
    result_tokens: Annotated[Amount, Meta(description="Tokens of results, estimated: four bytes each.")] = 0


class LimitSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts calls of tools, prompts and resources that fit all that is said here; a call may count at several."""

    description: Annotated[str, Meta(description="What the limit is for, in one line.")] = ""
    principals: Annotated[
        tuple[str, ...], Meta(description="Patterns of the names or ids of principals that it concerns.")
    ] = ("*",)
    roles: Annotated[
        tuple[str, ...], Meta(description="Only principals with one of these roles; none named: whatever the role.")
    ] = ()
    groups: Annotated[
        tuple[str, ...], Meta(description="Only principals in one of these groups; none named: whatever the group.")
    ] = ()
    servers: Annotated[tuple[str, ...], Meta(description="Patterns of server names.")] = ("*",)
    tools: Annotated[
        tuple[str, ...],
        Meta(description="Patterns of tool names. Prompts and resources count as well unless tools are named."),
    ] = ("*",)
    per: Annotated[
        tuple[Literal["principal", "server", "tool"], ...],
        Meta(description="What is counted by itself: each principal unless said otherwise; [] counts all together."),
    ] = ("principal",)
    calls: Annotated[Rate | None, Meta(description="Calls that may be made in the long run: 100/minute.")] = None
    burst: Annotated[
        int, Meta(ge=0, description="Calls that may be made at once after a rest; 0: what `calls` says for one period.")
    ] = 0
    concurrent: Annotated[int, Meta(ge=0, description="Calls without an answer yet; 0: no limit.")] = 0
    bytes_in: Annotated[Rate | None, Meta(description="Bytes of requests: 10M/minute.")] = None
    bytes_out: Annotated[Rate | None, Meta(description="Bytes of results.")] = None
    result_tokens: Annotated[Rate | None, Meta(description="Tokens of results, estimated: four bytes each.")] = None
    daily: Annotated[AmountsSpec, Meta(description="Used up within a day; begins anew at midnight UTC.")] = (
        AmountsSpec()
    )
    monthly: Annotated[AmountsSpec, Meta(description="Used up within a month; begins anew on the first, UTC.")] = (
        AmountsSpec()
    )
    shared: Annotated[
        bool, Meta(description="false: each gateway counts for itself, also where limits.redis_url is set.")
    ] = True


Limits = Annotated[
    dict[Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,64}$")], LimitSpec],
    Meta(description="How much may be used of what, by whom. Several may concern a call: all count, each can refuse."),
]


def amount_of(given: Amount) -> float:
    """`1.5M` → 1500000."""
    text = str(given)
    unit = text[-1:] if text[-1:] in "kMG" else ""
    return float(text.removesuffix(unit)) * _FACTOR[unit]


def rate_of(given: Rate) -> tuple[float, float]:
    """`6k/minute` → (6000, 60): the amount, and its period in seconds."""
    amount, period = re.split(" ?/ ?", given)
    return amount_of(amount), _PERIOD_S[period]


def check_limits(root: Table, limits: dict[str, LimitSpec], notes: Notes) -> None:
    """A rule that bounds nothing, and names that lead nowhere, are slips of the pen."""
    table, defined = root.get("limits"), root.get("roles")
    roles = defined.keys if isinstance(defined, Table) else frozenset()
    for name, spec in limits.items():
        node = table.get(name) if isinstance(table, Table) else None
        place = _place(node, root)
        if _bounds_nothing(spec):
            hint = "give calls, concurrent, bytes_in, bytes_out, result_tokens, daily or monthly"
            notes.warn("limit.bounds_nothing", f"the limit {name} bounds nothing", hint, place)
        if spec.burst and spec.calls is None:
            notes.warn("limit.idle_burst", f"burst of the limit {name} means nothing without calls", "remove it", place)
        for role in spec.roles:
            if role != "admin" and role not in roles:
                hint = did_you_mean(role, roles) or "the limit concerns nobody by it"
                notes.warn("limit.no_such_role", f"the limit {name} names a role that is not here", hint, place)


def _place(node: Node | None, root: Table) -> Place:
    return node.place if node is not None else root.place


def _bounds_nothing(spec: LimitSpec) -> bool:
    rates = (spec.calls, spec.bytes_in, spec.bytes_out, spec.result_tokens)
    return not any(rates) and not spec.concurrent and spec.daily == spec.monthly == AmountsSpec()

"""One server as people and scripts see it: what was observed and what the gateway lists, in one row. Pure."""

from __future__ import annotations

from typing import Any

from garrison.catalog.spec import ServerSpec
from garrison.gateway.breakers import State
from garrison.gateway.upstreams.upstream import Upstream
from garrison.runtimes.instance import Observed

_LEFT_ALONE: dict[State, str] = {
    "closed": "",
    "half-open": "it has not answered lately and is being tried out",
    "open": "it has not answered lately and is left alone for a while",
}


def server_row(
    spec: ServerSpec, observed: Observed | None, upstream: Upstream | None, breaker: State = "closed"
) -> dict[str, Any]:
    """`tools` is None until they were listed; `error` is one sentence, empty while all is well."""
    if observed is None or not spec.enabled:
        state = "stopped"
        return {**_row(spec), "state": state, "error": "" if spec.enabled else "disabled in the configuration"}
    listing_problem = upstream.problem if upstream is not None and upstream.connection is not None else ""
    return {
        **_row(spec),
        "state": str(observed.state),
        "era": observed.era,
        "version": observed.version,
        "tools": len(upstream.tools) if upstream is not None and upstream.listed else None,
        "error": observed.error
        or _of_the_others(observed)
        or listing_problem
        or _LEFT_ALONE[breaker]
        or _holds(upstream),
        "hint": observed.hint,
        "startup_s": round(observed.startup_s, 3),
        "started_at": observed.started_at,
        "restarts": observed.restarts,
        "breaker": breaker,
        "pid": observed.pid,
        "log_tail": list(observed.log_tail),
        "held": _held(upstream),
        "instances": _instances(spec, observed, upstream),
    }


def _held(upstream: Upstream | None) -> list[dict[str, str]]:
    """What it lists and nobody sees, because it is not what is pinned."""
    found = sorted(upstream.held.items()) if upstream is not None else []
    return [{"kind": kind, "name": name, "why": why} for (kind, name), why in found]


def _holds(upstream: Upstream | None) -> str:
    count = len(upstream.held) if upstream is not None else 0
    return f"{count} of what it offers held: `garrison pins diff {upstream.name}`" if upstream and count else ""


def _instances(spec: ServerSpec, observed: Observed, upstream: Upstream | None) -> dict[str, Any]:
    """How many there are and should be; one by one where there are several."""
    if not observed.each:
        return {"ready": observed.ready, "wanted": spec.count}
    pool = upstream.pool if upstream is not None else None
    shunned = pool.left_alone() if pool is not None else set()
    each = [
        {
            "number": one.number,
            "state": str(one.state),
            "pid": one.pid,
            "url": one.spec.url,
            "restarts": one.restarts,
            "started_at": one.started_at,
            "left_alone": one.number in shunned,
            "error": one.error,
        }
        for one in observed.each
    ]
    return {"ready": observed.ready, "wanted": spec.count, "each": each}


def _of_the_others(observed: Observed) -> str:
    """What is wrong with an instance, while others serve."""
    failed = [one for one in observed.each if one.error]
    return f"instance {failed[0].number} is {failed[0].state}: {failed[0].error}" if failed else ""


def _row(spec: ServerSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "state": "",
        "era": "",
        "tools": None,
        "error": "",
        "hint": "",
        "version": "",
        "transport": spec.transport,
        "start": spec.start,
        "startup_s": 0.0,
        "started_at": "",
        "restarts": 0,
        "breaker": "closed",
        "pid": 0,
        "held": [],
        "instances": {"ready": 0, "wanted": spec.count},
    }

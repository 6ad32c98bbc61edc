"""Whether a failed call may be made again, how long to wait before it, and how much of that is too much. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from garrison.kernel.errors import GarrisonError, Kind
from garrison.protocol import methods

NEVER_SENT = frozenset({"server.unreachable", "server.gone", "server.session_lost"})
"""Failures after which nothing can have happened: the request did not leave, or was refused unread."""

ENDED_EARLY = NEVER_SENT | {"server.lost", "server.no_answer", "server.http_error", "server.unavailable"}
"""Failures after which a request without effects may be asked again. Not timeouts: the client has waited enough."""

SAFE_METHODS = frozenset(
    {methods.DISCOVER, methods.RESOURCES_READ, methods.PROMPTS_GET, methods.COMPLETE, *methods.LIST_MEMBER}
)
"""They read, so that asking twice does nothing twice."""


@dataclass(frozen=True)
class RetryPolicy:
    retries_max: int = 2
    first_s: float = 0.1
    """The longest wait before the first retry; doubled for each further one."""
    cap_s: float = 2.0
    budget_share: float = 0.2
    """Retries of a server's calls, so that a storm of them cannot add more load than this."""
    budget_max: float = 20.0
    """Retries that may have been saved up."""


def may_repeat(method: str, failure: GarrisonError, *, idempotent: bool) -> bool:
    """Whether asking again cannot do anything twice. `idempotent`: policy says so of this tool."""
    if failure.kind not in (Kind.UNAVAILABLE, Kind.TIMEOUT):
        return False
    if failure.code in NEVER_SENT:
        return True
    return (method in SAFE_METHODS or idempotent) and failure.code in ENDED_EARLY


def says_idempotent(definition: Mapping[str, Any]) -> bool:
    """Whether a tool's annotations say that a second call changes nothing more; believed only where policy allows."""
    annotations = definition.get("annotations")
    if not isinstance(annotations, dict):
        return False
    return annotations.get("idempotentHint") is True or annotations.get("readOnlyHint") is True


def wait_s(policy: RetryPolicy, retries_before: int, chance: float) -> float:
    """Full jitter: anything up to a bound that doubles, so that callers who failed together come back apart.

    `chance`: uniform in [0, 1).
    """
    return float(min(policy.cap_s, policy.first_s * 2.0 ** min(retries_before, 60)) * chance)


class Budget:
    """One server's retries: each call earns a share of one. A first failure can be retried without savings."""

    __slots__ = ("_max", "_saved", "_share")

    def __init__(self, policy: RetryPolicy) -> None:
        self._share = policy.budget_share
        self._max = policy.budget_max
        self._saved = 1.0

    def earn(self) -> None:
        """A call was made."""
        if self._saved < self._max:
            self._saved += self._share

    def spend(self) -> bool:
        """Whether a retry can be afforded; then it is paid for."""
        if self._saved < 1:
            return False
        self._saved -= 1
        return True

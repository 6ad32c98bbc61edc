"""limit: how often and how much at once, per principal, and how much at once per server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.kernel.errors import Limited

PRINCIPALS_MAX = 100_000


@dataclass(frozen=True)
class Limits:
    """Zero means no limit."""

    calls_per_s: float = 10_000.0
    """Sustained calls per second of one principal; a runaway loop is stopped, honest work never meets it."""
    burst: int = 20_000
    """Calls that a principal may make at once after a rest."""
    concurrent_calls: int = 1_000
    """Calls of one principal without an answer yet."""
    concurrent_calls_per_server: int = 1_000
    """Calls to one server without an answer yet, so that a slow server cannot hold everything."""


@dataclass(slots=True)
class _Account:
    tokens: float
    refilled_s: float
    in_flight: int = 0


class Limit(Stage):
    """A token bucket per principal. `monotonic_s` is injected."""

    name = "limit"
    needs = frozenset({"principal", "decision"})

    def __init__(self, limits: Limits, monotonic_s: Callable[[], float]) -> None:
        self._limits = limits
        self._now = monotonic_s
        self._accounts: dict[str, _Account] = {}

    def enter(self, call: Call) -> Step:
        assert call.principal is not None
        account = self._account(call.principal.id)
        self._take(account)
        self._check_concurrency(call, account)
        account.in_flight += 1
        if call.upstream is not None:
            call.upstream.entered()
        call.limited = True
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        if call.limited and call.principal is not None:
            self._accounts[call.principal.id].in_flight -= 1
            if call.upstream is not None:
                call.upstream.left()
        return outcome

    def _account(self, principal_id: str) -> _Account:
        account = self._accounts.get(principal_id)
        if account is None:
            if len(self._accounts) >= PRINCIPALS_MAX:
                self._forget_idle()
            account = self._accounts[principal_id] = _Account(float(self._limits.burst), self._now())
        return account

    def _take(self, account: _Account) -> None:
        rate = self._limits.calls_per_s
        if not rate:
            return
        now = self._now()
        account.tokens = min(float(self._limits.burst), account.tokens + (now - account.refilled_s) * rate)
        account.refilled_s = now
        if account.tokens < 1:
            wait_s = (1 - account.tokens) / rate
            raise Limited("limit.rate", f"over {rate:g} calls per second", "slow down", wait_s)
        account.tokens -= 1

    def _check_concurrency(self, call: Call, account: _Account) -> None:
        limits = self._limits
        if limits.concurrent_calls and account.in_flight >= limits.concurrent_calls:
            raise Limited("limit.concurrency", f"over {limits.concurrent_calls} calls at once", "wait for answers")
        most = limits.concurrent_calls_per_server
        if call.upstream is not None and most and call.upstream.in_flight >= most:
            message = f"server {call.upstream.name} has {most} calls without an answer"
            raise Limited("limit.server_busy", message, "it is slow or stuck; see `garrison status`")

    def _forget_idle(self) -> None:
        self._accounts = {key: account for key, account in self._accounts.items() if account.in_flight}

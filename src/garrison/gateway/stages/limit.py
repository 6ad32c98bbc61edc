"""limit: how often and how much at once, per principal, and how much at once per server."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from garrison.gateway.call import Call, Outcome
from garrison.gateway.stage import Stage, Step
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import Limited

PRINCIPALS_MAX = 100_000
_NOTHING = Outcome()


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
class Account:
    """What one principal has used."""

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
        self._burst = float(limits.burst)
        self._most = limits.concurrent_calls or math.inf
        self._most_per_server = limits.concurrent_calls_per_server or math.inf
        self._accounts: dict[str, Account] = {}

    def enter(self, call: Call) -> Step:
        assert call.principal is not None
        account = self.account(call.principal.id)
        self._take(account)
        upstream = call.upstream
        if account.in_flight >= self._most or (upstream is not None and upstream.in_flight >= self._most_per_server):
            self._refuse(call, account)
        account.in_flight += 1
        if upstream is not None:
            upstream.entered()
        call.limited = True
        return None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        if call.limited and call.principal is not None:
            self._accounts[call.principal.id].in_flight -= 1
            if call.upstream is not None:
                call.upstream.left()
        return outcome

    def give_back(self, call: Call) -> None:
        """It became a stream: those have bounds of their own, and nobody waits for their end."""
        if call.limited and call.principal is not None:
            self.leave(call, _NOTHING)
            call.limited = False

    def account(self, principal_id: str) -> Account:
        return self._accounts.get(principal_id) or self._new_account(principal_id)

    def within(self, account: Account, upstream: Upstream) -> bool:
        """Count a call in, if no limit is in its way; the same decision as `enter`'s, without the reasons."""
        now = self._now()
        rate = self._limits.calls_per_s
        tokens = min(self._burst, account.tokens + (now - account.refilled_s) * rate) - 1 if rate else account.tokens
        if tokens < 0 or account.in_flight >= self._most or upstream.in_flight >= self._most_per_server:
            return False
        account.tokens, account.refilled_s = tokens, now
        account.in_flight += 1
        upstream.entered()
        return True

    def _new_account(self, principal_id: str) -> Account:
        if len(self._accounts) >= PRINCIPALS_MAX:
            self._forget_idle()
        account = self._accounts[principal_id] = Account(float(self._limits.burst), self._now())
        return account

    def _take(self, account: Account) -> None:
        rate = self._limits.calls_per_s
        if not rate:
            return
        now = self._now()
        account.tokens = min(self._burst, account.tokens + (now - account.refilled_s) * rate)
        account.refilled_s = now
        if account.tokens < 1:
            wait_s = (1 - account.tokens) / rate
            raise Limited("limit.rate", f"over {rate:g} calls per second", "slow down", wait_s)
        account.tokens -= 1

    def _refuse(self, call: Call, account: Account) -> NoReturn:
        if account.in_flight >= self._most:
            raise Limited("limit.concurrency", f"over {self._most:g} calls at once", "wait for answers")
        assert call.upstream is not None
        message = f"server {call.upstream.name} has {self._most_per_server:g} calls without an answer"
        raise Limited("limit.server_busy", message, "it is slow or stuck; see `garrison status`")

    def _forget_idle(self) -> None:
        idle = [key for key, account in self._accounts.items() if not account.in_flight]
        for key in idle:
            self._accounts.pop(key).tokens = -math.inf  # whoever still knows it counts no call into it

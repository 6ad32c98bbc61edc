"""Limits that hold for all workers of a fleet together: each tells the others now and then what it has let in.

Nobody is asked before a call, so the limits are exact to what the others let in since they last told of it. What a
limit is compared with contains the others' share already; the common call only counts itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from garrison.gateway.call import Call
from garrison.gateway.stage import Step
from garrison.gateway.stages.limit import Account, Limit, Limits
from garrison.gateway.upstreams.upstream import Upstream
from garrison.kernel.errors import Limited

Report = dict[str, Any]
"""`accounts`: by principal, calls since the last report and calls in flight; `servers`: calls in flight, by name."""


@dataclass(slots=True)
class SharedAccount(Account):
    """`in_flight` includes what is in flight `elsewhere`."""

    principal: str = ""
    spent: int = 0
    """Calls since the last report."""
    elsewhere: int = 0
    reported: int = 0

    @property
    def here(self) -> int:
        return self.in_flight - self.elsewhere


class SharedLimit(Limit):
    """`servers` gives the calls in flight here, by server."""

    def __init__(
        self, limits: Limits, monotonic_s: Callable[[], float], servers: Callable[[], Mapping[str, int]]
    ) -> None:
        super().__init__(limits, monotonic_s)
        self._here = servers
        self._active: dict[str, SharedAccount] = {}
        """Those that have something to report, or had when they last did."""
        self._told: dict[str, int] = {}
        self._accounts_of: dict[int, dict[str, int]] = {}
        self._servers_of: dict[int, dict[str, int]] = {}
        self._elsewhere: Counter[str] = Counter()

    # ── the stage ──

    def enter(self, call: Call) -> Step:
        upstream = call.upstream
        if upstream is not None and self._is_full(upstream):
            message = f"server {upstream.name} has {self._most_per_server:g} calls without an answer"
            raise Limited("limit.server_busy", message, "it is slow or stuck; see `garrison status`")
        return super().enter(call)

    def within(self, account: Account, upstream: Upstream) -> bool:
        if self._is_full(upstream) or not super().within(account, upstream):
            return False
        self._count(account)
        return True

    def _take(self, account: Account) -> None:
        super()._take(account)
        self._count(account)

    def _count(self, account: Account) -> None:
        assert isinstance(account, SharedAccount)
        if not account.spent:
            self._active[account.principal] = account
        account.spent += 1

    def _is_full(self, upstream: Upstream) -> bool:
        return bool(self._elsewhere) and upstream.in_flight + self._elsewhere[upstream.name] >= self._most_per_server

    def _new_account(self, principal_id: str) -> Account:
        plain = super()._new_account(principal_id)
        account = SharedAccount(plain.tokens, plain.refilled_s, principal=principal_id)
        self._accounts[principal_id] = account
        return account

    # ── the others ──

    def report(self) -> Report:
        """What is new since the last one; empty when nothing is."""
        accounts = {}
        for principal, account in tuple(self._active.items()):
            if account.spent or account.here != account.reported:
                accounts[principal] = [account.spent, account.here]
                account.spent, account.reported = 0, account.here
            if not account.here:
                del self._active[principal]
        here = {name: count for name, count in self._here().items() if count}
        servers = {
            name: here.get(name, 0) for name in {*here, *self._told} if here.get(name, 0) != self._told.get(name)
        }
        self._told = here
        return {"accounts": accounts, "servers": servers} if accounts or servers else {}

    def repeat(self) -> None:
        """The next report says all that is in flight: somebody may have begun afresh."""
        self._told = {}
        for account in self._active.values():
            account.reported = -1

    def learn(self, worker: int, report: Report) -> None:
        """What another worker has let in."""
        known = self._accounts_of.setdefault(worker, {})
        for principal, (spent, in_flight) in report["accounts"].items():
            account = self.account(principal)
            account.tokens = max(account.tokens - spent, -self._burst)
            self._note(account, known, in_flight)
        servers = self._servers_of.setdefault(worker, {})
        for name, count in report["servers"].items():
            self._elsewhere[name] += count - servers.get(name, 0)
            servers[name] = count

    def forget(self, worker: int) -> None:
        """It is gone, and with it what it had in flight."""
        known = self._accounts_of.pop(worker, {})
        for principal in tuple(known):
            self._note(self.account(principal), known, 0)
        for name, count in self._servers_of.pop(worker, {}).items():
            self._elsewhere[name] -= count

    def _note(self, account: Account, known: dict[str, int], in_flight: int) -> None:
        assert isinstance(account, SharedAccount)
        more = in_flight - known.pop(account.principal, 0)
        account.in_flight += more
        account.elsewhere += more
        if in_flight:
            known[account.principal] = in_flight

"""Keeps one instance of a server in the state that is wanted: one task, one life after the other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Generic

from garrison.catalog.spec import ServerSpec
from garrison.kernel.clock import rfc3339
from garrison.kernel.errors import Defect, GarrisonError, Unauthenticated, Unavailable
from garrison.kernel.waiting import in_time
from garrison.runtimes import failures, restarts
from garrison.runtimes.instance import Instance, Observed, State
from garrison.runtimes.life import HopelessStart, L, Means, shake_hands, start_instance, until_it_ends

_log = logging.getLogger("garrison.runtimes")

AUTH_NEEDED = "server.auth_needed"
"""The code of errors that say so, whoever asks for the credential."""
JUDGED = frozenset({State.RUNNING, State.BACKOFF, State.FATAL, State.AUTH_NEEDED, State.STOPPED})
FAILING = frozenset({State.BACKOFF, State.FATAL, State.AUTH_NEEDED})


class Keeper(Generic[L]):
    """`link` is the live connection, None while there is none to use."""

    def __init__(self, spec: ServerSpec, means: Means[L], number: int = 1) -> None:
        self.link: L | None = None
        self.observed = Observed(spec.name, spec, number=number)
        self.settled = asyncio.Event()
        """Set once the present start has had its first verdict: running, failed, or not wanted."""
        self.settled.set()
        self._means = means
        self._name = spec.name
        self._history = restarts.History()
        self._halt = asyncio.Event()
        self._judged = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._order = asyncio.Lock()
        self._ready_at: float | None = None
        self._retired = False
        self._change = ""
        self._why = ""

    # ── what others ask for ─────────────────────────────────────────────────────────────────────────────────────

    async def start(self, why: str) -> None:
        """Make it run; nothing happens when it already does or is being tried."""
        async with self._order:
            if self._life is None or self._life.done():
                self._begin("server.started", why)

    async def stop(self, why: str) -> None:
        """Drain and end it; returns when nothing of it is left."""
        async with self._order:
            await self._end_life(why)

    async def retire(self, why: str) -> None:
        """Stop for good: whoever still waits to start it finds it stopped."""
        self._retired = True
        await self.stop(why)

    async def restart(self, why: str) -> None:
        """End it and start it afresh; earlier failures are forgotten."""
        async with self._order:
            await self._end_life(why)
            self._begin("server.restarted", why)

    async def demand(self) -> L:
        """The live connection, started if need be. Raises `Unavailable` when the server is failing."""
        if self.link is None and self.observed.state not in FAILING:
            await self.start("a call needed it")
            await self._judged.wait()
        if self.link is None:
            seen = self.observed
            message = f"server {self._name} is {seen.state}" + (f": {seen.error}" if seen.error else "")
            raise Unavailable("server.not_running", message, seen.hint or f"garrison server restart {self._name}")
        return self.link

    def note(self, **known: Any) -> None:
        """Publish what became known of it (`tools`, `spec`)."""
        changed = replace(self.observed, **known)
        if changed != self.observed:
            self.observed = changed
            self._means.publish(changed, self.link)

    # ── life after life ─────────────────────────────────────────────────────────────────────────────────────────

    def _begin(self, change: str, why: str) -> None:
        if self._retired:
            return
        self.settled.clear()
        self._judged.clear()
        self._halt = asyncio.Event()
        self._history = restarts.History()
        self._change, self._why = change, why
        self._life = asyncio.ensure_future(self._live())

    async def _end_life(self, why: str) -> None:
        self._halt.set()
        if self._life is not None:
            await asyncio.wait({self._life})
        if self.observed.state is not State.STOPPED:
            self._see(State.STOPPED, pid=0, era="", version="", error="", hint="", log_tail=(), restarts=0)
            self._means.record("server.stopped", self._name, {"why": why})
            _log.info("server stopped", extra={"server": self._name, "why": why})
        self.settled.set()
        self._judged.set()

    async def _live(self) -> None:
        """Attempt after attempt, until it is halted or given up."""
        while not self._halt.is_set():
            end = await self._unless_halted(self._judged_attempt())
            if end is None or self._halt.is_set():
                return
            delay = self._after(end)
            if delay is None:
                return
            await self._unless_halted(asyncio.sleep(delay))
            self.observed = replace(self.observed, restarts=self.observed.restarts + 1)

    async def _unless_halted(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The result of `work`, or None when a halt came first; `work` has then been cancelled and has cleaned up."""
        task = asyncio.ensure_future(work)
        halt = asyncio.ensure_future(self._halt.wait())
        try:
            await asyncio.wait({task, halt}, return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            halt.cancel()
            task.cancel()
            await asyncio.wait({task, halt})

    async def _judged_attempt(self) -> GarrisonError | HopelessStart:
        """One life; returns why it ended."""
        self._ready_at = None
        try:
            return await self._attempt()
        except (HopelessStart, GarrisonError) as end:
            return end
        except Exception as error:  # noqa: BLE001  (the boundary between the supervisor and drivers and connections)
            return Defect("server.defect", f"server {self._name}: {type(error).__name__}: {error}", "report this")

    async def _attempt(self) -> GarrisonError:
        release = await self._means.slots.take()
        try:
            began = self._means.clock.monotonic_s()
            self._history = restarts.started(self._means.policies.restart, self._history, began)
            started_at = rfc3339(self._means.clock.wall_ns())
            self._see(State.STARTING, pid=0, era="", version="", started_at=started_at, startup_s=0.0)
            instance = await start_instance(self._means, self.observed.spec)
            try:
                self._see(State.STARTING, pid=instance.pid)
                link = self._means.connect(instance)
                try:
                    await shake_hands(self._means, instance, link)
                    release()
                    self._became_ready(link, instance, began)
                    return await until_it_ends(self._means, instance, link, self._see_gone)
                finally:
                    await self._let_go(link)
            finally:
                await self._means.driver.stop(instance)
        finally:
            release()

    def _became_ready(self, link: L, instance: Instance, began: float) -> None:
        self.link = link
        self._ready_at = self._means.clock.monotonic_s()
        took, era = round(self._ready_at - began, 3), str(link.info.era)
        self._see(State.RUNNING, era=era, version=link.info.version, startup_s=took, error="", hint="", log_tail=())
        detail = {"instance": instance.id, "pid": instance.pid, "era": era, "startup_s": took, "why": self._why}
        self._means.record(self._change, self._name, {**detail, "spec": self.observed.spec.revision})
        _log.info("server runs", extra={"server": self._name, **detail})

    async def _let_go(self, link: L) -> None:
        """Drain when a stop was asked for and it was in use; then close."""
        if self._halt.is_set():
            if self.link is not None:
                await self._drain()
            self.link = None
            self._see(State.STOPPING)
        self.link = None
        await link.close()

    async def _drain(self) -> None:
        """Observers see `draining` and send nothing new; what is in flight may finish."""
        self._see(State.DRAINING)
        try:
            await in_time(self._means.drained(self._name), self._means.policies.drain_s)
        except TimeoutError:
            return  # the calls still in flight are answered when the connection closes

    # ── verdicts ────────────────────────────────────────────────────────────────────────────────────────────────

    def _after(self, end: GarrisonError | HopelessStart) -> float | None:
        """Seconds until the next attempt; None: there is none."""
        if isinstance(end, HopelessStart):
            self._give_up(end.error.message, end.error.hint)
            return None
        now = self._means.clock.monotonic_s()
        ran_s = 0.0 if self._ready_at is None else now - self._ready_at
        policy = replace(self._means.policies.restart, patient=not self._means.spawns)
        verdict = restarts.ended(policy, self._history, now, ran_s, self._means.chance)
        self._history = verdict.history
        hint = end.hint or failures.log_hint(self._means.tail(self._name))
        if isinstance(verdict, restarts.GiveUp):
            self._give_up(f"{end.message}; {verdict.reason}", hint)
            return None
        self._change, self._why = "server.restarted", end.message
        state = State.AUTH_NEEDED if isinstance(end, Unauthenticated) or end.code == AUTH_NEEDED else State.BACKOFF
        self._see(state, pid=0, error=end.message, hint=hint, log_tail=self._means.tail(self._name))
        self._means.record("server.failed", self._name, {"why": end.message, "next_try_s": round(verdict.delay_s, 1)})
        _log.warning("server failed", extra={"server": self._name, "why": end.message, "next_try_s": verdict.delay_s})
        return verdict.delay_s

    def _give_up(self, reason: str, hint: str) -> None:
        tail = self._means.tail(self._name)
        self._see(State.FATAL, pid=0, error=reason, hint=hint, log_tail=tail)
        self._means.record("server.fatal", self._name, {"reason": reason, "log_tail": list(tail)})
        _log.error("server given up", extra={"server": self._name, "why": reason, "hint": hint})

    # ── what is seen ────────────────────────────────────────────────────────────────────────────────────────────

    def _see_gone(self) -> None:
        """Nobody may use the connection from now on."""
        self.link = None
        self._see(State.EXITED)

    def _see(self, state: State, **changes: Any) -> None:
        self.observed = replace(self.observed, state=state, **changes)
        if state in JUDGED:
            self.settled.set()
            self._judged.set()
        elif state is not State.DRAINING:
            self._judged.clear()
        self._means.publish(self.observed, self.link)

"""One server's credential, for one principal or for all: got when needed, renewed before it ends, once for all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable

from garrison.identity.oauth.challenges import is_step_up
from garrison.identity.oauth.tokens import Token
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.protocol.transports.credentials import Challenge

RENEW_S_MIN = 5.0

Get = Callable[[Token | None, Challenge | None], Awaitable[Token]]
"""Gets a token in place of this one (None: of none), which was refused so (None: it was not). Raises typed errors."""

log = logging.getLogger("garrison.identity")


class SignInNeeded(Unavailable):
    """Somebody has to sign in at the server's authorisation server before calls of `principal` can be made."""

    def __init__(
        self, server: str, principal: str, why: str, *, is_administrator: bool = False, scopes: Iterable[str] = ()
    ) -> None:
        hint = f"garrison auth login {server}" + ("" if is_administrator else f" --as {principal}")
        super().__init__("server.auth_needed", f"server {server} needs a sign-in: {why}", hint)
        self.server = server
        self.principal = principal
        self.scopes = tuple(scopes)
        """What is to be agreed to this time, as far as the server has said it."""


class HeldToken:
    """Where tokens come from is `get`'s business; `kept` looks for one that was kept, perhaps by another process."""

    def __init__(self, get: Get, kept: Callable[[], Awaitable[Token | None]], clock: Clock) -> None:
        self._get = get
        self._kept = kept
        self._clock = clock
        self._token: Token | None = None
        self._watchers: list[Callable[[], None]] = []
        self._getting: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"HeldToken({self._token!r})"

    @property
    def line(self) -> str:
        token = self._token
        return f"authorization: Bearer {token.access}\r\n" if token is not None else ""

    @property
    def is_watched(self) -> bool:
        return bool(self._watchers)

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        self._watchers.append(changed)
        self._renew_in_time()

        def end() -> None:
            if changed in self._watchers:
                self._watchers.remove(changed)
            if not self._watchers and self._timer is not None:
                self._timer.cancel()

        return end

    async def ready(self) -> None:
        if self._token is None:
            self.take(await self._kept())
        if self._token is None or not self._token.is_good(self._now_s()):
            await self._one_at_a_time(self.line, None)

    def can_help(self, challenge: Challenge) -> bool:
        return is_step_up(challenge.status, challenge.header)

    async def renewed(self, shown: str, challenge: Challenge) -> None:
        if self.line and shown != self.line:
            return  # somebody was faster
        await self._one_at_a_time(shown, challenge)

    def take(self, token: Token | None) -> None:
        """From now on this one is shown; None: nothing."""
        if token != self._token:
            self._token = token
            for changed in tuple(self._watchers):
                changed()
        self._renew_in_time()

    async def _one_at_a_time(self, shown: str, challenge: Challenge | None) -> None:
        """All who need another one wait for the same."""
        if self._getting is None or self._getting.done():
            self._getting = asyncio.ensure_future(self._another(shown, challenge))
        await asyncio.shield(self._getting)

    async def _another(self, shown: str, challenge: Challenge | None) -> None:
        kept = await self._kept()
        if kept is not None and kept != self._token and kept.is_good(self._now_s()):
            self.take(kept)  # another process was faster, or somebody has signed in
            return
        self.take(await self._get(self._token or kept, challenge))

    def _renew_in_time(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._token is not None and self._watchers:
            left_s = self._token.ends_s - 2 * self._token.early_s - self._now_s()
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(left_s, RENEW_S_MIN), self._renew_now)

    def _renew_now(self) -> None:
        task = asyncio.ensure_future(self._one_at_a_time(self.line, None))
        task.add_done_callback(_told)

    def _now_s(self) -> float:
        return self._clock.wall_ns() / 1e9


def _told(task: asyncio.Future[None]) -> None:
    """What could not be renewed ahead of time is renewed when it is refused; then it matters."""
    error = None if task.cancelled() else task.exception()
    if isinstance(error, GarrisonError):
        log.info("a token was not renewed ahead of time", extra={"why": error.message})

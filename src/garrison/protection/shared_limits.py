"""What several gateways count together, kept in Redis or Valkey: each draws small batches and reports what it used.

Scripts run as a whole there and by its clock, so that no two gateways are given the same. A call waits for an answer
only when what was drawn is used up; batches are asked for before that. What was drawn and not used is given back.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import RedisError

from garrison.catalog.limits import METRICS, Metric
from garrison.kernel.clock import Clock
from garrison.policy.buckets import Bucket, Elsewhere, Quota, Share
from garrison.policy.limits import Meter

PREFIX: Final = "garrison:limit:"
TIMEOUT_S: Final = 0.5
TRY_AGAIN_S: Final = 1.0
GIVE_BACK_S: Final = 1.0
"""What was drawn and not used for so long goes back."""
IN_FLIGHT_S: Final = 5
"""A gateway that says nothing for so long has no calls in flight."""
FAILURES: Final = (RedisError, OSError, TimeoutError)

_BUCKET: Final = """
local capacity, rate = tonumber(ARGV[1]), tonumber(ARGV[2])
local spent, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
local kept = redis.call('HMGET', KEYS[1], 'level', 'seen')
local level, seen = tonumber(kept[1] or capacity), tonumber(kept[2] or now)
if now > seen then level = level + (now - seen) * rate end
level = math.min(capacity, level) - spent
level = math.min(capacity, level)
local given = 0
if want > 0 and level >= 1 then
  given = math.min(want, math.floor(level))
  level = level - given
end
redis.call('HSET', KEYS[1], 'level', string.format('%.17g', level), 'seen', string.format('%.17g', now))
redis.call('EXPIRE', KEYS[1], math.min(172800, math.ceil((capacity - level) / rate) + 60))
return {given, string.format('%.17g', level)}
"""
_QUOTA: Final = """
local used = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), tonumber(ARGV[2])) + tonumber(ARGV[1])
redis.call('SET', KEYS[1], string.format('%.17g', used), 'PXAT', ARGV[3])
return string.format('%.17g', used)
"""
_FLYING: Final = """
local now = tonumber(redis.call('TIME')[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ':' .. now + tonumber(ARGV[3]))
redis.call('EXPIRE', KEYS[1], 3600)
local others = 0
local all = redis.call('HGETALL', KEYS[1])
for i = 1, #all, 2 do
  local count, till = string.match(all[i + 1], '(-?%d+):(%d+)')
  if tonumber(till) < now then redis.call('HDEL', KEYS[1], all[i])
  elseif all[i] ~= ARGV[1] then others = others + tonumber(count) end
end
return others
"""

Take = Callable[[Any], None]

log = logging.getLogger("garrison.limits")


class SharedLimits:
    """`gateway`: a name that no other process has. `state` is for people: what is going on."""

    def __init__(self, url: str, clock: Clock, gateway: str, *, open_without: bool) -> None:
        self.elsewhere = Elsewhere(open_without)
        self.state = "not asked yet"
        self.asked = 0
        """Round trips."""
        self._clock = clock
        self._gateway = gateway
        self._redis = Redis.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, decode_responses=True
        )
        self._due: set[Meter] = set()
        self._holding: set[Meter] = set()
        self._flying: set[Meter] = set()
        self._wanted: Counter[Meter] = Counter()
        self._drawing: asyncio.Task[None] | None = None
        self._again_s = self._flown_s = 0.0

    # ── for the gateway ──

    def ask(self, meter: Meter) -> None:
        """More is needed soon."""
        self._wanted[meter] += 1
        if self._drawing is None or self._drawing.done():
            self._drawing = asyncio.ensure_future(self._draw())

    async def draw(self, meters: Iterable[Meter]) -> None:
        """More is needed now; returns when it is known how much there is."""
        for meter in meters:
            self.ask(meter)
        if self._drawing is not None:
            await asyncio.shield(self._drawing)

    # ── what is due now and then ──

    async def tell(self, touched: Iterable[Meter]) -> None:
        """What was used since the last time, and what rests is given back. Learns what is left."""
        now_s = self._clock.monotonic_s()
        self._due.update(meter for meter in touched if meter.is_shared)
        self._due.update(meter for meter in self._holding if any(_rests(share, now_s) for share in meter.shares()))
        if now_s - self._flown_s >= IN_FLIGHT_S / 2:
            self._flown_s = now_s
            self._due |= self._flying
        if (self._due or self.elsewhere.is_away) and now_s >= self._again_s:
            meters, self._due = self._due, set()
            if not await self._guarded(self._tell(meters, now_s)):
                self._due |= meters

    async def close(self) -> None:
        """What was drawn goes back."""
        if self._drawing is not None:
            await self._drawing
        if self._holding and not self.elsewhere.is_away:
            for share in (share for meter in self._holding for share in meter.shares()):
                share.used_s = -GIVE_BACK_S
            await self._guarded(self._tell(set(self._holding), self._clock.monotonic_s()))
        await self._redis.aclose()

    # ── inside ──

    async def _draw(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, Counter()
            if not await self._guarded(self._drawn(wanted)):
                return

    async def _drawn(self, wanted: Mapping[Meter, int]) -> None:
        shares = [(meter, share) for meter in wanted for share in meter.shares()]
        async with self._redis.pipeline(transaction=False) as pipe:
            for meter, share in shares:
                _queue_bucket(pipe, meter, "calls", share.own, 0.0, max(share.batch, wanted[meter]))
            answers = await self._sent(pipe)
        now_s = self._clock.monotonic_s()
        for (meter, share), (given, left) in zip(shares, answers, strict=True):
            share.held += int(given)
            share.used_s = now_s
            share.again_s = now_s if int(given) else now_s + max(1e-3, (1 - float(left)) / share.own.per_s)
            self._holding.add(meter)

    async def _tell(self, meters: Iterable[Meter], now_s: float) -> None:
        """One message for all; each answer goes to whom it concerns."""
        takers: list[Take] = []
        spent = {meter: _taken(meter) for meter in meters}
        try:
            async with self._redis.pipeline(transaction=False) as pipe:
                for meter, amounts in spent.items():
                    takers += self._queue(pipe, meter, amounts, now_s)
                if not takers:
                    pipe.ping()
                answers = await self._sent(pipe)
        except FAILURES:
            for meter, amounts in spent.items():
                meter.spent = {metric: amounts[metric] + meter.spent[metric] for metric in METRICS}
            raise
        for take, answer in zip(takers, answers, strict=False):
            take(answer)

    def _queue(self, pipe: Any, meter: Meter, spent: Mapping[Metric, float], now_s: float) -> list[Take]:
        takers: list[Take] = []
        for metric, purse in meter.purses:
            if isinstance(purse, Bucket):
                _queue_bucket(pipe, meter, metric, purse, spent[metric], 0)
                takers.append(partial(self._know_bucket, meter, metric, purse))
            elif isinstance(purse, Quota):
                floor = max(0.0, purse.used - spent[metric])
                key = f"{PREFIX}{{{meter.key}}}:{metric}:{purse.starts_ns}"
                pipe.eval(_QUOTA, 1, key, spent[metric], floor, purse.ends_ns // 1_000_000 + 1000)
                takers.append(partial(_know_quota, meter, metric, purse, purse.starts_ns))
            elif isinstance(purse, Share) and _rests(purse, now_s):
                _queue_bucket(pipe, meter, metric, purse.own, -purse.held, 0)
                purse.held = 0.0
                self._holding.discard(meter)
                takers.append(_know_nothing)
        if meter.concurrent != math.inf:
            (self._flying.add if meter.here else self._flying.discard)(meter)
            key = f"{PREFIX}{{{meter.key}}}:flying"
            pipe.eval(_FLYING, 1, key, self._gateway, meter.here, IN_FLIGHT_S)
            takers.append(partial(_know_flying, meter))
        return takers

    def _know_bucket(self, meter: Meter, metric: Metric, bucket: Bucket, answer: Any) -> None:
        bucket.level = float(answer[1]) - meter.spent[metric]
        bucket.seen_s = self._clock.monotonic_s()

    async def _sent(self, pipe: Any) -> list[Any]:
        self.asked += 1
        async with asyncio.timeout(TIMEOUT_S):
            answers: list[Any] = await pipe.execute()
        return answers

    async def _guarded(self, work: Awaitable[None]) -> bool:
        """What goes wrong there is no call's fault: it is said once, and tried again later."""
        try:
            await work
        except FAILURES as error:
            self._again_s = self._clock.monotonic_s() + TRY_AGAIN_S
            self._lost(error)
            return False
        if self.elsewhere.is_away:
            log.warning("limits are counted together again")
        self.elsewhere.is_away, self.state = False, "reached"
        return True

    def _lost(self, error: Exception) -> None:
        why = type(error).__name__
        meanwhile = (
            "each gateway counts for itself" if self.elsewhere.open_without else "calls they concern are refused"
        )
        if not self.elsewhere.is_away:
            log.error("what limits count together cannot be reached", extra={"why": why, "meanwhile": meanwhile})
        self.elsewhere.is_away, self.state = True, f"away ({why}): {meanwhile}"
        self._wanted.clear()
        for share in (share for meter in self._holding for share in meter.shares()):
            share.held = 0.0
        self._holding.clear()


def _queue_bucket(pipe: Any, meter: Meter, metric: Metric, bucket: Bucket, spent: float, want: float) -> None:
    pipe.eval(_BUCKET, 1, f"{PREFIX}{{{meter.key}}}:{metric}", bucket.capacity, bucket.per_s, spent, want)


def _taken(meter: Meter) -> dict[Metric, float]:
    """What was spent since the last report; from here on it is reported."""
    spent, meter.spent = meter.spent, dict.fromkeys(METRICS, 0.0)
    return spent


def _know_nothing(answer: Any) -> None:
    """What was given back concerns nobody here."""


def _know_quota(meter: Meter, metric: Metric, quota: Quota, starts_ns: int, answer: Any) -> None:
    quota.learn(starts_ns, float(answer) + meter.spent[metric] - quota.unsaved)


def _know_flying(meter: Meter, answer: Any) -> None:
    meter.in_flight += int(answer) - meter.elsewhere
    meter.elsewhere = int(answer)


def _rests(share: Share, now_s: float) -> bool:
    return share.held > 0 and now_s - share.used_s >= GIVE_BACK_S

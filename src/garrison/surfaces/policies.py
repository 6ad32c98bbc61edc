"""From settings to what the gateway's parts are bounded by. Pure, but for a word in the log."""

from __future__ import annotations

import logging
import math

from garrison.gateway.breakers import BreakerPolicy
from garrison.gateway.stages.limit import Limits
from garrison.gateway.streams import StreamBounds
from garrison.gateway.upstreams.outliers import OutlierPolicy
from garrison.gateway.upstreams.pool import Spread
from garrison.gateway.worker import Worker
from garrison.kernel import descriptors
from garrison.kernel.clock import Clock
from garrison.protocol.addresses import Rules, networks
from garrison.protocol.transports.outbound import Outbound
from garrison.surfaces.settings import Settings

log = logging.getLogger("garrison")


def limits(settings: Settings) -> Limits:
    given = settings.limits
    return Limits(given.calls_per_s, given.burst, given.concurrent_calls, given.concurrent_calls_per_server)


def outbound(settings: Settings) -> Outbound:
    """Raises `Invalid` for networks that are none."""
    return Outbound(Rules(networks(settings.outbound.allow), networks(settings.outbound.deny)))


def streams(settings: Settings) -> StreamBounds:
    wanted = settings.edge.streams
    of_all = descriptors.room_for(wanted, descriptors.limit())
    if of_all < wanted:
        log.warning("fewer streams than configured", extra={"streams": of_all, "why": "ulimit -Hn is too low"})
    return StreamBounds(of_all, min(of_all, settings.edge.streams_per_principal))


def breaker(settings: Settings) -> BreakerPolicy:
    given = settings.breaker
    return BreakerPolicy(
        failed_share=given.failed_share,
        failed_in_a_row=given.failed_in_a_row,
        open_first_s=given.open_first_s,
        open_max_s=given.open_max_s,
    )


def spread(settings: Settings, clock: Clock, worker: Worker) -> Spread:
    """Of the bound of one instance each worker takes its share: what is more goes to the other instances anyway."""
    given = settings.spread
    outliers = OutlierPolicy(
        failed_in_a_row=given.failed_in_a_row,
        slower_times=given.slower_times,
        ejected_share_max=given.ejected_share_max,
        eject_first_s=given.eject_first_s,
        eject_max_s=given.eject_max_s,
    )
    share = math.ceil(settings.limits.concurrent_calls_per_instance / worker.count)
    return Spread(breaker(settings), outliers, share, clock.monotonic_s)

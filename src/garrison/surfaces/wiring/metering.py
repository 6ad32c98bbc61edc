"""The meters of limits, their disk, and what several gateways share."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from garrison.catalog.references import resolve
from garrison.catalog.snapshot import Snapshot
from garrison.gateway.metering import Metering
from garrison.gateway.worker import Worker
from garrison.identity.secrets import secrets_of
from garrison.kernel.clock import Clock
from garrison.kernel.errors import Invalid, Unsupported
from garrison.kernel.home import Home
from garrison.kernel.ids import Ids
from garrison.protection.budget_store import BudgetStore
from garrison.surfaces.budgets import Budgets
from garrison.surfaces.settings import Settings
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.redaction import redactor

_SHARED = "garrison.protection.shared_limits"
"""Needs an extra, so that it is imported only where it is asked for."""


def metered(
    home: Home, settings: Settings, snapshot: Snapshot, clock: Clock, ids: Ids, metrics: Metrics, worker: Worker
) -> tuple[Metering, Budgets]:
    """Raises typed errors for what cannot be opened or is not installed."""
    store = BudgetStore(home.budgets)
    limits = snapshot.sections.limits
    metering = Metering(limits, clock.monotonic_s, clock.wall_ns, metrics, store.recall)
    metering.has_peers = worker.count > 1
    shared = _shared(home, settings, clock, ids) if settings.limits.redis_url else None
    if shared is not None:
        metering.drawing = shared
        about = "1 while what several gateways count together cannot be reached, else 0."
        metrics.gauge("garrison.limit.store_away", about).cell().read_from(lambda: int(shared.elsewhere.is_away))
    return metering, Budgets(metering, store, clock, shared)


def _shared(home: Home, settings: Settings, clock: Clock, ids: Ids) -> Any:
    try:
        module = import_module(_SHARED)
    except ModuleNotFoundError as error:
        hint = "pip install 'garrison[redis]', or remove limits.redis_url"
        raise Unsupported("limits.no_redis", "limits.redis_url needs the extra `redis`", hint) from error
    open_without = settings.limits.without_redis == "open"
    try:
        return module.SharedLimits(_url(home, settings), clock, ids.new(), open_without=open_without)
    except ValueError as error:
        hint = "for example redis://127.0.0.1:6379/0"
        raise Invalid("limits.redis_url", "limits.redis_url is no address of a Redis", hint) from error


def _url(home: Home, settings: Settings) -> str:
    """With its references filled in; from here on it is masked."""
    stored = secrets_of(home)

    def secret(name: str) -> str | None:
        return stored.get(name) if name in stored.list() else None

    url, missing = resolve(settings.limits.redis_url, os.environ, secret)
    if missing:
        message = f"limits.redis_url refers to what is not there: {', '.join(missing)}"
        raise Invalid("limits.redis_url", message, "set it, or `garrison secrets set NAME`")
    if url != settings.limits.redis_url:
        redactor.add(url)
    return url

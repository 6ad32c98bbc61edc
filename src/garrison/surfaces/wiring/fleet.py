"""The composition root: how all the parts of a fleet go together."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from garrison import __version__
from garrison.catalog.snapshot import Snapshot
from garrison.gateway.asking import Asking
from garrison.gateway.cursors import Cursors
from garrison.gateway.gateway import Gateway, Parts
from garrison.gateway.invitations import Invitations
from garrison.gateway.kept import KeptAnswers
from garrison.gateway.metering import Metering
from garrison.gateway.parked import ParkedCalls
from garrison.gateway.retries import RetryPolicy
from garrison.gateway.sessions import Sessions
from garrison.gateway.stages.shed import ShedPolicy
from garrison.gateway.taskids import TaskIds
from garrison.gateway.upstreams.directory import Directory
from garrison.gateway.worker import Worker
from garrison.identity.authenticator import Authenticator
from garrison.identity.certificates import Certificates
from garrison.identity.issuer_fetch import issuer_fetch
from garrison.identity.keys import KeyStore
from garrison.identity.oauth.callers import CallerTokens
from garrison.identity.oauth.credentials import Credentials
from garrison.identity.oauth.sign_in import SignIns
from garrison.identity.resources import Resources
from garrison.kernel.clock import Clock, SystemClock
from garrison.kernel.home import Home, write_private
from garrison.kernel.ids import RandomIds, SequenceIds
from garrison.policy.authoriser import Authoriser
from garrison.protection.approvals import Approvals, ApprovalTimes
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.writer import CheckpointRhythm
from garrison.protocol.connection import Connection
from garrison.runtimes.reaper import Reaper
from garrison.runtimes.reconcile import Action
from garrison.runtimes.supervisor import Supervisor
from garrison.surfaces import policies
from garrison.surfaces.budgets import Budgets
from garrison.surfaces.dialing import Dialer
from garrison.surfaces.ledger_place import place_in
from garrison.surfaces.setting_groups.records import LedgerGroup
from garrison.surfaces.settings import Settings
from garrison.surfaces.wiring.auditing import kept_bodies
from garrison.surfaces.wiring.credentials import credentials_of, means_of
from garrison.surfaces.wiring.instances import drivers_here, drivers_through_the_primary, follow, supervised
from garrison.surfaces.wiring.metering import metered
from garrison.surfaces.wiring.pins import pinned
from garrison.surfaces.workers.relays import Relays
from garrison.telemetry import names
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.process import add_process_metrics

IDENTITY = {"name": "garrison", "title": "Garrison", "version": __version__}
"""What we call ourselves towards clients and servers."""

log = logging.getLogger("garrison")


@dataclass(frozen=True)
class Fleet:
    """A running fleet's parts, put together."""

    home: Home
    settings: Settings
    directory: Directory
    supervisor: Supervisor[Connection]
    dialer: Dialer
    gateway: Gateway
    keys: KeyStore
    authenticator: Authenticator
    authoriser: Authoriser
    approvals: Approvals
    ledger: Ledger
    metrics: Metrics
    metering: Metering
    certificates: Certificates
    budgets: Budgets
    reaper: Reaper
    relays: Relays
    """For other workers, where there are some."""
    sign_ins: SignIns
    administrator: str
    """The principal of the admin key."""


@dataclass(frozen=True)
class _Ground:
    """What everything else stands on."""

    home: Home
    settings: Settings
    snapshot: Snapshot
    worker: Worker
    clock: Clock
    ids: RandomIds
    metrics: Metrics
    ledger: Ledger
    session_key: bytes


@dataclass(frozen=True)
class _People:
    """Who may be there and what they may do; `credentials` are what we show to servers for them."""

    keys: KeyStore
    administrator: str
    authenticator: Authenticator
    authoriser: Authoriser
    approvals: Approvals
    credentials: Credentials
    callers: CallerTokens
    sign_ins: SignIns


def build(
    home: Home,
    settings: Settings,
    snapshot: Snapshot,
    fleet_id: str,
    worker: Worker = Worker(),  # noqa: B008  immutable
    lock: Path | None = None,
) -> Fleet:
    """Put everything together; nothing runs yet. Raises typed errors for what cannot be opened.

    `lock`: where the pins are, if not in the home.
    """
    ground = _ground(home, settings, snapshot, worker)
    people = _people(ground)
    pins = pinned(home, settings, ground.ledger, lock, ground.clock, keeps=worker.is_primary)
    directory = Directory(policies.spread(settings, ground.clock, worker), pins)
    directory.apply(snapshot)
    metering, budgets = metered(home, settings, snapshot, ground.clock, ground.ids, ground.metrics, worker)
    parts = _parts(ground, people, directory, metering)
    reaper, relays = Reaper(), Relays(directory)
    drivers = drivers_here(home, reaper, fleet_id) if worker.is_primary else drivers_through_the_primary(home, worker)
    supervisor, dialer = supervised(
        home, settings, parts, drivers, relays, people.credentials, is_primary=worker.is_primary
    )
    drivers.renew = supervisor.renew
    gateway = Gateway(parts)
    gateway.own.dial, gateway.own.share = dialer, settings.limits.sessions_share
    drain_s = settings.edge.drain_s
    supervisor.subscribe(lambda name, observed, link: follow(gateway.own, observed, link, drain_s))
    return Fleet(
        home=home,
        settings=settings,
        directory=directory,
        supervisor=supervisor,
        dialer=dialer,
        gateway=gateway,
        keys=people.keys,
        authenticator=people.authenticator,
        authoriser=people.authoriser,
        approvals=people.approvals,
        ledger=ground.ledger,
        metrics=ground.metrics,
        metering=metering,
        certificates=Certificates(snapshot.sections.certificates),
        budgets=budgets,
        reaper=reaper,
        relays=relays,
        sign_ins=people.sign_ins,
        administrator=people.administrator,
    )


def _ground(home: Home, settings: Settings, snapshot: Snapshot, worker: Worker) -> _Ground:
    home.create()
    clock, metrics = SystemClock(), Metrics()
    add_process_metrics(metrics)
    ledger = Ledger(home.ledger, _ledger_settings(home, settings.ledger), clock)
    return _Ground(home, settings, snapshot, worker, clock, RandomIds(), metrics, ledger, _session_key(home))


def _people(ground: _Ground) -> _People:
    home, settings, clock = ground.home, ground.settings, ground.clock
    keys = KeyStore(home.keys, clock)
    administrator = keys.ensure_admin(home).principal
    means = means_of(home, policies.outbound(settings), clock, administrator)
    credentials, sign_ins = credentials_of(means)
    times = ApprovalTimes(settings.approvals.asked_s, settings.approvals.approved_s, settings.approvals.pending_max)
    return _People(
        keys=keys,
        administrator=administrator,
        authenticator=_authenticator(settings, ground.snapshot, keys, clock),
        authoriser=Authoriser.of(ground.snapshot, clock.wall_ns),
        approvals=Approvals(home.approvals, ground.session_key, clock, ground.ids, ground.ledger.append, times),
        credentials=credentials,
        callers=means.callers,
        sign_ins=sign_ins,
    )


def _parts(ground: _Ground, people: _People, directory: Directory, metering: Metering) -> Parts:
    settings, clock, metrics, key = ground.settings, ground.clock, ground.metrics, ground.session_key
    resources = people.authenticator.resources
    return Parts(
        directory=directory,
        authenticator=people.authenticator,
        authoriser=people.authoriser,
        approvals=people.approvals,
        asking=Asking(key, resources),
        approval_wait_s=settings.approvals.wait_s,
        ledger=ground.ledger,
        metrics=metrics,
        sessions=Sessions(key, clock, ground.ids, session_times(metrics), worker=ground.worker),
        parked=ParkedCalls(key, ground.ids, ground.worker),
        task_ids=TaskIds(key),
        cursors=Cursors(key),
        clock=clock,
        ids=SequenceIds(),
        identity=IDENTITY,
        screening=ground.snapshot.sections.screening,
        metering=metering,
        limits=policies.limits(settings),
        breaker=policies.breaker(settings),
        shed=ShedPolicy(settings.limits.concurrent_calls_of_all, settings.limits.lag_s_max),
        bodies=kept_bodies(ground.home, settings.audit),
        kept=KeptAnswers(settings.cache.entries_max, settings.cache.size_bytes_max),
        retry=RetryPolicy(settings.retry.retries_max, budget_share=settings.retry.budget_share),
        streams=policies.streams(settings),
        worker=ground.worker,
        callers=people.callers,
        invitations=Invitations(key, clock, resources),
    )


def _authenticator(settings: Settings, snapshot: Snapshot, keys: KeyStore, clock: Clock) -> Authenticator:
    """While no public URL is set, the process that listens says what it is (`resources.rebase`)."""
    resources, fetch = Resources(settings.edge.public_url), issuer_fetch(policies.outbound(settings))
    made = Authenticator(keys, clock, fetch, resources, settings.auth.failures_per_minute)
    made.replace(snapshot.sections.issuers)
    return made


def session_times(metrics: Metrics) -> Callable[[float], None]:
    """Takes the seconds that a client's session lived, when it ends: `mcp.server.session.duration`."""
    about = "How long clients' sessions lived."
    return metrics.histogram(names.SERVER_SESSION_DURATION, about).cell().observe


def listening(fleet: Fleet, url: str) -> None:
    """Where clients reach us, as far as no public URL says otherwise. All addresses at once are nobody's URL."""
    if fleet.settings.edge.public_url:
        return
    if urlsplit(url).hostname not in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound
        fleet.authenticator.resources.rebase(url)
    elif fleet.authenticator.resources.issuers:
        log.warning("edge.public_url is not set: clients are not told where tokens come from")


async def stop(fleet: Fleet) -> None:
    """End everything that runs, in order: clients' own connections, then the servers."""
    fleet.gateway.parked.close()
    fleet.gateway.approving.close()
    fleet.gateway.subscriptions.close()
    await fleet.gateway.own.close()
    await fleet.dialer.settled()
    await fleet.supervisor.stop_all()
    await fleet.directory.close()
    fleet.directory.pins.save()
    fleet.approvals.close()
    await fleet.budgets.close()
    fleet.authenticator.close()


async def apply(fleet: Fleet, snapshot: Snapshot) -> Sequence[Action]:
    """Let a new snapshot take over: the gateway's view first, then the instances."""
    fleet.authenticator.replace(snapshot.sections.issuers)
    fleet.certificates.replace(snapshot.sections.certificates)
    fleet.authoriser.take_over(snapshot)
    fleet.metering.replace(snapshot.sections.limits)
    fleet.gateway.screens.replace(snapshot.sections.screening)
    fleet.directory.pins.reload()
    fleet.directory.apply(snapshot)
    fleet.directory.rejudge()
    return await fleet.supervisor.apply(snapshot)


def _ledger_settings(home: Home, wanted: LedgerGroup) -> LedgerSettings:
    return LedgerSettings(
        durability=wanted.durability,
        window_s=wanted.window_s,
        checkpoints=CheckpointRhythm(wanted.checkpoint_entries, wanted.checkpoint_s),
        url=place_in(home, wanted.url, os.environ).url,
    )


def _session_key(home: Home) -> bytes:
    path: Path = home.session_key
    if not path.exists():
        write_private(path, secrets.token_bytes(32))
    return path.read_bytes()

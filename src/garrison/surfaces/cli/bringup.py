"""The story of `garrison up`: read, check, start or bring in step, wait until every server has settled."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from garrison.catalog.pin_book import book_of
from garrison.catalog.problems import Problem
from garrison.catalog.report import render_report
from garrison.identity.secrets import SecretsFile, secrets_of
from garrison.kernel.errors import GarrisonError, Invalid, NotFound
from garrison.kernel.home import Home
from garrison.surfaces import revisions, settings
from garrison.surfaces.cli.node_client import NodeClient, client_of
from garrison.surfaces.cli.output import tell
from garrison.surfaces.cli.progress import telling, wait_until_settled
from garrison.surfaces.configuration import Configuration, Wanted, configure, keep_last_good
from garrison.surfaces.desired import Desired, lock_of, read_desired, write_desired
from garrison.surfaces.halt import halt
from garrison.surfaces.launch import open_listeners, start_in_background
from garrison.surfaces.launchers import install_launchers
from garrison.surfaces.node_tls import check_files
from garrison.surfaces.presence import held, returning_node
from garrison.surfaces.settings import Settings


@dataclass(frozen=True)
class Outcome:
    """`status`: what the node says once it has settled."""

    status: dict[str, Any]
    left_out: Mapping[str, Problem] = field(default_factory=dict)


def bring_up(home: Home, wanted: Wanted, *, rollback: bool) -> Outcome:
    """Start the fleet, or bring the running one in step; returns when every server has settled."""
    with ExitStack() as alone:
        alone.enter_context(held(home))
        if returning_node(home) is not None:
            return bring_in_step(home, wanted, rollback=rollback)
        configuration, revision = prepare(home, wanted, rollback=rollback)
        with _undone_unless_settled(home):
            start(home, configuration)
            alone.close()  # from here on others may look at it, and end it
            status = wait_until_settled(home, client_of(home), tell)
    keep_revision(home, configuration.desired, revision)
    return Outcome(status, configuration.left_out)


def prepare(home: Home, wanted: Wanted, *, rollback: bool) -> tuple[Configuration, revisions.Revision | None]:
    """What is to be started, checked as a whole. Raises `Invalid` after telling every problem."""
    if rollback:
        revision = revisions.before_current(home)
        tell(f"going back to revision {revision.number} ({revision.version})")
        return _from_revision(revision, wanted), revision
    configuration = configure(wanted)
    refuse_if_blocked(configuration, "nothing was started")
    _refuse_unreadable_pins(home, configuration.desired)
    check_files(home, configuration.desired)
    _install_launchers()
    tell(_headline(configuration))
    return configuration, None


def _refuse_unreadable_pins(home: Home, desired: Desired) -> None:
    """A lock that a merge has left in pieces says nothing of what was approved. Raises `Invalid`."""
    if desired.settings.pins.mode != "off":
        book_of(home, lock_of(desired)).read()


def _install_launchers() -> None:
    """Where our environment may not be written, the machine's own programs have to do."""
    try:
        install_launchers()
    except OSError as error:
        tell(f"npx and node from the wheel cannot be set up: {error.strerror}")


def refuse_if_blocked(configuration: Configuration, consequence: str) -> None:
    """All problems are told, errors or not; with errors that concern the whole it ends here."""
    if configuration.problems:
        tell(render_report(configuration.problems))
    if configuration.blocking:
        message = f"the configuration has errors; {consequence}"
        raise Invalid("config.errors", message, "correct what is listed above; `garrison check` repeats it")


def start(home: Home, configuration: Configuration) -> None:
    """A listening node in the background. What of it runs when this raises is for the caller to stop."""
    edge = configuration.desired.settings.edge
    listeners = open_listeners(edge.listen, edge.workers)
    try:
        hand_over(home, configuration, listeners)
        start_in_background(home, *listeners)
    finally:
        for listener in listeners:
            listener.close()


def hand_over(home: Home, configuration: Configuration, listeners: Sequence[socket.socket]) -> None:
    """Write down what the node is to run."""
    store_secrets(home, configuration)
    first, *others = (listener.fileno() for listener in listeners)
    write_desired(home, msgspec.structs.replace(configuration.desired, listen_fd=first, worker_fds=tuple(others)))


def bring_in_step(home: Home, wanted: Wanted, *, rollback: bool) -> Outcome:
    """The running fleet takes over what the configuration says now; when that is nothing new, nothing happens."""
    running, client = read_desired(home), client_of(home)
    if wanted.config is None and not rollback:
        wanted = _same_place(wanted, running)
    revision = revisions.before_current(home) if rollback else None
    fresh = _from_revision(revision, wanted) if revision else configure(wanted)
    if revision is None:
        refuse_if_blocked(fresh, "the fleet runs on as it was")
    configuration = keep_last_good(fresh, running)
    _refuse_unreadable_pins(home, configuration.desired)
    _tell_idle_settings(configuration, running)
    renewed = store_secrets(home, configuration)
    kept = {"settings": running.settings, "listen_fd": running.listen_fd, "worker_fds": running.worker_fds}
    new = msgspec.structs.replace(configuration.desired, **kept)
    if new.catalog == running.catalog:
        client.reload_pins()
        tell(f"the fleet runs already (pid {client.note.pid})" + ("" if renewed else "; nothing has changed"))
    else:
        _apply(home, client, running, new)
    _restart_for_new_secrets(client, new, renewed)
    status = wait_until_settled(home, client, tell)
    keep_revision(home, new, revision)
    return Outcome(status, fresh.left_out)


def keep_revision(home: Home, desired: Desired, went_back_to: revisions.Revision | None) -> None:
    if went_back_to is not None:
        revisions.make_current(home, went_back_to)
    else:
        revisions.store(home, desired)


def store_secrets(home: Home, configuration: Configuration) -> set[str]:
    """Put secrets found in plain text into the secrets file; returns the names of those that are new or changed."""
    if not configuration.secrets:
        return set()
    file = secrets_of(home)
    changed = {name for name, value in configuration.secrets.items() if _stored(file, name) != value}
    for name in sorted(changed):
        file.set(name, configuration.secrets[name])
    return changed


def _stored(file: SecretsFile, name: str) -> str | None:
    try:
        return file.get(name)
    except NotFound:
        return None


def _apply(home: Home, client: NodeClient, running: Desired, new: Desired) -> None:
    write_desired(home, new)
    try:
        actions = telling(client, client.apply, tell)
    except GarrisonError:
        write_desired(home, running)
        raise
    for action in actions:
        if action["step"] != "keep":
            tell(f"  {action['server']}: {action['step']} ({action['why']})")


def _restart_for_new_secrets(client: NodeClient, new: Desired, renewed: set[str]) -> None:
    """A spec names its secrets only: that one has another value shows nowhere else."""
    for name, spec in new.servers.items():
        text = msgspec.json.encode(spec).decode()
        if spec.enabled and any(f"${{secret:{secret}}}" in text for secret in renewed):
            tell(f"  {name}: restart (a secret of it has changed)")
            client.restart(name)


@contextmanager
def _undone_unless_settled(home: Home) -> Iterator[None]:
    """Interrupted or lost, at whatever moment of the start: what we started we stop."""
    try:
        yield
    except BaseException:
        tell("stopping what was started")
        halt(home, drain_s=0)
        raise


def _from_revision(revision: revisions.Revision, wanted: Wanted) -> Configuration:
    """A stored configuration; settings given on the command line still count."""
    stored = revision.read()
    resolved = settings.load(msgspec.to_builtins(stored.settings), str(revision.path), {}, wanted.flags)
    return Configuration(msgspec.structs.replace(stored, settings=resolved.values), resolved)


def _same_place(wanted: Wanted, running: Desired) -> Wanted:
    """Without --config, a running fleet is compared with what it was started from, wherever we stand now."""
    config = Path(running.config) if running.config else None
    return replace(wanted, config=config, folder=Path(running.folder or wanted.folder))


def _tell_idle_settings(configuration: Configuration, running: Desired) -> None:
    """Settings are static: those that were asked for and differ wait for the next start."""
    asked = [name for name, origin in configuration.settings.origins.items() if origin.source != "default"]
    idle = [name for name in asked if _value(configuration.settings.values, name) != _value(running.settings, name)]
    if idle:
        tell(f"these settings change only with the next start (garrison down, garrison up): {', '.join(idle)}")


def _value(values: Settings, name: str) -> object:
    group, _, field_name = name.partition(".")
    return getattr(getattr(values, group), field_name)


def _headline(configuration: Configuration) -> str:
    count = len(configuration.desired.servers)
    servers = "1 server" if count == 1 else f"{count} servers"
    if configuration.is_demo:
        return f"no configuration found: starting the demo fleet ({servers} on {configuration.desired.folder})"
    return f"starting {servers} from {', '.join(configuration.desired.source)}"

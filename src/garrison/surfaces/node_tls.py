"""TLS of a fleet's processes: where its files are, who looks after them, and how our own command line gets through.

The primary leaves two notes in the run folder: `edge.pem`, the certificate that it serves, by which the command line
knows it, and `cli.pem`, a certificate and key of the command line's own, for nodes that let nobody in without one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from garrison.kernel.home import Home, write_private
from garrison.surfaces.desired import Desired
from garrison.surfaces.edge.peers import is_trusted_by
from garrison.surfaces.edge.protocol import EdgeProtocol
from garrison.surfaces.edge.tls import Tls, TlsEdge, TlsFiles, leaf_pem, load_tls
from garrison.surfaces.issuing import new_self_signed_client
from garrison.surfaces.node_trust import cli_credential, served_certificate
from garrison.telemetry.metrics import Metrics

LOOK_EVERY_S: Final = 1.0
CLI_LIFE: Final = timedelta(days=3650)
"""It is worth nothing to whoever cannot read the home already."""


def files_of(home: Home, desired: Desired) -> TlsFiles | None:
    """None where the edge speaks plain HTTP. Relative paths begin where the configuration is."""
    edge = desired.settings.edge
    if not edge.tls_certificate:
        return None
    base = Path(desired.config).parent if desired.config else Path(desired.folder or ".")

    def at(path: str) -> Path:
        return base / Path(path).expanduser()

    return TlsFiles(
        at(edge.tls_certificate),
        at(edge.tls_key),
        at(edge.client_ca) if edge.client_ca else None,
        edge.client_certificates,
        cli_credential(home) if edge.client_certificates != "none" else None,
    )


def check_files(home: Home, desired: Desired) -> None:
    """Before anything is started. Raises `Invalid` for what could not be served."""
    if desired.settings.edge.client_certificates != "none":
        _make_cli_credential(home)
    files = files_of(home, desired)
    if files is not None:
        load_tls(files)


def edge_of(home: Home, desired: Desired, *, is_primary: bool) -> TlsEdge | None:
    """Raises `Invalid` when the files cannot be used."""
    if is_primary:
        _forget(home)
        if desired.settings.edge.client_certificates != "none":
            _make_cli_credential(home)
    files = files_of(home, desired)
    if files is None:
        return None
    tls = TlsEdge(files)
    if is_primary:
        _note(home, tls.now)
        tls.on_renewed(lambda now: _note(home, now))
    return tls


def watch_over(tls: TlsEdge | None, connections: Callable[[], Iterable[Any]], metrics: Metrics) -> None:
    """What the primary does beside serving."""
    if tls is not None:
        end_untrusted(tls, connections)
        add_tls_metrics(tls, metrics)


def end_untrusted(tls: TlsEdge, connections: Callable[[], Iterable[Any]]) -> None:
    """From now on: when an authority is trusted no more, connections that it vouched for end."""

    def end(now: Tls) -> None:
        for connection in tuple(connections()):
            peer = connection.peer if isinstance(connection, EdgeProtocol) else None
            if peer is not None and not is_trusted_by(peer, now):
                connection.transport.close()

    tls.on_renewed(end)


async def watched(tls: TlsEdge) -> None:
    """Look at the files every second, until cancelled."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        tls.look()


def _make_cli_credential(home: Home) -> None:
    path = cli_credential(home)
    if not path.exists():
        made = new_self_signed_client("garrison command line", datetime.now(UTC), CLI_LIFE)
        write_private(path, made.key_pem + made.pem)


def _note(home: Home, now: Tls) -> None:
    write_private(served_certificate(home), leaf_pem(now.leaf))


def _forget(home: Home) -> None:
    served_certificate(home).unlink(missing_ok=True)


def add_tls_metrics(tls: TlsEdge, metrics: Metrics) -> None:
    """Of the primary alone: the workers serve the same files."""
    about = "When the certificate that is served ends (seconds since 1970-01-01 UTC)."
    metrics.gauge("garrison.tls.expires", about, unit="seconds").cell().read_from(
        lambda: tls.now.leaf.not_valid_after_utc.timestamp()
    )
    about = "1 while what the certificate's files hold cannot be served, and the former is; else 0."
    metrics.gauge("garrison.tls.renewal_failed", about).cell().read_from(lambda: int(bool(tls.problem)))


def row(tls: TlsEdge | None) -> dict[str, object]:
    """For the status."""
    if tls is None:
        return {}
    leaf = tls.now.leaf
    problems = [f"the new certificate is not served: {tls.problem}"] if tls.problem else []
    if leaf.not_valid_after_utc <= datetime.now(UTC):
        problems.append("the certificate has expired")
    expires, subject = leaf.not_valid_after_utc.isoformat(), leaf.subject.rfc4514_string()
    return {"tls": {"expires": expires, "subject": subject, "problems": problems}}

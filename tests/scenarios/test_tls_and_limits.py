"""A fleet with TLS, client certificates, limits and two workers, as its owner meets it at the command line."""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from brought_up import META
from command_line import Shell
from garrison.identity.certificates import fingerprint_of
from garrison.surfaces.issuing import Issued, new_server

pytestmark = pytest.mark.slow
DEADLINE_S = 30.0
LIMITS: dict[str, Any] = {"few": {"calls": "60/hour", "burst": 6, "daily": {"calls": 10}}}


def write(shell: Shell, *, limits: dict[str, Any] | None = None, **edge: Any) -> None:
    document = {
        "servers": {"time": {"command": [sys.executable, "-P", "-m", "garrison.servers", "time"]}},
        "roles": {"dev": {"grants": [{"servers": ["*"], "tools": ["*"]}]}},
        "certificates": {"agents": {"uri": "urn:garrison:client:*", "roles": ["dev"]}},
        "limits": LIMITS if limits is None else limits,
        "settings": {"edge": {"listen": "127.0.0.1:0", **edge}},
    }
    (shell.folder / "garrison.yaml").write_text(json.dumps(document))


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def note(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shell.home / "run" / "node.json").read_text())
    return found


def call(http: httpx2.Client, url: str) -> httpx2.Response:
    name = "get_current_time"
    params = {"name": name, "arguments": {}, "_meta": META}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": name}
    return http.post(f"{url}/servers/time/mcp", json=body, headers=headers)


def clients(stack: ExitStack, folder: Path, count: int) -> list[httpx2.Client]:
    """Each with the client certificate, on a connection of its own."""
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return [stack.enter_context(httpx2.Client(verify=context, timeout=20)) for _ in range(count)]


def test_a_fleet_with_client_certificates_and_limits_for_two_workers(garrison: Shell) -> None:
    with ExitStack() as stack:
        _story(garrison, stack)


def _story(garrison: Shell, stack: ExitStack) -> None:
    tls = garrison.folder / "tls"
    made = garrison("tls", "new", str(tls), "--output", "json", code=0).json
    assert [row["what"] for row in made] == ["ca", "server", "client"]
    assert {(tls / f"{name}.key").stat().st_mode & 0o777 for name in ("ca", "server", "client")} == {0o600}
    assert garrison("tls", "new", str(tls)).code != 0, "nothing is overwritten unasked"
    edge = {"tls_certificate": "tls/server.pem", "tls_key": "tls/server.key", "client_ca": "tls/ca.pem"}
    write(garrison, **edge, client_certificates="required", workers=2)
    said = garrison("up", "--verify", "--output", "json", code=0).json
    assert said["url"].startswith("https://")
    assert all(row["verified"]["ok"] for row in said["servers"]), "the command line has a certificate of its own"
    url = note(garrison)["url"]
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(f"{url}/healthz", verify=ssl.create_default_context(cafile=tls / "ca.pem"))

    # six at once, whichever worker is asked; what one lets in the other hears of within a tenth of a second
    statuses = []
    everybody = clients(stack, tls, 8)
    for http in everybody:
        statuses.append(call(http, url).status_code)
        time.sleep(0.3)
    assert sorted(statuses) == [200] * 6 + [429] * 2, statuses
    shown = garrison("limits", "show", "agents/urn:garrison:client:trial", "--output", "json", code=0).json
    assert {(row["what"], row["allowed"]) for row in shown} == {("calls", "60/hour"), ("calls", "10/day")}
    report = garrison("limits", "report", "--by", "tool", "--since", "1h", "--output", "json", code=0).json
    assert report[0]["tool"] == "time/get_current_time"
    assert sum(row["calls"] for row in report) >= 6

    # another certificate: served without a break, by file and by signal; the command line goes along
    before = garrison("tls", "show", "--output", "json", code=0).json[0]["sha256"]
    _reissue(tls)
    os.kill(note(garrison)["pid"], signal.SIGHUP)
    until(lambda: garrison("tls", "show", "--output", "json", code=0).json[0]["sha256"] != before)
    assert call(everybody[0], url).status_code in (200, 429), "an open connection goes on"
    until(lambda: garrison("status").code == 0)

    # other limits with the next `up`, for both workers; quotas keep what was used, over a restart too
    write(garrison, limits={"few": {"daily": {"calls": 8}}}, **edge, client_certificates="required", workers=2)
    garrison("up", code=0)
    fresh = clients(stack, tls, 4)
    found = []
    for http in fresh:
        found.append(call(http, url).status_code)
        time.sleep(1.2)  # within a second each worker reads what the other has counted
    assert found == [200] * 2 + [429] * 2, found
    garrison("down", code=0)
    garrison("up", code=0)
    refused = call(clients(stack, tls, 1)[0], note(garrison)["url"])
    assert (refused.status_code, refused.json()["error"]["data"]["code"]) == (429, "limit.daily_calls")


def _reissue(tls: Path) -> None:
    """A new server certificate of the same authority, in the place of the old one."""
    certificate = x509.load_pem_x509_certificate((tls / "ca.pem").read_bytes())
    key = load_pem_private_key((tls / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    made = new_server(Issued(certificate, key), ["localhost", "127.0.0.1"], datetime.now(UTC), timedelta(days=1))
    (tls / "server.key").write_bytes(made.key_pem)
    (tls / "server.pem").write_bytes(made.pem)


@pytest.mark.parametrize(
    ("edge", "code"),
    [
        ({"listen": "0.0.0.0:0"}, "garrison tls new"),
        ({"tls_certificate": "none.pem", "tls_key": "none.key"}, "cannot be read"),
        ({"tls_certificate": "only.pem"}, "edge.tls_key"),
        ({"client_certificates": "required"}, "edge.client_ca"),
    ],
)
def test_what_would_not_be_safe_or_cannot_work_is_refused_with_the_way_out(
    garrison: Shell, edge: dict[str, str], code: str
) -> None:
    write(garrison, **edge)
    said = garrison("up")
    assert said.code != 0
    assert code in said.err, said.err
    assert not (garrison.home / "run" / "node.json").exists()


def test_beyond_loopback_a_fleet_listens_with_tls(garrison: Shell) -> None:
    garrison("tls", "new", "tls", code=0)
    write(garrison, listen="0.0.0.0:0", tls_certificate="tls/server.pem", tls_key="tls/server.key")
    garrison("up", code=0)
    assert "https://" in garrison("status", code=0).out
    served = garrison("tls", "show", "--output", "json", code=0).json[0]["sha256"]
    certificate = x509.load_pem_x509_certificate((garrison.folder / "tls" / "server.pem").read_bytes())
    assert served == fingerprint_of(certificate)
    garrison("call", "time__get_current_time", code=0)

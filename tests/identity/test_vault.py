from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from garrison.identity.envelope import Envelope
from garrison.identity.master_keys import KeyFile, Source, source_named
from garrison.identity.rekeying import rekey
from garrison.kernel.errors import Denied, Invalid, Unavailable

pytestmark = pytest.mark.slow
TOKEN = f"root-{secrets.token_hex(8)}"
START_S = 30.0


@pytest.fixture(scope="module")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real OpenBao with a transit engine and the key `garrison`."""
    port, folder = free_port(), tmp_path_factory.mktemp("bao")
    address = f"http://127.0.0.1:{port}"
    command = [str(Path(sys.executable).with_name("bao")), "server", "-dev", "-dev-no-store-token"]
    command += [f"-dev-root-token-id={TOKEN}", f"-dev-listen-address=127.0.0.1:{port}"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "HOME": str(folder)})
    try:
        _wait_until_unsealed(address, server)
        for path, body in (("sys/mounts/transit", {"type": "transit"}), ("transit/keys/garrison", {})):
            headers = {"X-Vault-Token": TOKEN}
            assert httpx2.post(f"{address}/v1/{path}", json=body, headers=headers).is_success
        yield address
    finally:
        server.terminate()
        server.wait(10)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return int(one.getsockname()[1])


def _wait_until_unsealed(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        assert server.poll() is None
        try:
            if httpx2.get(f"{address}/v1/sys/health").status_code == 200:
                return
        except httpx2.HTTPError:
            pass
        time.sleep(0.05)
    raise AssertionError("it does not start")


def source(address: str, key: str = "garrison") -> Source:
    where = {"address": address, "mount": "transit", "key": key}
    return source_named("vault", where, Path("unused"))


def fresh(folder: Path) -> Envelope:
    return Envelope(folder / "envelope.json", folder / "secrets.key")


def test_the_vault_wraps_and_rotates_and_everything_opens(
    vault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    sealed = fresh(tmp_path).wrap(b"data", "x")
    first = rekey(fresh(tmp_path), source(vault))
    assert (first.source, first.is_finished) == ("vault", True)
    assert not (tmp_path / "secrets.key").exists()
    assert TOKEN not in (tmp_path / "envelope.json").read_text()
    running = fresh(tmp_path)
    assert running.unwrap(sealed, "x") == b"data"
    second = rekey(fresh(tmp_path))
    assert second.key != first.key, "another version of the vault's key"
    assert fresh(tmp_path).unwrap(sealed, "x") == b"data"
    monkeypatch.setenv("BAO_TOKEN", "wrong")
    assert running.unwrap(sealed, "x") == b"data", "who has begun goes on without the vault"
    with pytest.raises(Invalid, match="403"):
        fresh(tmp_path).unwrap(sealed, "x")
    monkeypatch.delenv("BAO_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(Unavailable, match="no token"):
        fresh(tmp_path).unwrap(sealed, "x")
    (tmp_path / ".vault-token").write_text(TOKEN)
    assert fresh(tmp_path).unwrap(sealed, "x") == b"data"
    rekey(fresh(tmp_path), KeyFile(tmp_path / "secrets.key"))
    (tmp_path / ".vault-token").unlink()
    assert fresh(tmp_path).unwrap(sealed, "x") == b"data"


def test_a_wrapped_key_is_bound_to_its_data_key(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    wrapped = source(vault).wrap(b"key", b"one")
    assert source(vault).unwrap(wrapped, b"one") == b"key"
    with pytest.raises(Invalid):
        source(vault).unwrap(wrapped, b"other")


def test_a_vault_that_is_not_there_is_a_clear_error_without_the_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    with pytest.raises(Unavailable) as caught:
        source(f"http://127.0.0.1:{free_port()}").wrap(b"", b"")
    assert TOKEN not in f"{caught.value} {caught.value.__cause__!r}"
    with pytest.raises(Invalid, match="https"):
        source("http://vault.example:8200")


def test_a_vault_is_not_looked_for_where_no_connection_may_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    with pytest.raises(Denied, match="metadata"):
        source("https://169.254.169.254:8200").wrap(b"data", b"")


def test_a_vault_is_found_by_its_name(vault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which stands for two addresses, one of which nobody listens at."""
    monkeypatch.setenv("BAO_TOKEN", TOKEN)
    named = source(vault.replace("127.0.0.1", "localhost"))
    assert named.unwrap(named.wrap(b"data", b"x"), b"x") == b"data"

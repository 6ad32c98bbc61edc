"""Files of TLS that cannot be used, and the bounds on connections."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from uvicorn.server import ServerState

from garrison.kernel.errors import Invalid
from garrison.surfaces.edge.crowd import Crowd
from garrison.surfaces.edge.guard import Guard
from garrison.surfaces.edge.protocol import protocol_class
from garrison.surfaces.edge.tls import TlsFiles, load_tls
from garrison.surfaces.issuing import new_authority
from tls_fleet import DAY, Paths, certificates


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    folder = tmp_path / "tls"
    folder.mkdir()
    return certificates(folder)


def test_a_key_that_others_may_read_is_refused(paths: Paths) -> None:
    os.chmod(paths["server.key"], 0o640)  # noqa: PTH101
    with pytest.raises(Invalid) as caught:
        load_tls(TlsFiles(Path(paths["server.pem"]), Path(paths["server.key"])))
    assert (caught.value.code, caught.value.hint) == ("tls.key_open", f"chmod 600 {paths['server.key']}")


@pytest.mark.parametrize(
    ("certificate", "key", "code"),
    [
        ("none.pem", "server.key", "tls.unreadable"),
        ("server.pem", "none.key", "tls.unreadable"),
        ("server.key", "server.key", "tls.not_pem"),
        ("server.pem", "client.key", "tls.pair"),
    ],
)
def test_files_that_cannot_be_used_are_named(paths: Paths, certificate: str, key: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        load_tls(TlsFiles(Path(paths[certificate]), Path(paths[key])))
    assert caught.value.code == code
    assert str(paths.folder) in caught.value.message


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(paths: Paths) -> None:
    path = Path(paths["server.key"])
    sealed = new_authority("any", datetime.now(UTC), DAY).key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")
    )
    path.write_bytes(sealed)
    with pytest.raises(Invalid) as caught:
        load_tls(TlsFiles(Path(paths["server.pem"]), path))
    assert caught.value.code == "tls.pair"


# ── connections ──


def test_an_address_takes_no_more_than_its_share_and_gives_it_back() -> None:
    crowd = Crowd(of_all=5, of_one=2)
    assert [crowd.enters("10.0.0.1") for _ in range(3)] == [True, True, False]
    assert crowd.enters("10.0.0.2")
    crowd.leaves("10.0.0.1")
    assert [crowd.enters("10.0.0.1"), crowd.enters("10.0.0.1")] == [True, False]


def test_this_machine_has_no_share_of_its_own_but_counts_in_all() -> None:
    crowd = Crowd(of_all=3, of_one=1)
    assert [crowd.enters(address) for address in ("127.0.0.1", "::1", "127.0.0.1", "10.0.0.1")] == [True] * 3 + [False]
    for address in ("127.0.0.1", "::1", "127.0.0.1"):
        crowd.leaves(address)
    assert crowd.enters("10.0.0.1")


async def test_a_connection_too_many_is_told_so_and_the_next_ones_are_served_again() -> None:
    port, server = await _listening(Crowd(of_all=2))
    opened: list[asyncio.StreamWriter] = []

    async def connect() -> asyncio.StreamReader:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        opened.append(writer)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return reader

    async with asyncio.timeout(10):
        assert [(await (await connect()).read(12))[-3:] for _ in range(3)] == [b"200", b"200", b"503"]
        opened[0].close()
        while (await (await connect()).read(12))[-3:] != b"200":
            opened[-1].close()
    for writer in opened:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in opened), return_exceptions=True)
    server.close()


async def _listening(crowd: Crowd) -> tuple[int, asyncio.Server]:
    config = uvicorn.Config(_ok, http=protocol_class(_unasked, Guard(), crowd), ws="none", lifespan="off")
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: config.http_protocol_class(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    return server.sockets[0].getsockname()[1], server


def _unasked(request: Any, sink: Any) -> None:
    raise AssertionError("no MCP endpoint is asked here")


async def _ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})

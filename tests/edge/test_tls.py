"""TLS at the edge: real certificates, openssl, curl and a stock MCP client."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import subprocess
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
import pytest_asyncio
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from garrison.catalog.access import GroupSpec
from garrison.catalog.certificates import CertificateSpec
from garrison.catalog.sections import Sections
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.certificates import Certificates
from garrison.surfaces.api.app import make_app
from gateway.wired import MODERN
from running_fleet import Running, running_fleet, stdio
from tls_fleet import Paths, TlsRunning, certificates, tls_edge

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
ROLE = RoleSpec(name="dev", grants=(GrantSpec(tools=("*",)),))
MAPPINGS = Certificates({"agents": CertificateSpec(uri="spiffe://test/*", roles=("dev",))})
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    folder = tmp_path / "tls"
    folder.mkdir()
    return certificates(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    server = stdio("all", "everything", session="shared")
    sections = Sections(groups={"operators": GroupSpec(roles=("admin",), members=("certificate:ops",))})
    async with running_fleet(tmp_path_factory.mktemp("tls"), (server,), (ROLE,), sections=sections) as found:
        yield found


async def run(*argv: str, stdin: bytes = b"") -> tuple[int, str]:
    """In a thread: a program may end before it has read what is written to it, over which the loop's own pipes trip."""
    done = await asyncio.to_thread(
        subprocess.run, argv, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


async def s_client(edge: TlsRunning, *more: str) -> str:
    where = f"127.0.0.1:{edge.port}"
    return (await run("openssl", "s_client", "-connect", where, "-CAfile", edge.paths["ca.pem"], *more))[1]


async def curl(edge: TlsRunning, *more: str, path: str = "/healthz") -> tuple[int, str]:
    return await run("curl", "-sS", "--max-time", "10", "--cacert", edge.paths["ca.pem"], *more, edge.url + path)


def body(tool: str = "echo") -> dict[str, object]:
    params = {"name": tool, "arguments": {"text": "Ada"}, "_meta": META}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def headers(tool: str = "echo", **more: str) -> dict[str, str]:
    sent = {"accept": "application/json, text/event-stream", "mcp-protocol-version": MODERN}
    return {**sent, "mcp-method": "tools/call", "mcp-name": tool, **more}


async def call(http: httpx2.AsyncClient, edge: TlsRunning, key: str = "") -> httpx2.Response:
    more = {"authorization": f"Bearer {key}"} if key else {}
    return await http.post(f"{edge.url}/servers/all/mcp", json=body(), headers=headers(**more))


# ── what is spoken ──


async def test_tls_1_2_and_1_3_are_spoken_with_http_1_1_and_nothing_older(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths) as edge:
        for version in ("-tls1_2", "-tls1_3"):
            said = await s_client(edge, version, "-alpn", "h2,http/1.1")
            assert "Verify return code: 0 (ok)" in said, said
            assert "ALPN protocol: http/1.1" in said
        for version in ("-tls1_1", "-tls1"):
            said = await s_client(edge, version, "-cipher", "ALL:@SECLEVEL=0")
            assert "Cipher is (NONE)" in said, said
            assert re.search(
                "alert protocol version|no protocols available|unsupported protocol|unexpected eof", said
            ), said


async def test_weak_ciphers_compression_and_renegotiation_are_not_offered(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths) as edge:
        weak = "RC4:3DES:NULL:EXPORT:aNULL:MD5:@SECLEVEL=0"
        assert "Cipher is (NONE)" in await s_client(edge, "-tls1_2", "-cipher", weak)
        said = await s_client(edge, "-tls1_2")
        assert "Compression: NONE" in said
        assert re.search("Cipher is ECDHE-.*(GCM|CHACHA20)", said), said


async def test_curl_and_a_stock_mcp_client_are_served_over_https(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths) as edge:
        assert await curl(edge) == (0, "ok\n")
        code, said = await curl(edge, "--resolve", f"else.example:{edge.port}:127.0.0.1", path="/healthz")
        assert code == 0, said
        auth = {"authorization": f"Bearer {running.admin_key}"}
        for mode in ("auto", "legacy"):
            async with (
                httpx2.AsyncClient(headers=auth, verify=paths.trusting(), timeout=20) as http,
                Client(streamable_http_client(f"{edge.url}/mcp", http_client=http), mode=mode) as client,
            ):
                found = await client.call_tool("all__echo", {"text": "Ada"})
                assert "Ada" in found.content[0].text  # type: ignore[union-attr]


async def test_plain_http_to_a_tls_listener_is_cut_off(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(15):
            said = await reader.read()
        assert b"200" not in said
        writer.close()


async def test_a_body_that_is_too_large_is_answered_before_the_connection_ends(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths, body_bytes_max=2048) as edge:
        code, said = await curl(edge, "-d", "x" * 100_000, "-w", "%{http_code}", path="/mcp")
        assert (code, said[-3:]) == (0, "413")


# ── client certificates ──


async def test_without_a_certificate_of_the_authority_no_request_is_heard(running: Running, paths: Paths) -> None:
    async with tls_edge(running, paths, client_certificates="required", mappings=MAPPINGS) as edge:
        assert (await curl(edge))[0] != 0
        for who in ("stranger", "expired"):
            code, said = await curl(edge, "--cert", paths[f"{who}.pem"], "--key", paths[f"{who}.key"])
            assert code != 0, said
        said = await s_client(edge, "-tls1_2", "-cert", paths["expired.pem"], "-key", paths["expired.key"])
        assert re.search("alert certificate expired|unexpected eof|Connection reset", said), said
        assert await curl(edge, "--cert", paths["client.pem"], "--key", paths["client.key"]) == (0, "ok\n")


class Raw:
    """One kept connection on which the same bytes go out each time, in one piece."""

    def __init__(self, edge: TlsRunning, context: ssl.SSLContext, key: str = "") -> None:
        self._edge, self._context = edge, context
        more = {"authorization": f"Bearer {key}"} if key else {}
        content = json.dumps(body()).encode()
        sent = headers(
            host="localhost", **{"content-type": "application/json", "content-length": str(len(content))}, **more
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        self._bytes = f"POST /servers/all/mcp HTTP/1.1\r\n{lines}\r\n".encode() + content

    async def __aenter__(self) -> Raw:
        where = ("127.0.0.1", self._edge.port)
        self._reader, self._writer = await asyncio.open_connection(*where, ssl=self._context)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._writer.close()
        await asyncio.gather(self._writer.wait_closed(), return_exceptions=True)

    async def call(self) -> int:
        self._writer.write(self._bytes)
        async with asyncio.timeout(20):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            size = re.search(r"content-length: (\d+)", head)
            assert size is not None, head
            await self._reader.readexactly(int(size[1]))
        return int(head.split()[1])


async def test_a_certificate_is_its_principal_and_calls_with_it_take_the_fast_path(
    running: Running, paths: Paths
) -> None:
    fast = running.fleet.gateway._fast
    before = fast.taken
    async with (
        tls_edge(running, paths, client_certificates="optional", mappings=MAPPINGS) as edge,
        Raw(edge, paths.trusting("client")) as known,
        Raw(edge, paths.trusting()) as nobody,
        Raw(edge, paths.trusting(), running.admin_key) as administrator,
    ):
        for _ in range(5):
            assert await known.call() == 200
            assert await nobody.call() == 401, "the same bytes, without the certificate"
        assert fast.taken > before
        assert await administrator.call() == 200
        who = {entry.principal for entry in running.records() if entry.action == "tools/call" and entry.outcome == "ok"}
        assert "certificate:agents/spiffe://test/build" in who


async def test_a_certificate_opens_the_admin_api_to_whoever_its_groups_make_an_administrator(
    running: Running, paths: Paths
) -> None:
    for name in ("ops", "build"):
        paths.write(name, paths.new_client(name))
    mappings = Certificates(
        {
            "ops": CertificateSpec(uri="spiffe://test/ops"),
            "build": CertificateSpec(uri="spiffe://test/build", roles=("dev",)),
        }
    )
    app = make_app(cast("Any", SimpleNamespace(fleet=running.fleet)))
    async with tls_edge(running, paths, client_certificates="optional", mappings=mappings, app=app) as edge:
        for client, certain, administers in (("ops", 200, 200), ("build", 200, 403), ("", 401, 401)):
            async with httpx2.AsyncClient(verify=paths.trusting(client)) as http:
                who = await http.get(f"{edge.url}/api/v1/whoami")
                assert who.status_code == certain, client
                assert (await http.get(f"{edge.url}/api/v1/offers")).status_code == administers, client
                assert not client or who.json()["principal"] == f"certificate:{client}"
                wrong = await http.get(f"{edge.url}/api/v1/whoami", headers={"authorization": "Bearer wrong"})
                assert wrong.status_code == 401, "a wrong key is not made good by a certificate"


async def test_certificates_of_one_address_are_told_apart(running: Running, paths: Paths) -> None:
    paths.write("other", paths.new_client("other"))
    mappings = Certificates({"build": CertificateSpec(uri="spiffe://test/build", roles=("dev",))})
    before = running.fleet.gateway._fast.taken
    async with (
        tls_edge(running, paths, client_certificates="optional", mappings=mappings) as edge,
        Raw(edge, paths.trusting("client")) as known,
        Raw(edge, paths.trusting("other")) as other,
    ):
        for _ in range(5):
            assert [await known.call(), await other.call()] == [200, 401]
        assert running.fleet.gateway._fast.taken > before
        mappings.replace({})
        assert await known.call() == 401, "the next call on the fast path, too"


async def test_other_mappings_count_for_connections_that_are_open(running: Running, paths: Paths) -> None:
    mappings = Certificates({"agents": CertificateSpec(uri="spiffe://test/*", roles=("dev",))})
    async with (
        tls_edge(running, paths, client_certificates="required", mappings=mappings) as edge,
        httpx2.AsyncClient(verify=paths.trusting("client"), timeout=20) as http,
    ):
        assert [(await call(http, edge)).status_code for _ in range(3)] == [200] * 3
        mappings.replace({"agents": CertificateSpec(uri="spiffe://test/*", roles=())})
        assert (await call(http, edge)).status_code in (400, 403), "it may do nothing"
        mappings.replace({})
        assert (await call(http, edge)).status_code == 401


async def test_a_certificate_that_ends_while_its_connection_is_open_counts_no_more(
    running: Running, paths: Paths
) -> None:
    paths.write("short", paths.new_client("short", life=timedelta(seconds=4)))
    async with (
        tls_edge(running, paths, client_certificates="required", mappings=MAPPINGS) as edge,
        httpx2.AsyncClient(verify=paths.trusting("short"), timeout=20) as http,
    ):
        assert (await call(http, edge)).status_code == 200
        deadline_s = asyncio.get_running_loop().time() + 20
        while (await call(http, edge)).status_code != 401:
            assert asyncio.get_running_loop().time() < deadline_s
            await asyncio.sleep(0.1)


# ── renewal ──


async def test_under_load_a_renewed_certificate_is_served_without_a_failed_call(running: Running, paths: Paths) -> None:
    key = running.admin_key
    async with tls_edge(running, paths) as edge:
        served: set[bytes] = set()
        done = asyncio.Event()

        async def caller(*, keeps: bool) -> int:
            calls = 0
            while not done.is_set():
                async with httpx2.AsyncClient(verify=paths.trusting(), timeout=20) as http:
                    for _ in range(50 if keeps else 1):
                        assert (await call(http, edge, key)).status_code == 200
                        calls += 1
                        if done.is_set():
                            break
            return calls

        callers = [asyncio.ensure_future(caller(keeps=keeps)) for keeps in (True, True, False)]
        for _ in range(4):
            served.add(await _leaf(edge))
            paths.write("server", paths.new_server())
            edge.tls.look()
            await asyncio.sleep(0.2)
        done.set()
        assert all(await asyncio.gather(*callers))
        assert len(served) == 4
        assert edge.tls.problem == ""


async def test_a_broken_new_pair_is_not_taken_and_said_so_until_a_good_one_comes(
    running: Running, paths: Paths
) -> None:
    async with tls_edge(running, paths) as edge:
        before = await _leaf(edge)
        paths.copy("client.key", "server.key")
        edge.tls.look()
        assert "cannot be used together" in edge.tls.problem
        assert await _leaf(edge) == before
        paths.copy("server.key", "server.pem")
        edge.tls.look()
        assert "holds no certificate" in edge.tls.problem
        paths.remove("server.pem")
        edge.tls.look()
        assert await _leaf(edge) == before
        paths.write("server", paths.new_server())
        edge.tls.look()
        assert edge.tls.problem == ""
        assert await _leaf(edge) != before


async def test_when_an_authority_is_trusted_no_more_its_clients_are_let_go(running: Running, paths: Paths) -> None:
    async with (
        tls_edge(running, paths, client_certificates="required", mappings=MAPPINGS) as edge,
        httpx2.AsyncClient(verify=paths.trusting("client"), timeout=20) as http,
    ):
        assert (await call(http, edge)).status_code == 200
        paths.write("server", paths.new_server())
        edge.tls.look()
        assert (await call(http, edge)).status_code == 200, "another certificate of ours concerns nobody"
        paths.copy("stranger-ca.pem", "ca.pem")
        edge.tls.look()
        with pytest.raises((httpx2.HTTPError, ssl.SSLError, OSError)):
            await call(http, edge)


async def _leaf(edge: TlsRunning) -> bytes:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", edge.port, ssl=context)
    found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    await asyncio.gather(writer.wait_closed(), return_exceptions=True)
    return found

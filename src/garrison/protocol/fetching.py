"""HTTP for what is not the hot path (metadata, keys, tokens, webhooks), over connections that `outbound` judges.

    async with client(outbound.way("found")) as http:
        response = await http.get(url)

An `httpx2` client like any other, but: no proxies of the environment, no cookies kept, no redirects. `fetched` follows
them for a GET, if asked to: every hop is judged anew, and what leads to another origin takes no header along.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from garrison.kernel.errors import Denied, GarrisonError, Unavailable
from garrison.protocol.transports.links import LinkPool
from garrison.protocol.transports.origin import Origin, parse_found_url, parse_url
from garrison.protocol.transports.outbound import P, Way

TIMEOUT_S = 10.0
BODY_BYTES_MAX = 1024 * 1024
REDIRECTS_MAX = 3
_HEADERS = {"user-agent": "garrison", "accept": "application/json", "accept-encoding": "identity"}


def client(
    way: Way,
    *,
    timeout_s: float = TIMEOUT_S,
    tls: ssl.SSLContext | None = None,
    body_bytes_max: int = BODY_BYTES_MAX,
) -> httpx2.AsyncClient:
    """Raises what httpx2 raises, and `Denied` (`outbound.refused`) or `Invalid` for where nothing may lead."""
    return httpx2.AsyncClient(
        transport=GuardedTransport(way, tls=tls, body_bytes_max=body_bytes_max),
        trust_env=False,
        follow_redirects=False,
        timeout=timeout_s,
        headers=_HEADERS,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
    )


class GuardedTransport(httpx2.AsyncBaseTransport):
    """One connection for each request: nothing is shared between those who ask."""

    def __init__(self, way: Way, *, tls: ssl.SSLContext | None = None, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._way = way
        self._tls = tls
        self._body_bytes_max = body_bytes_max

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        read = parse_url if self._way.naming != "found" else parse_found_url
        way = _Witness(self._way.outbound, self._way.naming)
        pool = LinkPool(read(str(request.url)), way=way, tls_context=self._tls)
        collected = _Collected(self._body_bytes_max)
        try:
            pool.send(_written(request, await request.aread()), collected)
            async with asyncio.timeout(_patience_s(request)):
                status, headers, body = await collected.answer
        except TimeoutError:
            raise httpx2.ReadTimeout(f"{request.url.host} did not answer in time", request=request) from None
        except OSError as error:
            if way.refusals:
                raise way.refusals[0] from None
            raise httpx2.ConnectError(str(error), request=request) from None
        finally:
            await pool.close()
        return httpx2.Response(status, headers=headers, content=body, request=request)


async def fetched(way: Way, request: httpx2.Request, *, redirects: int = 0) -> httpx2.Response:
    """The answer to one request. Raises typed errors alone: `outbound.refused`, `outbound.unreachable`, `url.…`.

    `redirects`: how many a GET may follow, at most `REDIRECTS_MAX`; what is sent is never sent to a second place.
    """
    try:
        async with client(way) as http:
            response = await http.send(request)
            for _ in range(min(redirects, REDIRECTS_MAX) if request.method == "GET" else 0):
                if response.next_request is None:
                    break
                way, response = await _hop(way, response)
            return response
    except httpx2.HTTPError as error:
        host, hint = request.url.host, "is it running, and is the URL right?"
        raise Unavailable("outbound.unreachable", f"{host} cannot be reached: {error}", hint) from None


async def _hop(way: Way, response: httpx2.Response) -> tuple[Way, httpx2.Response]:
    """The next place: one that the last place named, so what holds for strangers holds for it."""
    before, following = response.request, response.next_request
    assert following is not None
    is_same = parse_url(str(before.url)).base == parse_found_url(str(following.url)).base
    if before.url.scheme == "https" and following.url.scheme != "https":
        raise Denied("outbound.refused", f"{before.url.host} redirects to a place without TLS", "use the final URL")
    way = way if is_same else way.outbound.way("found")
    headers = before.headers if is_same else None
    async with client(way) as http:
        return way, await http.send(http.build_request("GET", following.url, headers=headers))


def _patience_s(request: httpx2.Request) -> float:
    given = request.extensions.get("timeout")
    found = given.get("read") if isinstance(given, Mapping) else None
    return found if isinstance(found, (int, float)) else TIMEOUT_S


def _written(request: httpx2.Request, body: bytes) -> bytes:
    target = request.url.raw_path.decode("ascii") or "/"
    lines = [f"{request.method} {target} HTTP/1.1", f"host: {request.url.netloc.decode('ascii')}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items() if name not in _OURS]
    lines += ["connection: close", *([f"content-length: {len(body)}"] if body or request.method == "POST" else [])]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


_OURS = frozenset({"host", "content-length", "transfer-encoding", "connection"})


@dataclass(frozen=True)
class _Witness(Way):
    """A way that remembers why it could not be taken."""

    refusals: list[GarrisonError] = field(default_factory=list)

    async def open(self, make: Callable[[], P], origin: Origin, tls: ssl.SSLContext | None) -> P:
        try:
            return await Way.open(self, make, origin, tls)
        except GarrisonError as error:
            self.refusals.append(error)
            raise


class _Collected:
    """A sink that somebody awaits: status, headers and the whole body, which is bounded."""

    def __init__(self, bytes_max: int) -> None:
        self.answer: asyncio.Future[tuple[int, dict[str, str], bytes]] = asyncio.get_running_loop().create_future()
        self._bytes_max = bytes_max
        self._status, self._headers, self._body = 0, dict[str, str](), bytearray()

    def head(self, status: int, headers: dict[str, str]) -> None:
        self._status, self._headers = status, headers

    def data(self, chunk: bytes) -> None:
        self._body += chunk
        if len(self._body) > self._bytes_max:
            self._fail(OSError(f"its answer is larger than {self._bytes_max} bytes"))

    def end(self) -> None:
        if not self.answer.done():
            kept = {name: value for name, value in self._headers.items() if name != "transfer-encoding"}
            self.answer.set_result((self._status, kept, bytes(self._body)))

    def broken(self, reason: str, *, sent: bool) -> None:
        self._fail(OSError(reason))

    def _fail(self, error: OSError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

"""Our own connections over real sockets: where a name leads is judged each time, and so is every redirect."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from garrison.kernel.errors import Denied, GarrisonError
from garrison.protocol.addresses import Rules, networks
from garrison.protocol.fetching import client, fetched
from garrison.protocol.transports.http import HttpTransport
from garrison.protocol.transports.outbound import Outbound
from places import Place, Resolver, get, place, says


async def test_a_name_that_turns_from_public_to_inside_is_not_followed() -> None:
    """DNS rebinding. 127.0.0.2 stands for a public address; the name then turns to one that is this machine's own."""
    async with (
        place(lambda path, head: says("public"), "127.0.0.2") as outside,
        place(lambda path, head: says("secret"), port=outside.port) as inside,
    ):
        resolver = Resolver(["127.0.0.2"], ["127.0.0.1"])
        outbound = Outbound(Rules(allow=networks(["127.0.0.2"])), resolver)
        assert await get(outbound, outside.url("rebinding.example")) == "public"
        with pytest.raises(Denied, match=r"127\.0\.0\.1"):
            await get(outbound, outside.url("rebinding.example"))
        assert resolver.asked == 2
        assert inside.heads == []


async def test_one_inside_address_among_public_ones_refuses_them_all() -> None:
    outbound = Outbound(Rules(), Resolver(["8.8.8.8", "169.254.169.254"]))
    with pytest.raises(Denied, match="metadata"):
        await get(outbound, "http://both.example/")


async def test_a_transport_judges_each_connection_anew() -> None:
    async with place(lambda path, head: says("{}", more="connection: close\r\n")) as inside:
        resolver = Resolver(["127.0.0.1"], ["169.254.169.254"])
        outbound = Outbound(Rules(), resolver)
        url = inside.url("wiki.internal")
        transport = HttpTransport(url, {}, label="wiki", way=outbound.way("written"))
        pool = transport._pool
        try:
            assert await _status(pool, inside) == 200
            assert "metadata" in str(await _status(pool, inside))
        finally:
            await pool.close()
        assert len(inside.heads) == 1


async def _status(pool: object, inside: Place) -> int | str:
    ended: asyncio.Future[int | str] = asyncio.get_running_loop().create_future()

    class Sink:
        def head(self, status: int, headers: dict[str, str]) -> None:
            self.status = status

        def data(self, chunk: bytes) -> None: ...

        def end(self) -> None:
            ended.set_result(self.status)

        def broken(self, reason: str, *, sent: bool) -> None:
            ended.set_result(reason)

    pool.send(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", Sink())  # type: ignore[attr-defined]
    return await ended


async def test_what_the_administrator_allows_may_be_found_too() -> None:
    async with place(lambda path, head: says("hello")) as inside:
        with pytest.raises(Denied):
            await get(Outbound(), inside.url(), "found")
        allowed = Outbound(Rules(allow=networks(["127.0.0.0/8"])))
        assert await get(allowed, inside.url(), "found") == "hello"
        denied = Outbound(Rules(deny=networks(["127.0.0.1"])))
        with pytest.raises(Denied, match="deny"):
            await get(denied, inside.url())


async def test_a_redirect_from_what_was_written_leads_nowhere_inside() -> None:
    async with place(lambda path, head: says("secret")) as other:
        elsewhere = f"location: {other.url()}\r\n"
        async with place(lambda path, head: says("", "302 Found", elsewhere)) as first:
            with pytest.raises(Denied, match="this machine's own"):
                await get(Outbound(), first.url(), redirects=3)
        assert other.heads == []


async def test_credentials_do_not_follow_a_redirect_to_another_origin() -> None:
    async with place(lambda path, head: says("there")) as other:
        elsewhere = f"location: {other.url()}\r\n"
        async with place(lambda path, head: says("", "307 Temporary Redirect", elsewhere)) as first:
            allowed = Outbound(Rules(allow=networks(["127.0.0.0/8"])))
            sent = {"authorization": "Bearer planted", "x-api-key": "planted", "cookie": "a=planted"}
            assert await get(allowed, first.url(), redirects=3, **sent) == "there"
        assert b"planted" in first.heads[0]
        assert b"planted" not in other.heads[0]


async def test_redirects_on_the_same_origin_are_followed_but_not_for_ever() -> None:
    def turning(path: str, head: bytes) -> bytes:
        return says("end") if path == "/end" else says("", "302 Found", "location: /end\r\n")

    async with place(turning) as first:
        assert await get(Outbound(), first.url(path="/start"), redirects=1, authorization="Bearer x" * 3) == "end"
        assert b"Bearer x" in first.heads[1]
    async with place(lambda path, head: says("", "302 Found", "location: /again\r\n")) as endless:
        await get(Outbound(), endless.url(), redirects=50)
        assert len(endless.heads) == 4


async def test_what_is_posted_is_not_sent_to_a_second_place() -> None:
    async with place(lambda path, head: says("")) as other:
        elsewhere = f"location: {other.url()}\r\n"
        async with place(lambda path, head: says("", "307 Temporary Redirect", elsewhere)) as first:
            request = httpx2.Request("POST", first.url(), content=b"secret=1")
            assert (await fetched(Outbound().way("written"), request, redirects=3)).status_code == 307
        assert other.heads == []


async def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place(lambda path, head: says("proxy")) as proxy, place(lambda path, head: says("direct")) as wanted:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert await get(Outbound(), wanted.url()) == "direct"
        assert proxy.heads == []


async def test_an_answer_without_end_is_given_up() -> None:
    async with place(lambda path, head: says("x" * 2_000_000)) as large:
        with pytest.raises(GarrisonError, match="larger than"):
            await get(Outbound(), large.url())


async def test_cookies_are_not_kept() -> None:
    async with place(lambda path, head: says("", more="set-cookie: a=b\r\n")) as setting:
        async with client(Outbound().way("written")) as http:
            await http.get(setting.url())
            await http.get(setting.url())
        assert b"a=b" not in setting.heads[1]


async def test_the_second_address_is_tried_when_the_first_does_not_answer() -> None:
    async with place(lambda path, head: says("hello")) as inside:
        outbound = Outbound(Rules(), Resolver(["127.0.0.2", "127.0.0.1"]))
        assert await get(outbound, inside.url("wiki.internal")) == "hello"

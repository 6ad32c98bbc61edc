"""Holes that published gateways, clients and servers had in how they take, get and keep tokens.

Each is named by its id, tried with a real authorisation server on real sockets, and on every way on which a message can
come (`ways.py`) where a message is what sets it off.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import msgspec
import pytest

from authorisation_server import authorisation_server, robot_token
from brought_up import brought_up, fixture_server
from garrison.catalog.issuers import IssuerSpec
from garrison.catalog.sections import Sections
from garrison.catalog.spec import GrantSpec, RoleSpec
from identity.signing import EC, signed
from remote_servers import remote
from running_fleet import Running, StartFleet, stdio
from security.ways import ALL, WAYS, on
from signing_in import LOCAL, admin, as_robot, browser, other_place, spec

pytestmark = pytest.mark.slow

READER = RoleSpec(name="reader", grants=(GrantSpec(servers=("one",), tools=("*",)),))


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with authorisation_server() as found:
        yield found


async def test_cve_2025_69196_a_token_for_somebody_else_is_not_taken(issuer: str, start_fleet: StartFleet) -> None:
    """Tokens of the right issuer were taken whomever they were meant for, so that any server could use its callers'."""
    known = IssuerSpec(issuer=issuer, audiences=("urn:ours",), roles=("reader",))
    running = await start_fleet(
        stdio("one", "everything", session="shared"),
        roles=(READER,),
        profiles=(ALL,),
        sections=Sections(issuers={"tests": known}),
    )
    good = await robot_token(issuer, "urn:ours")
    theirs = ("urn:theirs", "urn:our", "urn:ours/", "https://elsewhere.example/mcp", f"{running.url}/servers/other/mcp")
    bad = [await robot_token(issuer, audience) for audience in theirs]
    for way in WAYS:
        async with on(way, running, good) as caller:
            assert (await caller.call("echo", text="a")).allowed, way
            body = caller.body("tools/call", {"name": f"{way.prefix}echo", "arguments": {"text": "a"}})
            content = json.dumps([body] if way.transport == "batch" else body).encode()
            for token in bad:
                answer = await caller.raw(content, {**caller.headers(body), "authorization": f"Bearer {token}"})
                assert answer.status_code in (401, 429), (way, answer.status_code)
                assert token not in answer.text


async def test_cve_2026_104850_a_secret_goes_to_no_issuer_that_a_server_names(
    issuer: str, start_fleet: StartFleet
) -> None:
    """A client sent its secret to whatever token endpoint the server's metadata named."""
    async with other_place() as (thief, asked), remote("guarded", "--issuer", issuer, "--names", thief) as url:
        one = msgspec.structs.replace(spec(url, "client_credentials", **as_robot(issuer)), name="one")
        running = await start_fleet(one, settings=LOCAL, profiles=(ALL,))
        for way in WAYS:
            async with on(way, running) as caller:
                reply = await caller.call("whoami")
                assert "robot" in json.dumps(reply.message), way
        assert asked == []


# ── a person with a browser ──


async def begun(running: Running) -> tuple[str, str]:
    """The page of a sign-in, and its ticket."""
    async with browser() as http:
        answer = await http.post(f"{running.url}/api/v1/auth/vault", headers=admin(running))
    url: str = answer.json()["url"]
    return url, parse_qs(urlsplit(url).query)["ticket"][0]


async def is_signed_in(running: Running) -> bool:
    return await running.fleet.sign_ins.standing("vault", running.fleet.administrator) is not None


async def test_cve_2026_27124_what_is_agreed_to_belongs_to_the_browser_that_agreed(
    issuer: str, start_fleet: StartFleet
) -> None:
    """Who sent somebody the middle of a sign-in got the token that the other agreed to, or gave the other his own."""
    async with remote("guarded", "--issuer", issuer) as url:
        running = await start_fleet(spec(url), settings=LOCAL)
        page, ticket = await begun(running)
        begin, form = f"{running.url}/oauth/begin", {"ticket": ticket}
        async with browser() as mine, browser() as others:
            assert (await others.post(begin, data=form)).status_code == 403  # nobody has seen the page yet
            assert (await mine.get(page)).status_code == 200
            assert (await others.get(page)).status_code == 403
            assert (await others.post(begin, data=form)).status_code == 403
            evil = {"origin": "https://evil.example"}
            assert (await mine.post(begin, data=form, headers=evil)).status_code == 403
            back = await _back(mine, begin, form)
            assert (await others.get(back)).status_code == 403
            assert not await is_signed_in(running)
            assert (await mine.get(back)).status_code == 404  # it was tried by somebody else, and is over
        assert not await is_signed_in(running)
        page, ticket = await begun(running)
        async with browser() as mine:
            await mine.get(page)
            back = await _back(mine, begin, {"ticket": ticket})
            assert (await mine.get(back)).status_code == 200
            assert (await mine.get(back)).status_code == 404
        assert await is_signed_in(running)


async def _back(http: httpx2.AsyncClient, begin: str, form: dict[str, str]) -> str:
    """Through the issuer's pages, up to the address that leads back to us."""
    answer = await http.post(begin, data=form, headers={"origin": begin.removesuffix("/oauth/begin")})
    while answer.next_request is not None and "/oauth/callback" not in str(answer.next_request.url):
        answer = await http.send(answer.next_request)
    assert answer.next_request is not None, answer.text
    return str(answer.next_request.url)


PLANTED = (
    "<script>planted()</script>",
    "\"><img src=x onerror='planted()'>",
    "javascript:planted()",
    "</title><svg/onload=planted()>",
    "planted\r\nset-cookie: planted=1",
    "{{planted}}",
)
PAGES = (
    "/oauth/begin?ticket={}",
    "/oauth/callback?state={}&code=x",
    "/oauth/callback?state=x&code={}",
    "/oauth/callback?error={0}&error_description={0}&error_uri={0}",
    "/oauth/callback?iss={}",
    "/oauth/callback?{}=x",
    "/approvals/{}",
    "/{}",
)


async def test_cve_2025_62800_pages_repeat_nothing_that_came_with_a_request(
    issuer: str, start_fleet: StartFleet
) -> None:
    """A callback page showed the error that its address named, script and all."""
    async with remote("guarded", "--issuer", issuer) as url:
        running = await start_fleet(spec(url), settings=LOCAL)
        async with browser() as http:
            for form in PAGES:
                for planted in PLANTED:
                    answer = await http.get(running.url + form.format(quote(planted, safe="")))
                    assert 400 <= answer.status_code < 500, form
                    assert "planted" not in answer.text, form
                    assert "planted" not in str(answer.headers), form
            page, _ = await begun(running)
            shown = await http.get(page)
        for answer in (shown, await _failed(running)):
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src" not in policy
            assert "frame-ancestors 'none'" in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert "<script" not in answer.text


async def _failed(running: Running) -> httpx2.Response:
    async with browser() as http:
        return await http.get(f"{running.url}/oauth/callback?error=x")


# ── where tokens end up ──


async def test_cve_2025_70040_no_token_is_in_a_log(tmp_path: Path) -> None:
    """A server wrote its callers' tokens to its log. Ours is read at its most talkative, with the whole home."""
    one: dict[str, Any] = {**fixture_server("everything"), "session": "shared"}
    folder = tmp_path / "fleet"
    folder.mkdir()
    async with brought_up(folder, {"one": one}, logs={"level": "debug"}) as up:
        made = await asyncio.to_thread(up.shell, "keys", "create", "ada", "--role", "admin", code=0)
        key = next(word for word in made.out.split() if word.startswith("gsn_"))
        forged = signed({"alg": "ES256", "kid": "x"}, {"iss": "https://login.example", "sub": "ada"}, EC, "ES256")
        running = Running(up.url, None, up.key)  # type: ignore[arg-type]  # of a node, its fleet is out of reach
        async with httpx2.AsyncClient() as http:
            for way in (way for way in WAYS if not way.endpoint.startswith("/profiles")):  # none is defined there
                async with on(way, running, key) as caller:
                    assert (await caller.call("echo", text="a")).allowed, way
                for token in (key, forged, up.key):
                    await _present(http, up.url + way.path, token)
        shown = await asyncio.to_thread(up.shell, "logs", "--lines", "10000", code=0)
    texts = {"garrison logs": shown.out + shown.err, **await asyncio.to_thread(_texts, folder / ".garrison")}
    assert "garrison.log" in "".join(texts)
    for where, text in texts.items():
        for token in (key, forged, up.key):
            assert token not in text, where
            assert token.rpartition("." if "." in token else "_")[2] not in text, where


async def _present(http: httpx2.AsyncClient, url: str, token: str) -> None:
    """Wherever somebody may put a token, rightly or not."""
    for headers in ({"authorization": f"Bearer {token}"}, {"x-api-key": token}, {"cookie": f"token={token}"}):
        await http.post(url, headers=headers, json={})
    await http.post(f"{url}?access_token={token}", json={"token": token})
    await http.post(f"{url}/{token}", json={"jsonrpc": "2.0", "id": token, "method": token})


def _texts(home: Path) -> dict[str, str]:
    """All files but the one that holds the administrator's key."""
    files = (path for path in home.rglob("*") if path.is_file() and path.name != "admin.key")
    return {str(path): path.read_bytes().decode("latin-1") for path in files}

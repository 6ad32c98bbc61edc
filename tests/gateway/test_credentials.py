"""Servers that demand tokens, behind the gateway: a real authorisation server, real sign-ins, each one's own token."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx2
import pytest

from authorisation_server import authorisation_server, robot_token
from garrison.catalog.issuers import IssuerSpec
from garrison.catalog.sections import Sections
from garrison.runtimes.instance import State
from garrison.surfaces.wiring import fleet as wiring
from remote_servers import remote
from running_fleet import Running, StartFleet, snapshot_of
from signing_in import (
    EVERYTHING,
    LOCAL,
    admin,
    as_robot,
    browser,
    call,
    other_place,
    seen,
    sign_in,
    spec,
    state,
    told,
    until,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    with authorisation_server() as found:
        yield found


@pytest.fixture(params=["legacy", "modern"])
async def guarded(issuer: str, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    async with remote("guarded", "--issuer", issuer, "--era", request.param) as url:
        yield url


@pytest.fixture
async def legacy(issuer: str) -> AsyncIterator[str]:
    async with remote("guarded", "--issuer", issuer) as url:
        yield url


async def test_garrison_shows_its_own_token(start_fleet: StartFleet, issuer: str, guarded: str) -> None:
    auth = as_robot(issuer, scopes=("mcp:read",))
    fleet = await start_fleet(spec(guarded, "client_credentials", **auth), settings=LOCAL)
    assert told(await call(fleet))["client"] == "robot"
    assert "vault__write" in [tool["name"] for tool in await tools(fleet)]


async def tools(fleet: Running, key: str = "") -> list[dict[str, Any]]:
    async with fleet.client(key=key) as client:
        return [tool.model_dump() for tool in (await client.list_tools()).tools]


async def test_a_token_that_is_refused_is_renewed_once_and_the_call_made_again(
    start_fleet: StartFleet, issuer: str, guarded: str
) -> None:
    fleet = await start_fleet(spec(guarded, "client_credentials", **as_robot(issuer)), settings=LOCAL)
    await call(fleet)
    async with httpx2.AsyncClient() as http:
        await http.post(guarded.removesuffix("/mcp") + "/withdraw")
    results = await asyncio.gather(*(call(fleet) for _ in range(5)))
    assert [told(result)["client"] for result in results] == ["robot"] * 5
    calls = [each for each in await seen(guarded) if each["method"] == "tools/call"]
    assert len(calls) == 6
    assert len({each["token"] for each in calls}) == 2  # all five waited for one renewal


async def test_a_call_that_needs_more_is_made_again_with_more(
    start_fleet: StartFleet, issuer: str, legacy: str
) -> None:
    auth = as_robot(issuer, scopes=("mcp:read",))
    fleet = await start_fleet(spec(legacy, "client_credentials", **auth), settings=LOCAL)
    assert told(await call(fleet))["scope"] == "mcp:read"
    assert "mcp:write" in told(await call(fleet, tool="write"))["scope"]


async def test_who_signed_in_is_asked_again_for_what_the_server_wants_beside(
    start_fleet: StartFleet, issuer: str, guarded: str
) -> None:
    fleet = await start_fleet(spec(guarded), settings=LOCAL)
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    refused = await call(fleet, tool="write")
    assert refused["data"]["code"] == "server.auth_needed"
    assert "mcp:write" in refused["message"]
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    assert told(await call(fleet, tool="write"))["scope"] == "mcp:read mcp:write"


async def test_a_fixed_header_is_shown(start_fleet: StartFleet, issuer: str, legacy: str) -> None:
    token = await robot_token(issuer, legacy)
    fleet = await start_fleet(spec(legacy, "header", value=f"Bearer {token}"))
    assert told(await call(fleet))["client"] == "robot"


async def test_principals_sign_in_each_for_itself(start_fleet: StartFleet, issuer: str, guarded: str) -> None:
    fleet = await start_fleet(spec(guarded), settings=LOCAL, roles=(EVERYTHING,))
    assert state(fleet) is State.AUTH_NEEDED
    page = await sign_in(fleet)
    assert (page.status_code, "Signed in" in page.text) == (200, True), page.text
    await until(lambda: state(fleet) is State.RUNNING)
    assert told(await call(fleet))["who"] == "ada"
    bob = fleet.key("all", name="bob")
    before = len(await seen(guarded))
    refused = await call(fleet, bob)
    assert refused["data"]["code"] == "server.auth_needed"
    assert "garrison auth login vault --as" in refused["message"]
    assert len(await seen(guarded)) == before  # nothing was sent for bob, least of all somebody else's token
    await sign_in(fleet, "bob")
    assert told(await call(fleet, bob))["who"] == "ada"
    tokens = {each["token"] for each in await seen(guarded) if each["method"] == "tools/call"}
    assert len(tokens) == 2


async def test_what_was_agreed_to_outlives_the_node_and_is_forgotten_when_asked(
    start_fleet: StartFleet, tmp_path: Any, issuer: str, legacy: str
) -> None:
    fleet = await start_fleet(spec(legacy), settings=LOCAL)
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    token = await fleet.fleet.sign_ins.standing("vault", fleet.fleet.administrator)
    assert token is not None
    assert token.refresh
    fleet.fleet.ledger.flush()
    for file in (path for path in fleet.fleet.home.root.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert token.access.encode() not in content, file
        assert token.refresh.encode() not in content, file
    assert token.access not in repr(token)
    async with httpx2.AsyncClient() as http:
        answer = await http.delete(f"{fleet.url}/api/v1/auth/vault", headers=admin(fleet))
    assert answer.json()["was_signed_in"]
    await until(lambda: state(fleet) is State.AUTH_NEEDED)
    assert (await call(fleet))["data"]["code"] == "server.auth_needed"
    assert "vault__whoami" in [tool["name"] for tool in await tools(fleet)]  # the last known list stays


async def test_a_client_that_opens_urls_is_sent_to_sign_in(start_fleet: StartFleet, issuer: str, legacy: str) -> None:
    fleet = await start_fleet(spec(legacy), settings=LOCAL, roles=(EVERYTHING,))
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    bob = fleet.key("all", name="bob")
    asked = await call(fleet, bob, asks="")
    assert asked["resultType"] == "input_required"
    question = asked["inputRequests"]["garrison.sign_in"]["params"]
    assert question["mode"] == "url"
    assert (await sign_in(fleet, url=question["url"])).status_code == 200
    assert told(await call(fleet, bob))["who"] == "ada"
    async with browser() as http:
        assert (await http.get(question["url"])).status_code == 404  # it was used


async def test_who_declines_is_not_asked_again_and_again(start_fleet: StartFleet, issuer: str, legacy: str) -> None:
    fleet = await start_fleet(spec(legacy), settings=LOCAL, roles=(EVERYTHING,))
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    bob = fleet.key("all", name="bob")
    refused = await call(fleet, bob, asks="", answers={"garrison.sign_in": {"action": "decline"}})
    assert refused["data"]["code"] == "auth.declined"


async def test_a_legacy_client_is_told_by_the_error_of_its_revision(
    start_fleet: StartFleet, issuer: str, legacy: str
) -> None:
    fleet = await start_fleet(spec(legacy), settings=LOCAL, roles=(EVERYTHING,))
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    bob = {"authorization": f"Bearer {fleet.key('all', name='bob')}"}
    able = {
        "protocolVersion": "2025-11-25",
        "capabilities": {"elicitation": {"url": {}}},
        "clientInfo": {"name": "x", "version": "1"},
    }
    opened = await fleet.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": able}, **bob)
    session = {"mcp_session_id": opened.headers["mcp-session-id"], "mcp_protocol_version": "2025-11-25", **bob}
    params = {"name": "vault__whoami", "arguments": {}}
    body = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
    error = (await fleet.post("/mcp", body, **session)).json()["error"]
    assert error["code"] == -32042
    await sign_in(fleet, url=error["data"]["elicitations"][0]["url"])
    assert told((await fleet.post("/mcp", body, **session)).json()["result"])["who"] == "ada"


async def test_callers_tokens_are_exchanged_and_never_passed_on(
    start_fleet: StartFleet, issuer: str, guarded: str
) -> None:
    known = IssuerSpec(issuer=issuer, audiences=("urn:gateway",), roles=("all",), types=("at+jwt",))
    auth = as_robot(issuer, resource=guarded)
    sections = Sections(issuers={"local": known})
    fleet = await start_fleet(spec(guarded, "token_exchange", **auth), roles=(EVERYTHING,), sections=sections)
    own = await robot_token(issuer, "urn:gateway")
    result = told(await call(fleet, own))
    assert result["scope"] == "mcp:read"
    digests = {each["token"] for each in await seen(guarded)}
    assert _digest(own) not in digests
    refused = await call(fleet)  # the admin key is no token: there is nothing to exchange
    assert refused["data"]["code"] == "auth.no_subject"


def _digest(token: str) -> str:
    return hashlib.sha256(f"Bearer {token}".encode()).hexdigest()[:16]


async def test_short_lived_tokens_are_refreshed_before_anybody_notices(start_fleet: StartFleet) -> None:
    with authorisation_server(life_s=2) as short:
        async with remote("guarded", "--issuer", short) as url:
            fleet = await start_fleet(spec(url), settings=LOCAL)
            await sign_in(fleet)
            await until(lambda: state(fleet) is State.RUNNING)
            first = await fleet.fleet.sign_ins.standing("vault", fleet.fleet.administrator)
            assert first is not None
            await asyncio.sleep(max(0.0, first.ends_s - time.time() + 0.1))
            results = await asyncio.gather(*(call(fleet) for _ in range(4)))
            assert [told(result)["who"] for result in results] == ["ada"] * 4


# ── what must not happen ──


async def test_an_issuer_that_a_server_names_is_a_stranger(start_fleet: StartFleet, issuer: str, legacy: str) -> None:
    """No setting allows this machine: the server may be there, because it was written; whom it names may not."""
    fleet = await start_fleet(spec(legacy))
    async with browser() as http:
        answer = await http.post(f"{fleet.url}/api/v1/auth/vault", headers=admin(fleet))
    assert answer.status_code == 403
    assert answer.json()["code"] == "outbound.refused"


async def test_an_issuer_that_is_written_is_none(start_fleet: StartFleet, issuer: str, legacy: str) -> None:
    fleet = await start_fleet(spec(legacy, issuer=issuer))
    assert (await sign_in(fleet)).status_code == 200
    await until(lambda: state(fleet) is State.RUNNING)


async def test_a_secret_goes_to_the_issuer_that_is_written_whoever_the_server_names(
    start_fleet: StartFleet, issuer: str
) -> None:
    async with other_place() as (thief, asked), remote("guarded", "--issuer", issuer, "--names", thief) as url:
        fleet = await start_fleet(spec(url, "client_credentials", **as_robot(issuer)), settings=LOCAL)
        assert told(await call(fleet))["client"] == "robot"
        assert asked == []


async def test_metadata_about_another_resource_is_not_believed(start_fleet: StartFleet, issuer: str) -> None:
    async with remote("guarded", "--issuer", issuer, "--named", "https://bank.example/mcp") as url:
        fleet = await start_fleet(spec(url), settings=LOCAL)
        async with browser() as http:
            answer = await http.post(f"{fleet.url}/api/v1/auth/vault", headers=admin(fleet))
        assert answer.json()["code"] == "auth.foreign_resource"


async def test_a_token_of_a_former_issuer_or_address_is_not_shown(
    start_fleet: StartFleet, issuer: str, legacy: str
) -> None:
    fleet = await start_fleet(spec(legacy), settings=LOCAL)
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    before = len(await seen(legacy))
    with authorisation_server() as another:
        await wiring.apply(fleet.fleet, snapshot_of((spec(legacy, issuer=another),)))
        await until(lambda: state(fleet) is State.AUTH_NEEDED)
    assert len(await seen(legacy)) == before


@pytest.fixture
async def begun(start_fleet: StartFleet, issuer: str, legacy: str) -> tuple[Running, str]:
    """A fleet, and the page of a sign-in."""
    fleet = await start_fleet(spec(legacy), settings=LOCAL)
    async with browser() as http:
        answer = await http.post(f"{fleet.url}/api/v1/auth/vault", headers=admin(fleet))
    return fleet, answer.json()["url"]


async def test_a_sign_in_belongs_to_the_browser_that_opened_it(begun: tuple[Running, str]) -> None:
    fleet, url = begun
    async with browser() as mine, browser() as thiefs:
        page = await mine.get(url)
        assert (await thiefs.get(url)).status_code == 403
        ticket = parse_qs(urlsplit(url).query)["ticket"][0]
        stolen = await thiefs.post(f"{fleet.url}/oauth/begin", data={"ticket": ticket})
        assert stolen.status_code == 403
        there = await mine.post(f"{fleet.url}/oauth/begin", data={"ticket": ticket})
        state_ = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
        back = await thiefs.get(f"{fleet.url}/oauth/callback", params={"state": state_, "code": "x"})
        assert back.status_code == 403
        assert "Sign in" in page.text
    assert await fleet.fleet.sign_ins.standing("vault", fleet.fleet.administrator) is None


async def test_an_answer_of_another_issuer_is_refused_and_the_sign_in_over(begun: tuple[Running, str]) -> None:
    fleet, url = begun
    async with browser() as http:
        await http.get(url)
        ticket = parse_qs(urlsplit(url).query)["ticket"][0]
        there = await http.post(f"{fleet.url}/oauth/begin", data={"ticket": ticket})
        state_ = parse_qs(urlsplit(there.headers["location"]).query)["state"][0]
        answer = {"state": state_, "code": "x", "iss": "https://evil.example"}
        mixed_up = await http.get(f"{fleet.url}/oauth/callback", params=answer)
        assert (mixed_up.status_code, "evil" in mixed_up.text) == (403, False)
        again = await http.get(f"{fleet.url}/oauth/callback", params={**answer, "iss": ""})
        assert again.status_code == 404


async def test_the_pages_repeat_nothing_that_came_with_a_request(begun: tuple[Running, str]) -> None:
    fleet, url = begun
    planted = "<script>planted()</script>"
    async with browser() as http:
        for path in ("/oauth/begin?ticket=", "/oauth/callback?state=", "/oauth/callback?error=x&error_description="):
            answer = await http.get(fleet.url + path + quote(planted))
            assert answer.status_code in (403, 404)
            assert "planted" not in answer.text
        page = await http.get(url)
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "<script" not in page.text
        cookie = page.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=lax" in cookie
        twice = await http.get(f"{fleet.url}/oauth/callback?state=a&state=b")
        assert twice.status_code == 400


async def test_pkce_and_the_resource_are_asked_for(begun: tuple[Running, str], legacy: str) -> None:
    fleet, url = begun
    async with browser() as http:
        await http.get(url)
        ticket = parse_qs(urlsplit(url).query)["ticket"][0]
        there = await http.post(f"{fleet.url}/oauth/begin", data={"ticket": ticket})
    asked = {name: values[0] for name, values in parse_qs(urlsplit(there.headers["location"]).query).items()}
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert asked["resource"] == legacy
    assert asked["redirect_uri"] == f"{fleet.url}/oauth/callback"


async def test_what_one_principal_read_is_not_another_s(start_fleet: StartFleet, issuer: str) -> None:
    """The server calls its answers public; they were made with somebody's token all the same."""
    async with remote("guarded", "--issuer", issuer, "--era", "modern") as url:
        fleet = await start_fleet(spec(url), settings=LOCAL, roles=(EVERYTHING,))
        await sign_in(fleet)
        await until(lambda: state(fleet) is State.RUNNING)
        bob = fleet.key("all", name="bob")
        await sign_in(fleet, "bob")
        for key in (fleet.admin_key, bob, fleet.admin_key, bob):
            answer = await read(fleet, key)
            assert "ada" in answer
        reads = [each["token"] for each in await seen(url) if each["method"] == "resources/read"]
        assert len(reads) == len(set(reads)) == 2


async def read(fleet: Running, key: str) -> str:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "me://self", "_meta": meta}}
    sent = {"mcp-protocol-version": "2026-07-28", "mcp-method": "resources/read", "mcp-name": "me://self"}
    return (await fleet.post("/mcp", body, **sent, authorization=f"Bearer {key}")).text


async def test_many_calls_of_two_principals_each_go_out_with_their_own_token(
    start_fleet: StartFleet, issuer: str, guarded: str
) -> None:
    fleet = await start_fleet(spec(guarded), settings=LOCAL, roles=(EVERYTHING,))
    await sign_in(fleet)
    await until(lambda: state(fleet) is State.RUNNING)
    bob = fleet.key("all", name="bob")
    await sign_in(fleet, "bob")
    keys = [fleet.admin_key, bob] * 6
    for result in await asyncio.gather(*(call(fleet, key) for key in keys)):
        assert told(result)["who"] == "ada"
    for _ in range(3):  # now on the fast path, if there is one for them
        await call(fleet, bob)
        await call(fleet)
    tokens = await asyncio.gather(
        *(fleet.fleet.sign_ins.standing("vault", one) for one in (fleet.fleet.administrator, _id(fleet, "bob")))
    )
    wanted = {_digest(token.access) for token in tokens if token is not None}
    counts = Counter(each["token"] for each in await seen(guarded) if each["method"] == "tools/call")
    assert counts == dict.fromkeys(wanted, 9)


def _id(fleet: Running, name: str) -> str:
    return next(record.principal for record in fleet.fleet.keys.list() if record.name == name)

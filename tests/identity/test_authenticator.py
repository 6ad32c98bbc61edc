"""Keys and tokens become principals."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.issuers import ClaimsSpec
from garrison.identity import tokens
from garrison.identity.attempts import ADDRESSES_MAX, LOOKS_PER_S, Attempts
from garrison.identity.authenticator import Authenticator
from garrison.identity.principals import Principal
from garrison.identity.resources import Resources
from garrison.identity.step_up import scopes_to_ask
from garrison.identity.token_rules import principal_id_of
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Limited, Unauthenticated
from identity.signing import AUDIENCE, ISSUER, PUBLIC, Gate


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


async def test_a_key_is_known_at_once_and_a_token_as_soon_as_its_issuers_keys_are(gate: Gate) -> None:
    _, key = gate.keys.create("ci", ["reader"])
    assert isinstance(gate.authenticator.identify(key, ""), Principal)
    token = gate.token()
    first = gate.authenticator.identify(token, "")
    assert inspect.isawaitable(first)
    principal = await first
    assert gate.authenticator.identify(token, "") is principal
    assert gate.authenticator.known(token, "") == (principal, gate.clock.wall_ns() + 660 * 10**9)


async def test_a_known_token_ends_when_it_expires(gate: Gate) -> None:
    token = gate.token()
    await gate.ask(token)
    gate.clock.advance(659)
    assert gate.authenticator.known(token, "") is not None
    gate.clock.advance(1)
    assert gate.authenticator.known(token, "") is None
    with pytest.raises(Unauthenticated, match="expired"):
        await gate.ask(token)


async def test_tokens_are_remembered_by_their_hash_and_not_without_bound(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "KNOWN_MAX", 3)
    presented = [gate.token(jti=str(number)) for number in range(5)]
    for token in presented:
        await gate.ask(token)
    assert [gate.authenticator.known(token, "") is not None for token in presented] == [False, False, True, True, True]
    known = repr(vars(gate.authenticator._tokens))
    assert not [token for token in presented if token.split(".")[2] in known]


@pytest.mark.parametrize(
    ("audience", "good_for"),
    [
        (AUDIENCE, {"", "git", "profiles/review"}),
        (PUBLIC, {"", "git", "profiles/review"}),
        (f"{PUBLIC}/", {"", "git", "profiles/review"}),
        (f"{PUBLIC}/mcp", {""}),
        (f"{PUBLIC}/servers/git/mcp", {"git"}),
        (f"{PUBLIC}/profiles/review/mcp", {"profiles/review"}),
        ([f"{PUBLIC}/mcp", f"{PUBLIC}/servers/git/mcp"], {"", "git"}),
        (f"{PUBLIC}/servers/git/mcp/", set()),
        (f"{PUBLIC.upper()}/mcp", set()),
    ],
)
async def test_a_token_is_good_where_it_is_meant_for(gate: Gate, audience: Any, good_for: set[str]) -> None:
    token = gate.token(aud=audience)
    for endpoint in ("", "git", "profiles/review"):
        if endpoint in good_for:
            await gate.ask(token, endpoint)
        else:
            with pytest.raises(Unauthenticated, match="somebody else"):
                await gate.ask(token, endpoint)
    assert {one for one in ("", "git", "profiles/review") if gate.authenticator.known(token, one)} == good_for


@pytest.mark.parametrize("audience", ["/mcp", "", "/", "/servers/git/mcp", f"{PUBLIC}/mcp"])
async def test_while_our_url_is_not_known_only_named_audiences_count(gate: Gate, audience: str) -> None:
    gate.authenticator.resources.rebase("")
    await gate.ask(gate.token())
    for endpoint in ("", "git"):
        with pytest.raises(Unauthenticated):
            await gate.ask(gate.token(aud=audience), endpoint)
    assert "resource_metadata" not in gate.authenticator.resources.challenge("/mcp")


async def test_claims_become_name_groups_scopes_and_roles(gate: Gate) -> None:
    gate.use(
        claims=ClaimsSpec(name="preferred_username", groups="realm.groups", roles="https://x.example/roles"),
        roles=("everybody",),
        roles_by_scope={"read": ("reader",), "write": ("writer",)},
    )
    token = gate.token(
        preferred_username="Ada\u202e\n Lovelace",
        realm={"groups": ["staff", 7, "", "x" * 300, "a\nb"]},
        scope="read other",
        **{"https://x.example/roles": ["auditor", "admin"]},
    )
    principal = await gate.ask(token)
    assert principal == Principal(
        principal_id_of(ISSUER, "ada"),
        "token",
        "Ada Lovelace",
        ("everybody", "reader", "auditor"),
        ("staff",),
        ("read", "other"),
        ISSUER,
    )
    assert gate.authenticator.why(token, "") == (
        "role everybody: every bearer of a token of issuer tests",
        "role reader: scope read of issuer tests",
        "role auditor: claim https://x.example/roles of issuer tests",
    )


async def test_no_claim_gives_a_role_unless_one_is_named(gate: Gate) -> None:
    principal = await gate.ask(gate.token(roles=["admin"], role="admin", groups=["admin"], scope="admin"))
    assert principal.roles == ()


@pytest.mark.parametrize(
    ("more", "is_taken"),
    [
        ({"email_verified": True, "hd": "corp.example"}, True),
        ({"email_verified": True, "hd": ["x", "corp.example"]}, True),
        ({"email_verified": 1, "hd": "corp.example"}, False),
        ({"email_verified": "true", "hd": "corp.example"}, False),
        ({"email_verified": True, "hd": "corp.example.attacker.example"}, False),
        ({"email_verified": True}, False),
        ({"email_verified": True, "hd": [["corp.example"]]}, False),
    ],
)
async def test_claims_that_are_required_have_to_be_just_so(gate: Gate, more: dict[str, Any], is_taken: bool) -> None:
    gate.use(require={"email_verified": True, "hd": "corp.example"})
    if is_taken:
        await gate.ask(gate.token(**more))
        return
    with pytest.raises(Unauthenticated) as refusal:
        await gate.ask(gate.token(**more))
    assert refusal.value.code == "token.required"


@pytest.mark.parametrize(
    ("more", "is_taken"),
    [
        ({"azp": "desktop"}, True),
        ({"client_id": "desktop"}, True),
        ({"azp": "desktop", "client_id": "desktop"}, True),
        ({"azp": "desktop", "client_id": "other"}, False),
        ({"azp": "other"}, False),
        ({"azp": ["desktop"]}, False),
        ({}, False),
    ],
)
async def test_only_clients_of_the_list_are_taken(gate: Gate, more: dict[str, Any], is_taken: bool) -> None:
    gate.use(clients=("desktop",))
    if is_taken:
        await gate.ask(gate.token(**more))
        return
    with pytest.raises(Unauthenticated) as refusal:
        await gate.ask(gate.token(**more))
    assert refusal.value.code == "token.client"


async def test_types_of_tokens_can_be_narrowed(gate: Gate) -> None:
    gate.use(types=("at+jwt",))
    await gate.ask(gate.token())
    for header in ({"typ": "JWT"}, {"typ": ""}):
        with pytest.raises(Unauthenticated) as refusal:
            await gate.ask(gate.token(header=header))
        assert refusal.value.code == "token.type"


async def test_where_somebodys_state_is_does_not_change_with_his_key_or_token(gate: Gate) -> None:
    record, key = gate.keys.create("ci", [])
    _, rotated = gate.keys.rotate("ci", 60)
    holder = gate.authenticator.holder
    assert holder(key) == holder(rotated) == record.principal
    token = gate.token()
    assert holder(token) == holder(gate.token(jti="another")) == (await gate.ask(token)).id
    assert holder(gate.token(sub="eve")) != holder(token)
    for nonsense in ("", "nonsense", "a.b.c", "gsn_" + "x" * 52, gate.token(sub=1)):
        assert holder(nonsense) == nonsense


@given(st.text(max_size=40), st.text(max_size=40))
def test_ids_belong_to_one_subject_of_one_issuer(first: str, second: str) -> None:
    issuers = (ISSUER, ISSUER + "/", "https://login.example:8443")
    ids = {principal_id_of(issuer, subject) for issuer in issuers for subject in {first, second}}
    assert len(ids) == len(issuers) * len({first, second})
    assert all(one.count(":") == 2 and one.isascii() and one.isprintable() for one in ids)


async def test_an_address_that_fails_too_often_is_told_to_wait_and_what_is_right_is_served(tmp_path: Path) -> None:
    gate = Gate(tmp_path)
    gate.authenticator = Authenticator(gate.keys, gate.clock, gate.web.fetch, Resources(PUBLIC), 5)
    gate.use()
    _, key = gate.keys.create("ci", [])
    known = gate.token()
    await gate.ask(known)
    for presented in ["nonsense", "a.b.c", gate.token(aud="x"), "gsn_" + "x" * 52, gate.token(header={"kid": "no"})]:
        with pytest.raises(Unauthenticated):
            await gate.ask(presented)
    for presented in ("nonsense", gate.token(aud="y"), "a.b.c"):
        with pytest.raises(Limited) as refusal:
            await gate.ask(presented)
        assert 0 < refusal.value.retry_after_s <= 12
    assert (await gate.ask(key)).name == "ci"
    assert (await gate.ask(known)).name == "ada"
    assert (await gate.ask(gate.token(sub="carl"))).name == "carl"  # somebody behind the same proxy
    for number in range(LOOKS_PER_S):
        with pytest.raises(Limited):
            await gate.ask(gate.token(aud=f"z{number}"))
    with pytest.raises(Limited):
        await gate.ask(gate.token(sub="dora"))
    with pytest.raises(Unauthenticated):
        await gate.ask("nonsense", address="192.0.2.2")
    with pytest.raises(Unauthenticated):
        await gate.ask("")
    gate.clock.advance(refusal.value.retry_after_s + 0.01)
    assert (await gate.ask(gate.token(sub="bob"))).name == "bob"
    gate.close()


def test_failures_are_counted_for_so_many_addresses_and_forgotten_with_time() -> None:
    clock = ManualClock()
    attempts = Attempts(3, clock.monotonic_s)
    for number in range(ADDRESSES_MAX + 100):
        attempts.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(attempts) == ADDRESSES_MAX
    for _ in range(3):
        attempts.failed("2001:db8::1")
    assert attempts.wait_s("2001:db8::ffff") > 0
    assert attempts.wait_s("2001:db8:0:1::1") == 0
    clock.advance(20)
    assert attempts.wait_s("2001:db8::1") == 0
    attempts.failed("::ffff:192.0.2.7")
    attempts.failed("192.0.2.7")
    attempts.failed("192.0.2.7")
    assert attempts.wait_s("192.0.2.7") > 0


@given(st.lists(st.tuples(st.floats(0, 30), st.booleans()), max_size=60))
def test_who_waits_as_told_is_looked_at(steps: list[tuple[float, bool]]) -> None:
    clock = ManualClock()
    attempts = Attempts(4, clock.monotonic_s)
    for pause_s, obeys in steps:
        clock.advance(pause_s)
        wait_s = attempts.wait_s("a")
        assert 0 <= wait_s <= 60
        if obeys and wait_s:
            clock.advance(wait_s + 0.001)
            assert attempts.wait_s("a") == 0
        if not attempts.wait_s("a"):
            attempts.failed("a")


async def test_metadata_and_challenges_name_the_resource_that_was_asked(gate: Gate) -> None:
    gate.use(roles_by_scope={"read": ("reader",), "write": ("writer",)}, ask_scopes=("read",))
    resources = gate.authenticator.resources
    assert resources.metadata("/servers/git/mcp") == {
        "resource": f"{PUBLIC}/servers/git/mcp",
        "authorization_servers": [ISSUER],
        "bearer_methods_supported": ["header"],
        "resource_name": "Garrison: a gateway for MCP servers",
        "scopes_supported": ["read", "write"],
    }
    where = f'resource_metadata="{PUBLIC}/.well-known/oauth-protected-resource/mcp"'
    assert resources.challenge("/mcp") == f'Bearer realm="garrison", scope="read", {where}'
    assert resources.challenge("/mcp", "invalid_token") == (
        f'Bearer realm="garrison", error="invalid_token", scope="read", {where}'
    )
    gate.authenticator.replace({})
    assert resources.metadata("/mcp") is None
    assert resources.challenge("/mcp", "invalid_token") == 'Bearer realm="garrison", error="invalid_token"'


async def test_the_first_scope_that_would_do_is_asked_for_beside_those_held(gate: Gate) -> None:
    gate.use(roles_by_scope={"read": ("reader",), "tell": ("teller",), "write": ("writer",)})
    issuers = list(gate.authenticator.resources.issuers.values())
    principal = await gate.ask(gate.token(scope="read"))
    assert scopes_to_ask(issuers, principal, lambda other: "writer" in other.roles) == ("read", "write")
    assert scopes_to_ask(issuers, principal, lambda other: False) == ()
    stranger = Principal("x", "token", "x", issuer="https://other.example")
    assert scopes_to_ask(issuers, stranger, lambda other: True) == ()

"""Where an issuer's keys come from, and what happens when they cannot be read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.issuer_keys import read_key_set
from garrison.identity.issuer_source import FRESH_S, KEPT_S, discovery_urls
from garrison.kernel.errors import Unauthenticated, Unavailable
from garrison.protocol.wellformed import NotStrict
from identity.signing import EC, ISSUER, OTHER_EC, RSA, Gate, claims, public, signed

JWKS = f"{ISSUER}/jwks"
OIDC = f"{ISSUER}/.well-known/openid-configuration"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


def rotated(gate: Gate, *, keep: bool) -> str:
    """A token by a new key, which the issuer now has, beside the old ones or in their place."""
    old = gate.web.documents[JWKS]["keys"] if keep else []
    gate.web.documents[JWKS] = {"keys": [*old, public(OTHER_EC, kid="new")]}
    return signed({"alg": "ES256", "kid": "new"}, claims(gate.clock, sub="eve"), OTHER_EC, "ES256")


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_places_of_metadata_are_those_of_both_standards() -> None:
    spec = IssuerSpec(issuer="https://a.example/tenant", audiences=("x",))
    assert discovery_urls(spec) == (
        "https://a.example/tenant/.well-known/openid-configuration",
        "https://a.example/.well-known/oauth-authorization-server/tenant",
        "https://a.example/.well-known/openid-configuration/tenant",
    )
    own = IssuerSpec(issuer="https://a.example", audiences=("x",), discovery="https://a.example/meta")
    assert discovery_urls(own) == ("https://a.example/meta",)


async def test_keys_are_read_once_for_all_that_wait(gate: Gate) -> None:
    tokens = [gate.token(sub=f"user{number}") for number in range(20)]
    found = await asyncio.gather(*(gate.ask(token) for token in tokens))
    assert [one.name for one in found] == [f"user{number}" for number in range(20)]
    assert gate.web.asked == [OIDC, JWKS]


async def test_metadata_of_rfc_8414_will_do(gate: Gate) -> None:
    gate.web.documents[f"{ISSUER}/.well-known/oauth-authorization-server"] = gate.web.documents.pop(OIDC)
    assert (await gate.ask(gate.token())).name == "ada"


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": ISSUER + "/", "jwks_uri": JWKS},
        {"issuer": "https://attacker.example", "jwks_uri": JWKS},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "jwks_uri": "http://login.example/jwks"},
        {"issuer": ISSUER, "jwks_uri": "http://127.0.0.1:9/jwks"},
        {"issuer": ISSUER, "jwks_uri": "https://localhost/jwks"},
        {"issuer": ISSUER, "jwks_uri": "file:///etc/passwd"},
        {"issuer": ISSUER, "jwks_uri": ["x"]},
        b'{"issuer": "https://login.example", "issuer": "https://login.example"}',
        b"<html>",
        b'{"issuer": "' + b"x" * 300_000 + b'"}',
    ],
)
async def test_metadata_that_cannot_be_trusted_is_not(gate: Gate, metadata: Any) -> None:
    gate.web.documents[OIDC] = metadata
    with pytest.raises(Unavailable, match="cannot be read now"):
        await gate.ask(gate.token())
    assert JWKS not in gate.web.asked
    assert not [url for url in gate.web.asked if "127.0.0.1" in url or "localhost" in url]


async def test_a_new_key_is_found_when_a_token_names_it(gate: Gate) -> None:
    await gate.ask(gate.token())
    gate.clock.advance(11)
    token = rotated(gate, keep=True)
    assert (await gate.ask(token)).name == "eve"
    assert gate.web.asked.count(JWKS) == 2


async def test_unknown_key_ids_do_not_make_us_ask_again_and_again(gate: Gate) -> None:
    await gate.ask(gate.token())
    gate.clock.advance(11)
    for number in range(50):
        with pytest.raises(Unauthenticated) as refusal:
            await gate.ask(gate.token(header={"kid": f"no such key {number}"}))
        assert refusal.value.code == "token.key"
    assert gate.web.asked.count(JWKS) == 2


async def test_what_a_withdrawn_key_has_signed_counts_no_more(gate: Gate) -> None:
    token, other = gate.token(), gate.token("rsa")
    await gate.ask(token)
    edition = gate.authenticator.edition
    gate.web.documents[JWKS] = {"keys": [public(RSA, kid="rsa")]}
    gate.clock.advance(FRESH_S - 100)
    assert isinstance(gate.authenticator.identify(token, "", ""), object)
    gate.clock.advance(101)
    fresh = gate.token("rsa", sub="bob")
    await gate.ask(fresh)
    await settled()
    assert gate.authenticator.edition is not edition
    assert gate.authenticator.known(token, "") is None
    with pytest.raises(Unauthenticated):
        await gate.ask(gate.token())
    del other


async def test_a_key_replaced_under_its_own_id_is_a_withdrawn_one(gate: Gate) -> None:
    token = gate.token()
    await gate.ask(token)
    gate.web.documents[JWKS] = {"keys": [public(OTHER_EC, kid="ec"), public(RSA, kid="rsa")]}
    gate.clock.advance(FRESH_S + 1)
    await gate.ask(gate.token("rsa", sub="bob"))
    await settled()
    assert gate.authenticator.known(token, "") is None


async def test_what_was_good_is_kept_for_a_day_while_the_issuer_is_away(gate: Gate) -> None:
    await gate.ask(gate.token())
    gate.web.documents.clear()
    for _ in range(20):
        gate.clock.advance(KEPT_S / 24)
        assert (await gate.ask(gate.token())).name == "ada"
        await settled()
    gate.clock.advance(KEPT_S)
    with pytest.raises(Unavailable):
        await gate.ask(gate.token())


async def test_a_document_without_usable_keys_replaces_nothing(gate: Gate) -> None:
    await gate.ask(gate.token())
    gate.web.documents[JWKS] = {"keys": []}
    gate.clock.advance(FRESH_S + 1)
    await gate.ask(gate.token(sub="bob"))
    await settled()
    assert (await gate.ask(gate.token(sub="eve"))).name == "eve"


async def test_an_issuer_out_of_reach_is_asked_less_and_less(gate: Gate) -> None:
    gate.web.documents.clear()
    asked = []
    for _ in range(12 * 60):
        with pytest.raises(Unavailable):
            await gate.ask(gate.token())
        asked.append(len(gate.web.asked))
        gate.clock.advance(1)
    rounds = asked[-1] // 3
    assert 12 * 60 / 60 <= rounds <= 35
    assert asked[10] // 3 <= 6


async def test_it_recovers_by_itself(gate: Gate) -> None:
    whole, gate.web.documents = gate.web.documents, {}
    with pytest.raises(Unavailable):
        await gate.ask(gate.token())
    gate.web.documents = whole
    with pytest.raises(Unavailable):
        await gate.ask(gate.token())
    gate.clock.advance(2)
    assert (await gate.ask(gate.token())).name == "ada"


async def test_issuers_that_are_as_before_keep_their_keys_and_tokens(gate: Gate) -> None:
    token = gate.token()
    await gate.ask(token)
    edition = gate.authenticator.edition
    gate.use()
    assert gate.authenticator.edition is not edition
    assert gate.authenticator.known(token, "") is not None
    gate.use(roles=("reader",))
    assert gate.authenticator.known(token, "") is None
    gate.authenticator.replace({})
    with pytest.raises(Unauthenticated, match="API key"):
        await gate.ask(token)


@pytest.mark.parametrize(
    "entry",
    [
        public(EC, use="enc"),
        public(EC, key_ops=["sign"]),
        public(EC, key_ops="verify"),
        EC.as_dict(private=True),
        public(EC, y="AAAA"),
        public(EC, x=public(OTHER_EC)["x"]),
        public(EC, crv="P-999"),
        public(EC, kid=1),
        public(RSA, e="AQ"),
        public(RSA, e="AAAA"),
        public(RSA, n="AQAB"),
        public(RSA, n=1),
        {"kty": "RSA"},
        {"kty": "oct", "k": "AAAA"},
        {"kty": ["EC"]},
        "a text",
        None,
    ],
)
def test_a_key_that_cannot_be_used_is_left_out_and_the_others_stay(entry: Any) -> None:
    document = json.dumps({"keys": [entry, public(EC, kid="good")]}).encode()
    assert read_key_set(document).key_ids == {"good"}


@pytest.mark.parametrize("document", [b"", b"[]", b"{", b'{"keys": [], "keys": []}', b"\xff", b"x" * 300_000])
def test_what_is_no_key_set_is_said_to_be_none(document: bytes) -> None:
    with pytest.raises(NotStrict):
        read_key_set(document)


def test_no_more_than_64_keys_are_looked_at() -> None:
    keys = [public(EC, kid=str(number)) for number in range(100)]
    assert len(read_key_set(json.dumps({"keys": keys}).encode())) == 64

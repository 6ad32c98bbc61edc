"""Tokens that have deceived verifiers elsewhere, each signed here, each refused, and nothing of them repeated."""

from __future__ import annotations

import hmac
import json
import re
import string
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from garrison.identity.token_reading import read_token
from garrison.kernel.errors import GarrisonError, Unauthenticated
from identity.signing import AUDIENCE, EC, ISSUER, OTHER_EC, P384, RSA, Gate, b64, claims, public, signed

HOUR = 3600


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    made = Gate(tmp_path)
    yield made
    made.close()


def parts(token: str) -> list[str]:
    return token.split(".")


def put(token: str, index: int, part: str) -> str:
    found = parts(token)
    found[index] = part
    return ".".join(found)


def hs256(gate: Gate, secret: bytes, kid: str = "rsa") -> str:
    text = f"{b64(json.dumps({'alg': 'HS256', 'kid': kid}).encode())}.{b64(json.dumps(claims(gate.clock)).encode())}"
    return f"{text}.{b64(hmac.new(secret, text.encode(), sha256).digest())}"


def with_header(**header: Any) -> Callable[[Gate], str]:
    return lambda gate: gate.token(header=header)


def with_claims(**more: Any) -> Callable[[Gate], str]:
    return lambda gate: gate.token(**more)


def at(**offsets: int) -> Callable[[Gate], str]:
    """Times relative to now."""
    return lambda gate: gate.token(
        **{name: gate.clock.wall_ns() // 1_000_000_000 + offset for name, offset in offsets.items()}
    )


def unsigned(algorithm: str) -> Callable[[Gate], str]:
    def make(gate: Gate) -> str:
        header = b64(json.dumps({"alg": algorithm, "typ": "JWT"}).encode())
        return f"{header}.{b64(json.dumps(claims(gate.clock)).encode())}."

    return make


def raw_claims(text: str) -> Callable[[Gate], str]:
    """`@` stands for the good claims without their last brace."""

    def make(gate: Gate) -> str:
        good = json.dumps(claims(gate.clock))[:-1]
        return signed({"alg": "ES256", "kid": "ec"}, text.replace("@", good).encode(), EC, "ES256")

    return make


def small_rsa(gate: Gate) -> str:
    with warnings.catch_warnings(action="ignore"):
        weak = RSAKey.generate_key(1024)
    gate.web.documents[f"{ISSUER}/jwks"]["keys"].append(public(weak, kid="weak"))
    return signed({"alg": "RS256", "kid": "weak"}, claims(gate.clock), weak, "RS256")


def symmetric_in_the_set(gate: Gate) -> str:
    secret = b"a secret that somebody published by mistake"
    gate.web.documents[f"{ISSUER}/jwks"]["keys"].append({"kty": "oct", "k": b64(secret), "kid": "oct"})
    return hs256(gate, secret, "oct")


def for_encryption_only(gate: Gate) -> str:
    gate.web.documents[f"{ISSUER}/jwks"]["keys"] = [public(EC, kid="ec", use="enc"), public(RSA, kid="rsa")]
    return gate.token()


def of_another_algorithm(gate: Gate) -> str:
    gate.web.documents[f"{ISSUER}/jwks"]["keys"] = [public(RSA, kid="rsa", alg="PS256")]
    return gate.token("rsa")


def encrypted(gate: Gate) -> str:
    key = OctKey.generate_key(256)
    return jwe.encrypt_compact({"alg": "dir", "enc": "A256GCM"}, json.dumps(claims(gate.clock)), key)


def longer_s(gate: Gate) -> str:
    return put(gate.token(), 2, b64(b"\x00" + bytes(64)))


VECTORS: dict[str, tuple[str, Callable[[Gate], str]]] = {
    # algorithm
    "alg none": ("malformed", unsigned("none")),
    "alg None": ("malformed", unsigned("None")),
    "alg none with a signature": ("algorithm", with_header(alg="none")),
    "alg nOnE with a signature": ("algorithm", with_header(alg="nOnE")),
    "alg missing": ("algorithm", lambda gate: signed({"kid": "ec"}, claims(gate.clock), EC, "ES256")),
    "alg a number": ("header", with_header(alg=256)),
    "alg a list": ("header", with_header(alg=["ES256"])),
    "alg lower case": ("algorithm", with_header(alg="es256")),
    "HS256 with the RSA public key as PEM": (
        "algorithm",
        lambda gate: hs256(gate, RSA.as_pem(private=False)),
    ),
    "HS256 with the EC public key as JWK": (
        "algorithm",
        lambda gate: hs256(gate, json.dumps(public(EC)).encode(), "ec"),
    ),
    "HS256 with an empty secret": ("algorithm", lambda gate: hs256(gate, b"")),
    "HS256 with a key of the set": ("algorithm", symmetric_in_the_set),
    "RS256 named for an EC key": ("key", with_header(alg="RS256")),
    "ES256 named for an RSA key": (
        "key",
        lambda gate: signed({"alg": "ES256", "kid": "rsa"}, claims(gate.clock), RSA, "RS256"),
    ),
    "ES256 by a key of another curve": (
        "key",
        lambda gate: signed({"alg": "ES256", "kid": "p384"}, claims(gate.clock), P384, "ES384"),
    ),
    "PS256 where the key says RS256": (
        "signature",
        lambda gate: signed({"alg": "RS256", "kid": "rsa"}, claims(gate.clock), RSA, "PS256"),
    ),
    "an algorithm that the key's own alg excludes": ("key", of_another_algorithm),
    "an algorithm that is not pinned": (
        "algorithm",
        lambda gate: signed({"alg": "RS512", "kid": "rsa"}, claims(gate.clock), RSA, "RS512"),
    ),
    # keys brought along
    "jwk in the header": (
        "header",
        lambda gate: signed({"alg": "ES256", "jwk": public(OTHER_EC)}, claims(gate.clock), OTHER_EC, "ES256"),
    ),
    "jku in the header": ("header", with_header(jku="https://attacker.example/jwks")),
    "x5u in the header": ("header", with_header(x5u="https://attacker.example/cert")),
    "x5c in the header": ("header", with_header(x5c=["MIIB"])),
    "crit in the header": ("header", with_header(crit=["exp"], exp=1)),
    "empty crit in the header": ("header", with_header(crit=[])),
    "b64 false": ("header", with_header(b64=False)),
    "zip in the header": ("header", with_header(zip="DEF")),
    "a stranger's key under a known kid": (
        "signature",
        lambda gate: signed({"alg": "ES256", "kid": "ec"}, claims(gate.clock), OTHER_EC, "ES256"),
    ),
    # kid
    "kid of a path": ("key", with_header(kid="../../../../dev/null")),
    "kid of SQL": ("key", with_header(kid="x' UNION SELECT 'key' --")),
    "kid of a command": ("key", with_header(kid="ec|/usr/bin/id")),
    "kid of a URL": ("key", with_header(kid="https://attacker.example/key")),
    "kid with NUL": ("header", with_header(kid="ec\x00x")),
    "kid a number": ("header", with_header(kid=1)),
    "kid an object": ("header", with_header(kid={"$ne": None})),
    "kid too long": ("header", with_header(kid="x" * 257)),
    "kid unknown": ("key", with_header(kid="nobody")),
    "kid in other letters": ("key", with_header(kid="EC")),
    "an RSA key too small": ("key", small_rsa),
    "a key for encryption": ("key", for_encryption_only),
    # spelling
    "padded header": ("malformed", lambda gate: put(gate.token(), 0, parts(gate.token())[0] + "=")),
    "padded signature": ("malformed", lambda gate: gate.token() + "=="),
    "plain base64 letters": ("malformed", lambda gate: put(gate.token(), 2, "+/" + parts(gate.token())[2][2:])),
    "white space inside": ("malformed", lambda gate: put(gate.token(), 1, parts(gate.token())[1] + "\n")),
    "white space in the middle": ("malformed", lambda gate: gate.token().replace(".", ". ", 1)),
    "garbage in the signature": ("malformed", lambda gate: put(gate.token(), 2, "!!!!")),
    "an impossible length": ("malformed", lambda gate: put(gate.token(), 2, "A" * 85)),
    "bits beyond the end": ("malformed", lambda gate: loose_bits(gate.token())),
    "letters that are no ASCII": ("malformed", lambda gate: put(gate.token(), 0, "é" + parts(gate.token())[0])),
    "two parts": ("malformed", lambda gate: ".".join(parts(gate.token())[:2]) + "."),
    "four parts": ("malformed", lambda gate: gate.token() + ".AAAA"),
    "too long": ("malformed", lambda gate: gate.token(note="x" * 9000)),
    # signature
    "signature empty": ("malformed", lambda gate: put(gate.token(), 2, "")),
    "signature truncated": ("signature", lambda gate: put(gate.token(), 2, parts(gate.token())[2][:40])),
    "signature longer": ("signature", longer_s),
    "r and s zero (CVE-2022-21449)": ("signature", lambda gate: put(gate.token(), 2, b64(bytes(64)))),
    "r zero": ("signature", lambda gate: put(gate.token(), 2, b64(bytes(32) + b"\x01" * 32))),
    "s of the group's order": ("signature", lambda gate: put(gate.token(), 2, b64(b"\x01" * 32 + ORDER))),
    "signature in DER": ("signature", lambda gate: put(gate.token(), 2, b64(b"\x30\x06\x02\x01\x01\x02\x01\x01"))),
    "signature of another token": (
        "signature",
        lambda gate: put(gate.token(sub="eve"), 2, parts(gate.token(sub="ada"))[2]),
    ),
    "claims changed": (
        "signature",
        lambda gate: put(gate.token(), 1, b64(json.dumps(claims(gate.clock, sub="admin")).encode())),
    ),
    "header changed": (
        "signature",
        lambda gate: put(gate.token(), 0, b64(json.dumps({"alg": "ES256", "kid": "ec"}).encode())),
    ),
    "RSA signature truncated": ("signature", lambda gate: put(gate.token("rsa"), 2, b64(bytes(255)))),
    "RSA signature of zeros": ("signature", lambda gate: put(gate.token("rsa"), 2, b64(bytes(256)))),
    "Ed25519 signature of zeros": ("signature", lambda gate: put(gate.token("ed"), 2, b64(bytes(64)))),
    # JSON
    "a claim twice": ("malformed", raw_claims('@, "sub": "admin"}')),
    "a claim twice, written differently": ("malformed", raw_claims('@, "s\\u0075b": "admin"}')),
    "a member twice inside": ("malformed", raw_claims('@, "x": {"a": 1, "a": 2}}')),
    "alg twice": (
        "malformed",
        lambda gate: signed(b'{"alg":"none","alg":"ES256","kid":"ec"}', claims(gate.clock), EC, "ES256"),
    ),
    "half a surrogate pair": ("malformed", raw_claims('@, "x": "\\ud800"}')),
    "half a surrogate pair in a name": ("malformed", raw_claims('@, "\\udfff": 1}')),
    "a number of thousands of digits": ("malformed", raw_claims('@, "x": ' + "9" * 5000 + "}")),
    "NaN": ("malformed", raw_claims('@, "x": NaN}')),
    "claims a list": ("malformed", raw_claims("[1]")),
    "claims a text": ("malformed", raw_claims('"x"')),
    "claims no JSON": ("malformed", raw_claims("{")),
    "claims with a tail": ("malformed", raw_claims("@} x")),
    "claims of another encoding": (
        "malformed",
        lambda gate: signed({"alg": "ES256", "kid": "ec"}, "{}".encode("utf-16"), EC, "ES256"),
    ),
    "claims with a byte order mark": ("malformed", raw_claims("\ufeff@}")),
    "claims too deep": ("malformed", raw_claims('@, "x": ' + "[" * 40 + "]" * 40 + "}")),
    "claims much too deep": ("malformed", raw_claims('@, "x": ' + "[" * 2500 + "]" * 2500 + "}")),
    "header too large": ("malformed", with_header(note="x" * 1500)),
    # kinds of tokens
    "a nested token": ("header", with_header(cty="JWT")),
    "a token in a token": (
        "malformed",
        lambda gate: signed({"alg": "ES256", "kid": "ec"}, gate.token().encode(), EC, "ES256"),
    ),
    "an encrypted token": ("malformed", encrypted),
    "enc in the header": ("header", with_header(enc="A256GCM")),
    "a logout token": ("type", with_header(typ="logout+jwt")),
    "a DPoP proof": ("type", with_header(typ="dpop+jwt")),
    "typ no text": ("header", with_header(typ=["at+jwt"])),
    "bound to another key": ("bound", with_claims(cnf={"jkt": "x"})),
    # issuer
    "iss missing": ("claims", with_claims(iss=None)),
    "iss with a trailing slash": ("issuer", with_claims(iss=ISSUER + "/")),
    "iss in other letters": ("issuer", with_claims(iss="https://LOGIN.example")),
    "iss of somebody else": ("issuer", with_claims(iss="https://attacker.example")),
    "iss a list": ("claims", with_claims(iss=[ISSUER])),
    "iss a prefix": ("issuer", with_claims(iss=ISSUER + ".attacker.example")),
    # audience
    "aud missing": ("audience", with_claims(aud=None)),
    "aud empty": ("audience", with_claims(aud="")),
    "aud an empty list": ("audience", with_claims(aud=[])),
    "aud of somebody else": ("audience", with_claims(aud="https://other.example")),
    "aud in one text": ("audience", with_claims(aud=f"{AUDIENCE} https://other.example")),
    "aud a longer text": ("audience", with_claims(aud=AUDIENCE + "/")),
    "aud a shorter text": ("audience", with_claims(aud=AUDIENCE[:-1])),
    "aud an object": ("audience", with_claims(aud={AUDIENCE: 1})),
    "aud with something else": ("audience", with_claims(aud=[AUDIENCE, 1])),
    "aud true": ("audience", with_claims(aud=True)),
    # time
    "exp missing": ("claims", with_claims(exp=None)),
    "exp a text": ("claims", with_claims(exp="9999999999")),
    "exp true": ("claims", with_claims(exp=True)),
    "exp null": ("claims", raw_claims('{"iss": "https://login.example", "aud": "' + AUDIENCE + '", "exp": null}')),
    "exp negative": ("claims", with_claims(exp=-1)),
    "exp enormous": ("claims", with_claims(exp=10**30)),
    "exp infinite": ("malformed", raw_claims('{"iss": "https://login.example", "sub": "a", "aud": "x", "exp": 1e999}')),
    "expired": ("expired", at(exp=-61)),
    "not valid yet": ("early", at(nbf=61)),
    "issued in the future": ("early", at(iat=61, exp=HOUR)),
    # subject
    "sub missing": ("claims", with_claims(sub=None)),
    "sub empty": ("claims", with_claims(sub="")),
    "sub a number": ("claims", with_claims(sub=1)),
    "sub too long": ("claims", with_claims(sub="x" * 256)),
}
ORDER = bytes.fromhex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551")


def loose_bits(token: str) -> str:
    """The same bytes, spelt differently: bits of the last letter that mean nothing."""
    letters = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
    header = parts(token)[0]
    if len(header) % 4 == 0:  # no bits are left over there
        return put(token, 2, parts(token)[2][:-1] + letters[letters.index(parts(token)[2][-1]) | 1])
    return put(token, 0, header[:-1] + letters[letters.index(header[-1]) ^ 1])


@pytest.mark.parametrize("name", VECTORS)
async def test_a_hostile_token_is_refused(name: str, gate: Gate) -> None:
    why, make = VECTORS[name]
    presented = make(gate)
    with pytest.raises(Unauthenticated) as refusal:
        await gate.ask(presented)
    assert refusal.value.code == f"token.{why}", refusal.value.message
    for part in presented.split("."):
        assert len(part) < 8 or part not in refusal.value.message + refusal.value.hint
    assert "attacker" not in refusal.value.message


@pytest.mark.parametrize("kid", ["ec", "rsa", "ed", "p384"])
async def test_a_good_token_of_each_kind_of_key_is_taken(kid: str, gate: Gate) -> None:
    assert (await gate.ask(gate.token(kid))).name == "ada"


@pytest.mark.parametrize(
    "make",
    [
        at(exp=-59),
        at(nbf=59),
        at(iat=59, exp=HOUR),
        with_claims(aud=["https://other.example", AUDIENCE]),
        with_header(typ="JWT"),
        with_header(typ="application/AT+JWT"),
        with_header(x5t="c29tZXRoaW5n"),
    ],
)
async def test_what_is_just_right_is_taken(make: Callable[[Gate], str], gate: Gate) -> None:
    assert (await gate.ask(make(gate))).kind == "token"


async def test_without_a_kid_all_keys_that_suit_are_tried(gate: Gate) -> None:
    token = signed({"alg": "ES256"}, claims(gate.clock), EC, "ES256")
    assert (await gate.ask(token)).kind == "token"
    forged = signed({"alg": "ES256"}, claims(gate.clock), OTHER_EC, "ES256")
    with pytest.raises(Unauthenticated):
        await gate.ask(forged)


async def test_a_token_of_one_issuer_is_not_taken_for_another_of_the_same_keys(tmp_path: Path) -> None:
    gate = Gate(tmp_path, issuer="https://second.example", jwks=f"{ISSUER}/jwks")
    with pytest.raises(Unauthenticated, match="not taken here"):
        await gate.ask(gate.token())
    assert (await gate.ask(gate.token(iss="https://second.example"))).issuer == "https://second.example"
    gate.close()


@given(
    st.text(max_size=200) | st.from_regex(re.compile(r"[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*"), fullmatch=True)
)
def test_whatever_is_presented_is_read_or_refused(presented: str) -> None:
    with suppress(Unauthenticated):
        read_token(presented)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
async def test_no_changed_letter_of_a_good_token_goes_unnoticed(gate: Gate, data: st.DataObject) -> None:
    good = gate.token()
    await gate.ask(good)
    index = data.draw(st.integers(0, len(good) - 1))
    letter = data.draw(st.sampled_from(string.ascii_letters + string.digits + "-_.=+/ "))
    changed = good[:index] + letter + good[index + 1 :]
    if changed != good:
        with pytest.raises(GarrisonError):
            await gate.ask(changed)

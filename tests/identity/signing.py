"""An issuer of our own for tests: signs anything, honest or not."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from garrison.catalog.issuers import IssuerSpec
from garrison.identity.authenticator import Authenticator
from garrison.identity.keys import KeyStore
from garrison.identity.principals import Principal
from garrison.identity.resources import Resources
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Unavailable

ISSUER = "https://login.example"
AUDIENCE = "https://gateway.example/mcp"
PUBLIC = "https://public.example"
EC, OTHER_EC, P384 = ECKey.generate_key("P-256"), ECKey.generate_key("P-256"), ECKey.generate_key("P-384")
RSA = RSAKey.generate_key(2048)
ED = OKPKey.generate_key("Ed25519")
KEYS: dict[str, Any] = {"ec": EC, "rsa": RSA, "ed": ED, "p384": P384}
ALGORITHMS = {"ec": "ES256", "rsa": "RS256", "ed": "EdDSA", "p384": "ES384"}
Json = dict[str, Any]


def b64(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def public(key: Any, **more: Any) -> Json:
    return {**key.as_dict(private=False), **more}


def claims(clock: ManualClock, **more: Any) -> Json:
    """Good ones; None leaves one out."""
    now = clock.wall_ns() // 1_000_000_000
    good = {"iss": ISSUER, "sub": "ada", "aud": AUDIENCE, "iat": now, "exp": now + 600, "scope": "read"}
    return {name: value for name, value in {**good, **more}.items() if value is not None}


def signed(header: Json | bytes, payload: Json | bytes, key: Any, algorithm: str) -> str:
    """Whatever the header says, the signature is of this algorithm by this key."""
    parts = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in (header, payload)]
    text = ".".join(map(b64, parts))
    return f"{text}.{b64(JWSRegistry.algorithms[algorithm].sign(text.encode(), key))}"


def token(clock: ManualClock, kid: str = "ec", header: Json | None = None, **more: Any) -> str:
    """A good token, but for what `more` says of its claims."""
    algorithm = ALGORITHMS[kid]
    whole = {"alg": algorithm, "kid": kid, "typ": "at+jwt", **(header or {})}
    return signed(whole, claims(clock, **more), KEYS[kid], algorithm)


class Web:
    """Answers fetches: by URL a document, or an error to raise. `asked` is what was fetched."""

    def __init__(self) -> None:
        self.documents: dict[str, Any] = {
            f"{ISSUER}/.well-known/openid-configuration": {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"},
            f"{ISSUER}/jwks": {"keys": [public(key, kid=kid, use="sig") for kid, key in KEYS.items()]},
        }
        self.asked: list[str] = []

    async def fetch(self, url: str, written: bool) -> bytes:
        self.asked.append(url)
        found = self.documents.get(url)
        if found is None:
            raise Unavailable("test.missing", f"nothing is at {url}")
        return found if isinstance(found, bytes) else json.dumps(found).encode()


class Gate:
    """An authenticator with one issuer, and all that it stands on."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.clock, self.web = ManualClock(), Web()
        self.keys = KeyStore(folder / "keys.sqlite", self.clock)
        self.authenticator = Authenticator(self.keys, self.clock, self.web.fetch, Resources(PUBLIC), 0)
        self.use(**spec)

    def use(self, **spec: Any) -> None:
        given = {"issuer": ISSUER, "audiences": (AUDIENCE,), **spec}
        self.authenticator.replace({"tests": IssuerSpec(**given)})

    def token(self, kid: str = "ec", header: Json | None = None, **more: Any) -> str:
        return token(self.clock, kid, header, **more)

    async def ask(self, presented: str, endpoint: str = "", address: str = "192.0.2.1") -> Principal:
        found = self.authenticator.identify(presented, endpoint, address)
        return found if isinstance(found, Principal) else await found

    def close(self) -> None:
        self.authenticator.close()
        self.keys.close()

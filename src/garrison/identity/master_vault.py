"""Master keys in Vault or OpenBao: the transit engine wraps and unwraps by its API, and its key never leaves it.

The token comes from BAO_TOKEN, VAULT_TOKEN or ~/.vault-token, as for the engine's own command line, and goes nowhere
but to the address that the administrator named: no proxy, no redirect, and nowhere that a name must not stand for.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2

from garrison.identity.master_keys import Wrapped
from garrison.kernel.errors import Invalid, Unavailable
from garrison.protocol.addresses import Rules
from garrison.protocol.transports.outbound import addresses_now

TIMEOUT_S: Final = 5.0
_TOKENS: Final = ("BAO_TOKEN", "VAULT_TOKEN")
_AUTHORITIES: Final = ("BAO_CACERT", "VAULT_CACERT")


class VaultKeys:
    """One key of one transit engine. `where`: `address`, `mount`, `key`."""

    def __init__(self, where: Mapping[str, str], transport: httpx2.BaseTransport | None = None) -> None:
        self._address = where["address"].rstrip("/")
        self._mount = where.get("mount") or "transit"
        self._key = where.get("key") or "garrison"
        self._transport = transport

    def __repr__(self) -> str:
        return f"VaultKeys({self._address!r}, {self._mount!r}, {self._key!r})"

    def wrap(self, data: bytes, context: bytes) -> Wrapped:
        body = {"plaintext": _text(data), "associated_data": _text(context)}
        sealed = str(self._asked("POST", f"encrypt/{self._key}", body).get("ciphertext", ""))
        where = {"address": self._address, "mount": self._mount, "key": self._key}
        return Wrapped("vault", self._version(sealed), sealed, where)

    def unwrap(self, wrapped: Wrapped, context: bytes) -> bytes:
        body = {"ciphertext": wrapped.sealed, "associated_data": _text(context)}
        return b64decode(str(self._asked("POST", f"decrypt/{self._key}", body).get("plaintext", "")))

    def renew(self, used: Sequence[str]) -> None:
        """Another version of the key, if the newest is one of those used."""
        newest = self._asked("GET", f"keys/{self._key}", None).get("latest_version")
        if f"{self._mount}/{self._key} v{newest}" in used:
            self._asked("POST", f"keys/{self._key}/rotate", {})

    def forget(self, needed: Sequence[str]) -> None:
        """Versions of a key are the vault's to keep."""

    def _version(self, sealed: str) -> str:
        return f"{self._mount}/{self._key} {sealed.split(':')[1]}" if sealed.count(":") >= 2 else ""

    def _asked(self, method: str, path: str, body: object) -> dict[str, Any]:
        """`data` of the answer. Raises `Unavailable`, or `Invalid` for what the vault refuses."""
        try:
            answer = self._answer(method, httpx2.URL(f"{self._address}/v1/{self._mount}/{path}"), body)
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
            message = f"The vault at {self._address} cannot be reached: {type(error).__name__}."
            raise Unavailable("secrets.vault_unreachable", message, "Check its address and that it runs.") from error
        if answer.status_code >= 500:
            message = f"The vault at {self._address} answered {answer.status_code}; it may be sealed."
            raise Unavailable("secrets.vault_unreachable", message, "Unseal it.")
        if answer.status_code >= 300:
            message = f"The vault at {self._address} refused {path.split('/')[0]} with {answer.status_code}."
            made = f"`bao write -f {self._mount}/keys/{self._key}` makes the key."
            hint = f"Check the token, its policy, the engine and the key. {made}"
            raise Invalid("secrets.vault_refused", message, hint)
        return _data(answer)

    def _answer(self, method: str, url: httpx2.URL, body: object) -> httpx2.Response:
        """Of the first address that takes a connection, out of those that were judged. TLS goes by the name."""
        headers = {"X-Vault-Token": _token(), "Host": url.netloc.decode("ascii")}
        places = addresses_now(Rules(), url.host, url.port or (443 if url.scheme == "https" else 80), "private")
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=False, transport=self._transport, verify=_authority()) as http:
            for place in places:
                sent = http.build_request(method, url.copy_with(host=place), json=body, headers=headers)
                sent.extensions["sni_hostname"] = url.host
                try:
                    return http.send(sent)
                except (httpx2.ConnectError, httpx2.ConnectTimeout):
                    if place is places[-1]:
                        raise
        raise OSError("its name has no address")


def source(where: Mapping[str, str]) -> VaultKeys:
    if not where.get("address", "").startswith(("https://", "http://127.0.0.1", "http://localhost", "http://[::1]")):
        message = "The vault's address has to begin with https://; http:// is for this machine alone."
        raise Invalid("secrets.vault_address", message, "Give --vault-address.")
    return VaultKeys(where)


def _data(answer: httpx2.Response) -> dict[str, Any]:
    try:
        found = answer.json() if answer.content else {}
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Unavailable("secrets.vault_unreachable", "What answers there is no vault.", "Check the address.")
    data = found.get("data")
    return data if isinstance(data, dict) else {}


def _token() -> str:
    found = next((os.environ[name] for name in _TOKENS if os.environ.get(name)), "")
    try:
        return found or (Path.home() / ".vault-token").read_text().strip()
    except (OSError, RuntimeError):
        hint = "Set BAO_TOKEN or VAULT_TOKEN, or log in with its own command line."
        raise Unavailable("secrets.vault_token", "There is no token for the vault.", hint) from None


def _authority() -> bool | str:
    return next((os.environ[name] for name in _AUTHORITIES if os.environ.get(name)), True)


def _text(data: bytes) -> str:
    return b64encode(data).decode()

"""Tokens that were given to us, and where they are kept: encrypted in the home, by server and principal."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from hashlib import sha256
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from garrison.kernel.errors import GarrisonError, NotFound, Unavailable

EARLY_S, EARLY_SHARE = 30.0, 0.2
"""So long before its end, or this share of its life, a token is not used any more."""
LOCK_S, LOCK_POLL_S = 30.0, 0.05
LIFE_S = 3600.0
"""Of a token whose end is not told, as far as asking for another one goes."""
TOKEN_CHARS_MAX = 16 * 1024

_T = TypeVar("_T")


class Token(msgspec.Struct, frozen=True, omit_defaults=True):
    """An access token and what it takes to get the next one. Its repr holds neither."""

    access: str
    ends_s: float
    """Unix time."""
    early_s: float = EARLY_S
    refresh: str = ""
    scopes: tuple[str, ...] = ()
    issuer: str = ""
    token_endpoint: str = ""
    """Where it came from: the only place that `refresh` is ever sent to."""
    client_id: str = ""
    client_secret: str = ""
    client_auth: str = "none"
    resource: str = ""
    server_url: str = ""
    """What it was given for: it is shown to nobody else."""

    def __repr__(self) -> str:
        return f"Token(issuer={self.issuer!r}, scopes={self.scopes!r}, ends_s={self.ends_s:.0f})"

    def is_good(self, now_s: float) -> bool:
        return now_s < self.ends_s - self.early_s


class Client(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who Garrison is at an authorisation server."""

    id: str
    secret: str = ""
    auth: str = "none"
    """`basic`, `post` or `none`."""

    def __repr__(self) -> str:
        return f"Client({self.id!r})"


class Sealed(Protocol):
    """Encrypted values by name; `identity.secrets.SecretsFile` is one."""

    def get(self, name: str) -> str:
        """Raises `NotFound`, or why it cannot be read."""
        ...

    def set(self, name: str, value: str) -> None: ...

    def remove(self, name: str) -> None:
        """Raises `NotFound`."""
        ...

    def list(self) -> tuple[str, ...]: ...


class TokenStore:
    """Tokens and registrations. `locks`: a folder for the locks between processes. Blocks: for use in threads."""

    def __init__(self, sealed: Sealed, locks: Path) -> None:
        self._sealed = sealed
        self._locks = locks

    def token(self, server: str, principal: str) -> Token | None:
        """None where there is none, or none that can be read: then somebody signs in again."""
        return self._get(token_name(server, principal), Token)

    def keep(self, server: str, principal: str, token: Token) -> None:
        self._sealed.set(token_name(server, principal), msgspec.json.encode(token).decode())

    def forget(self, server: str, principal: str) -> bool:
        """Whether there was one."""
        try:
            self._sealed.remove(token_name(server, principal))
        except NotFound:
            return False
        return True

    def forget_all(self, principal: str) -> int:
        """Whatever there is for this principal, at servers that are gone as well; how many that were."""
        found = [name for name in self._sealed.list() if name.startswith(_begin(principal))]
        for name in found:
            with suppress(NotFound):
                self._sealed.remove(name)
        return len(found)

    def client(self, issuer: str, redirect_uri: str) -> Client | None:
        """As which we have registered there."""
        return self._get(_name("client", issuer, redirect_uri), Client)

    def keep_client(self, issuer: str, redirect_uri: str, client: Client) -> None:
        self._sealed.set(_name("client", issuer, redirect_uri), msgspec.json.encode(client).decode())

    @asynccontextmanager
    async def alone(self, server: str, principal: str) -> AsyncIterator[None]:
        """One at a time, among all processes: who uses a refresh token twice may lose it (RFC 9700, 4.14.2)."""
        descriptor = _opened(self._locks / f"{token_name(server, principal)}.lock")
        try:
            await _taken(descriptor, server)
            yield
        finally:
            os.close(descriptor)

    def _get(self, name: str, kind: type[_T]) -> _T | None:
        try:
            return msgspec.json.decode(self._sealed.get(name), type=kind)
        except (GarrisonError, msgspec.MsgspecError):
            return None


def token_name(server: str, principal: str) -> str:
    """The name that a token is kept under: it says whose it is to nobody who reads the file."""
    return _name(_begin(principal), server, principal)


def _begin(principal: str) -> str:
    """What the names of all of a principal's tokens begin with."""
    return f"token-{sha256(principal.encode()).hexdigest()[:24]}"


def _name(kind: str, *parts: str) -> str:
    return f"{kind}-{sha256(msgspec.json.encode(parts)).hexdigest()[:48]}"


def _opened(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Unavailable("auth.no_lock", f"{path} cannot be opened: {error.strerror}", "is the disk full?") from error


async def _taken(descriptor: int, server: str) -> None:
    try:
        async with asyncio.timeout(LOCK_S):
            while not _locked(descriptor):  # noqa: ASYNC110  (another process holds it: nobody tells us)
                await asyncio.sleep(LOCK_POLL_S)
    except TimeoutError:
        message = f"the token for server {server} is being renewed by another process, which does not end"
        raise Unavailable("auth.locked", message, "try again") from None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

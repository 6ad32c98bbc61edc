"""Where an issuer's keys come from, kept: read once, read anew when they are old or a token names an unknown one.

What was good is kept while the issuer cannot be reached, up to a day. A failure is followed by a pause that grows from
1 s to 60 s; unknown key ids, which anybody can send, cause one reading in ten seconds at most.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from garrison.catalog.issuers import IssuerSpec, is_safe_url
from garrison.identity.issuer_keys import DOCUMENT_BYTES_MAX, IssuerKey, KeySet, read_key_set
from garrison.kernel.clock import Clock
from garrison.kernel.errors import GarrisonError, Unavailable
from garrison.protocol.wellformed import NotStrict, read_object

FRESH_S = 600.0
"""Older keys still count, and are read anew meanwhile."""
KEPT_S = 24 * 3600.0
"""Keys that could not be read anew for so long count no more: they may have been withdrawn."""
UNKNOWN_KEY_EVERY_S = 10.0
PAUSE_FIRST_S, PAUSE_MAX_S = 1.0, 60.0

Fetch = Callable[[str, bool], Awaitable[bytes]]
"""The body of a 200 at this URL. Raises typed errors. The flag: whether the administrator named this place, and not
somebody else's document."""

log = logging.getLogger(__name__)


class IssuerSource:
    """`changed` is called when keys are gone that tokens may have been verified with."""

    def __init__(
        self,
        spec: IssuerSpec,
        fetch: Fetch,
        clock: Clock,
        changed: Callable[[], None],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spec = spec
        self._fetch = fetch
        self._now_s = clock.monotonic_s
        self._changed = changed
        self._chance = chance
        self._keys: KeySet | None = None
        self._read_s = 0.0
        self._asked_s = -KEPT_S
        """When it was last begun to read them."""
        self._not_before_s = 0.0
        self._failures = 0
        self._reading: asyncio.Task[None] | None = None

    def keys_for(self, key_id: str | None, algorithm: str) -> tuple[IssuerKey, ...] | None:
        """The keys that may have signed a token; None if they have to be read first (`refresh`).

        Raises `Unavailable` while there are none and the issuer was just found out of reach.
        """
        now_s = self._now_s()
        if self._keys is None or now_s - self._read_s > KEPT_S:
            if now_s < self._not_before_s:
                raise self._unreachable(self._not_before_s - now_s)
            return None
        if now_s - self._read_s > FRESH_S and now_s >= self._not_before_s:
            self._begin()
        found = self._keys.for_token(key_id, algorithm)
        is_unknown = key_id is not None and key_id not in self._keys.key_ids
        if is_unknown and now_s >= max(self._not_before_s, self._asked_s + UNKNOWN_KEY_EVERY_S):
            return None
        return found

    async def refresh(self) -> None:
        """Read the keys; all that wait share one reading. Raises `Unavailable` if there are none afterwards."""
        await asyncio.shield(self._begin())
        if self._keys is None:
            raise self._unreachable(max(1.0, self._not_before_s - self._now_s()))

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def _begin(self) -> asyncio.Task[None]:
        if self._reading is None or self._reading.done():
            self._asked_s = self._now_s()
            self._reading = asyncio.ensure_future(self._read())
        return self._reading

    async def _read(self) -> None:
        try:
            keys = await self._load()
        except (GarrisonError, NotStrict) as error:
            self._failed(error.message if isinstance(error, GarrisonError) else str(error))
            return
        before, self._keys = self._keys, keys
        self._failures, self._not_before_s, self._read_s = 0, 0.0, self._now_s()
        if before is not None and not before.prints <= keys.prints:
            self._changed()

    async def _load(self) -> KeySet:
        url = self._spec.jwks or await self._discover()
        written = bool(self._spec.jwks) or _origin(url) == _origin(self._spec.issuer)
        keys = read_key_set(await self._fetch(url, written))
        if not len(keys):
            raise Unavailable("issuer.no_keys", f"there is no usable key at {url}")
        return keys

    async def _discover(self) -> str:
        """The address of its keys, from the first of its metadata documents that is there."""
        problem: GarrisonError | None = None
        for url in discovery_urls(self._spec):
            try:
                return self._key_address(read_object(await self._fetch(url, True), DOCUMENT_BYTES_MAX))
            except GarrisonError as error:
                problem = problem or error
        assert problem is not None
        raise problem

    def _key_address(self, metadata: dict[str, Any]) -> str:
        """Of metadata that is this issuer's own (RFC 8414, 3.3), and never on this machine for one that is not."""
        if metadata.get("issuer") != self._spec.issuer:
            raise Unavailable("issuer.metadata", f"the metadata of {self._spec.issuer} is another issuer's")
        url = metadata.get("jwks_uri")
        if not isinstance(url, str) or not is_safe_url(url) or (_is_here(url) and not _is_here(self._spec.issuer)):
            raise Unavailable("issuer.metadata", f"the metadata of {self._spec.issuer} has no safe jwks_uri")
        return url

    def _failed(self, why: str) -> None:
        pause_s = min(PAUSE_MAX_S, PAUSE_FIRST_S * 2.0 ** min(self._failures, 10)) * (0.5 + self._chance() / 2)
        self._failures += 1
        self._not_before_s = self._now_s() + pause_s
        log.warning("the keys of an issuer cannot be read", extra={"issuer": self._spec.issuer, "reason": why[:300]})

    def _unreachable(self, again_s: float) -> Unavailable:
        message = f"the keys of issuer {self._spec.issuer} cannot be read now, so its tokens cannot be verified"
        return Unavailable("issuer.unreachable", message, f"try again in {max(1, round(again_s))} s")


def discovery_urls(spec: IssuerSpec) -> tuple[str, ...]:
    """OpenID Connect Discovery 1.0 appends its path; RFC 8414 puts it before the issuer's own."""
    if spec.discovery:
        return (spec.discovery,)
    parts = urlsplit(spec.issuer)
    origin, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    found = (
        f"{origin}{path}/.well-known/openid-configuration",
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}/.well-known/openid-configuration{path}",
    )
    return tuple(dict.fromkeys(found))


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")

"""Requests to authorisation servers and for metadata: each goes where it may, by who named the place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import httpx2

from garrison.catalog.credentials import AuthSpec
from garrison.catalog.spec import ServerSpec
from garrison.identity.oauth.metadata import check_scheme
from garrison.kernel.errors import GarrisonError, Invalid
from garrison.protocol.fetching import fetched
from garrison.protocol.transports.origin import parse_url
from garrison.protocol.transports.outbound import Outbound, Way

REDIRECTS = 2


@dataclass(frozen=True)
class Places:
    """`trusted`: the origins that stand in the catalog. Whatever else is asked was named by a server: only what is
    public, or what outbound.allow lists, is reached there."""

    outbound: Outbound
    trusted: frozenset[str]
    is_private: bool = False

    @classmethod
    def of(cls, outbound: Outbound, spec: ServerSpec) -> Places:
        """Of a server whose references are filled in."""
        auth = spec.auth or AuthSpec(kind="header")
        named = (spec.url, auth.issuer, auth.token_url, auth.authorize_url)
        return cls(outbound, frozenset(_bases(named)), spec.allow_private)

    def way(self, url: str) -> Way:
        """Raises when no credential may be sent there."""
        if check_scheme(url, self.trusted).base not in self.trusted:
            return self.outbound.way("found")
        return self.outbound.way("private" if self.is_private else "written")

    async def get(self, url: str) -> bytes | None:
        """The body of a 200; None for any other answer. Raises when it must not or cannot be asked."""
        response = await fetched(self.way(url), httpx2.Request("GET", url), redirects=REDIRECTS)
        return response.content if response.status_code == 200 else None

    async def first(self, urls: Iterable[str]) -> bytes | None:
        """The first that answers well. Raises what was wrong with the last one, if none could be asked."""
        failure: GarrisonError | None = None
        asked = False
        for url in urls:
            try:
                found = await self.get(url)
            except GarrisonError as error:
                failure = error
                continue
            asked = True
            if found is not None:
                return found
        if failure is not None and not asked:
            raise failure
        return None

    async def post_form(self, url: str, form: Mapping[str, str], headers: Mapping[str, str]) -> httpx2.Response:
        request = httpx2.Request("POST", url, data=dict(form), headers=dict(headers))
        return await fetched(self.way(url), request)

    async def post_json(self, url: str, content: object) -> httpx2.Response:
        return await fetched(self.way(url), httpx2.Request("POST", url, json=content))


def _bases(urls: Iterable[str]) -> Iterable[str]:
    for url in urls:
        try:
            if url:
                yield parse_url(url).base
        except Invalid:
            continue  # it is complained about where it is used

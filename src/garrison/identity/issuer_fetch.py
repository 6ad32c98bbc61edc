"""Issuers' documents over HTTP: no redirects, bounded in size and time, only to where our connections may lead."""

from __future__ import annotations

import httpx2

from garrison.identity.issuer_source import Fetch
from garrison.kernel.errors import Unavailable
from garrison.protocol.fetching import fetched
from garrison.protocol.transports.outbound import Outbound

TIMEOUT_S = 5.0


def issuer_fetch(outbound: Outbound) -> Fetch:
    """`fetch(url, written)`: the body. `written`: the administrator named this place, and not the issuer's metadata."""

    async def fetch(url: str, written: bool) -> bytes:
        request = httpx2.Request("GET", url, extensions={"timeout": {"read": TIMEOUT_S}})
        answer = await fetched(outbound.way("written" if written else "found"), request)
        if answer.status_code != 200:
            raise Unavailable("issuer.answer", f"{url} answers {answer.status_code}")
        return answer.content

    return fetch

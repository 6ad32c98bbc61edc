"""Settings of what Garrison itself connects to: servers, authorisation servers, webhooks."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

_Network = Annotated[str, Meta(pattern=r"^[0-9A-Fa-f:.]+(/\d{1,3})?$")]


class OutboundSettings(msgspec.Struct, frozen=True, kw_only=True):
    allow: Annotated[
        tuple[_Network, ...],
        Meta(
            description="Networks that Garrison may connect to whoever names an address in them: 10.20.0.0/16. None by "
            "default: what a server, a token or a redirect names must be public; what stands in the catalog may also "
            "be inside if it is written as an address, with a name that only counts inside, or with allow_private."
        ),
    ] = ()
    deny: Annotated[
        tuple[_Network, ...],
        Meta(description="Networks that Garrison never connects to, whatever else is said."),
    ] = ()

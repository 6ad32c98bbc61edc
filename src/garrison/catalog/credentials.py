"""`auth:` of a server in garrison.yaml: what Garrison shows to the server, and where it gets that from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

AuthKind = Literal["header", "client_credentials", "token_exchange", "authorization_code"]
_Url = Annotated[str, Meta(max_length=2048)]


class AuthSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """References (`${…}`) are filled in with those of the server."""

    kind: Annotated[
        AuthKind,
        Meta(
            description="header: a fixed header. client_credentials: Garrison's own token. token_exchange: a token for "
            "the caller, exchanged for the caller's own (RFC 8693). authorization_code: each principal signs in once."
        ),
    ]
    header: Annotated[str, Meta(pattern="^[A-Za-z0-9-]{1,64}$", description="The header's name.")] = "Authorization"
    value: Annotated[str, Meta(description="The header's value: Bearer ${secret:NAME}.")] = ""
    issuer: Annotated[
        _Url,
        Meta(
            description="The authorisation server. Without it, the server's own metadata names one, which then must be "
            "public and never gets a client secret."
        ),
    ] = ""
    token_url: Annotated[_Url, Meta(description="The token endpoint, where the issuer has no metadata.")] = ""
    authorize_url: Annotated[_Url, Meta(description="The authorisation endpoint, where there is no metadata.")] = ""
    client_id: Annotated[
        str, Meta(description="Who Garrison is there; without it, Garrison registers itself (RFC 7591).")
    ] = ""
    client_secret: Annotated[str, Meta(description="${secret:NAME}; public clients have none.")] = ""
    client_auth: Annotated[
        Literal["basic", "post", "none"] | None,
        Meta(description="How the secret is sent; basic unless the issuer's metadata only knows post."),
    ] = None
    scopes: Annotated[
        tuple[Annotated[str, Meta(pattern=r"^[\x21\x23-\x5b\x5d-\x7e]{1,128}$")], ...],
        Meta(description="What to ask for; without, what the server's metadata or its refusals name."),
    ] = ()
    audience: Annotated[str, Meta(description="Whom the token is for, where the issuer wants an `audience`.")] = ""
    resource: Annotated[
        _Url | None, Meta(description="Whom the token is for (RFC 8707): the server's URL unless said otherwise.")
    ] = None

    @property
    def is_personal(self) -> bool:
        """Whether each principal has a credential of its own."""
        return self.kind in PERSONAL


PERSONAL: Final = frozenset({"token_exchange", "authorization_code"})
REFERRING: Final = (
    *("value", "issuer", "token_url", "authorize_url"),
    *("client_id", "client_secret", "audience", "resource"),
)
"""Fields that may hold references."""


def through(auth: AuthSpec, change: Callable[[str, str], str]) -> AuthSpec:
    """With each text that may hold references changed by `change(text, where)`."""
    changed = {name: change(text, f"auth.{name}") for name, text in referring(auth)}
    return msgspec.structs.replace(auth, **changed)


def referring(auth: AuthSpec) -> Iterator[tuple[str, str]]:
    """Names and texts of the fields that may hold references, where they hold anything."""
    for name in REFERRING:
        if text := getattr(auth, name):
            yield name, text

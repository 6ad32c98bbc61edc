"""What `explain`, `who-can` and `view-as` have in common: who is meant, how and when it asks, and what runs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from garrison.kernel.errors import GarrisonError, Invalid
from garrison.kernel.home import Home
from garrison.policy.decision import Circumstances
from garrison.surfaces.cli.node_client import client_of

RoleOption = Annotated[
    list[str] | None, typer.Option("--role", help="As if the principal had just these roles; may be repeated.")
]
GroupOption = Annotated[
    list[str] | None, typer.Option("--group", help="As if its token named these groups; may be repeated.")
]
AtOption = Annotated[
    str, typer.Option("--at", metavar="TIME", help="2026-11-22T09:30:00Z; default: now.", show_default=False)
]
ClientOption = Annotated[
    str, typer.Option("--client", metavar="NAME", help="What its client calls itself.", show_default=False)
]
AddressOption = Annotated[
    str, typer.Option("--address", metavar="IP", help="Where its client comes from.", show_default=False)
]
EraOption = Annotated[str, typer.Option("--era", metavar="legacy|modern", help="Which era its client speaks.")]


def circumstances(client: str, address: str, era: str) -> Circumstances:
    if era not in ("legacy", "modern"):
        raise Invalid("era.unknown", f"{era[:20]!r} is no era", "legacy or modern")
    return Circumstances(client, address or "127.0.0.1", era)


def offers_now(home: Home) -> list[dict[str, Any]]:
    """What the running fleet lists; nothing where none runs, or it does not answer."""
    try:
        return client_of(home).offers()
    except GarrisonError:
        return []


def arguments_of(text: str) -> dict[str, Any] | None:
    """A JSON object; None for no text. Raises `Invalid`."""
    if not text:
        return None
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise Invalid("call.json", f"{text[:80]!r} is not JSON: {error.msg}", "put it into single quotes") from None
    if not isinstance(found, dict):
        raise Invalid("call.json", "arguments are a JSON object", 'for example \'{"path": "/srv/a"}\'')
    return found

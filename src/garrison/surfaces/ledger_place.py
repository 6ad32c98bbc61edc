"""Where a fleet's ledger is: in its home, or in the PostgreSQL that `ledger.url` names."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from garrison.catalog.references import names, resolve
from garrison.identity.secrets import secrets_of
from garrison.kernel.errors import Invalid
from garrison.kernel.home import Home
from garrison.protection.place import Place
from garrison.telemetry.redaction import redactor


def place_in(home: Home, url: str, environment: Mapping[str, str]) -> Place:
    """The place, references filled in and masked from here on. Invalid (`ledger.url`)."""
    return Place(home.ledger, _filled_in(home, url, environment) if url else "")


def _filled_in(home: Home, url: str, environment: Mapping[str, str]) -> str:
    """A reference within the URL stands for a part of it, so what it holds is percent-encoded; one that is all of it
    stands for a URL."""
    stored = secrets_of(home)
    whole = url.startswith("${") and url.find("}") == len(url) - 1

    def part(value: str) -> str:
        redactor.add(value)
        return value if whole else quote(value, safe="")

    def secret(name: str) -> str | None:
        return part(stored.get(name)) if name in stored.list() else None

    variables, _ = names(url)
    values = {name: part(environment[name]) for name in variables if name in environment}
    full, missing = resolve(url, values, secret)
    if missing:
        message = f"ledger.url refers to what is not there: {', '.join(missing)}."
        raise Invalid("ledger.url", message, "Set it, or `garrison secrets set NAME`.")
    return full

"""Whose entries are meant, in questions about the ledger."""

from __future__ import annotations

from contextlib import closing

from garrison.identity.keys import KeyStore
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.home import Home


def principal_id(home: Home, named: str) -> str:
    """The ledger's name of a principal; `key:NAME` stands for that of a key, live or not. `NotFound`, `Invalid`."""
    if not named.startswith("key:"):
        return named
    name = named.removeprefix("key:")
    with closing(KeyStore(home.keys)) as store:
        found = list(dict.fromkeys(one.principal for one in store.list() if one.name == name))
    if not found:
        raise NotFound(
            "principal.unknown", f"no key was ever called {name[:100]!r}", "`garrison keys list` shows them all"
        )
    if len(found) > 1:
        message = f"several principals had a key called {name[:100]!r}, one after the other"
        raise Invalid("principal.ambiguous", message, f"say which: {', '.join(found[:20])}")
    return found[0]

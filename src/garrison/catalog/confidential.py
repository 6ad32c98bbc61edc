"""Which of the values that variables bring into a spec are secrets, to be masked wherever they are written. Pure.

What `${secret:NAME}` brings in is a secret always: the secrets file has it masked. What stands in a document is none:
those that do were taken out before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from garrison.catalog.credentials import referring
from garrison.catalog.plaintext import is_plain, is_secret_name, key_of_argument, without_scheme
from garrison.catalog.references import brought_in
from garrison.catalog.spec import ServerSpec


def confidential(spec: ServerSpec, environment: Mapping[str, str]) -> frozenset[str]:
    """The values, also without `Bearer` and the like before them, as a server would print them."""
    found = {
        value
        for key, text in _places(spec)
        for variable, value in brought_in(text, environment)
        if is_confidential(value, key, variable)
    }
    return frozenset(found | {without_scheme(value) for value in found})


def is_confidential(value: str, *names: str) -> bool:
    """Does a name tell that the value is a secret, or may it be one, since it is nothing that is known to be plain?"""
    return any(map(is_secret_name, names)) or not is_plain(value)


def _places(spec: ServerSpec) -> Iterator[tuple[str, str]]:
    """Names (of variable, header, option) and what stands there."""
    before = ""
    for word in spec.command:
        yield key_of_argument(word, before), word
        before = word
    yield "", spec.url
    yield from (("", url) for url in spec.urls)
    yield from spec.env.items()
    yield from spec.headers.items()
    if spec.auth is not None:
        yield from referring(spec.auth)

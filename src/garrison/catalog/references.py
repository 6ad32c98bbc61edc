"""References in specs: `${VAR}`, `${VAR:-default}`, `${secret:name}`; `$$` is a dollar sign.

Resolved in one pass, only when an instance starts: what a variable or a secret holds is not read again.
A default may hold references of its own. As in POSIX shells, `:-` also replaces an empty variable.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from garrison.catalog import credentials
from garrison.catalog.problems import Problem
from garrison.catalog.spec import ServerSpec

Secrets = Callable[[str], str | None]

NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"
STORED_NAME: Final = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_TOKEN = re.compile(
    rf"\$\$|\$\{{secret:(?P<secret>{STORED_NAME})\}}|\$\{{(?P<name>{NAME})(?::-(?P<default>(?:[^{{}}]|\$?\{{[^{{}}]*\}})*))?\}}",
    re.ASCII,
)
_DEPTH_MAX = 4


def resolve(text: str, env: Mapping[str, str], secrets: Secrets) -> tuple[str, tuple[str, ...]]:
    """The text with its references replaced, and the names of those that nothing is known about (`secret:` before
    a secret's); these stay in the text as they are."""
    missing: list[str] = []
    resolved = _resolved(text, env, secrets, missing, 0)
    return resolved, tuple(dict.fromkeys(missing))


def _resolved(text: str, env: Mapping[str, str], secrets: Secrets, missing: list[str], depth: int) -> str:
    def replacement(match: re.Match[str]) -> str:
        if match[0] == "$$":
            return "$"
        if match["secret"]:
            value = secrets(match["secret"])
            missing.extend([f"secret:{match['secret']}"] if value is None else [])
            return match[0] if value is None else value
        value, default = env.get(match["name"]), match["default"]
        if default is not None and not value:
            return _resolved(default, env, secrets, missing, depth + 1) if depth < _DEPTH_MAX else default
        missing.extend([match["name"]] if value is None else [])
        return match[0] if value is None else value

    return _TOKEN.sub(replacement, text)


def escape(text: str) -> str:
    """The text, so that `resolve` gives it back as it is."""
    return text.replace("$", "$$") if "$$" in text or "${" in text or text.endswith("$") else text


def names(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The variables without a default and the secrets that the text refers to."""
    found = [match for match in _TOKEN.finditer(text) if match[0] != "$$"]
    variables = dict.fromkeys(match["name"] for match in found if match["name"] and match["default"] is None)
    return tuple(variables), tuple(dict.fromkeys(match["secret"] for match in found if match["secret"]))


def brought_in(text: str, env: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What references to variables put into the text: each variable's name, and its value or its default."""
    for match in _TOKEN.finditer(text):
        name, default = match["name"], match["default"]
        value = env.get(name, "") if name else ""
        if value:
            yield name, value
        elif default and _TOKEN.search(default):
            yield from brought_in(default, env)
        elif default:
            yield name, default


def literals(text: str) -> list[tuple[int, int]]:
    """The stretches between references, as (start, end); `$$` is part of a stretch."""
    stretches: list[tuple[int, int]] = []
    start = 0
    for match in _TOKEN.finditer(text):
        if match[0] != "$$":
            stretches.append((start, match.start()))
            start = match.end()
    return [*stretches, (start, len(text))]


def unescape(text: str) -> str:
    """What a text without references stands for."""
    return text.replace("$$", "$")


def resolve_spec(spec: ServerSpec, env: Mapping[str, str], secrets: Secrets) -> tuple[ServerSpec, tuple[Problem, ...]]:
    """The spec as an instance needs it. One problem for each place where a reference leads nowhere.

    The result holds secrets: it is for starting the server, not for logs.
    """
    problems: list[Problem] = []

    def through(text: str, where: str) -> str:
        resolved, missing = resolve(text, env, secrets)
        problems.extend(_missing(spec.name, where, name) for name in missing)
        return resolved

    resolved = msgspec.structs.replace(
        spec,
        command=tuple(through(word, "command") for word in spec.command),
        url=through(spec.url, "url"),
        urls=tuple(through(url, "urls") for url in spec.urls),
        cwd=through(spec.cwd, "cwd"),
        env={name: through(value, f"env {name}") for name, value in spec.env.items()},
        headers={name: through(value, f"header {name}") for name, value in spec.headers.items()},
        auth=credentials.through(spec.auth, through) if spec.auth is not None else None,
    )
    return resolved, tuple(problems)


def _missing(server: str, where: str, name: str) -> Problem:
    if name.startswith("secret:"):
        secret = name.removeprefix("secret:")
        message = f"{server}: {where} needs the secret `{secret}`, which is not stored"
        hint = f"store the secret `{secret}`, or import the file again that had it"
        return Problem(severity="error", code="secret.missing", message=message, hint=hint)
    message = f"{server}: {where} needs the variable {name}, which is not set"
    return Problem(severity="error", code="variable.missing", message=message, hint=how_to_set(name))


def how_to_set(variable: str) -> str:
    """What to do about a variable that a reference needs."""
    return f"export {variable}=… before starting, or write ${{{variable}:-default}}"

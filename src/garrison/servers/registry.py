"""The built-in servers by name. A module is loaded only when its server is wanted: siblings cost nothing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, Literal, Protocol, cast

import msgspec

from garrison.kernel.errors import Invalid, NotFound
from garrison.servers.toolkit.app import App
from garrison.servers.toolkit.transports import serve_http, serve_stdio


class ServerModule(Protocol):
    """What every server's module offers."""

    Options: type[msgspec.Struct]

    def build(self, options: Any) -> App: ...


SERVERS: Mapping[str, str] = MappingProxyType(
    {
        "filesystem": "garrison.servers.filesystem.server",
        "git": "garrison.servers.git.server",
        "time": "garrison.servers.time.server",
    }
)
"""Name → module with `Options` and `build`."""


def module_of(name: str) -> ServerModule:
    """`NotFound` names the nearest server there is."""
    if name not in SERVERS:
        near = difflib.get_close_matches(name, SERVERS, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(SERVERS)}."
        raise NotFound("server.unknown", f"There is no built-in server {name!r}.", hint)
    return cast("ServerModule", import_module(SERVERS[name]))


def options_of(name: str, values: Mapping[str, Any]) -> msgspec.Struct:
    """The server's typed options from plain values, as read from a file or from flags."""
    try:
        return msgspec.convert(dict(values), module_of(name).Options)
    except msgspec.ValidationError as error:
        raise Invalid("server.options", f"The options of {name} do not fit: {error}.", "See its --help.") from None


def serve(
    name: str,
    options: msgspec.Struct,
    transport: Literal["stdio", "http"] = "stdio",
    host: str = "127.0.0.1",
    port: int = 0,
) -> None:
    """Run one server until its client leaves (stdio) or SIGTERM arrives (http); blocks."""
    app = module_of(name).build(options)
    if transport == "stdio":
        serve_stdio(app)
    else:
        serve_http(app, host, port)

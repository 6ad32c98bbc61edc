"""`NAME [flags]` → a running server. The flags come from the server's options: one per documented field."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import inspect as shapes

from garrison.kernel.errors import GarrisonError, Invalid
from garrison.servers.registry import SERVERS, module_of, options_of, serve


def run(argv: Sequence[str]) -> int:
    """Serve what the arguments say; returns the exit code: 0 done, 1 could not serve. Wrong usage exits with 2."""
    given = parsed(argv)
    name, http = given.pop("name"), given.pop("http")
    try:
        options = options_of(name, {key: value for key, value in given.items() if value is not None})
        host, port = address(http) if http else ("", 0)
        serve(name, options, transport="http" if http else "stdio", host=host, port=port)
    except GarrisonError as error:
        sys.stderr.write(f"{error.message}\n{error.hint}\n" if error.hint else f"{error.message}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def parsed(argv: Sequence[str]) -> dict[str, Any]:
    """The server's `name`, `http` and its options, None where nothing is said. Exits with 2 for what is no usage."""
    parser = argparse.ArgumentParser(prog="python -m garrison.servers", description="Run a built-in MCP server.")
    servers = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    wanted = next((word for word in argv if word in SERVERS), None)
    for name in SERVERS if wanted is None else (wanted,):
        _describe(name, servers.add_parser(name, help=f"{name} server"))
    return vars(parser.parse_args(list(argv)))


def address(text: str) -> tuple[str, int]:
    """`HOST:PORT`, `[IPv6]:PORT` or `:PORT` (loopback) in two."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Invalid("server.address", f"{text!r} is not HOST:PORT.", "For example 127.0.0.1:8123.")
    return host.strip("[]") or "127.0.0.1", int(port)


def _describe(name: str, parser: argparse.ArgumentParser) -> None:
    for field in msgspec.structs.fields(module_of(name).Options):
        described = shapes.type_info(field.type)
        extra = described.extra if isinstance(described, shapes.Metadata) else None
        shape = described.type if isinstance(described, shapes.Metadata) else described
        settings: dict[str, Any] = {"dest": field.name, "help": _help(field.type)}
        if isinstance(shape, shapes.BoolType):
            settings |= {"action": "store_true", "default": None}
        elif isinstance(shape, shapes.VarTupleType):
            settings |= {"action": "append", "metavar": "VALUE", "required": field.required}
        else:
            settings["metavar"] = "VALUE"
        flag = (extra or {}).get("flag") or f"--{field.name.replace('_', '-')}"
        parser.add_argument(flag, **settings)
    parser.add_argument("--http", metavar="HOST:PORT", help="serve Streamable HTTP at /mcp instead of stdio")


def _help(annotation: Any) -> str:
    meta = getattr(annotation, "__metadata__", ())
    return next((each.description for each in meta if getattr(each, "description", None)), "")

"""A tool, prompt or resource as its server defined it, with the validators that its schemas ask for."""

from __future__ import annotations

import logging
from typing import Any

from msgspec import Raw

from garrison.catalog.shown_names import Listed
from garrison.gateway import apps
from garrison.gateway.sieve import Sieve
from garrison.kernel.errors import Invalid
from garrison.policy.decision import hints_of
from garrison.protocol import methods
from garrison.protocol.headers import header_flaw, header_names, param_headers
from garrison.protocol.messages import raw
from garrison.protocol.schema import Validator

KEY = {
    methods.TOOLS_LIST: "name",
    methods.PROMPTS_LIST: "name",
    methods.RESOURCES_LIST: "uri",
    methods.TEMPLATES_LIST: "uriTemplate",
}
"""The member that identifies an entry of each list."""

KIND: dict[str, Listed] = {
    methods.TOOLS_LIST: "tool",
    methods.PROMPTS_LIST: "prompt",
    methods.RESOURCES_LIST: "resource",
    methods.TEMPLATES_LIST: "resource",
}
"""What each list lists."""

log = logging.getLogger("garrison.gateway")


class Definition:
    """One entry of a list, immutable; validators are compiled at first use."""

    def __init__(self, server: str, key: str, content: dict[str, Any]) -> None:
        self.server = server
        self.name = str(content[key])
        self.content = content
        self.body: Raw = raw(content)
        self.has_output_schema = isinstance(content.get("outputSchema"), dict)
        self.header_names = header_names(content.get("inputSchema"))
        """The `Mcp-Param-*` headers that its schema asks for."""
        self.names_apps = apps.MARK in bytes(self.body)
        self.hints = hints_of(content.get("annotations"))
        """What its server says of it; for tools."""
        self._validators: dict[str, Validator | None] = {}

    @property
    def input(self) -> Validator | None:
        """For the arguments; None when the server gave no usable schema."""
        return self._validator("inputSchema")

    @property
    def output(self) -> Validator | None:
        """For `structuredContent`; None when the server gave no usable schema."""
        return self._validator("outputSchema")

    def headers(self, arguments: dict[str, Any]) -> dict[str, str]:
        """The `Mcp-Param-*` headers that a call with these arguments owes."""
        return param_headers(self.content.get("inputSchema"), arguments) if self.header_names else {}

    def _validator(self, member: str) -> Validator | None:
        if member not in self._validators:
            self._validators[member] = self._compile(member)
        return self._validators[member]

    def _compile(self, member: str) -> Validator | None:
        schema = self.content.get(member)
        if not isinstance(schema, dict):
            return None
        try:
            return Validator(schema)
        except Invalid as error:
            # The server validates its own input too; refusing its tool for a schema that we cannot read helps nobody.
            log.warning("a schema is not used", extra={"server": self.server, "tool": self.name, "why": error.message})
            return None


def definitions(server: str, method: str, items: list[Any], sieve: Sieve) -> dict[str, Definition]:
    """A list's entries by name, in the server's order: without those that have no name, that do not pass, or that no
    client can use."""
    key = KEY[method]
    found: dict[str, Definition] = {}
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get(key), str) or not item[key]:
            continue
        if not (sieve.is_open or sieve.passes(item[key])):
            continue
        if flaw := flaw_of(method, item):
            log.warning("a tool is left out", extra={"server": server, "tool": item[key][:128], "why": flaw})
        else:
            found.setdefault(item[key], Definition(server, key, item))
    return found


def flaw_of(method: str, item: dict[str, Any]) -> str:
    """Why no client can use this entry of a list, in either era; empty if they can."""
    return header_flaw(item.get("inputSchema")) if method == methods.TOOLS_LIST else ""

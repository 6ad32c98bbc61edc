"""The MCP registry's `server.json` (schemas of 2025): packages and remotes are alternatives of one server."""

from __future__ import annotations

import re
from collections.abc import Iterator

from garrison.catalog.draft import Draft, Text
from garrison.catalog.family import Family, Origin, Reading
from garrison.catalog.notes import Notes, Place, brief
from garrison.catalog.parse.tree import Listing, Node, Scalar, Table
from garrison.catalog.spec import Transport
from garrison.catalog.vocabulary import KINDS, squeeze

_BRACED = re.compile(r"\{([A-Za-z_][\w.-]*)\}")
_LAUNCHERS = {
    "npm": ("npx", "-y"),
    "pypi": ("uvx",),
    "oci": ("docker", "run", "-i", "--rm"),
    "docker": ("docker", "run", "-i", "--rm"),
    "nuget": ("dnx",),
}


def _fits(root: Node, origin: Origin) -> bool:
    server = _server(root)
    return (
        server is not None and "name" in server.keys and bool(_items(server, "packages") or _items(server, "remotes"))
    )


def _server(root: Node) -> Table | None:
    """The document itself, or what the registry's API wraps into `server`."""
    if not isinstance(root, Table):
        return None
    inner = root.get("server")
    return inner if isinstance(inner, Table) and "name" in inner.keys else root


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    server = _server(root)
    if server is None:
        return Reading()
    name = _value(server, "name")
    draft = Draft(name.rsplit("/", 1)[-1], server.place, declared_name=name)
    draft.description = " ".join(_value(server, "description").split())
    about = notes.about(name)
    ways = [(item, True) for item in _items(server, "packages")] + [(i, False) for i in _items(server, "remotes")]
    for position, (item, is_package) in enumerate(ways):
        if _package(draft, item, about) if is_package else _remote(draft, item, about):
            if len(ways) - position > 1:
                message = f"the entry offers {len(ways)} ways to run it; this one is taken"
                about.note("registry.alternatives", message, "remove it to take the next", item.place)
            return Reading([draft])
    about.error("registry.no_way", "no package or remote that can be used", "see the problems above", server.place)
    return Reading()


# ── a package ──


def _package(draft: Draft, item: Table, notes: Notes) -> bool:
    registry = squeeze(_value(item, "registryType") or _value(item, "registryName"))
    identifier = _value(item, "identifier") or _value(item, "name")
    launcher = _LAUNCHERS.get(registry)
    transport = item.get("transport")
    kind = squeeze(_value(transport, "type")) if isinstance(transport, Table) else "stdio"
    if launcher is None or not identifier or KINDS.get(kind, "stdio") != "stdio":
        message = f"a package of the kind {brief(registry or 'unknown')} over {brief(kind)} cannot be run here"
        notes.warn("registry.package", message, "npm, pypi and oci over stdio can", item.place)
        return False
    _environment(draft, _items(item, "environmentVariables"), notes)
    runtime = list(_arguments(_items(item, "runtimeArguments"), notes))
    variables = (
        [Text(part, item.place) for name in draft.env for part in ("-e", name)] if launcher[0] == "docker" else []
    )
    launch = [Text(word, item.place) for word in launcher if word not in {text.value for text in runtime}]
    target = Text(_pinned(registry, identifier, _value(item, "version")), _place(item, "identifier"))
    extra = [Text("--yes", item.place)] if registry == "nuget" else []
    draft.command = [*launch, *runtime, *variables, target, *extra]
    draft.args = list(_arguments(_items(item, "packageArguments"), notes))
    draft.kind = "stdio"
    return True


def _pinned(registry: str, identifier: str, version: str) -> str:
    if not version or "@" in identifier[1:]:
        return identifier
    if registry in ("oci", "docker"):
        return identifier if ":" in identifier.rsplit("/", 1)[-1] else f"{identifier}:{version}"
    return f"{identifier}@{version}"


def _environment(draft: Draft, items: list[Table], notes: Notes) -> None:
    optional: list[str] = []
    for item in items:
        name = _value(item, "name")
        given = _value(item, "value") or _value(item, "default")
        if given:
            draft.env[name] = Text(_references(given), item.place)
        elif _true(item, "isRequired"):
            draft.env[name] = Text("${" + name + "}", item.place)
            notes.note("registry.input", f"needs the variable {brief(name)}", "set it before starting", item.place)
        elif name:
            optional.append(name)
    if optional:
        message = "can also be given: " + ", ".join(sorted(optional))
        notes.note("registry.optional", message, "write those that you need into env", items[0].place)


def _arguments(items: list[Table], notes: Notes) -> Iterator[Text]:
    for item in items:
        name, given = _value(item, "name"), _value(item, "value") or _value(item, "default")
        required = _true(item, "isRequired")
        hint = _value(item, "valueHint")
        if not given and not required and not (name and not hint and _value(item, "format") == "boolean"):
            if name or hint:
                message = f"leaves out the optional argument {brief(name or hint)}"
                notes.note("registry.optional", message, "add it if you need it", item.place)
            continue
        if name:
            yield Text(name, item.place)
        if given or not name or hint:
            variable = squeeze(hint or name).strip("-").upper() or "VALUE"
            yield Text(_references(given) or "${" + re.sub(r"\W", "_", variable) + "}", item.place)


# ── a remote ──


def _remote(draft: Draft, item: Table, notes: Notes) -> bool:
    kind: Transport = KINDS.get(squeeze(_value(item, "type") or _value(item, "transportType")), "http")
    url = _value(item, "url")
    if not url:
        return False
    draft.kind, draft.url = kind, Text(_references(url), _place(item, "url"))
    for header in _items(item, "headers"):
        name = _value(header, "name")
        given = _value(header, "value") or _value(header, "default")
        if given or _true(header, "isRequired"):
            variable = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_") or "HEADER"
            draft.headers[name] = Text(_references(given) or "${" + variable + "}", header.place)
            notes.note("registry.input", f"sends the header {brief(name)}", "set its variable", header.place)
    return True


def _references(text: str) -> str:
    """`{tenant}` in the registry's templates is our `${TENANT}`; what already is `${X}` stays."""
    return re.sub(r"(?<!\$)" + _BRACED.pattern, lambda match: "${" + re.sub(r"\W", "_", match[1]).upper() + "}", text)


# ── keys in camel or snake case ──


def _get(table: Table, key: str) -> Node | None:
    return next((entry.value for entry in table if squeeze(entry.key) == squeeze(key)), None)


def _value(table: Table, key: str) -> str:
    node = _get(table, key)
    return node.text.strip() if isinstance(node, Scalar) else ""


def _place(table: Table, key: str) -> Place:
    node = _get(table, key)
    return node.place if node is not None else table.place


def _true(table: Table, key: str) -> bool:
    return _value(table, key) == "true"


def _items(table: Table, key: str) -> list[Table]:
    node = _get(table, key)
    return [item for item in node.items if isinstance(item, Table)] if isinstance(node, Listing) else []


FAMILY = Family("registry entry", _fits, _read)

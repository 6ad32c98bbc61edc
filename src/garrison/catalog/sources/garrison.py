"""garrison.yaml: our own file. Strict where the others are tolerant: what is wrong here is an error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgspec import inspect

from garrison.catalog import coerce
from garrison.catalog.access import rule_places
from garrison.catalog.credential_checks import check_auth, texts_of
from garrison.catalog.decode import WRONG, decode
from garrison.catalog.documents import (
    FilterDocument,
    GarrisonDocument,
    OfferDocument,
    ProfileDocument,
    RoleDocument,
    ServerDocument,
)
from garrison.catalog.draft import Draft, Text
from garrison.catalog.family import Family, Origin, Reading
from garrison.catalog.notes import Notes, Place, brief, did_you_mean
from garrison.catalog.parse.tree import Entry, Listing, Node, Scalar, Table, plain
from garrison.catalog.sections import CHECKS, Sections, sections_of
from garrison.catalog.shown_checks import check_profiles, check_shown
from garrison.catalog.spec import Filter, GrantSpec, Offer, ProfileSpec, RoleSpec, Selection

FILE_NAMES: Final = ("garrison.yaml", "garrison.yml", "garrison.json")
_OURS = inspect.type_info(GarrisonDocument)
_SERVER_KEYS = frozenset(ServerDocument.__struct_fields__)
_ONLY_FOR_COMMANDS: Final = ("env", "cwd", "instances", "session", "sessions_max", "session_idle_s", "warm")


_KEYS: Final = frozenset({"servers", "roles", "profiles", "settings", *Sections.__struct_fields__})


def _fits(root: Node, origin: Origin) -> bool:
    """By name; a file of another name must look like ours and like nobody else's."""
    if origin.path.name in FILE_NAMES:
        return True
    if not isinstance(root, Table) or not {key for key in root.keys if not key.startswith("x-")} <= _KEYS:
        return False
    servers = root.get("servers")
    if not isinstance(servers, Table) or not servers.entries:
        return "roles" in root.keys
    return all(_is_ours(entry.value) for entry in servers)


def _is_ours(node: Node) -> bool:
    return isinstance(node, Table) and node.keys <= _SERVER_KEYS and not isinstance(node.get("command"), Scalar)


def _read(root: Node, origin: Origin, notes: Notes) -> Reading:
    document = decode(root, _OURS, "garrison.yaml", notes)
    if document is WRONG or not isinstance(root, Table):
        return Reading(native=True)
    servers = root.get("servers")
    reading = Reading(native=True)
    for entry in servers if isinstance(servers, Table) else ():
        if (server := document.servers.get(entry.key)) is not None and (draft := _draft(entry, server, notes)):
            reading.drafts.append(draft)
    reading.roles = {name: _role(name, role) for name, role in document.roles.items()}
    reading.profiles = {name: _profile(name, profile) for name, profile in document.profiles.items()}
    reading.sections = sections_of(document)
    settings = root.get("settings")
    values = plain(settings) if isinstance(settings, Table) else {}
    reading.settings = values if isinstance(values, dict) else {}
    reading.setting_places = dict(_setting_places(settings))
    reading.rule_places = rule_places(root)
    _check_grants(root.get("roles"), frozenset(document.servers), notes)
    check_shown(reading.drafts, root.get("servers"), notes)
    check_profiles(root.get("profiles"), frozenset(document.servers), notes)
    for check in CHECKS:
        check(root, reading.sections, notes)
    return reading


def _draft(entry: Entry, server: ServerDocument, notes: Notes) -> Draft | None:
    about = notes.about(entry.key)
    table = entry.value if isinstance(entry.value, Table) else Table((), entry.place)
    silent = Notes()  # the types have been complained about already
    command, headers, env = table.get("command"), table.get("headers"), table.get("env")
    urls = _urls(table, server)
    draft = Draft(
        entry.key,
        entry.place,
        command=coerce.texts("command", command, silent) if isinstance(command, Listing) else [],
        kind=server.transport if server.url or server.urls else "stdio",
        url=urls[0] if urls else None,
        urls=urls[1:],
        headers=coerce.text_map("headers", headers, silent) if isinstance(headers, Table) else {},
        auth=server.auth,
        auth_texts=texts_of(table.get("auth"), server.auth),
        allow_private=server.allow_private,
        env=coerce.text_map("env", env, silent) if isinstance(env, Table) else {},
        cwd=_text(table, "cwd", server.cwd),
        enabled=server.enabled,
        start=server.start,
        timeout_s=server.timeout_s,
        startup_timeout_s=server.startup_timeout_s,
        allow=server.tools.allow,
        deny=server.tools.deny,
        shown_tools=_offer(server.tools),
        prompts=_offer(server.prompts),
        resources=_filter(server.resources),
        prefix=server.prefix,
        retry_idempotent=server.retry_idempotent,
        instances=server.instances,
        session=server.session,
        sessions_max=server.sessions_max,
        session_idle_s=server.session_idle_s,
        warm=server.warm,
        description=server.description,
    )
    if isinstance(command, Scalar) and isinstance(command.value, str):  # reported; go on with what is meant
        draft.command = [Text(word, command.place) for word in coerce.words(command.value)]
    return draft if _one_way(draft, table, about) else None


def _text(table: Table, key: str, value: str) -> Text | None:
    node = table.get(key)
    return Text(value, node.place) if node is not None and value else None


def _urls(table: Table, server: ServerDocument) -> list[Text]:
    """Every address, whichever key it stands under."""
    first, further = _text(table, "url", server.url), table.get("urls")
    places = [item.place for item in further.items] if isinstance(further, Listing) else []
    return [*([first] if first else []), *map(Text, server.urls, places)]


def _one_way(draft: Draft, table: Table, notes: Notes) -> bool:
    if draft.command and draft.url:
        hint = "write two servers, or remove one of the two"
        notes.error("config.two_ways", "command and url exclude each other; the url is taken", hint, draft.url.place)
        draft.command = []
    if not draft.command and not draft.url:
        hint = "write command: [program, argument, …] or url: https://…"
        if not {"command", "url", "urls"} & table.keys:
            notes.error("config.nothing_to_run", "neither command nor url is given", hint, draft.place)
        return False
    if draft.auth is not None and not check_auth(draft.auth, draft, notes):
        return False
    idle = _ONLY_FOR_COMMANDS if draft.url else ("headers", "transport", "allow_private")
    for key in idle:
        if (node := table.get(key)) is not None:
            only = "a command" if draft.url else "a url"
            notes.warn("config.idle_key", f"{brief(key)} only means something for {only}", "remove it", node.place)
    if draft.url:
        draft.env, draft.instances = {}, 1
    else:
        draft.headers = {}
    return True


def _role(name: str, role: RoleDocument) -> RoleSpec:
    grants = tuple(
        GrantSpec(**{name: getattr(grant, name) for name in GrantSpec.__struct_fields__}) for grant in role.grants
    )
    return RoleSpec(name=name, grants=grants, description=role.description)


def _profile(name: str, profile: ProfileDocument) -> ProfileSpec:
    servers = {
        server: Selection(tools=_filter(one.tools), prompts=_filter(one.prompts), resources=_filter(one.resources))
        for server, one in profile.servers.items()
    }
    return ProfileSpec(name=name, servers=servers, description=profile.description)


def _filter(document: FilterDocument) -> Filter:
    return Filter(allow=document.allow, deny=document.deny)


def _offer(document: OfferDocument) -> Offer:
    given = document
    return Offer(allow=given.allow, deny=given.deny, rename=given.rename, describe=given.describe)


def _setting_places(settings: Node | None) -> Iterator[tuple[str, Place]]:
    for group in settings if isinstance(settings, Table) else ():
        yield group.key, group.place
        for setting in group.value if isinstance(group.value, Table) else ():
            yield f"{group.key}.{setting.key}", setting.place


def _check_grants(roles: Node | None, servers: frozenset[str], notes: Notes) -> None:
    """A grant for a server that does not exist is a slip of the pen."""
    for name, place in _granted(roles):
        if name not in servers and not set(name) & set("*?["):
            hint = did_you_mean(name, servers) or "the grant allows nothing"
            notes.warn("role.no_such_server", f"a grant names the server {brief(name)}, which is not here", hint, place)


def _granted(roles: Node | None) -> Iterator[tuple[str, Place]]:
    for role in roles if isinstance(roles, Table) else ():
        grants = role.value.get("grants") if isinstance(role.value, Table) else None
        for grant in grants.items if isinstance(grants, Listing) else ():
            servers = grant.get("servers") if isinstance(grant, Table) else None
            for item in servers.items if isinstance(servers, Listing) else ():
                if isinstance(item, Scalar) and isinstance(item.value, str):
                    yield item.value, item.place


FAMILY = Family("garrison.yaml", _fits, _read)

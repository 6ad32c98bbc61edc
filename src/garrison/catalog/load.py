"""Files in, one `Loaded` out: the snapshot that they declare and every problem in them. Nothing is raised."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from garrison.catalog.access_files import RulePlace, read_policy_files
from garrison.catalog.clients import CLIENTS, UNKNOWN, client_of, project_folder
from garrison.catalog.draft import Draft
from garrison.catalog.families import FAMILIES
from garrison.catalog.family import Origin
from garrison.catalog.interpret import interpret
from garrison.catalog.merge import merge, warn_of_twins
from garrison.catalog.notes import WHOLE_FILE, Notes, Place
from garrison.catalog.parse.jsonc import parse_jsonc
from garrison.catalog.parse.text import SIZE_BYTES_MAX, decode
from garrison.catalog.parse.toml import parse_toml
from garrison.catalog.parse.tree import Node, Parsed, Plain, Table
from garrison.catalog.parse.yaml import parse_yaml
from garrison.catalog.problems import Problem
from garrison.catalog.seal import seal
from garrison.catalog.sections import Sections, merged
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ProfileSpec, RoleSpec
from garrison.catalog.unset import warn_of_unset

_FORMATS: dict[str, Callable[[str], Parsed]] = {".toml": parse_toml, ".yaml": parse_yaml, ".yml": parse_yaml}
_BUNDLES = (".mcpb", ".dxt")
_JSON = (".json", ".jsonc", ".json5", *_BUNDLES)


@dataclass(frozen=True)
class Loaded:
    """What files declare. The specs hold no secret: those found in plain text are in `secrets`, by the names that the
    specs refer to (`${secret:NAME}`)."""

    snapshot: Snapshot = field(default_factory=Snapshot)
    problems: tuple[Problem, ...] = ()
    settings: dict[str, Plain] = field(default_factory=dict)
    setting_places: Mapping[str, Place] = field(default_factory=dict, kw_only=True)
    rule_places: Mapping[str, RulePlace] = field(default_factory=dict, kw_only=True)
    """Where each rule of authorisation stands, by its name: a file, and a place in it."""
    files: tuple[Path, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    remarks: Mapping[str, tuple[Problem, ...]] = field(default_factory=dict, repr=False)
    """The problems of each server, by its name."""
    origins: Mapping[str, Path] = field(default_factory=dict)
    """The file of each server."""

    @property
    def failed(self) -> bool:
        """Is any problem an error?"""
        return any(problem.severity == "error" for problem in self.problems)

    def secret(self, stored: Callable[[str], str | None]) -> Callable[[str], str | None]:
        """A look-up for `resolve_spec`: what the files themselves hold, then what is stored."""

        def look_up(name: str) -> str | None:
            return self.secrets[name] if name in self.secrets else stored(name)

        return look_up


@dataclass
class _File:
    """What one file gave."""

    path: Path
    drafts: list[Draft] = field(default_factory=list)
    roles: dict[str, RoleSpec] = field(default_factory=dict)
    profiles: dict[str, ProfileSpec] = field(default_factory=dict)
    sections: Sections = field(default_factory=Sections)
    settings: dict[str, Plain] = field(default_factory=dict)
    setting_places: dict[str, Place] = field(default_factory=dict)
    rule_places: dict[str, RulePlace] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    remarks: dict[str, tuple[Problem, ...]] = field(default_factory=dict)


def load(path: Path) -> Loaded:
    """One file of any family."""
    return load_all((path,))


def load_all(paths: Iterable[Path], environment: Mapping[str, str] | None = None) -> Loaded:
    """Several files as one; of two servers of one name the earlier file's is taken.

    With an `environment`, references to variables that it does not set are reported.
    """
    files = [_read_file(path) for path in dict.fromkeys(paths)]
    notes = [Notes(str(file.path)) for file in files]
    drafts = merge([file.drafts for file in files], notes)
    warn_of_twins(drafts, notes)
    if environment is not None:
        warn_of_unset(drafts, notes, environment)
    sealed = seal(draft for _index, draft in drafts)
    roles: dict[str, RoleSpec] = {}
    profiles: dict[str, ProfileSpec] = {}
    sections = Sections()
    settings: dict[str, Plain] = {}
    setting_places: dict[str, Place] = {}
    rule_places: dict[str, RulePlace] = {}
    for file in reversed(files):
        roles |= file.roles
        profiles |= file.profiles
        sections = merged(file.sections, sections)
        settings |= file.settings
        setting_places |= file.setting_places
        rule_places |= file.rule_places
    problems = [
        problem for file, more in zip(files, notes, strict=True) for problem in _ordered(file.problems + more.all)
    ]
    return Loaded(
        Snapshot(MappingProxyType(sealed.specs), MappingProxyType(roles), MappingProxyType(profiles), sections),
        tuple(problems),
        settings,
        tuple(file.path for file in files),
        MappingProxyType(sealed.secrets),
        MappingProxyType({draft.name: files[index].remarks.get(draft.name, ()) for index, draft in drafts}),
        MappingProxyType({draft.name: files[index].path for index, draft in drafts}),
        setting_places=setting_places,
        rule_places=rule_places,
    )


def _ordered(problems: tuple[Problem, ...]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))


# ── one file ──


def _read_file(path: Path) -> _File:
    data, problems = _read_bytes(path)
    file = _File(path, problems=problems)
    if data is None:
        return file
    text, text_problems = decode(data)
    if any(problem.code == "file.too_large" for problem in text_problems):
        file.problems = _in_file(path, text_problems)
        return file
    parsed = _parse(path, text)
    notes = Notes(str(path))
    client = client_of(path)
    absolute = path.absolute()
    origin = Origin(absolute, project_folder(absolute), client.habits)
    for root in parsed.roots:
        _read_document(root, origin, file, notes)
    if parsed.roots and not notes.all and not _declares(file):
        _say_what_it_is(parsed.roots[0], path, notes)
    file.problems = _in_file(path, text_problems + parsed.problems) + notes.all
    file.remarks = {draft.name: notes.remarks(draft.declared_name or draft.name) for draft in file.drafts}
    return file


def _read_bytes(path: Path) -> tuple[bytes | None, tuple[Problem, ...]]:
    notes = Notes(str(path))
    try:
        if path.suffix in _BUNDLES:
            return _manifest(path), ()
        with path.open("rb") as file:
            return file.read(SIZE_BYTES_MAX + 1), ()
    except FileNotFoundError:
        notes.error("file.missing", "there is no such file", "check the path", WHOLE_FILE)
    except IsADirectoryError:
        notes.error("file.folder", "this is a folder", "name a file in it", WHOLE_FILE)
    except PermissionError:
        notes.error("file.forbidden", "the file may not be read", "check its owner and mode", WHOLE_FILE)
    except (zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError, EOFError, zlib.error):
        notes.error("bundle.broken", "not a bundle: no zip with a manifest.json", "download it again", WHOLE_FILE)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        reason = getattr(error, "strerror", None) or "the path is not valid"
        notes.error("file.unreadable", f"the file cannot be read: {reason}", "check the path", WHOLE_FILE)
    return None, notes.all


def _manifest(path: Path) -> bytes:
    with zipfile.ZipFile(path) as bundle, bundle.open("manifest.json") as manifest:
        return manifest.read(SIZE_BYTES_MAX + 1)


def _parse(path: Path, text: str) -> Parsed:
    """By the name's ending; without a known one by the first character, since only JSON begins with a bracket."""
    suffix = path.suffix.lower()
    if suffix in _FORMATS:
        return _FORMATS[suffix](text)
    looks_like_json = text.lstrip()[:1] in ("{", "[", "/", '"', "")
    return parse_jsonc(text) if looks_like_json or suffix in _JSON else parse_yaml(text)


def _read_document(root: Node, origin: Origin, file: _File, notes: Notes) -> None:
    for family in FAMILIES:
        if family.fits(root, origin):
            reading = family.read(root, origin, notes)
            file.drafts += interpret(reading, origin, notes)
            file.roles |= reading.roles
            file.profiles |= reading.profiles
            file.sections = merged(file.sections, reading.sections)
            file.settings |= reading.settings
            file.setting_places |= reading.setting_places
            file.rule_places |= {rule: (str(origin.path), place) for rule, place in reading.rule_places.items()}
            read_policy_files(file, origin.path.parent, notes)
            return


def _declares(file: _File) -> bool:
    return any((file.drafts, file.roles, file.profiles, file.settings)) or file.sections != Sections()


def _say_what_it_is(root: Node, path: Path, notes: Notes) -> None:
    """Nothing was declared: is that a client's settings file without servers, or another file altogether?"""
    keys = root.keys if isinstance(root, Table) else frozenset()
    client = max((client_of(path), *CLIENTS), key=lambda client: len(client.other_keys & keys))
    if any(family.fits(root, Origin(path, "", client.habits)) for family in FAMILIES):
        notes.warn(
            "file.no_servers", "no servers are declared in this file", "add one, or leave the file out", root.place
        )
    elif client is not UNKNOWN and client.other_keys & keys:
        message = f"settings of {client.name}, which declare no MCP servers"
        notes.warn("file.no_servers", message, "nothing to do, if that is as it should be", root.place)
    elif {"tools", "resources", "prompts"} & keys and "name" in keys:
        message = "this describes a server (its name, its tools), but does not say how to start or reach it"
        notes.error("file.not_mcp", message, "a configuration names a command or a url for each server", root.place)
    else:
        message = "no MCP servers were found: this is another kind of file"
        hint = "expected mcpServers, servers, mcp_servers, context_servers or the like"
        notes.error("file.not_mcp", message, hint, root.place)


def _in_file(path: Path, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    notes = Notes(str(path))
    for problem in problems:
        notes.put(problem)
    return notes.all

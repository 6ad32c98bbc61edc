"""Which configuration counts, and what it says: the files found or named, checked as a whole before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import msgspec

from garrison.catalog.discover import discover, fleet_files
from garrison.catalog.load import Loaded, load_all
from garrison.catalog.notes import WHOLE_FILE, Place
from garrison.catalog.problems import Problem
from garrison.catalog.snapshot import Snapshot
from garrison.kernel.settings import LoadedSettings, SettingProblem
from garrison.policy.checking import Places, problems_of
from garrison.surfaces import demo, settings
from garrison.surfaces.desired import Desired, catalog_of
from garrison.surfaces.settings import Settings

ONE_SERVER = ("entry.", "value.", "url.", "registry.", "command.")
"""Codes of problems that spoil one server of a client's file and leave its neighbours whole."""


@dataclass(frozen=True)
class Wanted:
    """What the user asks for. `config`: a file named on the command line. `flags`: settings by dotted name."""

    folder: Path
    config: Path | None = None
    env_name: str = ""
    flags: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Configuration:
    """`desired` leaves out servers that cannot be read; `left_out` says why, by name."""

    desired: Desired
    settings: LoadedSettings[Settings]
    problems: tuple[Problem, ...] = ()
    left_out: Mapping[str, Problem] = field(default_factory=dict)
    rule_places: Places = field(default_factory=dict, repr=False)
    """Where each rule of authorisation stands."""
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Found in plain text; the specs refer to them by these names."""

    @property
    def blocking(self) -> tuple[Problem, ...]:
        """Errors that leave it unclear what the whole should be."""
        spoilt = set(self.left_out.values())
        return tuple(one for one in self.problems if one.severity == "error" and one not in spoilt and not _local(one))

    @property
    def is_demo(self) -> bool:
        return self.desired.source == (demo.SOURCE,)


def configure(wanted: Wanted) -> Configuration:
    """Read everything and report everything; nothing is started or written."""
    files = files_of(wanted)
    loaded = load_all(files, wanted.environment) if files else Loaded(demo.demo_fleet(wanted.folder))
    left_out = {_name(one): one for one in loaded.problems if one.severity == "error" and _local(one)}
    servers = {name: spec for name, spec in loaded.snapshot.servers.items() if name not in left_out}
    snapshot = replace(loaded.snapshot, servers=MappingProxyType(servers))
    resolved = settings.load(loaded.settings, str(files[0]) if files else "", wanted.environment, wanted.flags)
    problems = [
        *loaded.problems,
        *(_as_problem(one, loaded.setting_places) for one in resolved.problems),
        *problems_of(snapshot, loaded.rule_places),
        *_emptiness(snapshot, files),
    ]
    return Configuration(
        _desired(wanted, snapshot, resolved.values, files),
        resolved,
        tuple(problems),
        left_out,
        loaded.rule_places,
        loaded.secrets,
    )


def files_of(wanted: Wanted) -> tuple[Path, ...]:
    """The named file; else `garrison.ENV.yaml`; else `garrison.yaml`; else all clients' files of the folder."""
    if wanted.config is not None:
        return (wanted.config,)
    if wanted.env_name:
        own = wanted.folder / f"garrison.{wanted.env_name}.yaml"
        if own.is_file():
            return (own,)
    return fleet_files(discover(wanted.folder))


def keep_last_good(configuration: Configuration, running: Desired) -> Configuration:
    """Servers whose new entry cannot be read stay as they run: a bad document takes nothing away."""
    kept = {name: spec for name, spec in running.servers.items() if name in configuration.left_out}
    desired = configuration.desired
    catalog = msgspec.structs.replace(desired.catalog, servers={**desired.servers, **kept})
    return replace(configuration, desired=msgspec.structs.replace(desired, catalog=catalog))


def _desired(wanted: Wanted, snapshot: Snapshot, values: Settings, files: tuple[Path, ...]) -> Desired:
    return Desired(
        catalog=catalog_of(snapshot),
        settings=values,
        source=tuple(str(file) for file in files) or (demo.SOURCE,),
        config=str(wanted.config) if wanted.config is not None else "",
        folder=str(wanted.folder),
    )


def _local(problem: Problem) -> bool:
    return problem.code.startswith(ONE_SERVER)


def _name(problem: Problem) -> str:
    """Problems of one server begin with its name."""
    return problem.message.partition(": ")[0]


def _emptiness(snapshot: Snapshot, files: tuple[Path, ...]) -> list[Problem]:
    if snapshot.servers:
        return []
    message = "no server is left to run"
    return [Problem(severity="error", code="fleet.empty", message=message, hint="declare one", file=str(files[0]))]


def _as_problem(found: SettingProblem, places: Mapping[str, Place]) -> Problem:
    where = found.origin.where
    shown = f"{found.message} ({where})" if found.origin.source in ("environment", "flag") else found.message
    problem = Problem(severity="error", code="settings.invalid", message=shown, hint=found.hint)
    if found.origin.source != "file":
        return problem
    place = places.get(found.setting, WHOLE_FILE)
    return msgspec.structs.replace(problem, file=where, line=place.line, column=place.column)

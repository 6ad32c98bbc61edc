"""What the node is asked to run: written by the command line, read by the node at its start and at `apply`."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import msgspec

from garrison.catalog.sections import Sections
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import ProfileSpec, RoleSpec, ServerSpec
from garrison.kernel.errors import Invalid, NotFound
from garrison.kernel.home import Home, write_private
from garrison.surfaces.settings import Settings


class Catalog(msgspec.Struct, frozen=True, kw_only=True):
    """The snapshot as a document."""

    servers: dict[str, ServerSpec] = {}
    roles: dict[str, RoleSpec] = {}
    profiles: dict[str, ProfileSpec] = {}
    sections: Sections = Sections()


class Desired(msgspec.Struct, frozen=True, kw_only=True):
    """Holds references in place of secrets, so that it may be stored and shown.

    source: the files that it was made from. config, folder: what `up` was told, so that a later `up` without
    `--config` looks at the same place. listen_fd: the listening socket's descriptor in the node (-1: none);
    worker_fds: those of further workers, from number 2 on.
    """

    catalog: Catalog = msgspec.field(name="snapshot", default=Catalog())
    settings: Settings = Settings()
    source: tuple[str, ...] = ()
    config: str = ""
    folder: str = ""
    listen_fd: int = -1
    worker_fds: tuple[int, ...] = ()

    @property
    def servers(self) -> dict[str, ServerSpec]:
        return self.catalog.servers

    def snapshot(self) -> Snapshot:
        kept = self.catalog
        frozen = (MappingProxyType(kept.servers), MappingProxyType(kept.roles), MappingProxyType(kept.profiles))
        return Snapshot(*frozen, kept.sections)


def lock_of(desired: Desired) -> Path | None:
    """Where the pins of this configuration are: beside its garrison.yaml. None where it comes from elsewhere."""
    own = [Path(one) for one in desired.source if Path(one).suffix in (".yaml", ".yml")]
    return own[0].with_suffix(".lock") if own else None


def catalog_of(snapshot: Snapshot) -> Catalog:
    return Catalog(
        servers=dict(snapshot.servers),
        roles=dict(snapshot.roles),
        profiles=dict(snapshot.profiles),
        sections=snapshot.sections,
    )


def write_desired(home: Home, desired: Desired) -> None:
    write_private(home.run / "desired.json", encode(desired))


def read_desired(home: Home) -> Desired:
    """Raises `NotFound` when nothing was asked for, `Invalid` when the file cannot be understood."""
    path = home.run / "desired.json"
    try:
        return decode(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFound("fleet.not_started", f"{path} is missing", "start the fleet with `garrison up`") from error


def encode(desired: Desired) -> bytes:
    return msgspec.json.format(msgspec.json.encode(desired), indent=1)


def decode(data: bytes) -> Desired:
    try:
        return msgspec.json.decode(data, type=Desired)
    except msgspec.MsgspecError as error:
        message = f"the stored configuration cannot be read: {error}"
        raise Invalid("fleet.bad_desired", message, "run `garrison down`, then `garrison up`") from error

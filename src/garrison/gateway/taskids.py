"""Ids of tasks as clients see them: they carry where the task lives, and open for their principal only."""

from __future__ import annotations

import msgspec

from garrison.gateway.seals import Seal


class TaskPlace(msgspec.Struct, frozen=True, array_like=True):
    """Where a task lives. `mark` names a client's own connection, or one of several instances (`#2`), or nothing."""

    server: str
    mark: str
    tool: str
    """The tool that was called, by its own name; empty where it is not known."""
    id: str
    """The task's id at its server."""


class TaskIds:
    """`key`: at least 32 secret bytes."""

    def __init__(self, key: bytes) -> None:
        self._seal = Seal(key, "task ids")

    def seal(self, principal: str, place: TaskPlace) -> str:
        """The same for the same task, in every answer and after a restart."""
        return self._seal.seal(msgspec.json.encode(place), principal)

    def open(self, principal: str, token: str) -> TaskPlace | None:
        """The place behind an id; None when it is not ours, was changed, or is somebody else's."""
        content = self._seal.open(token, principal)
        try:
            return None if content is None else msgspec.json.decode(content, type=TaskPlace)
        except msgspec.MsgspecError:
            return None

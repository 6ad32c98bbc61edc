"""The home: the one folder that holds all of a fleet's state. Nothing is written elsewhere."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

MARK = ".garrison-home"
"""A file in every home, by which our own servers know that what is in there is nobody's to read."""


@dataclass(frozen=True)
class Home:
    """Names the files under one root; creating and filling them is their owners' work."""

    root: Path

    @property
    def admin_key(self) -> Path:
        """The bare admin API key, mode 0600."""
        return self.root / "admin.key"

    @property
    def keys(self) -> Path:
        """SQLite: hashed API keys."""
        return self.root / "keys.sqlite"

    @property
    def ledger(self) -> Path:
        """SQLite: the append-only ledger."""
        return self.root / "ledger.sqlite"

    @property
    def budgets(self) -> Path:
        """SQLite: what limits have counted."""
        return self.root / "budgets.sqlite"

    @property
    def approvals(self) -> Path:
        """SQLite: calls that wait for somebody's yes."""
        return self.root / "approvals.sqlite"

    @property
    def secrets(self) -> Path:
        """Encrypted secrets, by name."""
        return self.root / "secrets.json"

    @property
    def secrets_key(self) -> Path:
        """The master key, where it is kept in a file; mode 0600."""
        return self.root / "secrets.key"

    @property
    def envelope(self) -> Path:
        """Data keys, each wrapped by a master key."""
        return self.root / "envelope.json"

    @property
    def tokens(self) -> Path:
        """Tokens that servers are shown, encrypted."""
        return self.root / "tokens.json"

    @property
    def session_key(self) -> Path:
        """The key that seals session ids, mode 0600."""
        return self.root / "session.key"

    @property
    def bodies(self) -> Path:
        """SQLite: encrypted bodies of calls, where they are kept."""
        return self.root / "bodies.sqlite"

    @property
    def body_keys(self) -> Path:
        """A folder with the wrapped key of each principal whose bodies are kept; apart from them, and from backups."""
        return self.root / "body-keys"

    @property
    def forwarded(self) -> Path:
        """How far the ledger has been forwarded."""
        return self.root / "forwarded.json"

    @property
    def logs(self) -> Path:
        """One folder of logs: `garrison.log` and `servers/NAME.log`."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """What runs now: pids, the address, the guardian's notes. Worthless after a reboot."""
        return self.root / "run"

    @property
    def revisions(self) -> Path:
        """Configurations that were brought up, newest last; what `--rollback` goes back to."""
        return self.root / "revisions"

    def create(self) -> None:
        """Make the root and its folders, readable by their owner only."""
        for folder in (self.root, self.logs, self.logs / "servers", self.run, self.revisions):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        (self.root / MARK).touch(mode=0o600)


def write_private(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step, mode 0600, durable before it returns."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:  # mkstemp makes 0600
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

"""A draft: one server entry of any client's file, its words made the same, its values not yet interpreted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from garrison.catalog.credentials import AuthSpec
from garrison.catalog.notes import WHOLE_FILE, Place
from garrison.catalog.spec import Filter, Offer, SessionMode, Start, Transport


@dataclass(frozen=True, slots=True)
class Text:
    """A value with its place. No value in the repr: it may be a secret."""

    value: str = field(repr=False)
    place: Place = WHOLE_FILE

    def with_value(self, value: str) -> Text:
        return replace(self, value=value)


@dataclass(slots=True)
class Draft:
    """Changed step by step while it is read; becomes a ServerSpec at the end."""

    name: str
    place: Place
    command: list[Text] = field(default_factory=list)
    args: list[Text] = field(default_factory=list)
    kind: Transport | None = None
    """What the file says; None if it does not."""
    url: Text | None = None
    urls: list[Text] = field(default_factory=list)
    """Addresses of further instances."""
    headers: dict[str, Text] = field(default_factory=dict)
    auth: AuthSpec | None = None
    auth_texts: dict[str, Text] = field(default_factory=dict)
    """Its texts that may hold references, with their places."""
    allow_private: bool = False
    env: dict[str, Text] = field(default_factory=dict)
    cwd: Text | None = None
    enabled: bool = True
    start: Start = "eager"
    timeout_s: float | None = None
    startup_timeout_s: float | None = None
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] = ()
    shown_tools: Offer = field(default_factory=Offer)
    """Names and descriptions alone; which tools there are is in `allow` and `deny`."""
    prompts: Offer = field(default_factory=Offer)
    resources: Filter = field(default_factory=Filter)
    prefix: str | None = None
    retry_idempotent: bool = False
    instances: int = 1
    session: SessionMode = "isolated"
    sessions_max: int = 32
    session_idle_s: float = 600.0
    warm: int = 0
    description: str = ""
    declared_name: str = ""
    """The name as the file has it, when it had to be changed."""
    folder: str = ""
    """The project's folder, as it stands in the values that it was put into."""

    @property
    def addresses(self) -> list[Text]:
        """All of them, the first one first."""
        return [self.url, *self.urls] if self.url else []

"""The one error tree: ten kinds, split by what the caller can do about them.

    GarrisonError
    ├── Invalid           the input is wrong; correct it
    ├── Unauthenticated   nobody is known to be asking; present a credential
    ├── Denied            the principal may not do this; ask for a grant
    ├── NotFound          the named thing does not exist
    ├── Conflict          the state does not allow it now
    ├── Limited           too much; safe to retry later
    ├── TimedOut          no answer in time; the outcome is unknown, not safe to retry
    ├── Unavailable       the other side cannot be reached; safe to retry
    ├── Unsupported       we do not do this (yet)
    └── Defect            our own bug

Only edges translate a kind: to HTTP, to JSON-RPC, to an exit code.
Expected negatives (findings, problems, verdicts) are values, not errors.
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar


class Kind(StrEnum):
    INVALID = "invalid"
    UNAUTHENTICATED = "unauthenticated"
    DENIED = "denied"
    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    LIMITED = "limited"
    TIMEOUT = "timeout"
    UNAVAILABLE = "unavailable"
    UNSUPPORTED = "unsupported"
    DEFECT = "defect"


class GarrisonError(Exception):
    """What happened, to what, why, and what to do.

    `code` is stable and dotted (`server.unreachable`); `message` is one sentence for a person;
    `hint` says what to do next. None of them ever holds a secret.
    """

    kind: ClassVar[Kind]

    challenge: str = ""
    """What HTTP's `WWW-Authenticate` is to say, where a credential or another one would help."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hint = hint


class Invalid(GarrisonError):
    kind = Kind.INVALID


class Unauthenticated(GarrisonError):
    kind = Kind.UNAUTHENTICATED


class Denied(GarrisonError):
    kind = Kind.DENIED


class NotFound(GarrisonError):
    kind = Kind.NOT_FOUND


class Conflict(GarrisonError):
    kind = Kind.CONFLICT


class Limited(GarrisonError):
    """`retry_after_s`: seconds after which a retry can succeed."""

    kind = Kind.LIMITED

    def __init__(self, code: str, message: str, hint: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(code, message, hint)
        self.retry_after_s = retry_after_s


class TimedOut(GarrisonError):
    kind = Kind.TIMEOUT


class Unavailable(GarrisonError):
    kind = Kind.UNAVAILABLE


class Unsupported(GarrisonError):
    kind = Kind.UNSUPPORTED


class Defect(GarrisonError):
    kind = Kind.DEFECT

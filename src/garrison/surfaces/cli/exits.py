"""Exit codes: what scripts can rely on. One total table from error kinds; documented in the README."""

from __future__ import annotations

from typing import Final

from garrison.kernel.errors import Kind

OK: Final = 0
FOUND: Final = 1
"""A check found errors, a ledger does not verify, a call's tool answered with an error."""
USAGE: Final = 2
"""The command line or the configuration is wrong."""
NOT_FOUND: Final = 3
"""The fleet does not run, or the named thing does not exist."""
DEGRADED: Final = 4
"""The fleet is up, but some of its servers do not run."""
DENIED: Final = 5
UNAVAILABLE: Final = 6
"""Not reachable, too slow or too busy: trying again may help."""
CONFLICT: Final = 7
"""The state does not allow it now."""
UNSUPPORTED: Final = 8
DEFECT: Final = 70
INTERRUPTED: Final = 130

OF_KIND: Final = {
    Kind.INVALID: USAGE,
    Kind.UNAUTHENTICATED: DENIED,
    Kind.DENIED: DENIED,
    Kind.NOT_FOUND: NOT_FOUND,
    Kind.CONFLICT: CONFLICT,
    Kind.LIMITED: UNAVAILABLE,
    Kind.TIMEOUT: UNAVAILABLE,
    Kind.UNAVAILABLE: UNAVAILABLE,
    Kind.UNSUPPORTED: UNSUPPORTED,
    Kind.DEFECT: DEFECT,
}

MEANINGS: Final = {
    OK: "done",
    FOUND: "a check found errors, or a called tool answered with one",
    USAGE: "the command line or the configuration is wrong",
    NOT_FOUND: "the fleet does not run, or the named thing does not exist",
    DEGRADED: "the fleet is up, but some of its servers do not run",
    DENIED: "the key is unknown or has no grant",
    UNAVAILABLE: "not reachable, too slow or too busy; trying again may help",
    CONFLICT: "the state does not allow it now",
    UNSUPPORTED: "not supported",
    DEFECT: "a defect of Garrison",
    INTERRUPTED: "interrupted",
}

"""The one role that everybody has to know of; what the others grant is `policy`'s."""

from __future__ import annotations

from typing import Final

ADMIN_ROLE: Final = "admin"
"""Built in: allows everything that no policy forbids."""

"""Fixtures of the security tests; lets them import the fixture servers, scripts that import their neighbours."""

from __future__ import annotations

import sys

from running_fleet import SERVERS, start_fleet
from scenarios.conftest import garrison

sys.path.append(str(SERVERS))

__all__ = ["garrison", "start_fleet"]

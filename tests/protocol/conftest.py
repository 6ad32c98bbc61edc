"""Lets tests import the fixture servers, which are scripts that import their neighbours."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "fixtures" / "servers"))

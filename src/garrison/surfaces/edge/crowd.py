"""How many connections there may be: in all, and of one address, so that nobody takes the room of everybody else."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from garrison.surfaces.edge.guard import is_loopback


@dataclass
class Crowd:
    """For all connections of a process. This machine's own addresses have no bound of their own: proxies are there."""

    of_all: float = math.inf
    of_one: float = math.inf
    _here: int = 0
    _of: Counter[str] = field(default_factory=Counter)

    def enters(self, address: str) -> bool:
        """Whether there is room for one more; if so it counts until it `leaves`."""
        if self._here >= self.of_all or self._of[address] >= self.of_one:
            return False
        self._here += 1
        if address and not is_loopback(address):
            self._of[address] += 1
        return True

    def leaves(self, address: str) -> None:
        self._here -= 1
        if self._of[address] > 1:
            self._of[address] -= 1
        else:
            del self._of[address]

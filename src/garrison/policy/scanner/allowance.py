"""How much of one definition the rules read: whoever writes more than that is held for it, and costs no more."""

from __future__ import annotations

from typing import Final

from garrison.policy.scanner.strings import Placed

DEFINITION_CHARS_MAX: Final = 12_000
OF_A_STRING: Final = 60
"""What looking at a string costs at all, in characters."""


class Allowance:
    """Counts each text once, however often it stands there."""

    def __init__(self) -> None:
        self._room = DEFINITION_CHARS_MAX + 10 * OF_A_STRING
        self._seen: set[tuple[str, bool]] = set()
        self.left: list[Placed] = []
        """What was not read, in its order."""
        self.cut: list[Placed] = []
        """What is longer than anything that is read."""

    def covers(self, one: Placed) -> bool:
        """Whether it is to be read: new, and within what is left. The first always is, as far as a text is read."""
        key = (one.text, "/properties/" in one.pointer)
        if key in self._seen:
            return False
        self._seen.add(key)
        if len(one.text) > DEFINITION_CHARS_MAX:
            self.cut.append(one)
        price = min(len(one.text), DEFINITION_CHARS_MAX) + OF_A_STRING
        if price > self._room:
            self._room = 0
            self.left.append(one)
            return False
        self._room -= price
        return True

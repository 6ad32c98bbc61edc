"""How often the guardian starts a node again. Pure and tiny: the guardian loads nothing larger."""

from __future__ import annotations


class RestartLimit:
    """The first restart comes at once, then 0.25 s doubling; after `deaths_max` deaths in `window_s` there is none."""

    def __init__(self, deaths_max: int = 5, window_s: float = 60.0, first_s: float = 0.25, cap_s: float = 10.0) -> None:
        self.deaths_max = deaths_max
        self.window_s = window_s
        self._first_s = first_s
        self._cap_s = cap_s
        self._deaths: list[float] = []

    def next_delay_s(self, now_s: float) -> float | None:
        """Note a death at `now_s` (monotonic); seconds to wait before the next start, None to give up."""
        self._deaths = [death for death in self._deaths if now_s - death < self.window_s]
        self._deaths.append(now_s)
        before = len(self._deaths) - 1
        if before >= self.deaths_max:
            return None
        return 0.0 if before == 0 else min(self._cap_s, self._first_s * 2.0 ** (before - 1))

"""Failed authentications per address: bounded, and without cost for whoever presents what is right."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

ADDRESSES_MAX = 4096
"""Addresses that are remembered; beyond it the one that failed longest ago is forgotten."""
LOOKS_PER_S = 100
"""Signatures that are checked in a second for all addresses that are to wait; one takes about 0.1 ms."""

_ROUNDING = 1e-6


class Attempts:
    """A token bucket of failures for each address: `failures_max` at once, and as many again within a minute.

    0: no limit. Somebody with many addresses of one IPv6 network (/64) counts as one.
    """

    def __init__(self, failures_max: int, now_s: Callable[[], float]) -> None:
        self._max = failures_max
        self._now_s = now_s
        self._failures: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """How many, and when that was so."""
        self._second, self._looked = 0, 0

    def __len__(self) -> int:
        return len(self._failures)

    def failed(self, address: str) -> None:
        """One more."""
        if not self._max:
            return
        key = _network(address)
        self._failures[key] = (min(self._count(key) + 1, self._max + 1.0), self._now_s())
        self._failures.move_to_end(key)
        if len(self._failures) > ADDRESSES_MAX:
            self._failures.popitem(last=False)

    def wait_s(self, address: str) -> float:
        """Seconds until another attempt is looked at; 0 if now."""
        if not self._failures:
            return 0.0
        over = self._count(_network(address)) + 1 - self._max
        return over * 60.0 / self._max if over > _ROUNDING else 0.0

    def may_look(self) -> bool:
        """Whether a signature may be checked for an address that is to wait: somebody else behind the same proxy may be
        right, and an attack costs no more than this."""
        second = int(self._now_s())
        if second != self._second:
            self._second, self._looked = second, 0
        self._looked += 1
        return self._looked <= LOOKS_PER_S

    def _count(self, key: str) -> float:
        count, since_s = self._failures.get(key, (0.0, 0.0))
        return max(0.0, count - (self._now_s() - since_s) * self._max / 60.0)


def _network(address: str) -> str:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or f"{found.exploded[:19]}::/64")
    return address

"""Another master key for the same data keys, while everything goes on.

    1. the source gets a new key beside the former one
    2. every data key is wrapped by both
    3. it is tried whether the new wrappings open
    4. the former wrappings go, then the former key

Whenever it is ended in between, every data key can be opened, and asking again comes to the end. Processes that have
a data key already do not notice; those that begin take whichever wrapping they can open.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from garrison.identity.envelope import DataKeys, Envelope, context_of
from garrison.identity.master_keys import Source, Wrapped
from garrison.kernel.alone import alone
from garrison.kernel.errors import Conflict, NotFound


@dataclass(frozen=True)
class Rekeyed:
    """`source`: where the master key is now. `key`: its id. `is_finished`: the former one is of no more use."""

    source: str
    key: str
    data_keys: int
    is_finished: bool


def rekey(
    envelope: Envelope, to: Source | None = None, *, keep_former: bool = False, new_data: bool = False
) -> Rekeyed:
    """`to`: another source; without it the present one gets a new key. `new_data`: seal by a new data key too.

    Raises `NotFound` where nothing is sealed yet, and what sources raise.
    """
    with alone(envelope.path):
        keys = envelope.read()
        if not keys.keys:
            raise NotFound("secrets.none", "There is nothing sealed yet, and no master key.", "Store a secret first.")
        secrets = {found: envelope.opened(found, wrappings) for found, wrappings in keys.keys.items()}
        source = to or envelope.source(keys.keys[keys.current][0])
        source.renew([one.key for one in _all(keys)])
        both = {found: [source.wrap(secret, context_of(found)), *keys.keys[found]] for found, secret in secrets.items()}
        wrapped = DataKeys(current=keys.current, keys=both)
        if new_data:
            wrapped = envelope.added(wrapped, source)
        envelope.write(wrapped)
        return _summary(wrapped, is_finished=False) if keep_former else _finished(envelope, wrapped)


def finish(envelope: Envelope) -> Rekeyed:
    """The last steps of a `rekey` that kept the former key, or was interrupted."""
    with alone(envelope.path):
        keys = envelope.read()
        if not keys.keys:
            raise NotFound("secrets.none", "There is nothing sealed yet, and no master key.", "Store a secret first.")
        return _finished(envelope, keys)


def _finished(envelope: Envelope, keys: DataKeys) -> Rekeyed:
    """Nothing goes before it was seen that the rest will do."""
    only = DataKeys(current=keys.current, keys={found: each[:1] for found, each in keys.keys.items()})
    for found, wrappings in only.keys.items():
        envelope.opened(found, wrappings)
    if len({(one.source, one.key) for one in _all(only)}) != 1:
        raise Conflict("secrets.half_wrapped", "Not all keys are wrapped by the same one.", "Run rekey again.")
    envelope.write(only)
    needed = [one.key for one in _all(only)]
    for place in {(one.source, tuple(sorted(one.where.items()))): one for one in _all(keys)}.values():
        envelope.source(place).forget(needed)
    return _summary(only, is_finished=True)


def _all(keys: DataKeys) -> Iterable[Wrapped]:
    return [one for wrappings in keys.keys.values() for one in wrappings]


def _summary(keys: DataKeys, *, is_finished: bool) -> Rekeyed:
    newest = keys.keys[keys.current][0]
    return Rekeyed(newest.source, newest.key, len(keys.keys), is_finished)

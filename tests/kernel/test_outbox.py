from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.outbox import Outbox


class Recorder(asyncio.Transport):
    """Keeps what was written, in the order of all."""

    def __init__(self, log: list[tuple[int, bytes]], number: int) -> None:
        super().__init__()
        self.log, self.number, self.closing = log, number, False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.log.append((self.number, bytes(data)))

    def is_closing(self) -> bool:
        return self.closing


async def test_what_is_written_in_one_turn_leaves_at_its_end_in_order() -> None:
    log: list[tuple[int, bytes]] = []
    one, other, outbox = Recorder(log, 1), Recorder(log, 2), Outbox()
    outbox.put(one, b"a")
    outbox.put(other, b"b")
    outbox.put(one, b"c")
    assert log == []
    await asyncio.sleep(0)
    assert log == [(1, b"a"), (2, b"b"), (1, b"c")]


async def test_who_is_gone_at_the_end_of_the_turn_gets_nothing() -> None:
    log: list[tuple[int, bytes]] = []
    one, other, outbox = Recorder(log, 1), Recorder(log, 2), Outbox()
    outbox.put(one, b"a")
    outbox.put(other, b"b")
    other.closing = True
    await asyncio.sleep(0)
    assert log == [(1, b"a")]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=30))
def test_each_gets_its_own_in_order_however_turns_and_flushes_fall(puts: list[tuple[int, bool]]) -> None:
    log: list[tuple[int, bytes]] = []

    async def run() -> None:
        transports, outbox = [Recorder(log, number) for number in range(4)], Outbox()
        for count, (number, turn_ends) in enumerate(puts):
            outbox.put(transports[number], b"%d" % count)
            if turn_ends:
                await asyncio.sleep(0)
        outbox.flush()
        await asyncio.sleep(0)

    asyncio.run(run())
    for number in range(4):
        expected = [b"%d" % count for count, (to, _) in enumerate(puts) if to == number]
        assert [data for to, data in log if to == number] == expected
    assert len(log) == len(puts)

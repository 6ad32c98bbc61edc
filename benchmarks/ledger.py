"""What the ledger can take: entries per second, and processor time per entry, in both settings of durability.

    python benchmarks/ledger.py [ENTRIES] [--url postgresql://…]

`batched` at full speed and at 5,000 entries a second; `strict` with 16 and 256 who wait at a time. The writer's time is
its thread's alone, with what SQLite does in the kernel. The rest of `CPU` is this program's own making of entries.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings

PACED_PER_S = 5_000
TURN_S = 0.005


def an_entry(number: int) -> Entry:
    return Entry(time.time_ns(), "call.outcome", f"{number:024x}", "ci", "tools/call", "everything", "echo", "ok", 1234)


def flood(ledger: Ledger, count: int) -> None:
    for number in range(count):
        while True:
            try:
                ledger.append(an_entry(number))
                break
            except Unavailable:
                time.sleep(0.002)
    ledger.flush(60)


def paced(ledger: Ledger, count: int) -> None:
    began = time.monotonic()
    for number in range(count):
        if number % int(PACED_PER_S * TURN_S) == 0:
            time.sleep(max(0.0, began + number / PACED_PER_S - time.monotonic()))
        ledger.append(an_entry(number))
    ledger.flush(60)


def awaited(at_a_time: int) -> Callable[[Ledger, int], None]:
    async def one_after_another(ledger: Ledger, numbers: range) -> None:
        for number in numbers:
            await ledger.append_durable(an_entry(number))

    async def all_of(ledger: Ledger, count: int) -> None:
        await asyncio.gather(*(one_after_another(ledger, range(who, count, at_a_time)) for who in range(at_a_time)))

    return lambda ledger, count: asyncio.run(all_of(ledger, count))


def measure(name: str, settings: LedgerSettings, act: Callable[[Ledger, int], None], count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Ledger(Path(folder) / "ledger.sqlite", settings)
        clock = time.pthread_getcpuclockid(ledger._writer.ident)
        began, cpu, writer = time.monotonic(), time.process_time(), time.clock_gettime(clock)
        act(ledger, count)
        took, cpu, writer = time.monotonic() - began, time.process_time() - cpu, time.clock_gettime(clock) - writer
        ledger.close()
        assert ledger.committed == count
    each = f"CPU {cpu / count * 1e6:6.1f} µs   writer {writer / count * 1e6:6.2f} µs"
    print(f"{name:34} {count / took:9,.0f} entries/s   {each}")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 and sys.argv[1].isdecimal() else 100_000
    more = {"url": sys.argv[sys.argv.index("--url") + 1]} if "--url" in sys.argv else {}
    batched, strict = LedgerSettings(**more), LedgerSettings(durability="strict", **more)
    measure("batched, as fast as it goes", batched, flood, count)
    measure(f"batched, {PACED_PER_S:,} a second", batched, paced, count // 4)
    measure("strict, 256 at a time", strict, awaited(256), count)
    measure("strict, 16 at a time", strict, awaited(16), count // 4)


if __name__ == "__main__":
    main()

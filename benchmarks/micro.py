"""What the parts of the hot path cost: microseconds, and the ratio to a reference loop of the same run.

    python benchmarks/micro.py [--durability]

Machines and neighbours differ, ratios hardly do: compare those between runs. Every figure is the best of several
rounds, in processor time of the calling thread; ledger entries are committed between rounds, outside the measurement.
`--durability` measures what the ledger's two settings cost (docs/adr/0002).
"""

from __future__ import annotations

import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.keys import KeyStore
from garrison.identity.principals import Principal
from garrison.identity.roles import Authoriser
from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry, encode
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.spool import Spool
from garrison.telemetry.exposition import render
from garrison.telemetry.metrics import Metrics
from garrison.telemetry.redaction import redactor

ROUNDS = 15
PER_ROUND = 1000


def best_us(act: Callable[[], object], between: Callable[[], object] = lambda: None, times: int = PER_ROUND) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        started = time.thread_time_ns()
        for _ in range(times):
            act()
        best = min(best, (time.thread_time_ns() - started) / times / 1000)
        between()
    return best


def reference() -> int:
    """A small piece of ordinary Python: one dictionary and one list, twenty steps."""
    counts: dict[int, int] = {}
    for number in range(20):
        counts[number & 7] = counts.get(number & 7, 0) + number
    return sum(list(counts.values()))


def an_entry(number: int = 1) -> Entry:
    return Entry(
        1_790_000_000_000_000_000 + number,
        "call.outcome",
        "0123456789abcdef01234567",
        "ci",
        "tools/call",
        "everything",
        "echo",
        "ok",
        1234,
    )


def hot_path(folder: Path) -> dict[str, float]:
    metrics = Metrics()
    counter = metrics.counter("calls", "Calls.", ("method", "server"))
    cell = counter.cell("tools/call", "git")
    histogram = metrics.histogram("duration", "Duration.", ("method",)).cell("tools/call")
    keys = KeyStore(folder / "keys.sqlite")
    _, key = keys.create("ci", ["reader"])
    role = RoleSpec(name="reader", grants=(GrantSpec(servers=("git",), tools=("status", "log*")),))
    authoriser, principal = Authoriser({"reader": role}), Principal("id", "key", "ci", ("reader",))
    ledger = Ledger(folder / "ledger.sqlite")
    spool = Spool(folder / "spool", 64 * 1024 * 1024)
    entry = an_entry()
    body = encode(entry, redactor)
    found = {
        "counter cell.add": best_us(lambda: cell.add(1)),
        "counter.cell(…)": best_us(lambda: counter.cell("tools/call", "git")),
        "histogram cell.observe": best_us(lambda: histogram.observe(0.03)),
        "keys.verify, known key": best_us(lambda: keys.verify(key)),
        "keys.verify, unknown key": best_us(lambda: keys.verify("gsn_00000000" + key[12:])),
        "authoriser.decide, seen before": best_us(lambda: authoriser.decide(principal, "tool", "git", "log_all")),
        "Entry(…)": best_us(an_entry),
        "entry encoded and looked at for secrets": best_us(lambda: encode(entry, redactor)),
        "spool.put": best_us(lambda: spool.put(body)),
        "ledger.append": best_us(lambda: ledger.append(entry), ledger.flush),
    }
    ledger.close()
    keys.close()
    spool.close()
    return found


def off_the_path() -> dict[str, float]:
    metrics = Metrics()
    for number in range(100):
        metrics.histogram(f"duration{number}", "Duration.", ("method",)).cell("tools/call").observe(1)
    harmless = "tools/call git status took 12 ms for principal ci at 127.0.0.1, and so on"
    suspicious = harmless + ", password=x"
    return {
        "redactor.text, harmless": best_us(lambda: redactor.text(harmless)),
        "redactor.text, with a password": best_us(lambda: redactor.text(suspicious)),
        "render 100 histograms": best_us(lambda: render(metrics), times=5),
    }


def processor_us() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return (used.ru_utime + used.ru_stime) * 1e6


def sustained(path: Path, count: int = 200_000) -> str:
    """As many entries as the ledger takes, waiting whenever it refuses."""
    ledger = Ledger(path)
    started, cpu = time.perf_counter(), processor_us()
    for number in range(count):
        entry = an_entry(number)
        while not accepted(ledger, entry):
            time.sleep(0.002)
    ledger.flush()
    seconds, cpu = time.perf_counter() - started, processor_us() - cpu
    ledger.close()
    started = time.perf_counter()
    verdict = ledger.verify()
    assert verdict.ok
    assert verdict.entries == count
    checked = count / (time.perf_counter() - started)
    return f"{count / seconds:,.0f} entries/s sustained, {cpu / count:.1f} µs CPU each; verified at {checked:,.0f}/s"


def accepted(ledger: Ledger, entry: Entry) -> bool:
    try:
        ledger.append(entry)
    except Unavailable:
        return False
    return True


async def strict(path: Path, at_once: int, count: int) -> str:
    """Calls that wait for their intent and for their outcome to be on disk, `at_once` of them at a time."""
    ledger = Ledger(path, LedgerSettings(durability="strict"))
    waits: list[float] = []

    async def one_call() -> None:
        for _ in range(count // at_once):
            started = time.perf_counter()
            await ledger.append_durable(an_entry())
            await ledger.append_durable(an_entry())
            waits.append(time.perf_counter() - started)

    started, cpu = time.perf_counter(), processor_us()
    await asyncio.gather(*(one_call() for _ in range(at_once)))
    seconds, cpu = time.perf_counter() - started, processor_us() - cpu
    ledger.close()
    return line(
        f"strict, {at_once} at once", len(waits) / seconds, sorted(waits)[len(waits) // 2] * 1e6, cpu / len(waits)
    )


def batched(path: Path, window_s: float, calls_per_s: int, seconds: float = 2.0) -> str:
    """Calls at a steady rate that only append their intent and their outcome."""
    ledger = Ledger(path, LedgerSettings(window_s=window_s))
    calls = int(calls_per_s * seconds)
    started, cpu, waits = time.perf_counter(), processor_us(), []
    per_tick = max(calls_per_s // 200, 1)
    for tick in range(calls // per_tick):
        time.sleep(max(0.0, started + tick * per_tick / calls_per_s - time.perf_counter()))
        for _ in range(per_tick):
            begun = time.perf_counter()
            ledger.append(an_entry())
            ledger.append(an_entry())
            waits.append(time.perf_counter() - begun)
    ledger.flush()
    took, cpu = time.perf_counter() - started, processor_us() - cpu
    ledger.close()
    name = f"batched, window {window_s * 1000:.0f} ms, {calls_per_s:,} calls/s"
    return line(name, len(waits) / took, sorted(waits)[len(waits) // 2] * 1e6, cpu / len(waits))


def line(name: str, rate: float, wait_us: float, cpu_us: float) -> str:
    return f"{name:<44} {rate:>9,.0f} calls/s {wait_us:>9,.1f} µs wait (median) {cpu_us:>7.1f} µs CPU per call"


def durability(folder: Path) -> None:
    for number, at_once in enumerate((1, 16, 256)):
        print(asyncio.run(strict(folder / f"strict{number}.sqlite", at_once, 2048 if at_once > 1 else 512)))
    for number, (window_s, rate) in enumerate(((0.01, 2000), (0.05, 200), (0.05, 2000), (0.2, 2000), (0.05, 8000))):
        print(batched(folder / f"batched{number}.sqlite", window_s, rate))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = best_us(reference)
        print(f"{'reference loop':<44} {base:8.2f} µs   1.00 ×")
        for what, cost in (hot_path(folder) | off_the_path()).items():
            print(f"{what:<44} {cost:8.2f} µs {cost / base:6.2f} ×")
        print("ledger:", sustained(folder / "sustained.sqlite"))
        if "--durability" in sys.argv:
            durability(folder)


if __name__ == "__main__":
    main()

"""Killed writers, and a database that goes away: what was acknowledged is stored, and nothing raises a false alarm."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.place import Place
from garrison.protection.reader import tail, verify
from postgres_server import PASSWORD, Postgres, postgres

WRITE = """
import asyncio, os, sys
from pathlib import Path
from garrison.kernel.errors import Unavailable
from garrison.protection.entries import Entry
from garrison.protection.ledger import Ledger, LedgerSettings
from garrison.protection.writer import CheckpointRhythm
path, durability, who = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
url, rhythm = os.environ["LEDGER_URL"], CheckpointRhythm(entries=9)
ledger = Ledger(path, LedgerSettings(durability=durability, window_s=0.002, checkpoints=rhythm, url=url))
os.write(1, b"0\\n")
async def strict():
    number = 0
    while True:
        batch = range(number + 1, number + 6)
        await asyncio.gather(*(ledger.append_durable(Entry(one, "call.intent", who)) for one in batch))
        number += 5
        os.write(1, b"%d\\n" % number)
if durability == "strict":
    asyncio.run(strict())
number = 0
while True:
    number += 1
    ledger.append(Entry(number, "call.intent", who))
    os.write(1, b"%d\\n" % number)
"""


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    url = ""
    if request.param == "postgres":
        server: Postgres = request.getfixturevalue("postgres_server")
        url = server.database()
    return Place(tmp_path / "ledger.sqlite", url)


def start(place: Place, durability: str, who: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", WRITE, str(place.path), durability, who]
    environment = {**os.environ, "LEDGER_URL": place.url}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)


def killed(process: subprocess.Popen[bytes], lines: int, later_s: float) -> int:
    """Kill -9 some time after so many lines; the last number that was acknowledged."""
    assert process.stdout is not None
    with process, process.stdout as out:
        last = b"0\n"
        for _ in range(lines):
            last = out.readline()
        time.sleep(later_s)
        process.send_signal(signal.SIGKILL)
        whole = [line for line in out.read().splitlines(keepends=True) if line.endswith(b"\n")]
    return int((whole or [last])[-1])


def stored(place: Place, who: str) -> list[int]:
    return [one.entry.time_ns for one in tail(place, 10**7) if one.entry.call == who]


def eventually(condition: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("durability", ["batched", "strict"])
def test_kill_9_at_random_points_loses_nothing_acknowledged_and_alarms_nobody(place: Place, durability: str) -> None:
    chance = random.Random(durability + place.url[-1:])
    for life in range(6):
        who = f"life{life}"
        acknowledged = killed(start(place, durability, who), chance.randint(1, 40), chance.random() * 0.03)
        before = verify(place)
        assert before.ok, before
        if durability == "strict":
            assert set(range(1, acknowledged + 1)) <= set(stored(place, who)), "durable without anybody's help"
        Ledger(place.path, LedgerSettings(url=place.url)).close()
        found = stored(place, who)
        assert found[:acknowledged] == list(range(1, acknowledged + 1)), "in order, without a hole, once"
        assert len(found) <= acknowledged + 5
        after = verify(place)
        assert after.ok, after
        assert after.checkpoints


@pytest.mark.slow
def test_two_that_write_at_once_are_killed_one_after_the_other(place: Place) -> None:
    one, other = start(place, "batched", "one"), start(place, "strict", "other")
    first = killed(one, 200, 0.01)
    second = killed(other, 20, 0.01)
    Ledger(place.path, LedgerSettings(url=place.url)).close()
    assert stored(place, "one")[:first] == list(range(1, first + 1))
    assert set(range(1, second + 1)) <= set(stored(place, "other"))
    assert verify(place).ok


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    with postgres() as server:
        yield server


@pytest.mark.slow
def test_a_postgres_that_goes_away_refuses_calls_and_gets_every_accepted_entry_when_it_is_back(
    own_server: Postgres, tmp_path: Path
) -> None:
    place = Place(tmp_path / "ledger.sqlite", own_server.database())
    ledger = Ledger(place.path, LedgerSettings(url=place.url, window_s=0.005))
    ledger.record(Entry(1, "call.intent"))
    own_server.stop()
    accepted, refusals = 1, list[Unavailable]()

    def refused() -> bool:
        nonlocal accepted
        try:
            ledger.append(Entry(accepted + 1, "call.intent"))
        except Unavailable as error:
            refusals.append(error)
            return True
        accepted += 1
        return False

    eventually(refused)
    assert refusals[0].code == "ledger.unwritable"
    assert PASSWORD not in str(refusals[0]) + ledger.problem
    own_server.start()
    eventually(lambda: not ledger.problem)
    ledger.append(Entry(accepted + 1, "call.intent"))
    assert ledger.close() == 0
    assert [one.entry.time_ns for one in tail(place, 10**6)] == list(range(1, accepted + 2))
    assert verify(place).ok


def test_a_database_that_refuses_us_is_an_error_for_people_without_the_password(
    postgres_server: Postgres, tmp_path: Path
) -> None:
    url = postgres_server.database().replace(PASSWORD, "Canary-wrong-1234")
    with pytest.raises(Unavailable) as caught:
        Ledger(tmp_path / "ledger.sqlite", LedgerSettings(url=url))
    assert "authentication failed" in caught.value.message
    for said in (str(caught.value), repr(caught.value), repr(Place(tmp_path, url)), repr(LedgerSettings(url=url))):
        assert "Canary" not in said

"""Retries: what may be asked again, how much of it, and what a call that goes down twice passes."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import ServerSpec
from garrison.gateway.call import Call, HttpRequest, Outcome
from garrison.gateway.heads import Head
from garrison.gateway.pipeline import Pipeline
from garrison.gateway.retries import NEVER_SENT, SAFE_METHODS, Budget, RetryPolicy, may_repeat, wait_s
from garrison.gateway.stage import Again, Stage, Step
from garrison.kernel.errors import Denied, GarrisonError, Limited, TimedOut, Unavailable
from gateway.flaky import Flaky, flaky
from running_fleet import Running, StartFleet

POLICY = RetryPolicy()
LOST = TimedOut("server.lost", "gone in mid-call")


# what may be asked again


@pytest.mark.parametrize("code", sorted(NEVER_SENT))
def test_what_never_left_may_be_sent_again_whatever_it_is(code: str) -> None:
    assert may_repeat("tools/call", Unavailable(code, "not there"), idempotent=False)


def test_a_tool_call_that_was_lost_is_not_repeated_unless_it_is_known_to_be_harmless() -> None:
    assert not may_repeat("tools/call", LOST, idempotent=False)
    assert may_repeat("tools/call", LOST, idempotent=True)
    assert all(may_repeat(method, LOST, idempotent=False) for method in SAFE_METHODS)


@pytest.mark.parametrize(
    "failure",
    [
        Denied("grant.missing", "no"),
        Limited("limit.rate", "too fast"),
        TimedOut("server.timeout", "the client has waited enough"),
        TimedOut("call.cancelled", "nobody wants it any more"),
        Unavailable("server.auth_needed", "asking again does not help"),
    ],
)
def test_what_would_fail_again_or_is_not_wanted_is_not_repeated(failure: GarrisonError) -> None:
    assert not may_repeat("resources/read", failure, idempotent=True)


@given(st.lists(st.booleans(), max_size=500))
def test_retries_never_exceed_a_fifth_of_the_calls_and_one(storm: list[bool]) -> None:
    budget, retries = Budget(POLICY), 0
    for calls, wanted in enumerate(storm, 1):
        budget.earn()
        retries += wanted and budget.spend()
        assert retries <= 1 + calls * POLICY.budget_share + 1e-6


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_a_wait_lies_between_nothing_and_its_bound(before: int, chance: float) -> None:
    assert 0 <= wait_s(POLICY, before, chance) <= min(POLICY.cap_s, POLICY.first_s * 2.0**before)


# the way down, again


class _Trace(Stage):
    def __init__(self, name: str, log: list[str], outcomes: list[Outcome] | None = None) -> None:
        self.name = name  # type: ignore[misc]
        self._log = log
        self._outcomes = outcomes

    def enter(self, call: Call) -> Step:
        self._log.append(self.name)
        return self._outcomes.pop(0) if self._outcomes else None

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self._log.append(f"/{self.name}")
        if self.name == "retry" and outcome.failure is LOST:
            call.retries += 1
            raise Again("retry", 0.0)
        return outcome


class _Sink:
    def on_disconnect(self, callback: object) -> None: ...


def traced(outcomes: list[Outcome]) -> tuple[Call, list[str], list[Outcome]]:
    log: list[str] = []
    answers: list[Outcome] = []
    stages = [_Trace("audit", log), _Trace("retry", log), _Trace("intent", log), _Trace("forward", log, outcomes)]
    call = Call("call1", HttpRequest(Head("POST", "/mcp", {}), b""), _Sink(), 0)  # type: ignore[arg-type]
    Pipeline(stages, lambda _, outcome: answers.append(outcome)).start(call)
    return call, log, answers


async def until_answered(answers: list[Outcome]) -> None:
    async with asyncio.timeout(5):
        while not answers:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_a_call_that_is_made_again_passes_only_the_stages_below_the_retry() -> None:
    _, log, answers = traced([Outcome(failure=LOST), Outcome(result=b"{}")])
    await until_answered(answers)
    attempt = ["intent", "forward", "/forward", "/intent", "/retry"]
    assert log == ["audit", "retry", *attempt, *attempt, "/audit"]
    assert [answer.result for answer in answers] == [b"{}"]


async def test_a_call_that_is_given_up_while_it_waits_is_not_made_again() -> None:
    call, log, answers = traced([Outcome(failure=LOST)])
    call.cancel("the client went away")
    assert [answer.failure.code for answer in answers if answer.failure] == ["call.cancelled"]
    await asyncio.sleep(0.02)
    assert log.count("forward") == 1
    assert log[-1] == "/audit"


# in front of a server that hangs up


async def ask(running: Running, method: str, **params: object) -> dict[str, object]:
    hello = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}}
    session = (await running.post("/servers/far/mcp", hello)).headers["mcp-session-id"]
    body = {"jsonrpc": "2.0", "id": 2, "method": method, "params": params}
    answer: dict[str, object] = (await running.post("/servers/far/mcp", body, mcp_session_id=session)).json()
    return answer


def spec(server: Flaky, *, retry_idempotent: bool = False) -> ServerSpec:
    return ServerSpec(name="far", transport="http", url=server.url, retry_idempotent=retry_idempotent)


@pytest.mark.slow
async def test_a_read_survives_a_server_that_hangs_up(start_fleet: StartFleet) -> None:
    async with flaky() as server:
        running = await start_fleet(spec(server))
        server.method, server.hang_ups = "resources/read", 1
        assert "result" in await ask(running, "resources/read", uri="memo://one")
        assert server.asked.count("resources/read") == 2
        intents = [entry for entry in running.records() if entry.kind == "call.intent"]
        assert len([entry for entry in intents if entry.action == "resources/read"]) == 2, "one for each attempt"


@pytest.mark.slow
@pytest.mark.parametrize(("tool", "believed", "asked"), [("write", True, 1), ("read", False, 1), ("read", True, 2)])
async def test_a_tool_is_called_again_only_where_it_is_harmless_and_its_owner_says_so(
    start_fleet: StartFleet, tool: str, believed: bool, asked: int
) -> None:
    async with flaky() as server:
        running = await start_fleet(spec(server, retry_idempotent=believed))
        server.method, server.hang_ups = "tools/call", 1
        answer = await ask(running, "tools/call", name=tool, arguments={})
        assert server.asked.count("tools/call") == asked
        assert ("result" in answer) is (asked == 2)


@pytest.mark.slow
async def test_a_storm_of_failures_adds_at_most_a_fifth(start_fleet: StartFleet) -> None:
    async with flaky() as server:
        running = await start_fleet(spec(server))
        calls = 60
        server.method, server.hang_ups = "resources/read", 1000
        for _ in range(calls):
            await ask(running, "resources/read", uri="memo://one")
        assert server.asked.count("resources/read") <= 1.2 * calls + 1

"""The gateway's deciders: naming, routing, bridging, sealing. No sockets."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.gateway import aggregate, bridge
from garrison.gateway.call import Call, HttpRequest, Outcome, Pending
from garrison.gateway.heads import Head, endpoint_of, is_transparent, profile_of
from garrison.gateway.inbound import Inbound
from garrison.gateway.pipeline import Pipeline, check_order
from garrison.gateway.sessions import SESSION_LIFE_S, Sessions
from garrison.gateway.stage import Stage, Step
from garrison.kernel.clock import ManualClock
from garrison.kernel.errors import Defect, Denied, GarrisonError
from garrison.kernel.ids import CountedIds
from garrison.protocol.messages import decode_params, raw

names = st.from_regex(r"[A-Za-z0-9_-]{1,20}", fullmatch=True)


class _Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.answers: list[Outcome] = []


def call_for(body: bytes = b"", **headers: str) -> Call:
    sent = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Call("call1", HttpRequest(Head("POST", "/mcp", sent), body), _Sink(), 0)  # type: ignore[arg-type]


# names


@pytest.mark.parametrize(
    ("template", "uri", "fits"),
    [
        ("file:///{path}", "file:///a/b", True),
        ("file:///{path}", "http://a", False),
        ("demo://{a}/x/{b}.txt", "demo://1/x/2.txt", True),
        ("demo://{a}/x/{b}.txt", "demo://1/y/2.txt", False),
        ("demo://fixed", "demo://fixed", True),
        ("demo://fixed", "demo://fixed/more", False),
        ("a{x}a", "a", False),
    ],
)
def test_uris_are_matched_against_templates(template: str, uri: str, fits: bool) -> None:
    assert aggregate.template_matches(template, uri) is fits


# eras


def test_nothing_changes_between_equal_eras() -> None:
    params = {"name": raw("echo"), "_meta": raw({"x": 1})}
    assert bridge.request_params(params, "legacy", "legacy", "2025-11-25", {}) is params
    content = raw({"content": []})
    assert bridge.result(content, "tools/call", "modern", "modern") is content


def test_a_legacy_request_gets_the_modern_envelope_and_loses_it_on_the_way_back() -> None:
    params = {"name": raw("echo"), "_meta": raw({"progressToken": 7})}
    modern = bridge.request_params(params, "legacy", "modern", "2026-07-28", {"name": "garrison"})
    meta = msgspec.json.decode(modern["_meta"])
    assert meta["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"
    assert meta["progressToken"] == 7
    back = bridge.request_params(modern, "modern", "legacy", "2025-11-25", {})
    assert msgspec.json.decode(back["_meta"]) == {"progressToken": 7}


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=4))
def test_a_result_survives_the_way_to_modern_and_back(content: dict[str, object]) -> None:
    for key in ("resultType", "ttlMs", "cacheScope"):
        content.pop(key, None)
    modern = bridge.modern_result(msgspec.json.encode(content), "tools/list")
    assert msgspec.json.decode(modern) == {"resultType": "complete", "ttlMs": 0, "cacheScope": "private", **content}
    assert msgspec.json.decode(bridge.result(msgspec.Raw(modern), "tools/list", "legacy", "modern")) == content


def test_a_request_for_input_is_seen_with_its_questions_and_state() -> None:
    asked = {"a": {"method": "elicitation/create", "params": {"message": "?"}}}
    content = raw({"resultType": "input_required", "inputRequests": asked, "requestState": "s"})
    found = bridge.input_wanted(content)
    assert found is not None
    questions, state = found
    assert {key: method for key, (method, _) in questions.items()} == {"a": "elicitation/create"}
    assert bytes(state) == b'"s"'
    assert bridge.input_wanted(raw({"content": []})) is None


# sessions


def sessions(clock: ManualClock | None = None, key: bytes = bytes(32)) -> Sessions:
    return Sessions(key, clock or ManualClock(), CountedIds())


def seal(one: Sessions, principal: str, endpoint: str = "") -> str:
    return one.seal(one.begin(principal, endpoint, "2025-11-25", "client", {"sampling": {}, "tasks": {}}))


def test_a_sealed_session_is_opened_by_whoever_has_the_key() -> None:
    token = seal(sessions(), "p1", "git")
    found = sessions().open(token)
    assert found is not None
    assert (found.principal, found.endpoint, found.version) == ("p1", "git", "2025-11-25")
    assert found.capabilities == {"sampling": {}}
    assert sessions(key=b"x" * 32).open(token) is None


def test_a_session_ends_by_time_and_by_hand() -> None:
    clock = ManualClock()
    one = sessions(clock)
    first, second = (seal(one, "p1") for _ in range(2))
    found = one.open(first)
    assert found is not None
    one.end(found)
    assert one.open(first) is None
    assert one.open(second) is not None
    clock.advance(SESSION_LIFE_S + 1)
    assert one.open(second) is None


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=255))
def test_every_changed_byte_of_a_session_id_is_noticed(place: int, change: int) -> None:
    token = seal(sessions(), "p1").encode()
    place %= len(token)
    forged = token[:place] + bytes([(token[place] + change) % 256]) + token[place + 1 :]
    assert sessions().open(forged.decode("latin-1")) is None


# reading requests


@given(st.binary(max_size=200), st.sampled_from(["", "2026-07-28", "2025-11-25", "1"]))
def test_no_body_is_too_strange_to_be_read(body: bytes, version: str) -> None:
    call = call_for(body, **({"mcp_protocol_version": version} if version else {}))
    Inbound(sessions()).read(call)
    assert call.problem is None or isinstance(call.problem, GarrisonError)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=10,
    )
)
def test_no_parameters_are_too_strange_to_be_read(params: object) -> None:
    try:
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
    except UnicodeEncodeError:
        return
    for version in ("2026-07-28", "2025-11-25"):
        Inbound(sessions()).read(call_for(body, mcp_protocol_version=version, mcp_method="tools/call"))


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/mcp/",
        "/servers//mcp",
        "/profiles//mcp",
        "/profiles/mcp",
        "/profiles/a/b/mcp",
        "/servers/a/b/mcp",
        "/servers/a/mcp/x",
        "/MCP",
    ],
)
def test_other_paths_are_no_endpoints(path: str) -> None:
    with pytest.raises(GarrisonError):
        endpoint_of(path)


@pytest.mark.parametrize(
    ("path", "endpoint", "transparent", "profile"),
    [
        ("/mcp", "", False, None),
        ("/servers/a/mcp", "a", True, None),
        ("/servers/profiles/mcp", "profiles", True, None),
        ("/profiles/a/mcp", "profiles/a", False, "a"),
    ],
)
def test_a_server_a_profile_and_all_servers_have_endpoints_of_their_own(
    path: str, endpoint: str, transparent: bool, profile: str | None
) -> None:
    assert endpoint_of(path) == endpoint
    assert (is_transparent(endpoint), profile_of(endpoint)) == (transparent, profile)


def test_instructions_say_what_names_begin_with_where_it_is_not_the_servers_name() -> None:
    told = aggregate.instructions({"a": " Ask a. ", "b": ""}, {"a": "a__", "b": "x__", "c": ""}, "For some")
    assert told == (
        "For some\n\nTools and prompts are named SERVER__NAME. Those of b begin with x__. "
        "Those of c are named as they are.\n\n## a\nAsk a."
    )
    assert aggregate.instructions({}, {"b": ""}) == "Those of b are named as they are."


def test_a_member_that_stands_twice_counts_once() -> None:
    assert msgspec.json.decode(msgspec.json.encode(decode_params(b'{"a":1,"a":2}'))) == {"a": 2}


# the pipeline


class _Stage(Stage):
    def __init__(self, name: str, log: list[str], step: Step | GarrisonError = None) -> None:
        self.name = name  # type: ignore[misc]
        self._log = log
        self._step = step

    def enter(self, call: Call) -> Step:
        self._log.append(f"{self.name} down")
        if isinstance(self._step, Exception):
            raise self._step
        return self._step

    def leave(self, call: Call, outcome: Outcome) -> Outcome:
        self._log.append(f"{self.name} up")
        return outcome


def run(*stages: _Stage) -> tuple[Call, list[Outcome]]:
    answers: list[Outcome] = []
    call = call_for()
    Pipeline(stages, lambda _, outcome: answers.append(outcome)).start(call)
    return call, answers


def test_an_outcome_comes_up_through_the_stages_that_were_entered_and_no_other() -> None:
    log: list[str] = []
    refused = Denied("grant.missing", "no")
    _, answers = run(
        _Stage("observe", log), _Stage("audit", log), _Stage("authorise", log, refused), _Stage("limit", log)
    )
    assert log == ["observe down", "audit down", "authorise down", "authorise up", "audit up", "observe up"]
    assert [answer.failure for answer in answers] == [refused]


def test_a_pending_call_ends_once_however_often_it_is_finished() -> None:
    log: list[str] = []
    call, answers = run(_Stage("observe", log), _Stage("forward", log, Pending()))
    assert answers == []
    call.finish(Outcome(result=b"{}"))
    call.finish(Outcome(result=b"[]"))
    assert [answer.result for answer in answers] == [b"{}"]
    assert log.count("observe up") == 1


def test_a_defect_in_a_stage_ends_its_call_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    _, answers = run(_Stage("observe", []), _Stage("audit", [], ZeroDivisionError()))  # type: ignore[arg-type]
    assert isinstance(answers[0].failure, Defect)
    assert "a stage failed" in caplog.text


async def test_a_stage_that_must_wait_takes_its_call_off_the_path_and_goes_on() -> None:
    log: list[str] = []
    ready = asyncio.Event()

    async def wait() -> Outcome | None:
        await ready.wait()
        return None

    call, answers = run(_Stage("connect", log, wait()), _Stage("forward", log, Outcome(result=b"{}")))
    assert log == ["connect down"]
    ready.set()
    await asyncio.sleep(0.01)
    assert [answer.result for answer in answers] == [b"{}"]
    assert call.finished


def test_an_impossible_order_fails_at_start_up() -> None:
    with pytest.raises(Defect, match="not in the pipeline's order"):
        check_order([_Stage("audit", []), _Stage("observe", [])])
    hungry = _Stage("limit", [])
    hungry.needs = frozenset({"principal"})  # type: ignore[misc]
    with pytest.raises(Defect, match="needs principal"):
        check_order([hungry])

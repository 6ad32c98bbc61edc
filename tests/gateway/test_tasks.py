"""Tasks through the gateway: found again by id, at whatever endpoint, by their principal and nobody else."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extras_fleet import ERAS, extras, flags
from garrison.catalog.spec import GrantSpec, RoleSpec, ServerSpec
from garrison.gateway.taskids import TaskIds, TaskPlace
from remote_servers import remote
from running_fleet import Running, StartFleet
from speaking import Json, Speaker, speaking

TASKS = "io.modelcontextprotocol/tasks"
RELATED = "io.modelcontextprotocol/related-task"
places = st.builds(TaskPlace, st.text(max_size=9), st.text(max_size=9), st.text(max_size=9), st.text(max_size=40))


@given(places, st.text(max_size=9), st.text(max_size=9))
def test_an_id_opens_for_its_principal_alone_and_is_always_the_same(place: TaskPlace, one: str, other: str) -> None:
    ids = TaskIds(bytes(32))
    token = ids.seal(one, place)
    assert ids.open(one, token) == place
    assert token == TaskIds(bytes(32)).seal(one, place)
    if other != one:
        assert ids.open(other, token) is None
    assert TaskIds(b"x" * 32).open(one, token) is None


@given(st.text(max_size=200))
def test_no_id_is_too_strange_to_be_refused(token: str) -> None:
    assert TaskIds(bytes(32)).open("p", token) is None


def able(era: str) -> Json:
    return {"extensions": {TASKS: {}}} if era == "modern" else {}


async def begun(client: Speaker, name: str = "one__job") -> str:
    """The id of a task that the client has begun."""
    if client.modern:
        result = await client.call(name)
        assert result["resultType"] == "task"
        return str(result["taskId"])
    result = await client.result("tools/call", name=name, arguments={}, task={"ttl": 60_000})
    return str(result["task"]["taskId"])


def said(result: Json) -> Any:
    return result["content"][0]["text"]


@pytest.mark.slow
@pytest.mark.parametrize(("era", "transport"), [("legacy", "stdio"), ("modern", "http"), ("legacy", "http")])
async def test_a_task_is_found_again_through_every_endpoint_that_reaches_its_server(
    start_fleet: StartFleet, era: str, transport: str
) -> None:
    async with remote("extras", *flags(era), "--tag", "one") as url:
        http = ServerSpec(name="one", transport="http", url=url)
        running = await start_fleet(
            http if transport == "http" else extras("one", *flags(era)), extras("two", "--modern")
        )
        async with (
            speaking(running, era, **able(era)) as first,
            speaking(running, era, "/servers/one/mcp", **able(era)) as alone,
            speaking(running, era, "/servers/two/mcp", **able(era)) as elsewhere,
        ):
            own = await begun(first)
            assert "task-1" not in own
            for client in (first, alone):
                state = await client.result("tasks/get", taskId=own)
                assert (state["taskId"], state["status"]) == (own, "working")
            if era == "modern":
                wrong = first.ask("tasks/get", taskId=own, name="another")
                assert (await wrong)["error"]["code"] == -32020
            assert (await elsewhere.ask("tasks/get", taskId=own))["error"]["code"] == -32602
            await first.call("one__finish")
            if era == "legacy":
                result = await alone.result("tasks/result", taskId=own)
                assert result["_meta"][RELATED] == {"taskId": own}
            else:
                result = (await alone.result("tasks/get", taskId=own))["result"]
            assert said(result) == "the result of one"


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_a_task_is_cancelled_by_its_id(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(extras("one", *flags(era)))
    async with speaking(running, era, **able(era)) as client:
        own = await begun(client)
        await client.result("tasks/cancel", taskId=own)
        assert (await client.result("tasks/get", taskId=own))["status"] == "cancelled"


@pytest.mark.slow
@pytest.mark.parametrize("era", ERAS)
async def test_somebody_elses_task_is_not_there(start_fleet: StartFleet, era: str) -> None:
    running = await start_fleet(extras("one", *flags(era), session="shared"))
    stranger = running.key("admin", name="stranger")
    async with (
        speaking(running, era, **able(era)) as client,
        speaking(running, era, key=stranger, **able(era)) as other,
        speaking(running, era, "/servers/one/mcp", key=stranger, **able(era)) as other_alone,
    ):
        own = await begun(client)
        for method in ("tasks/get", "tasks/cancel", "tasks/result" if era == "legacy" else "tasks/update"):
            for one in (other, other_alone):
                for token in (own, "task-1"):
                    refused = (await one.ask(method, taskId=token))["error"]
                    assert refused["data"]["code"] == "task.unknown"
        if era == "legacy":
            assert (await other.result("tasks/list"))["tasks"] == []
            assert (await other_alone.result("tasks/list"))["tasks"] == []


@pytest.mark.slow
async def test_the_list_has_ones_own_tasks_of_all_servers_even_if_one_is_silent(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one", session="shared"), extras("two", session="shared"))
    async with speaking(running, "legacy") as client:
        first, second = await begun(client), await begun(client, "two__job")
        assert [task["taskId"] for task in (await client.result("tasks/list"))["tasks"]] == [second, first]
        await client.call("one__finish")
        states = {task["taskId"]: task["status"] for task in (await client.result("tasks/list"))["tasks"]}
        assert states == {first: "completed", second: "working"}
        pid = running.fleet.supervisor.observed()["two"].pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        states = {task["taskId"]: task["status"] for task in (await client.result("tasks/list"))["tasks"]}
        assert states == {first: "completed", second: "working"}
        async with speaking(running, "legacy", "/servers/one/mcp") as alone:
            assert [task["taskId"] for task in (await alone.result("tasks/list"))["tasks"]] == [first]
        os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.parametrize("session", ["shared", "isolated"])
async def test_its_status_is_told_to_the_session_that_began_it(start_fleet: StartFleet, session: Any) -> None:
    running = await start_fleet(extras("one", session=session))
    async with speaking(running, "legacy") as client, speaking(running, "legacy") as other:
        await client.listen()
        await other.listen()
        own = await begun(client)
        await client.call("one__finish")
        status = await client.hears(lambda one: one["method"] == "notifications/tasks/status")
        assert (status["params"]["taskId"], status["params"]["status"]) == (own, "completed")
        assert other.heard == []


@pytest.mark.slow
async def test_who_may_not_use_the_tool_any_more_does_not_get_its_result(start_fleet: StartFleet) -> None:
    runner = RoleSpec(name="runner", grants=(GrantSpec(servers=("one",), tools=("job",)),))
    running: Running = await start_fleet(extras("one", session="shared"), roles=(runner,))
    key = running.key("runner")
    async with speaking(running, "legacy", key=key) as client:
        own = await begun(client)
        assert (await client.result("tasks/get", taskId=own))["status"] == "working"
        running.fleet.authoriser.replace({"runner": RoleSpec(name="runner", grants=())})
        assert (await client.ask("tasks/get", taskId=own))["error"]["code"] == -32602


@pytest.mark.slow
async def test_what_is_offered_of_tasks_is_the_clients_eras(start_fleet: StartFleet) -> None:
    running = await start_fleet(extras("one"), extras("two", "--modern"))
    async with speaking(running, "legacy") as legacy, speaking(running, "modern") as modern:
        offered = (await legacy.begin())["capabilities"]
        assert offered["tasks"]["requests"] == {"tools": {"call": {}}}
        assert TASKS not in offered["extensions"]
        offered = (await modern.begin())["capabilities"]
        assert TASKS in offered["extensions"]
        assert "tasks" not in offered

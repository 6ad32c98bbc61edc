"""What is listed is what can be used, and the other way round: over generated rules, through a real gateway, on every
kind of endpoint and in both eras."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from garrison.catalog.access import AnnotationsSpec, ArgumentSpec, PolicySpec, WhenSpec
from garrison.catalog.spec import GrantSpec, ProfileSpec, RoleSpec, Selection
from garrison.surfaces.setting_groups.approvals import ApprovalSettings
from garrison.surfaces.settings import Settings
from running_fleet import Running, running_fleet, stdio
from speaking import Speaker, speaking

pytestmark = pytest.mark.slow

Json = dict[str, Any]
PATHS = ("/mcp", "/servers/one/mcp", "/profiles/some/mcp")
TEXTS = ("danger", "calm")
TOOLS: dict[str, tuple[Json, ...]] = {
    "echo": tuple({"text": text} for text in TEXTS),
    "add": ({"a": 1, "b": 2},),
    "fail": tuple({"message": text} for text in TEXTS),
    "big": ({"size_bytes": 1}, {"size_bytes": 9}),
}
URIS = ("memo://one", "memo://bytes")
LISTS = {"tools": "name", "prompts": "name", "resources": "uri"}

patterns = st.lists(
    st.sampled_from(["*", "echo", "e*", "?dd", "[a-f]*", "*i*", "memo://*", "memo://b*", "greeting", "g*"]), max_size=3
).map(tuple)
arguments = st.dictionaries(
    st.sampled_from(["text", "message", "size_bytes"]),
    st.sampled_from(
        [
            ArgumentSpec(like=("dan*",)),
            ArgumentSpec(one_of=("calm", 9)),
            ArgumentSpec(at_most=5),
            ArgumentSpec(absent=True),
        ]
    ),
    max_size=1,
)
whens = st.builds(
    WhenSpec,
    arguments=arguments,
    annotations=st.builds(AnnotationsSpec, readOnlyHint=st.sampled_from([None, None, True, False])),
    clients=st.sampled_from([(), (), ("some*",)]),
    eras=st.sampled_from([(), (), ("legacy",), ("modern",)]),
    during=st.sampled_from([(), (), ("00:00-24:00",), ("00:00-00:01",)]),
    addresses=st.sampled_from([(), ("127.0.0.0/8",), ("10.0.0.0/8",)]),
)
grants = st.builds(
    GrantSpec,
    servers=st.sampled_from([("*",), ("*",), ("one",), ("o?e",), ("two",)]),
    tools=patterns,
    prompts=patterns,
    resources=patterns,
    effect=st.sampled_from(["allow", "allow", "allow", "deny", "approve"]),
    when=whens,
)
policies = st.sampled_from(
    [
        "",
        "",
        'permit (principal, action, resource) when { resource.server == "one" };',
        'forbid (principal, action == Action::"call", resource) when { resource.name like "*d*" };',
        'forbid (principal, action, resource) unless { context.client.era == "modern" };',
        'permit (principal, action == Action::"read", resource in Server::"one");',
        "permit (principal, action, resource is Tool) when { resource.readOnlyHint };",
        '@effect("approve") permit (principal, action == Action::"call", resource == Tool::"one/add");',
        'forbid (principal, action, resource) when { context.given.contains("text") };',
        'forbid (principal, action, resource) when { context.now < datetime("2020-01-01") };',
    ]
)


class Stage:
    """A fleet and clients on a loop of their own, which turns while `run` runs."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = folder
        self.clients: dict[tuple[str, str], Speaker] = {}
        self.running: Running

    async def begin(self) -> None:
        served = stdio("one", "everything", session="shared")
        everything = RoleSpec(name="r", grants=(GrantSpec(tools=("*",), prompts=("*",), resources=("*",)),))
        some = ProfileSpec(name="some", servers={"one": Selection()})
        at_once = Settings(approvals=ApprovalSettings(wait_s=0, pending_max=100_000))
        fleet = running_fleet(self._folder, (served,), (everything,), at_once, (some,))
        self.running = await self._stack.enter_async_context(fleet)
        key = self.running.key("r")
        for era in ("legacy", "modern"):
            for path in PATHS:
                client = speaking(self.running, era, path, key)
                self.clients[era, path] = await self._stack.enter_async_context(client)

    async def end(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    found = Stage(tmp_path_factory.mktemp("lists"))
    found.runner.run(found.begin())
    try:
        yield found
    finally:
        found.runner.run(found.end())
        found.runner.close()


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_grants=st.lists(grants, max_size=3), text=policies)
def test_what_is_listed_is_what_can_be_used(stage: Stage, given_grants: list[GrantSpec], text: str) -> None:
    stage.runner.run(_hold(stage, given_grants, text))


async def _hold(stage: Stage, given_grants: list[GrantSpec], text: str) -> None:
    policy = {"p": PolicySpec(cedar=text)} if text else {}
    stage.running.fleet.authoriser.replace({"r": RoleSpec(name="r", grants=tuple(given_grants))}, None, policy)
    for (_, path), client in stage.clients.items():
        prefix = "" if path.startswith("/servers") else "one__"
        try:
            listed = {kind: await _listed(client, kind) for kind in LISTS}
        except AssertionError:
            listed = {kind: set() for kind in LISTS}  # the server itself is hidden, or nothing at all is allowed
        for tool, variants in TOOLS.items():
            for variant in variants:
                verdict = await _verdict(client, "tools/call", name=prefix + tool, arguments=variant)
                assert (prefix + tool in listed["tools"]) == (verdict != "hidden"), (path, tool, variant, verdict)
        for uri in URIS:
            assert (uri in listed["resources"]) == (await _verdict(client, "resources/read", uri=uri) != "hidden")
        greeting = {"name": prefix + "greeting", "arguments": {"who": "x"}}
        shown = await _verdict(client, "prompts/get", **greeting) != "hidden"
        assert (greeting["name"] in listed["prompts"]) == shown


async def _listed(client: Speaker, kind: str) -> set[str]:
    result = await client.result(f"{kind}/list")
    return {one[LISTS[kind]] for one in result[kind]}


async def _verdict(client: Speaker, method: str, **params: Any) -> str:
    """`hidden`: answered as what is not there. Else it can be seen, and is done, or refused for how it is used."""
    error = (await client.ask(method, **params)).get("error")
    code = (error.get("data") or {}).get("code", "") if error is not None else ""
    assert error is None or code.endswith(".unknown") or code in ("grant.missing", "approval.pending"), error
    return "hidden" if code.endswith(".unknown") else code or "done"

"""What the rules were shown of a call's arguments is, byte for byte, what its server gets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from garrison.catalog.access import PolicySpec
from running_fleet import Running, running_fleet, stdio
from speaking import Speaker, speaking

pytestmark = pytest.mark.slow

RULES = {"p": PolicySpec(cedar='forbid (principal, action, resource) when { context.given.contains("never") };')}
"""Something to judge arguments for, in every call."""


class Desk:
    """A fleet on a loop of its own. `judged`: what the rules were shown last."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self._stack = AsyncExitStack()
        self._folder = folder
        self.judged: Mapping[str, Any] | None = None
        self.clients: list[Speaker] = []
        self.running: Running

    async def begin(self) -> None:
        fleet = running_fleet(self._folder, (stdio("one", "scribe", session="shared"),))
        self.running = await self._stack.enter_async_context(fleet)
        authoriser = self.running.fleet.authoriser
        authoriser.replace({}, None, RULES)
        judge = authoriser.judge

        def seen(*about: Any, **more: Any) -> Any:
            self.judged = about[4]
            return judge(*about, **more)

        authoriser.judge = seen  # type: ignore[method-assign]
        for era in ("legacy", "modern"):
            self.clients.append(await self._stack.enter_async_context(speaking(self.running, era)))

    async def end(self) -> None:
        await self._stack.aclose()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    found = Desk(tmp_path_factory.mktemp("judged"))
    found.runner.run(found.begin())
    try:
        yield found
    finally:
        found.runner.run(found.end())
        found.runner.close()


def escaped(text: str) -> str:
    """The text as JSON, every character of it written as an escape."""
    units = text.encode("utf-16-be")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return '"' + "".join(f"\\u{pair}" for pair in pairs) + '"'


names = st.sampled_from(
    ["path", "Path", "PATH", "p\u0061th", "päth", "pa\u0308th", "__proto__", "a/b", "a~1b", "", "ＰＡＴＨ"]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
written_texts = texts.flatmap(
    lambda text: st.sampled_from([json.dumps(text), escaped(text), json.dumps(text, ensure_ascii=False)])
)
numbers = st.sampled_from(
    [
        "0",
        "-0",
        "1e2",
        "1.0",
        "1E+400",
        "9007199254740993",
        "18446744073709551616",
        "-1e-400",
        "123456789012345678901234",
    ]
)
values = st.recursive(
    st.one_of(written_texts, numbers, st.sampled_from(["null", "true", "false"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(names.map(escaped), inner), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{key}:{value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=6,
)
members = st.lists(st.tuples(st.one_of(names.map(json.dumps), names.map(escaped)), values), max_size=5)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example([('"path"', '"/srv/a"'), ('"path"', '"/etc/b"')])
@example([('"path"', '"/srv/a"'), ('"\\u0070ath"', '"/etc/b"')])
@example([('"n"', "1e400")])
@given(members)
def test_what_is_judged_is_what_is_sent(desk: Desk, given_members: list[tuple[str, str]]) -> None:
    text = "{" + ",".join(f"{key}:{value}" for key, value in given_members) + "}"
    for client in desk.clients:
        desk.runner.run(_hold(desk, client, text))


async def _hold(desk: Desk, client: Speaker, text: str) -> None:
    desk.judged = None
    marker = "0-marker-0"
    body = client._body("tools/call", {"name": "one__take", "arguments": marker})
    content = json.dumps(body).replace(f'"{marker}"', text).encode()
    headers = {**client._headers(body), "content-type": "application/json"}
    response = await client._http.post(client._url, content=content, headers=headers)
    answer = _answer(response.text)
    if "error" in answer:
        assert desk.judged is None, "refused before it was judged: nothing was sent"
        assert answer["error"]["code"] in (-32600, -32602, -32700), answer
        return
    line = bytes(map(int, answer["result"]["content"][0]["text"].split()))
    sent = msgspec.json.decode(
        msgspec.json.decode(line, type=dict[str, msgspec.Raw])["params"], type=dict[str, msgspec.Raw]
    )
    assert desk.judged is not None, "it was sent without being judged"
    assert bytes(sent["arguments"]) == msgspec.json.encode(desk.judged)
    json.loads(line, object_pairs_hook=_once)


def _answer(text: str) -> Any:
    if text.startswith("{"):
        return json.loads(text)
    return json.loads(next(line[5:] for line in text.splitlines() if line.startswith("data:") and line[5:].strip()))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), "no key stands twice"
    return dict(pairs)

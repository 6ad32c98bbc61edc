from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import Offer, ServerSpec
from garrison.runtimes.instance import Observed, State
from garrison.runtimes.reconcile import RUNTIME_FIELDS, Action, reconcile

SPEC = ServerSpec(name="a", transport="stdio", command=("x",))


def changed(**fields: object) -> ServerSpec:
    return msgspec.structs.replace(SPEC, **fields)


def step(desired: ServerSpec | None, observed: ServerSpec | None) -> list[tuple[str, str]]:
    actions = reconcile({"a": desired} if desired else {}, {"a": Observed("a", observed)} if observed else {})
    return [(action.step, action.reason) for action in actions]


def test_each_difference_has_its_step() -> None:
    assert step(SPEC, None) == [("add", "it is new")]
    assert step(SPEC, SPEC) == []
    assert step(None, SPEC) == [("stop", "it is no longer in the catalog")]
    assert step(changed(enabled=False), SPEC) == [("stop", "it is disabled")]
    assert step(changed(enabled=False), None) == []
    assert step(changed(command=("y",)), SPEC) == [("restart", "changed: command")]
    assert step(changed(env={"A": "1"}, timeout_s=1.0), SPEC) == [("restart", "changed: env, timeout_s")]
    assert step(changed(timeout_s=1.0), SPEC) == [("update", "changed: timeout_s")]
    assert step(changed(tools=Offer(deny=("x",))), SPEC) == [("update", "changed: tools")]
    assert step(SPEC, changed(start="lazy")) == [("start", "it starts eagerly now")]
    assert step(changed(start="lazy"), SPEC) == [("update", "changed: start")]


def test_the_fields_that_make_an_instance_are_fields_of_a_spec() -> None:
    assert set(RUNTIME_FIELDS) <= {field.name for field in msgspec.structs.fields(ServerSpec)}


specs = st.builds(
    ServerSpec,
    name=st.just(""),
    transport=st.sampled_from(["stdio", "http"]),
    command=st.sampled_from([("x",), ("y",)]),
    start=st.sampled_from(["eager", "lazy"]),
    enabled=st.booleans(),
    timeout_s=st.sampled_from([1.0, 2.0]),
)
fleets = st.dictionaries(st.sampled_from("abcdef"), specs)


def carry_out(observed: dict[str, Observed], desired: dict[str, ServerSpec], actions: list[Action]) -> None:
    for action in actions:
        if action.step == "stop":
            del observed[action.server]
        else:
            observed[action.server] = Observed(action.server, desired[action.server], State.RUNNING)


@given(fleets, fleets)
def test_what_was_carried_out_needs_nothing_more(
    desired: dict[str, ServerSpec], running: dict[str, ServerSpec]
) -> None:
    observed = {name: Observed(name, spec) for name, spec in running.items()}
    actions = reconcile(desired, observed)
    assert len({action.server for action in actions}) == len(actions)
    carry_out(observed, desired, actions)
    assert reconcile(desired, observed) == []
    assert set(observed) == {name for name, spec in desired.items() if spec.enabled}

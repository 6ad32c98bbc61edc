"""What stood at a moment: the changes up to it, folded, say the same as whoever watched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from garrison.protection.entries import Entry
from garrison.protection.history import STATES, standing

steps = st.lists(
    st.tuples(
        st.sampled_from([*STATES, "fleet.started", "fleet.stopped", "fleet.applied", "keys.create"]),
        st.sampled_from(["git", "time"]),
    ),
    max_size=40,
)


def change(at: int, action: str, server: str) -> Entry:
    details: dict[str, dict[str, object]] = {
        "fleet.started": {"snapshot": f"v{at}", "url": "http://x"},
        "fleet.applied": {"before": "", "after": f"v{at}"},
        "keys.create": {"roles": []},
    }
    is_fleet = action.startswith(("fleet.", "keys."))
    detail = details.get(action, {"spec": f"s{at}", "why": "w"} if not is_fleet else {})
    return Entry(at, "change", "", "somebody", action, "" if is_fleet else server, server, "", 0, detail)


@given(steps)
def test_each_moment_is_what_the_steps_before_it_made(wanted: list[tuple[str, str]]) -> None:
    entries = [change(at, action, server) for at, (action, server) in enumerate(wanted, 1)]
    running: dict[str, str] = {}
    is_up, version = False, ""
    for at, (action, server) in enumerate(wanted, 1):
        if action in ("fleet.started", "fleet.stopped"):
            running, is_up = {}, action == "fleet.started"
        if action in ("fleet.started", "fleet.applied"):
            is_up, version = True, f"v{at}"
        if action in STATES:
            running[server] = STATES[action]
        found = standing(entries[:at])
        assert {name: seen.state for name, seen in found.servers.items()} == running
        assert (found.is_up, found.version) == (is_up, version)


def test_a_server_with_several_instances_runs_while_one_does() -> None:
    def step(action: str, number: int) -> Entry:
        return Entry(1, "change", action=action, server="git", detail={"number": number, "spec": "s"})

    seen = standing([step("server.started", 1), step("server.started", 2), step("server.fatal", 1)])
    assert seen.servers["git"].state == "running"
    gone = standing(
        [step("server.started", 1), step("server.started", 2), step("server.fatal", 1), step("server.fatal", 2)]
    )
    assert gone.servers["git"].state == "fatal"

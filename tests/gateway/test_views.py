"""What an endpoint shows: names lead back, nothing is shadowed, what is filtered out is not there. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.shown_names import Named, owner, preferred, qualified
from garrison.catalog.snapshot import Snapshot
from garrison.catalog.spec import Filter, Offer, ProfileSpec, Selection, ServerSpec
from garrison.gateway.heads import AGGREGATE, profile_endpoint
from garrison.gateway.sieve import Sieve
from garrison.gateway.views import Ref, View, views_of

words = st.sampled_from(["a", "b", "a__b", "b__a", "_", "a_", "x", "y__x", "a__x", "git", "git__x"])
patterns = st.lists(st.sampled_from(["*", "a*", "*x", "b", "?", "[!a]*"]), max_size=2).map(tuple)
filters = st.builds(Filter, allow=patterns, deny=patterns)
offers = st.builds(Offer, allow=patterns, deny=patterns, rename=st.dictionaries(words, words, max_size=3))
prefixes = st.none() | st.just("") | words
specs = st.builds(
    lambda name, prefix, tools: ServerSpec(name=name, transport="stdio", prefix=prefix, tools=tools),
    words,
    prefixes,
    st.just(Offer()) | offers,
)
fleets = st.lists(specs, min_size=1, max_size=4, unique_by=lambda spec: spec.name)
offered = st.dictionaries(words, st.lists(words, max_size=5, unique=True), max_size=4)
KIND: Named = "tool"


def fleet(*servers: ServerSpec, **profiles: dict[str, Selection]) -> Mapping[str, View]:
    specs = {name: ProfileSpec(name=name, servers=chosen) for name, chosen in profiles.items()}
    return views_of(Snapshot({spec.name: spec for spec in servers}, {}, specs))


def server(name: str, **more: object) -> ServerSpec:
    return ServerSpec(name=name, transport="stdio", **more)  # type: ignore[arg-type]


def names(view: View, **lists: list[str]) -> dict[str, str]:
    """What is shown, as `shown: server/name`."""
    return {shown: "/".join(ref) for shown, ref in view.index(KIND, lists).refs.items()}


@given(fleets, offered)
def test_every_shown_name_leads_back_to_its_thing_and_no_two_things_share_one(
    servers: list[ServerSpec], lists: dict[str, list[str]]
) -> None:
    view = fleet(*servers)[AGGREGATE]
    index = view.index(KIND, lists)
    assert len(set(index.shown.values())) == len(index.shown)
    assert {shown: ref for ref, shown in index.shown.items()} == dict(index.refs)


@given(fleets, offered)
def test_what_is_not_called_what_it_should_be_is_reported_and_nothing_else(
    servers: list[ServerSpec], lists: dict[str, list[str]]
) -> None:
    view = fleet(*servers)[AGGREGATE]
    index = view.index(KIND, lists)
    specs = {spec.name: spec for spec in servers}
    offered = [
        Ref(name, tool)
        for name, spec in specs.items()
        for tool in lists.get(name, [])
        if Sieve(spec.tools).passes(tool)
    ]
    at_odds = {ref for ref in offered if index.shown.get(ref) != preferred(specs[ref.server], KIND, ref.name)}
    assert {conflict.ref for conflict in index.conflicts} == at_odds
    assert all(conflict.shown == index.shown.get(conflict.ref, "") for conflict in index.conflicts)
    assert set(index.shown) | {one.ref for one in index.conflicts if not one.shown} == set(offered)


@given(fleets, offered)
def test_nothing_is_shown_under_a_name_that_is_another_servers(
    servers: list[ServerSpec], lists: dict[str, list[str]]
) -> None:
    known = {spec.name for spec in servers}
    for ref, shown in fleet(*servers)[AGGREGATE].index(KIND, lists).shown.items():
        assert owner(shown, known) in (None, ref.server)


@given(fleets, words)
def test_before_a_server_has_listed_a_name_means_what_it_will_mean_if_nothing_is_in_its_way(
    servers: list[ServerSpec], shown: str
) -> None:
    view = fleet(*servers)[AGGREGATE]
    for ref in view.meant(KIND, shown):
        assert view.faces[ref.server].preferred(KIND, ref.name) == shown
        assert view.index(KIND, {ref.server: [ref.name]}).refs == {shown: ref}


@given(fleets, filters, offered)
def test_a_profile_shows_what_is_chosen_of_what_is_offered_and_nothing_more(
    servers: list[ServerSpec], chosen: Filter, lists: dict[str, list[str]]
) -> None:
    first = servers[0]
    views = fleet(*servers, one={first.name: Selection(tools=chosen)})
    shown = views[profile_endpoint("one")].index(KIND, lists)
    everything = {*views[AGGREGATE].index(KIND, lists).shown, *(one.ref for one in _conflicts(views, lists))}
    offered_there = {*shown.shown, *(one.ref for one in shown.conflicts)}
    assert offered_there == {ref for ref in everything if ref.server == first.name and Sieve(chosen).passes(ref.name)}


def _conflicts(views: Mapping[str, View], lists: dict[str, list[str]]) -> tuple[object, ...]:
    return views[AGGREGATE].index(KIND, lists).conflicts


def test_names_begin_with_the_server_or_with_what_is_given_in_its_place() -> None:
    view = fleet(server("git"), server("files", prefix="fs"), server("time", prefix=""))[AGGREGATE]
    found = names(view, git=["status"], files=["read"], time=["now"])
    assert found == {"git__status": "git/status", "fs__read": "files/read", "now": "time/now"}


def test_a_renamed_tool_has_its_new_name_and_not_the_old_one() -> None:
    view = fleet(server("git", tools=Offer(rename={"git_status": "status"})))[AGGREGATE]
    assert names(view, git=["git_status", "git_log"]) == {
        "git__status": "git/git_status",
        "git__git_log": "git/git_log",
    }
    assert view.meant(KIND, "git__git_status") == []


def test_two_things_that_want_one_name_both_keep_their_full_one() -> None:
    view = fleet(server("one", prefix=""), server("two", prefix=""))[AGGREGATE]
    assert names(view, one=["echo", "add"], two=["echo"]) == {
        "one__echo": "one/echo",
        "add": "one/add",
        "two__echo": "two/echo",
    }
    assert view.index(KIND, {"one": ["echo"], "two": ["echo"]}).conflicts[0].text == (
        "tool echo of server one cannot be shown as echo, it is shown as one__echo"
    )


def test_a_server_cannot_take_the_name_of_anothers_tool() -> None:
    rogue = server("rogue", prefix="", tools=Offer(rename={"b": "git__push"}))
    view = fleet(rogue, server("git"))[AGGREGATE]
    found = names(view, rogue=["git__status", "b"], git=["status"])
    assert found == {"git__status": "git/status", "rogue__git__status": "rogue/git__status", "rogue__b": "rogue/b"}


def test_a_thing_whose_full_name_is_another_servers_is_held_back_and_can_be_renamed() -> None:
    index = fleet(server("a"), server("a__b"))[AGGREGATE].index(KIND, {"a": ["b__c"], "a__b": ["c"]})
    assert dict(index.refs) == {"a__b__c": Ref("a__b", "c")}
    assert [one.text for one in index.conflicts] == [
        "tool b__c of server a cannot be shown as a__b__c and is held back"
    ]
    mended = fleet(server("a", tools=Offer(rename={"b__c": "bc"})), server("a__b"))[AGGREGATE]
    assert names(mended, a=["b__c"], a__b=["c"]) == {"a__bc": "a/b__c", "a__b__c": "a__b/c"}


def test_a_profile_may_show_plainly_what_is_in_conflict_elsewhere() -> None:
    views = fleet(server("one", prefix=""), server("two", prefix=""), only={"one": Selection()})
    assert names(views[profile_endpoint("only")], one=["echo"], two=["echo"]) == {"echo": "one/echo"}


def test_of_one_uri_the_first_server_has_it_and_apps_carry_their_servers_name() -> None:
    view = fleet(server("a"), server("b", resources=Filter(deny=("secret:*",))))[AGGREGATE]
    index = view.resources({"a": ["memo://1", "ui://app"], "b": ["memo://1", "ui://app", "secret://x"]})
    assert dict(index.refs) == {
        "memo://1": Ref("a", "memo://1"),
        "ui://a/app": Ref("a", "ui://app"),
        "ui://b/app": Ref("b", "ui://app"),
    }
    assert [one.ref for one in index.conflicts] == [Ref("b", "memo://1")]


def test_views_are_equal_as_long_as_they_show_the_same() -> None:
    before = fleet(server("a", timeout_s=1.0))[AGGREGATE]
    assert before == fleet(server("a", timeout_s=2.0))[AGGREGATE]
    assert before != fleet(server("a", prefix="b"))[AGGREGATE]
    assert before != fleet(server("a"), server("b"))[AGGREGATE]


@given(st.lists(words, min_size=1, max_size=4, unique=True), words)
def test_a_full_name_belongs_to_a_server_that_it_begins_with_and_to_the_longest(known: list[str], tool: str) -> None:
    for one in known:
        found = owner(qualified(one, tool), known)
        assert found is not None
        assert len(found) >= len(one)
        assert qualified(one, tool).startswith(qualified(found, ""))


@given(patterns, patterns, words)
def test_a_sieve_lets_pass_what_is_allowed_and_not_denied_by_all(
    one: tuple[str, ...], two: tuple[str, ...], name: str
) -> None:
    sieve = Sieve(Filter(deny=one), Filter(allow=two))
    assert sieve.passes(name) == (not Sieve(Filter(allow=one)).passes(name) and Sieve(Filter(allow=two)).passes(name))
    assert not sieve.is_open or sieve.passes(name)

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.principals import Principal
from garrison.kernel.errors import Invalid
from garrison.policy.authoriser import CACHED_MAX, Authoriser
from garrison.policy.vocabulary import Kind

READER = RoleSpec(
    name="reader",
    grants=(
        GrantSpec(servers=("git",), tools=("status", "log*")),
        GrantSpec(servers=("*",), resources=("file:///public/*",), prompts=("help",)),
    ),
)


def principal(*roles: str) -> Principal:
    return Principal("id1", "key", "alice", roles)


def test_a_grant_allows_what_its_patterns_match_and_is_named() -> None:
    authoriser = Authoriser({"reader": READER})
    assert authoriser.decide(principal("reader"), "tool", "git", "log_all") == (
        "allow",
        "role reader, grant 1",
        False,
        False,
    )
    assert authoriser.decide(principal("reader"), "prompt", "any", "help") == (
        "allow",
        "role reader, grant 2",
        False,
        False,
    )
    assert authoriser.decide(principal("reader"), "resource", "any", "file:///public/a/b").allowed


def test_everything_else_is_denied_with_the_reason() -> None:
    authoriser = Authoriser({"reader": READER})
    for kind, server, name in (
        ("tool", "git", "commit"),
        ("tool", "github", "status"),
        ("tool", "git", "Status"),
        ("tool", "git", "status\n"),
        ("resource", "git", "file:///private"),
        ("prompt", "git", "status"),
    ):
        decision = authoriser.decide(principal("reader"), kind, server, name)  # type: ignore[arg-type]
        assert decision == ("deny", "no grant of role reader matches", False, False)


def test_a_principal_without_a_role_may_do_nothing() -> None:
    decision = Authoriser({"reader": READER}).decide(principal(), "tool", "git", "status")
    assert (decision.effect, decision.rule) == ("deny", "the principal has no role")


def test_admin_may_do_everything_and_cannot_be_redefined() -> None:
    assert Authoriser({}).decide(principal("admin"), "tool", "any", "thing") == ("allow", "role admin", False, False)
    with pytest.raises(Invalid, match="admin"):
        Authoriser({"admin": RoleSpec(name="admin")})


def test_an_unknown_role_grants_nothing_and_is_reported() -> None:
    authoriser = Authoriser({"reader": READER})
    assert authoriser.unknown_roles(principal("reader", "ghost", "admin")) == ("ghost",)
    denied = authoriser.decide(principal("reader", "ghost"), "tool", "x", "y")
    assert denied.rule == "no grant of role reader matches; role ghost is not defined"
    assert authoriser.decide(principal("ghost", "reader"), "tool", "git", "status").allowed


def test_a_server_is_visible_to_whom_anything_on_it_is_granted() -> None:
    roles = {"a": RoleSpec(name="a", grants=(GrantSpec(servers=("git",), tools=("x",)), GrantSpec(servers=("db",))))}
    authoriser = Authoriser(roles)
    assert authoriser.decide(principal("a"), "server", "git").allowed
    assert not authoriser.decide(principal("a"), "server", "db").allowed, "this grant names nothing on it"
    assert not authoriser.decide(principal("a"), "server", "fs").allowed


def test_the_cache_is_bounded() -> None:
    authoriser = Authoriser({"reader": READER})
    for start in range(0, CACHED_MAX + 1000, 1000):
        authoriser.decide_all(principal("reader"), "tool", "git", [(f"t{start + n}", None) for n in range(1000)])
    authoriser.decide(principal("reader"), "tool", "git", "x" * 1_000_000)
    assert len(authoriser._cache) <= CACHED_MAX
    assert not any(len(key[3]) > 1000 for key in authoriser._cache)


patterns = st.lists(st.text(alphabet="ab*?[]!-\\(|", max_size=5), max_size=3).map(tuple)
grants = st.builds(GrantSpec, servers=patterns, tools=patterns, prompts=patterns, resources=patterns)
kinds: st.SearchStrategy[Kind] = st.sampled_from(["tool", "prompt", "resource", "server"])
names = st.text(alphabet="ab[](|-\\", max_size=4)


def _authoriser(*given_grants: GrantSpec) -> Authoriser:
    return Authoriser({"r": RoleSpec(name="r", grants=given_grants)})


@given(st.lists(grants, max_size=4), grants, st.integers(0, 4), kinds, names, names)
def test_one_more_grant_never_allows_less(
    some: list[GrantSpec], more: GrantSpec, at: int, kind: Kind, server: str, name: str
) -> None:
    before = _authoriser(*some).decide(principal("r"), kind, server, name)
    after = _authoriser(*some[:at], more, *some[at:]).decide(principal("r"), kind, server, name)
    assert after.allowed or not before.allowed


@given(st.lists(grants, max_size=4), grants, kinds, names, names)
def test_one_more_role_never_allows_less(
    some: list[GrantSpec], more: GrantSpec, kind: Kind, server: str, name: str
) -> None:
    roles = {"r": RoleSpec(name="r", grants=tuple(some)), "s": RoleSpec(name="s", grants=(more,))}
    authoriser = Authoriser(roles)
    before = authoriser.decide(principal("r"), kind, server, name)
    for both in (("r", "s"), ("s", "r")):
        assert authoriser.decide(principal(*both), kind, server, name).allowed or not before.allowed


@given(st.lists(grants, max_size=4), st.lists(names, max_size=6), names)
def test_what_a_list_shows_is_exactly_what_a_call_may_use(some: list[GrantSpec], tools: list[str], server: str) -> None:
    listing = _authoriser(*some)
    shown = [tool for tool in tools if listing.decide(principal("r"), "tool", server, tool).allowed]
    calling = _authoriser(*some)
    assert shown == [tool for tool in tools if calling.decide(principal("r"), "tool", server, tool).allowed]
    assert shown == [tool for tool in tools if listing.decide(principal("r"), "tool", server, tool).allowed], "cached"
    if shown:
        assert listing.decide(principal("r"), "server", server).allowed, "a usable tool makes its server visible"


def _fits(name: str, wanted: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, one) for one in wanted)


@given(st.lists(grants, max_size=4), kinds, names, names)
def test_what_cedar_decides_by_grants_is_what_their_patterns_say(
    some: list[GrantSpec], kind: Kind, server: str, name: str
) -> None:
    def of(grant: GrantSpec) -> bool:
        each = {"tool": grant.tools, "prompt": grant.prompts, "resource": grant.resources}
        has = any(each.values()) if kind == "server" else _fits(name, each[kind])
        return has and _fits(server, grant.servers)

    assert _authoriser(*some).decide(principal("r"), kind, server, name).allowed == any(map(of, some))

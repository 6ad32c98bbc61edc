"""What is said before arguments are known holds when they are; conditions mean what they say, and fail closed."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from garrison.catalog.access import AnnotationsSpec, ArgumentSpec, GroupSpec, PolicySpec, WhenSpec
from garrison.catalog.spec import GrantSpec, RoleSpec
from garrison.identity.principals import Principal
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import Circumstances, Hints
from garrison.policy.engine import flaws_of

ADA = Principal("ada-1", "key", "ada", ("r",))
HOW = Circumstances("claude-code", "10.1.2.3", "modern")

specs = st.builds(
    ArgumentSpec,
    like=st.sampled_from([(), ("a*",), ("*b", "c")]),
    below=st.sampled_from([(), (), ("/srv",), ("/", "/x*y")]),
    one_of=st.sampled_from([(), (), ("a", 1, True), (2,), ("ab", "cb")]),
    at_least=st.sampled_from([None, None, 0, -5]),
    at_most=st.sampled_from([None, None, 3]),
    absent=st.sampled_from([False, False, False, True]),
)
paths = st.sampled_from(
    ["/srv", "/srv/a", "/srv/../etc", "/srv/..", "//srv/a", "/srvx", "srv/a", "/x*y/a", "/xzy/a", "/srv/./a"]
)
values: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["a", "ab", "cb", "c", ""]),
    paths,
    st.integers(-8, 8),
    st.just(2**70),
    st.booleans(),
    st.sampled_from([1.5, 2.0, None, [], ["a"], ["ab", "cb"], ["a", 1], {"k": "a"}, {"k": {"__entity": "x"}}]),
)
arguments = st.dictionaries(st.sampled_from(["x", "y", "k", "x/k", "__extn", "__entity"]), values, max_size=4)
whens = st.builds(
    WhenSpec,
    arguments=st.dictionaries(st.sampled_from(["x", "y", "x/k", "x~1k"]), specs, max_size=2),
    annotations=st.builds(AnnotationsSpec, readOnlyHint=st.sampled_from([None, None, True, False])),
    clients=st.sampled_from([(), ("claude*",), ("cursor",)]),
    addresses=st.sampled_from([(), ("10.0.0.0/8",), ("192.0.2.1",)]),
    eras=st.sampled_from([(), ("modern",), ("legacy",)]),
)
grants = st.builds(
    GrantSpec,
    servers=st.sampled_from([("*",), ("s",), ("?",)]),
    tools=st.sampled_from([("*",), ("t",), ("[st]",), ("u",), ()]),
    effect=st.sampled_from(["allow", "allow", "deny", "approve"]),
    when=whens,
)
policies = st.sampled_from(
    [
        "",
        'forbid (principal, action, resource) when { context.text.hasTag("x") && context.text.getTag("x") like "a*" };',
        'permit (principal, action, resource) unless { context.given.contains("y") || resource is Server };',
        'forbid (principal, action == Action::"call", resource is Tool) when { resource.readOnlyHint };',
        '@effect("approve") permit (principal, action, resource) when { context.numbers.hasTag("x") };',
        'forbid (principal == Principal::"ada-1", action, resource) when { context.client.era == "legacy" };',
        'permit (principal, action, resource == Tool::"s/t")'
        ' when { if context.given.contains("x") then true else false };',
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(grants, max_size=3), policies, arguments, st.sampled_from([Hints(), Hints(readOnlyHint=True)]))
def test_what_is_said_without_arguments_holds_with_them(
    some: list[GrantSpec], text: str, given_arguments: dict[str, Any], hints: Hints
) -> None:
    assert text == "" or flaws_of(text) == []
    rules = {"p": PolicySpec(cedar=text)} if text else {}
    authoriser = Authoriser({"r": RoleSpec(name="r", grants=tuple(some))}, None, rules)
    final = authoriser.judge(ADA, "tool", "s", "t", given_arguments, HOW, hints)
    for known in (hints, None):
        possible = authoriser.decide(ADA, "tool", "s", "t", HOW, known)
        assert possible.allowed or not final.allowed
        if not possible.depends:
            assert possible.effect == final.effect
            assert possible.repeatable == (final.effect == "allow")
    if final.allowed:
        assert authoriser.decide(ADA, "server", "s", "", HOW).allowed, "a usable tool makes its server visible"
    batch = authoriser.decide_all(ADA, "tool", "s", [("t", hints), ("u", hints), ("t", None)], HOW)
    assert batch[0] == authoriser.decide(ADA, "tool", "s", "t", HOW, hints)


def _found(given_arguments: dict[str, Any], name: str) -> tuple[bool, Any]:
    at: Any = given_arguments
    for part in name.split("/"):
        key = part.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, dict) or key not in at:
            return False, None
        at = at[key]
    return True, at


def _meets(spec: ArgumentSpec, is_there: bool, value: Any) -> bool:
    """What the condition says, in plain words."""
    is_text, is_number = isinstance(value, str), isinstance(value, int) and not isinstance(value, bool)
    if spec.absent and is_there:
        return False
    if spec.like and not (is_text and any(fnmatchcase(value, one) for one in spec.like)):
        return False
    if spec.below and not (is_text and _is_below(value, spec.below)):
        return False
    if spec.one_of and not _is_one_of(value, is_there, spec.one_of):
        return False
    if spec.at_least is not None and not (is_number and -(2**63) <= value < 2**63 and value >= spec.at_least):
        return False
    return spec.at_most is None or (is_number and -(2**63) <= value < 2**63 and value <= spec.at_most)


def _is_below(value: str, folders: tuple[str, ...]) -> bool:
    bases = [one.rstrip("/") for one in folders]
    inside = any((base and value == base) or value.startswith(base + "/") for base in bases)
    return inside and "/../" not in value and not value.endswith("/..")


def _is_one_of(value: Any, is_there: bool, wanted: tuple[Any, ...]) -> bool:
    typed = [(type(one), one) for one in wanted]
    if isinstance(value, list):
        texts = [one for one in wanted if isinstance(one, str)]
        return bool(texts) and all(isinstance(one, str) and one in texts for one in value)
    return is_there and (type(value), value) in typed


@settings(max_examples=200, deadline=None)
@given(specs, arguments, st.sampled_from(["x", "x/k", "x~1k"]))
def test_conditions_of_allow_mean_what_they_say_and_those_of_deny_hold_wherever_that_is_not_certain(
    spec: ArgumentSpec, given_arguments: dict[str, Any], name: str
) -> None:
    if "/" in name and "x/k" in given_arguments:
        return  # two spellings of one thing are another test
    meets = _meets(spec, *_found(given_arguments, name))
    when = WhenSpec(arguments={name: spec})
    allow = Authoriser({"r": RoleSpec(name="r", grants=(GrantSpec(tools=("*",), when=when),))})
    assert allow.judge(ADA, "tool", "s", "t", given_arguments).allowed == meets
    both = (GrantSpec(tools=("*",)), GrantSpec(tools=("*",), effect="deny", when=when))
    deny = Authoriser({"r": RoleSpec(name="r", grants=both)})
    if meets:
        assert not deny.judge(ADA, "tool", "s", "t", given_arguments).allowed


@pytest.mark.parametrize(
    "value", [["/etc/passwd"], {"p": 1}, 7, "/srv/../etc/x", "etc/x", "//etc/x", "/etc", "/./etc/x"]
)
def test_a_path_that_may_lead_to_a_denied_folder_is_denied(value: Any) -> None:
    when = WhenSpec(arguments={"path": ArgumentSpec(below=("/etc",))})
    both = (GrantSpec(tools=("*",)), GrantSpec(tools=("*",), effect="deny", when=when))
    authoriser = Authoriser({"r": RoleSpec(name="r", grants=both)})
    assert not authoriser.judge(ADA, "tool", "s", "t", {"path": value}).allowed
    assert authoriser.judge(ADA, "tool", "s", "t", {"path": "/srv/x"}).allowed
    assert authoriser.judge(ADA, "tool", "s", "t", {}).allowed


def test_names_of_arguments_cannot_be_confused() -> None:
    when = WhenSpec(arguments={"a/b": ArgumentSpec(one_of=("safe",))})
    authoriser = Authoriser({"r": RoleSpec(name="r", grants=(GrantSpec(tools=("*",), when=when),))})
    assert authoriser.judge(ADA, "tool", "s", "t", {"a": {"b": "safe"}}).allowed
    assert not authoriser.judge(ADA, "tool", "s", "t", {"a/b": "safe"}).allowed
    assert not authoriser.judge(ADA, "tool", "s", "t", {"a/b": "safe", "a": {"b": "evil"}}).allowed


def test_groups_give_roles_by_names_of_keys_and_by_claims_of_an_issuers_tokens() -> None:
    roles = {"r": RoleSpec(name="r", grants=(GrantSpec(tools=("*",)),))}
    groups = {
        "named": GroupSpec(roles=("r",), members=("bob*",)),
        "told": GroupSpec(roles=("r",), claims=("staff",), issuer="corp"),
    }
    authoriser = Authoriser(roles, groups, {}, {"corp": "https://corp"})

    def may(who: Principal) -> bool:
        return authoriser.decide(who, "tool", "s", "t").allowed

    assert may(Principal("k1", "key", "bobby"))
    assert not may(Principal("https://evil#1", "token", "bobby", issuer="https://evil")), "it names itself"
    assert may(Principal("c#1", "token", "x", groups=("staff",), issuer="https://corp"))
    assert not may(Principal("e#1", "token", "x", groups=("staff",), issuer="https://evil"))
    assert authoriser.standing(Principal("k1", "key", "bobby")) == (("r",), ("named",))


def test_deny_wins_over_everything_the_administrator_included() -> None:
    forbid = {"p": PolicySpec(cedar='forbid (principal, action, resource in Server::"s");')}
    authoriser = Authoriser({"r": RoleSpec(name="r", grants=(GrantSpec(tools=("*",)),))}, None, forbid)
    admin = Principal("a", "key", "admin", ("admin",))
    assert authoriser.decide(admin, "tool", "s", "t") == ("deny", "policy p", False, False)
    assert authoriser.decide(admin, "tool", "other", "t").allowed
    assert not authoriser.decide(admin, "server", "s").allowed


def test_a_bad_policy_leaves_the_last_good_rules_in_force() -> None:
    authoriser = Authoriser({"r": RoleSpec(name="r", grants=(GrantSpec(tools=("t",)),))})
    edition = authoriser.edition
    with pytest.raises(Exception, match="policy p"):
        authoriser.replace({}, None, {"p": PolicySpec(cedar="permit (principal, action")})
    assert authoriser.edition is edition
    assert authoriser.decide(ADA, "tool", "s", "t").allowed

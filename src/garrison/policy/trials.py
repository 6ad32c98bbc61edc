"""Tests of policies, as documents: who asks for what, and what is to be decided. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, inspect

from garrison.catalog.access import AnnotationsSpec, Effect
from garrison.catalog.decode import WRONG, decode
from garrison.catalog.notes import Notes
from garrison.catalog.parse.tree import Listing, Node, Table
from garrison.catalog.parse.yaml import parse_yaml
from garrison.catalog.problems import Problem
from garrison.catalog.snapshot import Snapshot
from garrison.identity.principals import Principal
from garrison.policy.authoriser import Authoriser
from garrison.policy.decision import Circumstances, Hints
from garrison.policy.vocabulary import Kind

NOON: Final = "2026-01-07T12:00:00Z"
"""When a trial takes place that does not say it: a Wednesday."""


class WhoTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(description="Its name, and its id unless that is given.")] = "somebody"
    id: Annotated[str, Meta(description="Its id.")] = ""
    kind: Annotated[Literal["key", "token", "certificate", "local"], Meta(description="How it is known.")] = "key"
    roles: Annotated[tuple[str, ...], Meta(description="Roles of its own.")] = ()
    groups: Annotated[tuple[str, ...], Meta(description="Groups that its token names.")] = ()
    issuer: Annotated[str, Meta(description="Who vouches for it.")] = ""
    scopes: Annotated[tuple[str, ...] | None, Meta(description="What its token was issued for.")] = None


class ClientTrial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    name: Annotated[str, Meta(description="What it calls itself.")] = ""
    address: Annotated[str, Meta(description="Where it comes from.")] = "127.0.0.1"
    era: Annotated[Literal["legacy", "modern"], Meta(description="Which era it speaks.")] = "modern"


class Trial(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One question and its right answer."""

    name: Annotated[str, Meta(description="What it shows, as a sentence.")] = ""
    principal: Annotated[WhoTrial, Meta(description="Who asks.")] = WhoTrial()
    tool: Annotated[str, Meta(description="SERVER/TOOL.")] = ""
    prompt: Annotated[str, Meta(description="SERVER/PROMPT.")] = ""
    resource: Annotated[str, Meta(description="SERVER/URI.")] = ""
    arguments: Annotated[dict[str, Any], Meta(description="What it is called with.")] = {}
    annotations: Annotated[AnnotationsSpec, Meta(description="What the server says of its tool.")] = AnnotationsSpec()
    client: Annotated[ClientTrial, Meta(description="How it asks.")] = ClientTrial()
    at: Annotated[str, Meta(description="When, as RFC 3339.")] = NOON
    expect: Annotated[Effect, Meta(description="What has to be decided.")]
    rule: Annotated[str, Meta(description="By which rule, if that matters.")] = ""


class Trials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    tests: Annotated[tuple[Trial, ...], Meta(description="Each on its own.")] = ()


@dataclass(frozen=True, slots=True)
class Found:
    """How one trial went. `why`: what is not as it should be; empty when all is well."""

    name: str
    place: str
    expected: str
    decided: str
    rule: str
    why: str = ""


_TYPE: Final = inspect.type_info(Trials)


def read_trials(text: str, file: str) -> tuple[Sequence[tuple[Trial, str]], tuple[Problem, ...]]:
    """The trials of a YAML document with their places, and what is wrong with it."""
    parsed, notes = parse_yaml(text), Notes(file)
    problems = tuple(msgspec.structs.replace(one, file=file) for one in parsed.problems)
    if len(parsed.roots) != 1:
        return (), problems
    document = decode(parsed.roots[0], _TYPE, "tests", notes)
    unknown = tuple(
        msgspec.structs.replace(one, severity="error") for one in notes.all if one.code == "config.unknown_key"
    )
    found = unknown or notes.all
    if document is WRONG or found:
        return (), problems + found
    places = [f"{file}:{node.place.line}" for node in _nodes(parsed.roots[0])]
    return list(zip(document.tests, places, strict=True)), problems


def _nodes(root: Node) -> Sequence[Node]:
    tests = root.get("tests") if isinstance(root, Table) else None
    return tests.items if isinstance(tests, Listing) else ()


def try_all(snapshot: Snapshot, trials: Sequence[tuple[Trial, str]]) -> list[Found]:
    """Each by the rules of the snapshot, at its own time."""
    moment = [0]
    authoriser = Authoriser.of(snapshot, lambda: moment[0])
    found = []
    for trial, place in trials:
        try:
            moment[0] = _ns(trial.at)
        except ValueError:
            found.append(Found(trial.name, place, trial.expect, "", "", f"{trial.at!r} is no time (RFC 3339)"))
            continue
        authoriser.forget_time()
        found.append(_try(authoriser, trial, place))
    return found


def _try(authoriser: Authoriser, trial: Trial, place: str) -> Found:
    named = [(kind, text) for kind, text in _things(trial) if text]
    name = trial.name or f"{trial.principal.name}: {', '.join(text for _, text in named)}"
    if len(named) != 1 or "/" not in named[0][1]:
        return Found(name, place, trial.expect, "", "", "say one of tool, prompt, resource, as SERVER/NAME")
    kind, (server, _, thing) = named[0][0], named[0][1].partition("/")
    who, how = _principal(trial.principal), Circumstances(trial.client.name, trial.client.address, trial.client.era)
    said = {key: value for key, value in msgspec.structs.asdict(trial.annotations).items() if value is not None}
    possible = authoriser.decide(who, kind, server, thing, how, Hints(**said))
    decision = possible
    if possible.allowed:
        decision = authoriser.judge(who, kind, server, thing, trial.arguments, how, Hints(**said))
    why = f"expected {trial.expect}, decided {decision.effect}" if decision.effect != trial.expect else ""
    if not why and trial.rule and trial.rule != decision.rule:
        why = f"expected rule {trial.rule!r}, decided by {decision.rule!r}"
    return Found(name, place, trial.expect, decision.effect, decision.rule, why)


def _things(trial: Trial) -> tuple[tuple[Kind, str], ...]:
    return ("tool", trial.tool), ("prompt", trial.prompt), ("resource", trial.resource)


def _principal(who: WhoTrial) -> Principal:
    return Principal(who.id or who.name, who.kind, who.name, who.roles, who.groups, who.scopes, who.issuer)


def _ns(text: str) -> int:
    """Raises `ValueError` for what is no time."""
    found = datetime.fromisoformat(text)
    return int((found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()) * 1_000_000_000

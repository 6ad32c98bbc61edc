"""Cedar, through `cedarpy`: the one place that knows it. Texts in, rules, problems and answers out. No I/O.

A policy that fails while it is evaluated is left out by Cedar. Here it makes the answer a refusal: it could have been
one that forbids.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cedarpy
import msgspec
from cedarpy import _internal

from garrison.policy.rules import Json
from garrison.policy.vocabulary import SCHEMA

_SCHEMA: Final = cedarpy.Schema.from_str(SCHEMA)
_POLICY_ID: Final = re.compile(r"policy(\d+)")
_ABOUT: Final = re.compile(r"^for policy `policy\d+`, ")


class Flaw(NamedTuple):
    """What is wrong with a text; `number` counts its policies from 0, -1: it cannot be read at all."""

    number: int
    message: str


class Answer(NamedTuple):
    """`rules`: positions of the policies that decided. `failed`: one could not be evaluated."""

    permits: bool
    rules: tuple[int, ...]
    failed: bool


def flaws_of(text: str) -> list[Flaw]:
    """Against the vocabulary; empty for a text that is well."""
    try:
        found = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        return [Flaw(-1, str(error))]
    if found["templates"]:
        return [Flaw(-1, "templates (?principal, ?resource) cannot be used")]
    result = cedarpy.validate_policies(text, _SCHEMA)
    return [Flaw(_number(one.policy_id), _ABOUT.sub("", one.error)) for one in result.errors]


def policies_of(text: str) -> list[Json]:
    """As Cedar's JSON, in their order in the text. `ValueError` for what is none."""
    found = json.loads(cedarpy.policies_to_json_str(text))
    return [policy for _, policy in sorted(found["staticPolicies"].items(), key=lambda one: _number(one[0]))]


def text_of(policies: Sequence[Json]) -> str:
    """The same as text, in their order."""
    return "\n\n".join(_one_text(policy) for policy in policies)


def _one_text(policy: Json) -> str:
    document = {"templates": {}, "staticPolicies": {"policy0": policy}, "templateLinks": []}
    return str(cedarpy.policies_from_json_str(json.dumps(document))).strip()


def _number(policy_id: str) -> int:
    found = _POLICY_ID.fullmatch(policy_id)
    return int(found[1]) if found else -1


class PolicySet:
    """Policies ready to be asked. They are known by their positions."""

    def __init__(self, policies: Sequence[Json]) -> None:
        document = {
            "templates": {},
            "staticPolicies": {f"p{number}": policy for number, policy in enumerate(policies)},
            "templateLinks": [],
        }
        self._handle = cedarpy.PolicySet.from_json_str(json.dumps(document))

    def ask(self, requests: list[dict[str, Any]], entities: str) -> list[Answer]:
        """`requests`: with contexts as JSON texts. `entities`: all of them, as a JSON text."""
        found = _internal.is_authorized_batch(requests, self._handle, entities, None, False)
        return [_answer(one) for one in found]


class _Diagnostics(msgspec.Struct):
    reason: list[str]
    errors: list[str]


class _Response(msgspec.Struct):
    decision: str
    diagnostics: _Diagnostics


_decode = msgspec.json.Decoder(_Response).decode


def _answer(text: str) -> Answer:
    found = _decode(text)
    rules = tuple(sorted(int(one[1:]) for one in found.diagnostics.reason))
    return Answer(found.decision == "Allow", rules, bool(found.diagnostics.errors))

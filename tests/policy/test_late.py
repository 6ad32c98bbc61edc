"""What is compiled late is right all the same: a slip in an expression shows here, not at the text that needs it."""

from __future__ import annotations

import re

from garrison.policy.late import Late
from garrison.policy.scanner import intents, languages, rules, rules_more, suspicion
from garrison.policy.screening.secrets import SECRETS


def test_every_expression_can_be_compiled() -> None:
    found = [kind.shape for kind in SECRETS] + [pattern for _, pattern in suspicion.SIGNS]
    found += [rule.pattern for named in languages.BY_LANGUAGE.values() for rule in named]
    for module in (intents, languages, rules, rules_more):
        for value in vars(module).values():
            members = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
            found += [getattr(one, "pattern", one) for one in members if isinstance(getattr(one, "pattern", one), Late)]
    assert len(found) > 300
    for one in found:
        one.search("a text")


def test_it_finds_what_the_compiled_one_finds() -> None:
    late, text = Late("a.", re.IGNORECASE), "Ab ac xAd"
    assert [match[0] for match in late.finditer(text)] == ["Ab", "ac", "Ad"]
    assert late.search(text, 1, 5) is not None
    assert late.search(text, 4, 6) is None

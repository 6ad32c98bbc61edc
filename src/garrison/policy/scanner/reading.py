"""One text read by all rules: what is found in it, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from typing import Final, NamedTuple

from garrison.policy.scanner import disguises
from garrison.policy.scanner.findings import Severity, rank
from garrison.policy.scanner.hidden import Hidden, hidden
from garrison.policy.scanner.languages import rules_for
from garrison.policy.scanner.normal import Normal, leet_views, normal
from garrison.policy.scanner.rules import RULES, Rule
from garrison.policy.scanner.rules_more import MORE
from garrison.policy.scanner.signals import DETECTS, DIRECTS, ELSEWHERE, FILES, PRESSURE, QUOTING, SECRECY_HINT
from garrison.policy.scanner.suspicion import CERTAIN, SUSPECT, suspicion

READ_CHARS_MAX: Final = 20_000
"""So much of one text is read by the rules; what is longer is a finding by its size."""
UNSEEN_MAX: Final = 24
READ_WHOLE: Final = 10
"""What does not show is looked for in so many times as much."""
NEAR_CHARS_MAX: Final = 700
_ALL: Final = (*RULES, *MORE)
_STEMS: Final = sorted({stem for rule in _ALL for stem in rule.stems})
_COMMENT: Final = re.compile(r"<!--(.{8,4000}?)-->|\[//\]: # \((.{8,2000}?)\)", re.DOTALL)
_BLOCK: Final = re.compile(
    r"<(important|critical|instructions?|system|hidden|secret|note|urgent|mandatory)\b[^>]{0,40}>", re.IGNORECASE
)
_ATTACKS: Final = re.compile(
    r"inject|jailbreak|malicious|attack|phishing|suspicious|adversarial|exfiltration|poison|leak|vulnerab|secur|threat|abuse|unsafe|guard|harmful|moderation"
)


_OUT: Final = re.compile(f"{FILES}|{ELSEWHERE}")


class Hit(NamedTuple):
    """What was found: a stretch of the text as it was written."""

    code: str
    severity: Severity
    why: str
    start: int
    end: int


def read(text: str, *, directed: bool = False, chars: int = READ_CHARS_MAX) -> list[Hit]:
    """Everything in one text. `directed`: something near it speaks to the model already."""
    text = text[: READ_WHOLE * chars]
    hits = unseen(text)
    shown = text[:chars]
    flat = normal(shown)
    hits += by_rules(flat, directed=directed)
    if not text.isascii():
        hits += [hit for found in islice(hidden(text), UNSEEN_MAX) for hit in _said(found)]
    hits += _comments(shown)
    hits += _disguised(shown, flat, bool(hits))
    return _strongest(hits)


def unseen(text: str) -> list[Hit]:
    """What does not show, the first of it."""
    return [Hit(*found[:5]) for found in islice(hidden(text), UNSEEN_MAX)]


def by_rules(flat: Normal, *, directed: bool = False) -> list[Hit]:
    """What the rules find in a normalised text."""
    text = flat.text
    present = {stem for stem in _STEMS if stem in text}
    hits: list[Hit] = []
    speaks = directed or speaks_to_model(text)
    for rule in _ALL:
        if present.isdisjoint(rule.stems) or not (speaks or rule.bare):
            continue
        found = rule.pattern.search(text)
        if found is not None:
            severity = rule.severity if speaks else rule.bare
            assert severity is not None
            hits.append(_hit(rule, severity, flat, *found.span()))
    hits += _suspicious(flat)
    leads_out = _OUT.search(text) is not None
    for rule in rules_for(text):
        if rule.code == "scan.exfiltration" and not leads_out:
            continue
        found = rule.pattern.search(text)
        if found is not None:
            hits.append(_hit(rule, rule.severity, flat, *found.span()))
    return hits


def _suspicious(flat: Normal) -> Iterator[Hit]:
    """Signs that stand near each other: long texts have all of them somewhere."""
    total, start, end = suspicion(flat.text) if len(flat.text) >= 24 else (0.0, 0, 0)
    if total < SUSPECT:
        return
    if end - start > NEAR_CHARS_MAX:
        pieces = range(0, len(flat.text), NEAR_CHARS_MAX // 2)
        total, start, end = max(suspicion(flat.text, at, at + NEAR_CHARS_MAX) for at in pieces)
    if total >= SUSPECT and not _is_told_about(flat.text, start, end):
        severity: Severity = "high" if total >= CERTAIN else "medium"
        yield Hit("scan.model_directive", severity, "has several signs of orders to the model", *flat.span(start, end))


def speaks_to_model(text: str) -> bool:
    """Whether a text gives orders, presses, or whispers, instead of describing."""
    return bool(DIRECTS.search(text) or SECRECY_HINT.search(text) or _BLOCK.search(text) or PRESSURE.search(text))


def _hit(rule: Rule, severity: Severity, flat: Normal, start: int, end: int) -> Hit:
    if _is_told_about(flat.text, start, end):
        return Hit(rule.code, "low", f"{rule.why} (told about, it seems)", *flat.span(start, end))
    if rule.code == "scan.secrecy" and _UNTIL.search(flat.text, end, end + 100):
        return Hit(rule.code, "low", f"{rule.why} (for a while)", *flat.span(start, end))
    if rule.code == "scan.dangerous_command" and _REFUSED.search(flat.text, max(0, start - 60), end + 40):
        return Hit(rule.code, "low", f"{rule.why} (refused, it seems)", *flat.span(start, end))
    return Hit(rule.code, severity, rule.why, *flat.span(start, end))


_UNTIL: Final = re.compile(r"\b(?:until|unless|before you have|without first)\b")
_REFUSED: Final = re.compile(
    r"reject|block|refus|not allowed|forbid|prevent|prohibit|den(?:y|ied)|disallow|dangerous|destructive|never run|such"
)


def _is_told_about(text: str, start: int, end: int) -> bool:
    """Tools against such attacks name what they look for, as examples or in quotes."""
    before = text[max(0, start - 160) : start]
    if not DETECTS.search(before) or not _ATTACKS.search(text):
        return False
    quoted = text[start - 1 : start] in "\"'`“(" and bool(text[start - 1 : start])
    return quoted or bool(QUOTING.search(before))


def _said(found: Hidden) -> Iterator[Hit]:
    """What hidden characters say, if it is an order."""
    for hit in by_rules(normal(found.text), directed=True) if found.text else ():
        yield Hit("scan.encoded_instruction", "critical", f"hidden characters: {hit.why}", found.start, found.end)


def _comments(text: str) -> Iterator[Hit]:
    """What a comment says is read by models and shown to nobody."""
    for comment in _COMMENT.finditer(text):
        said = normal(comment[1] or comment[2])
        if DIRECTS.search(said.text) and re.search(
            r"\b(?:you|user|assistant|model|ai|agent|llm|tool|secret|instruction)", said.text
        ):
            yield Hit("scan.injected_role", "high", "a comment, which nobody is shown, gives orders", *comment.span())


def _disguised(text: str, flat: Normal, known: bool) -> Iterator[Hit]:
    for undone in disguises.decoded(text):
        inside = by_rules(normal(undone.text), directed=True)
        for hit in sorted(inside, key=lambda hit: rank(hit.severity))[-1:]:
            yield Hit("scan.encoded_instruction", "critical", f"{undone.how}: {hit.why}", undone.start, undone.end)
    for view in leet_views(flat.text):
        strong = [hit for hit in by_rules(Normal(view, flat.at)) if rank(hit.severity) >= rank("high")]
        yield from (
            hit._replace(code="scan.encoded_instruction", why=f"digits for letters: {hit.why}") for hit in strong[:1]
        )
    if known:
        return
    for where, why in (
        (disguises.squeezed(flat.text), "letters pulled apart"),
        (disguises.turned(flat.text), "turned around"),
    ):
        if where is not None:
            yield Hit("scan.encoded_instruction", "high", f"orders to the model, {why}", *flat.span(*where))


def _strongest(hits: list[Hit]) -> list[Hit]:
    """One of each code and stretch: the most serious of those that overlap."""
    kept: list[Hit] = []
    for hit in sorted(hits, key=lambda hit: (-rank(hit.severity), hit.start)):
        if not any(hit.code == other.code and hit.start < other.end and other.start < hit.end for other in kept):
            kept.append(hit)
    return sorted(kept, key=lambda hit: hit.start)

"""What becomes of JSON that passes: clean it goes on as it is, otherwise it is masked, refused or warned of.

Works on the JSON text itself: what is masked is replaced inside of its string, everything else stays byte for byte.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import Raw

from garrison.catalog.screening import Action, Category
from garrison.policy.screening.finding import Screened, Stretch
from garrison.policy.screening.flat import Flat, pointer_at
from garrison.policy.screening.looking import stretches
from garrison.policy.screening.prefilter import Hit, Prefilter

FINDINGS_MAX: Final = 20
"""So many are told of one result; all are masked."""
REPEATED_CHARS_MIN: Final = 8
_PROTOCOL_S: Final = re.compile(
    r"/id|/method|/(?:params/)?(?:_meta/)?(?:progressToken|requestId|requestState|nextCursor|cursor|taskId|elicitationId)"
)
"""What client and server tell calls and pages apart by, and nobody reads: another text there would be another call."""
_STRIPPED: Final = frozenset({"ansi", "hidden_unicode"})


@dataclass(frozen=True)
class Verdict:
    """`json` is what may go on; empty where `blocked`, the code of what must not."""

    json: bytes
    findings: tuple[Screened, ...] = ()
    blocked: str = ""


class Screener:
    """For one treatment of the categories. Immutable, so that whoever keeps it notices a change."""

    def __init__(self, actions: Mapping[Category, Action], prefilter: Prefilter, bytes_max: int = 0) -> None:
        """`prefilter` may know more categories than these actions want."""
        self._actions = {category: action for category, action in actions.items() if action != "off"}
        self._prefilter = prefilter
        self._is_exact = prefilter.categories == frozenset(self._actions)
        self.bytes_max = bytes_max
        self.is_off = not self._actions and not bytes_max
        self.must_be_whole = bool(bytes_max) or "block" in self._actions.values()
        """Whether something can come to light that refuses the whole, so that no part of it may go before."""

        self.is_clean = prefilter.is_clean if self._is_exact and not bytes_max else self._is_clean
        """Whether something may go on as it is."""

    def _is_clean(self, json: bytes | Raw) -> bool:
        if self.bytes_max and len(memoryview(json)) > self.bytes_max:
            return False
        return not self._hits(json)

    def screen(self, json: bytes | Raw) -> Verdict:
        """What may go on of a whole JSON text."""
        whole = bytes(json)
        if self.bytes_max and len(whole) > self.bytes_max:
            return Verdict(b"", (Screened("screen.size", "", "block"),), "screen.size")
        hits = self._hits(whole)
        if not hits:
            return Verdict(whole)
        verdict = self.mask(whole, hits)
        if verdict.findings and not verdict.blocked and not _is_json(verdict.json):
            return Verdict(b"", verdict.findings, verdict.findings[0].code)
        return verdict

    def mask(
        self, json: bytes, hits: Iterable[Hit], *, inside: bool = False, offset: int | None = None, is_end: bool = True
    ) -> Verdict:
        """The same for what the hits lead to. `inside`: it begins within a string; `offset`: it is a piece from there,
        and must not become longer. Without `is_end`, what reaches to the end is left for when more is known."""
        flat = Flat(json.decode("utf-8", "surrogateescape"), inside=inside)
        found = _repeated(flat.text, stretches(flat.text, hits))
        findings: list[Screened] = []
        cuts: list[tuple[int, int, str]] = []
        for one in found:
            if one.category not in self._actions or (not is_end and one.end >= len(flat.text) - 1):
                continue
            place = flat.within_string(*flat.span(one.start, one.end))
            if place is None or place[0] >= place[1]:
                continue
            action, code = self._actions[one.category], f"screen.{one.category}.{one.kind}"
            where = pointer_at(flat.raw, place[0]) if offset is None else f"@{offset + place[0]}"
            if _PROTOCOL_S.fullmatch(where):
                continue
            if len(findings) < FINDINGS_MAX:
                findings.append(Screened(code, where, action))
            if action == "block":
                return Verdict(b"", tuple(findings), code)
            if action == "mask":
                cuts.append((*place, _mask(one, None if offset is None else place[1] - place[0])))
        return Verdict(_cut(flat.raw, cuts) if cuts else json, tuple(findings))

    def _hits(self, json: bytes | Raw) -> list[Hit]:
        hits = self._prefilter.hits(json)
        return hits if self._is_exact or not hits else [hit for hit in hits if hit[0] in self._actions]

    def hits(self, json: bytes) -> list[Hit]:
        return self._hits(json)


def _mask(one: Stretch, room: int | None) -> str:
    """What stands there instead; `room`: at most so many characters."""
    if one.category in _STRIPPED:
        return ""
    mask = f"[masked:{one.kind}]"
    return mask if room is None or len(mask) <= room else "*" * room


def _repeated(text: str, found: list[Stretch]) -> list[Stretch]:
    """With the other places where the same secrets stand: a result's text and its structured content say the same."""
    values = {text[one.start : one.end]: one for one in found if one.category == "secrets"}
    more = list(found)
    for value, one in values.items():
        at = text.find(value) if len(value) >= REPEATED_CHARS_MIN else -1
        while at >= 0:
            end = at + len(value)
            if not any(at < other.end and other.start < end for other in more):
                more.append(Stretch(at, end, "secrets", one.kind))
            at = text.find(value, end)
    return sorted(more)


def _cut(raw: str, cuts: list[tuple[int, int, str]]) -> bytes:
    parts: list[str] = []
    at = 0
    for start, end, mask in sorted(cuts):
        parts += (raw[at:start], mask)
        at = max(at, end)
    parts.append(raw[at:])
    return "".join(parts).encode("utf-8", "surrogateescape")


def _is_json(json: bytes) -> bool:
    try:
        msgspec.json.decode(json)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True

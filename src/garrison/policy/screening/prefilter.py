# ruff: noqa: E501 (patterns read better on one line)
"""One pass over a text that says whether there is anything to look at, whatever the number of kinds.

It is done by the engine that matches the patterns of schemas: linear in the text, and in one call. It finds too much
rather than too little: what it reports is then looked at carefully (`screener`). It reads JSON text: escapes that could
hide something from it are undone first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import jsonschema_rs
import msgspec
from msgspec import Raw

from garrison.catalog.screening import Category
from garrison.policy.screening.secrets import SECRETS

HINTS: Final[dict[Category, tuple[str, ...]]] = {
    "secrets": tuple(kind.hint for kind in SECRETS),
    "ansi": (r"\\u00(?:[01][0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])", "[\x80-\x9f]", r"\x7f", r"[^\\]\\[bf]"),
    "hidden_unicode": (
        "[\U000e0000-\U000e007f\U000e0100-\U000e01ef]", "[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]", "[\ufe00-\ufe0f]{2}",
        "[\u3164\uffa0\u034f\u115f\u1160\u180b-\u180e\u00ad]",
    ),
    "links": (r"https?://[^\s\"'<>)]{1,200}[?&#;][^\s\"'<>)]{80}", r"https?://[^\s\"'<>)?#]{180}", r"!\[[^\]\"]{0,80}\]\(", r"(?i)<img\s", r"(?i)[?&](?:data|q|d|c|secret|payload|exfil|content|msg|text|b64|body|log|leak|dump|info|token|key|p|x)=[A-Za-z0-9%+/_=-]{40}"),
    "pii": (
        r"[A-Za-z0-9._%+-]@[A-Za-z0-9-]{1,60}\.[A-Za-z]{2}", r"[0-9](?:[ -]?[0-9]){12}", r"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
        r"[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}", r"[+(0-9][0-9() .-]{6,}[0-9]{2}",
    ),
    "instructions": (
        r"(?i)(?:previous|prior|above|earlier|existing|your|system|original|initial|safety|all|these|new) (?:[a-z]{1,12} )?(?:instruction|prompt|guideline|directive|guardrail|rules|safety)",
        r"(?i)(?:ignore|disregard|forget) (?:everything|all|anything|what|any)",
        r"(?i)(?:do not|don'?t|never|without|must not|not to|no need to) (?:[a-z]{1,10} )?(?:tell|inform|mention|reveal|notif|alert|ask|disclos|let |confirm|prompt)",
        r"(?i)</?(?:important|system|secret|hidden|critical|admin|override|instructions?)[ >_-]", r"<\|(?:im_|system|user|assistant|end|start|eot)", r"\[/?INST\]", r"<<SYS>>",
        r"(?i)you are (?:now|no longer)", r"(?i)(?:system|developer|admin) ?(?:prompt|override|message|instruction)", r"(?i)from now on", r"(?i)new instructions?", r"(?i)jailbr",
        r"\.ssh/", r"id_(?:rsa|ed25519)", r"(?i)mcp\.json", r"/etc/(?:passwd|shadow)", r"\.aws/credentials", r"(?i)(?:secretly|silently|covertly)", r"(?i)(?:note|message|instructions?|attention) (?:to|for) (?:the )?(?:ai|llm|assistant|model|agent|claude)",
        r"(?i) to (?:https?://|[a-z0-9._-]{1,40}@)", r"(?i)exfiltrat|seed phrase|recovery phrase",
        "(?:忽略|无视|忘记|不要告诉|不得告知|無視|忘れ|무시|игнорир|забудь|не сообщай|не говори|تجاهل|अनदेखा)",
        r"(?i)(?:ignora|ignorez|olvida|oublie|vergiss|ignorier|dimentica|desconsidere|negeer|zignoruj|abaikan|bo qua) ", r"(?i)(?:no (?:le )?(?:digas|informes|menciones)|ne (?:dis|dites|mentionne|révèle)|nicht (?:sagen|erw|mit)|não (?:diga|conte|informe|mencione)|non (?:dire|informare|menzionare))",
        r"\| ?(?:ba|z)?sh\b", r"(?i)base64[a-z ,]{1,24}(?:execut|follow|run)", r"<!--",
    ),
}  # fmt: skip
"""What is looked for, for each category."""

Hit = tuple[Category, int]
"""A category, and which of its hints."""

_ESCAPE: Final = r"\\[u/]"
"""What could hide something. Undone, it is left of control characters alone, which are looked for anyway."""
_LOOK_BEHIND = re.compile(r"\(\?<[!=][^()]*\)")
_SIZE = jsonschema_rs.RegexOptions(size_limit=64_000_000)


class Prefilter:
    """For these categories."""

    def __init__(self, categories: frozenset[Category]) -> None:
        self.categories = categories
        self._ids: tuple[Hit, ...] = tuple(
            (category, index) for category in HINTS if category in categories for index in range(len(HINTS[category]))
        )
        hints = [HINTS[category][index] for category, index in self._ids]
        self._any = _finder([_ESCAPE, *hints]) if hints else _nothing
        self._each: dict[Hit, Callable[[str], bool]] = {}

    def hits(self, json: bytes | Raw) -> list[Hit]:
        """What has to be looked at in this JSON text; mostly nothing."""
        text = _plain(json)
        return [hit for hit in self._ids if self._finds(hit, text)] if self._any(text) else []

    def is_clean(self, json: bytes | Raw) -> bool:
        """On the way of every result, so it is one function and little more: most hold no escape either."""
        return not self._any(str(json, "utf-8", "replace")) or not self._any(_plain(json))

    def _finds(self, hit: Hit, text: str) -> bool:
        find = self._each.get(hit)
        if find is None:
            find = self._each[hit] = _finder([HINTS[hit[0]][hit[1]]])
        return find(text)


def _finder(hints: list[str]) -> Callable[[str], bool]:
    """Says whether any of the expressions matches somewhere."""
    together = "|".join(f"(?:{_necessary(hint)})" for hint in hints)
    found: Callable[[str], bool] = jsonschema_rs.validator_for({"pattern": together}, pattern_options=_SIZE).is_valid
    return found


def _necessary(hint: str) -> str:
    """What must match for the whole to match, without looking around, which the engine does not do."""
    hint = _LOOK_BEHIND.sub("", hint)
    before, ahead, rest = hint.partition("(?=")
    return before + rest[: rest.index(")")] if ahead else hint


def _nothing(text: str) -> bool:
    return False


def _plain(json: bytes | Raw) -> str:
    plain = bytes(json)
    if b"\\u" in plain or b"\\/" in plain:
        plain = unescaped(plain)
    return plain.decode("utf-8", "replace")


def unescaped(json: bytes) -> bytes:
    """The same JSON without escapes that could be left out: `\\u0067hp_…` and `\\/` hide nothing then."""
    try:
        return _encode(_decode(json))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return json


_decode: Final[Callable[[bytes], object]] = msgspec.json.Decoder(float_hook=str).decode
_encode: Final = msgspec.json.Encoder().encode

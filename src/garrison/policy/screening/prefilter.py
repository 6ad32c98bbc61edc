# ruff: noqa: E501 (patterns read better on one line)
"""One pass over the bytes that says whether there is anything to look at: Hyperscan, in C, whatever the number of kinds.

It finds too much rather than too little: what it reports is then looked at carefully (`screener`). It reads JSON text:
escapes that could hide something from it are undone first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import hyperscan
import msgspec
from msgspec import Raw

from garrison.catalog.screening import Category
from garrison.policy.screening.secrets import SECRETS

HINTS: Final[dict[Category, tuple[bytes, ...]]] = {
    "secrets": tuple(kind.hint.encode() for kind in SECRETS),
    "ansi": (rb"\\u00(?:[01][0-9a-fA-F]|7[fF]|[89][0-9a-fA-F])", rb"\xc2[\x80-\x9f]", rb"\x7f", rb"[^\\]\\[bf]"),
    "hidden_unicode": (
        rb"\xf3\xa0[\x80\x81\x84-\x87]", rb"\xe2\x80[\x8b-\x8f\xaa-\xae]", rb"\xe2\x81[\xa0-\xaf]", rb"\xef\xbb\xbf",
        rb"(?:\xef\xb8[\x80-\x8f]){2}", rb"\xe3\x85\xa4", rb"\xef\xbe\xa0", rb"\xcd\x8f", rb"\xe1\x85[\x9f\xa0]", rb"\xe1\xa0[\x8b-\x8e]", rb"\xc2\xad",
    ),
    "links": (rb"https?://[^\s\"'<>)]{1,200}[?&#;][^\s\"'<>)]{80}", rb"https?://[^\s\"'<>)?#]{180}", rb"!\[[^\]\"]{0,80}\]\(", rb"(?i)<img\s", rb"(?i)[?&](?:data|q|d|c|secret|payload|exfil|content|msg|text|b64|body|log|leak|dump|info|token|key|p|x)=[A-Za-z0-9%+/_=-]{40}"),
    "pii": (
        rb"[A-Za-z0-9._%+-]@[A-Za-z0-9-]{1,60}\.[A-Za-z]{2}", rb"[0-9](?:[ -]?[0-9]){12}", rb"[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4} ?[A-Z0-9]{4}",
        rb"[0-9]{3}[- ][0-9]{2}[- ][0-9]{4}", rb"[+(0-9][0-9() .-]{6,}[0-9]{2}",
    ),
    "instructions": (
        rb"(?i)(?:previous|prior|above|earlier|existing|your|system|original|initial|safety|all|these|new) (?:[a-z]{1,12} )?(?:instruction|prompt|guideline|directive|guardrail|rules|safety)",
        rb"(?i)(?:ignore|disregard|forget) (?:everything|all|anything|what|any)",
        rb"(?i)(?:do not|don'?t|never|without|must not|not to|no need to) (?:[a-z]{1,10} )?(?:tell|inform|mention|reveal|notif|alert|ask|disclos|let |confirm|prompt)",
        rb"(?i)</?(?:important|system|secret|hidden|critical|admin|override|instructions?)[ >_-]", rb"<\|(?:im_|system|user|assistant|end|start|eot)", rb"\[/?INST\]", rb"<<SYS>>",
        rb"(?i)you are (?:now|no longer)", rb"(?i)(?:system|developer|admin) ?(?:prompt|override|message|instruction)", rb"(?i)from now on", rb"(?i)new instructions?", rb"(?i)jailbr",
        rb"\.ssh/", rb"id_(?:rsa|ed25519)", rb"(?i)mcp\.json", rb"/etc/(?:passwd|shadow)", rb"\.aws/credentials", rb"(?i)(?:secretly|silently|covertly)", rb"(?i)(?:note|message|instructions?|attention) (?:to|for) (?:the )?(?:ai|llm|assistant|model|agent|claude)",
        rb"(?i) to (?:https?://|[a-z0-9._-]{1,40}@)", rb"(?i)exfiltrat|seed phrase|recovery phrase",
        "(?:忽略|无视|忘记|不要告诉|不得告知|無視|忘れ|무시|игнорир|забудь|не сообщай|не говори|تجاهل|अनदेखा)".encode(),
        rb"(?i)(?:ignora|ignorez|olvida|oublie|vergiss|ignorier|dimentica|desconsidere|negeer|zignoruj|abaikan|bo qua) ", rb"(?i)(?:no (?:le )?(?:digas|informes|menciones)|ne (?:dis|dites|mentionne|r\xc3\xa9v\xc3\xa8le)|nicht (?:sagen|erw|mit)|n\xc3\xa3o (?:diga|conte|informe|mencione)|non (?:dire|informare|menzionare))",
        rb"\| ?(?:ba|z)?sh\b", rb"(?i)base64[a-z ,]{1,24}(?:execut|follow|run)", rb"<!--",
    ),
}  # fmt: skip
"""What is looked for, for each category."""

Hit = tuple[Category, int]
"""A category, and which of its hints: for secrets, the index in `SECRETS`."""


class Prefilter:
    """For these categories. `cached` is what `dump` of an equal one gave, which spares compiling (a quarter second)."""

    def __init__(self, categories: frozenset[Category], cached: bytes = b"") -> None:
        self.categories = categories
        self._ids: tuple[Hit, ...] = tuple(
            (category, index) for category in HINTS if category in categories for index in range(len(HINTS[category]))
        )
        self._database = _load(cached) if cached else None
        self._found: list[int] = []

    def dump(self) -> bytes:
        """The compiled expressions; bound to the processor's kind and the library's version."""
        return hyperscan.dumpb(self._compiled())

    def hits(self, json: bytes | Raw) -> list[Hit]:
        """What has to be looked at in this JSON text; mostly nothing."""
        return [] if self.is_clean(json) else [self._ids[index] for index in self._found]

    def is_clean(self, json: bytes | Raw) -> bool:
        """On the way of every result, so it is one function and no more."""
        if not self._ids:
            return True
        plain = bytes(json)
        if b"\\u" in plain or b"\\/" in plain:
            plain = unescaped(plain)
        self._found.clear()
        (self._database or self._compiled()).scan(plain, self._hit)
        return not self._found

    def _hit(self, index: int, start: int, end: int, flags: int, context: object) -> None:
        self._found.append(index)

    def _compiled(self) -> hyperscan.Database:
        if self._database is None:
            expressions = [HINTS[category][index] for category, index in self._ids]
            flags = [hyperscan.HS_FLAG_SINGLEMATCH | hyperscan.HS_FLAG_PREFILTER] * len(expressions)
            database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
            database.compile(expressions=expressions, flags=flags)
            self._database = database
        return self._database


def unescaped(json: bytes) -> bytes:
    """The same JSON without escapes that could be left out: `\\u0067hp_…` and `\\/` hide nothing then."""
    try:
        return _encode(_decode(json))
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return json


_decode: Final[Callable[[bytes], object]] = msgspec.json.Decoder(float_hook=str).decode
_encode: Final = msgspec.json.Encoder().encode


def _load(cached: bytes) -> hyperscan.Database | None:
    """None where the bytes are of another version or processor."""
    try:
        database = hyperscan.loadb(cached, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.HyperscanError:
        return None
    return database

"""What a text says once its disguise is taken off: encoded runs, digits for letters, letters pulled apart, mirrors."""

from __future__ import annotations

import base64
import codecs
import re
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

RUN_CHARS_MAX: Final = 16_384
RUNS_MAX: Final = 16
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{20,}={0,2}")
_BASE32: Final = re.compile(r"(?<![A-Z2-7])[A-Z2-7]{24,}={0,6}")
_HEX: Final = re.compile(r"(?<![0-9a-fA-F])(?:0x)?((?:[0-9a-fA-F]{2}[ :,]?){12,})(?![0-9a-fA-F])")
_BINARY: Final = re.compile(r"(?<![01])(?:[01]{8}[ ,]?){8,}(?![01])")
_DECIMAL: Final = re.compile(
    r"(?<!\d)(?:(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])[ ,]+){12,}(?:3[2-9]|[4-9]\d|1[01]\d|12[0-6])"
)
_LETTERS: Final = re.compile(r"[^a-z]+")
_PULLED: Final = re.compile(r"(?:\b[a-z][ .\-_*|/,+~]{1,3}){6,}[a-z]\b")
_WORDS_MIN: Final = 0.85

TELLING: Final = [
    "ignoreprevious",
    "ignoreallprevious",
    "ignoreallprior",
    "ignorepriorinstr",
    "ignoreyourinstr",
    "ignoreallinstr",
    "disregardprevious",
    "disregardall",
    "disregardprior",
    "disregardyour",
    "forgetyourinstr",
    "forgetprevious",
    "forgetall",
    "overrideprevious",
    "overridesystem",
    "donottelltheuser",
    "donttelltheuser",
    "donotinformtheuser",
    "donotmentionthis",
    "donotmentionthe",
    "withouttellingtheuser",
    "withoutinformingtheuser",
    "hidethisfromtheuser",
    "revealyoursystemprompt",
    "printyoursystemprompt",
    "yoursystemprompt",
    "systemoverride",
    "youarenowin",
    "readsshidrsa",
    "readthesshkey",
    "sendsshid",
    "sshidrsaandsend",
    "exfiltrate",
    "sendallenvironment",
    "sendallcredentials",
    "readtheprivatekey",
    "readsshkeys",
    "sendthecontentsof",
    "sendallfilesto",
    "sendtoattacker",
    "bccattacker",
    "sendtheapikey",
    "sendallapikeys",
    "readtheenvfile",
    "readetcpasswd",
    "catetcpasswd",
]
"""What remains of orders when everything but letters is taken away."""
_ROT13: Final = tuple(codecs.encode(word, "rot13") for word in TELLING)
_MIRRORED: Final = tuple(word[::-1] for word in TELLING)
_SQUEEZED: Final = re.compile("|".join(TELLING))
_TURNED: Final = re.compile("|".join((*_ROT13, *_MIRRORED)))


class Undone(NamedTuple):
    """What a stretch says when it is decoded, and how it was encoded."""

    start: int
    end: int
    text: str
    how: str


def decoded(text: str) -> Iterator[Undone]:
    """Runs that are readable text in another notation; once, and only the first few."""
    if len(text) < 20:
        return
    count = 0
    for pattern, how, decode in _NOTATIONS:
        for run in pattern.finditer(text):
            count += 1
            if count > RUNS_MAX:
                return
            said = _readable(_undone(decode, run[0][:RUN_CHARS_MAX]))
            if said:
                yield Undone(run.start(), run.end(), said, how)


def _undone(decode: Callable[[str], bytes], run: str) -> bytes:
    try:
        return decode(run)
    except ValueError:  # one of the many runs that only look encoded
        return b""


def _base64(run: str) -> bytes:
    body = run.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    return base64.b64decode(body + "=" * (-len(body) % 4))


def _base32(run: str) -> bytes:
    body = run.rstrip("=")
    body = body[: len(body) - len(body) % 8] if len(body) % 8 in (1, 3, 6) else body
    return base64.b32decode(body + "=" * (-len(body) % 8))


def _hex(run: str) -> bytes:
    return bytes.fromhex(re.sub(r"^0x|[ :,]", "", run)[: 2 * (len(re.sub(r"^0x|[ :,]", "", run)) // 2)])


def _binary(run: str) -> bytes:
    bits = re.sub(r"[ ,]", "", run)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))


def _decimal(run: str) -> bytes:
    return bytes(int(number) for number in re.findall(r"\d+", run))


_NOTATIONS: Final = (
    (_BASE64, "base64", _base64),
    (_BASE32, "base32", _base32),
    (_HEX, "hexadecimal", _hex),
    (_BINARY, "binary digits", _binary),
    (_DECIMAL, "character codes", _decimal),
)


def _readable(raw: bytes | None) -> str:
    """The text, if it is one: mostly letters and blanks."""
    if not raw:
        return ""
    said = raw.decode("utf-8", "ignore")
    if len(said) < 0.9 * len(raw):
        return ""
    plain = sum(char.isalpha() or char in " .,;:!?'\"/~_-@\n" for char in said)
    return said if plain >= _WORDS_MIN * len(said) and len(said) >= 10 else ""


def squeezed(flat: str) -> tuple[int, int] | None:
    """Where orders stand whose letters were pulled apart; `flat` is normalised."""
    for row in _PULLED.finditer(flat):
        if _SQUEEZED.search(_LETTERS.sub("", row[0])):
            return row.span()
    return None


def turned(flat: str) -> tuple[int, int] | None:
    """Where orders stand that are written backwards or in rot13."""
    found = _TURNED.search(_LETTERS.sub("", flat))
    return (0, len(flat)) if found else None


def broken_up(flat: str) -> bool:
    """Whether signs inside of words hide orders: `ig.nore pre-vious`, which reads on when they are gone."""
    return bool(_SQUEEZED.search(_LETTERS.sub("", flat)))

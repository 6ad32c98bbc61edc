"""Credentials whose form tells what they are, wherever they stand: the prefixes that their issuers gave them."""

from __future__ import annotations

import re
from typing import Final

KNOWN: Final = re.compile(
    r"""(?x)(?<![A-Za-z0-9])(?:
      gh[pousr]_[A-Za-z0-9]{20,} | github_pat_\w{20,} | glpat-[\w-]{16,}
    | sk-[A-Za-z0-9_-]{16,} | [sr]k_(?:live|test)_\w{10,} | xox[abeoprs]-[\w-]{10,} | xapp-[\w-]{10,}
    | A(?:KIA|SIA)[A-Z0-9]{16} | AIza[\w-]{30,} | ya29\.[\w-]{20,}
    | eyJ[\w-]{8,}\.eyJ[\w-]{4,}\.[\w-]*
    | (?:npm|hf|ntn|secret|shpat|figd|sbp|gsk|r8|lin_api|dop_v1|pul|rnd|nvapi|dckr_pat|ATATT3x)[_-]?(?=\w*\d)[\w-]{24,}
    | (?:pplx|tvly|fc|ctx7sk|exa|re|jina|pypi|apify_api|brv|SG|key)[-_.](?=[\w.-]*\d)[\w.-]{20,}
    | -----BEGIN[ A-Z]*PRIVATE\ KEY-----[\s\S]*
    )"""
)
_LONG: Final = re.compile(r"[\w.-]{14}")


def known_in(text: str) -> bool:
    """Whether one stands there. Texts without a long word, which most are, cost a scan."""
    return _LONG.search(text) is not None and KNOWN.search(text) is not None

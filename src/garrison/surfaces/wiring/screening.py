"""The expressions of screening: compiled once, which takes a quarter second, and kept in the home."""

from __future__ import annotations

import hashlib
import platform
from importlib.metadata import version

from garrison.catalog.screening import Screening
from garrison.kernel.home import Home, write_private
from garrison.policy.screening.prefilter import HINTS, Prefilter
from garrison.policy.screening.treatments import wanted

_DIGEST_BYTES = 32


def compiled_before(home: Home, section: Screening) -> bytes:
    """What was compiled for these categories by this version on this machine, by us or an earlier process.

    The file is the owner's alone and carries a digest: it is taken as it is, or not at all.
    """
    categories = wanted(section)
    if not categories:
        return b""
    expressions = repr([HINTS[category] for category in HINTS if category in categories])
    kind = f"{version('hyperscan')}\n{platform.machine()}\n{platform.node()}\n{expressions}"
    path = home.run / f"screening-{hashlib.sha256(kind.encode()).hexdigest()[:16]}.hsdb"
    try:
        whole = path.read_bytes()
    except OSError:
        whole = b""
    digest, database = whole[:_DIGEST_BYTES], whole[_DIGEST_BYTES:]
    if database and hashlib.sha256(database).digest() == digest:
        return database
    database = Prefilter(categories).dump()
    write_private(path, hashlib.sha256(database).digest() + database)
    return database

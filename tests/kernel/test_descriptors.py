"""How many files may be open, here and in what we start."""

from __future__ import annotations

import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from garrison.kernel.descriptors import RESERVED, room_for

SCRIPT = """
import resource, subprocess, sys
from garrison.kernel import descriptors
from garrison.kernel.errors import Unavailable
try:
    print(descriptors.raise_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[1])
except Unavailable as error:
    print(error.code, error.hint)
    sys.exit()
asked = [sys.executable, "-c", "import resource; print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])"]
sys.stdout.flush()
subprocess.run(asked, preexec_fn=descriptors.giving_back(), check=True)
"""


def after(limits: str) -> list[str]:
    """What the script says under these limits of the shell."""
    argv = ["sh", "-c", f'{limits} && exec "$0" -c "$1"', sys.executable, SCRIPT]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout.splitlines()


def test_the_limit_is_raised_as_far_as_it_goes_and_children_get_back_what_we_were_given() -> None:
    assert after("ulimit -Sn 300") == ["True", "300"]


def test_too_few_are_refused_with_what_to_do() -> None:
    (said,) = after("ulimit -Sn 100 && ulimit -Hn 200")
    assert said.startswith("descriptors.too_few")
    assert "ulimit -Hn" in said


@given(st.integers(1, 1 << 20), st.integers(256, 1 << 20))
def test_streams_leave_room_for_everything_else(streams: int, descriptors: int) -> None:
    found = room_for(streams, descriptors)
    assert 1 <= found <= streams
    assert descriptors - found >= min(RESERVED, descriptors // 2)

"""The three requests to the Linux kernel that Python has no names for (prctl(2)).

Standard library only: the guardian, which must stay small, uses this too.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def become_subreaper() -> None:
    """Orphaned descendants become our children instead of pid 1's, so that we can see and reap them."""
    _check(_prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def name_this_process(name: str) -> None:
    """What `ps -o comm` and `top` show; the kernel cuts it at 15 bytes."""
    _check(_prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0))


def dies_with_parent() -> Callable[[], None]:
    """A function for the child to call between fork and exec: the kernel kills it when we die.

    It only calls into the kernel, so it is safe in the fork of a process with threads. The kernel means the
    parent's *thread*: call fork from one that lives as long as the process.
    """
    parent, die = os.getpid(), int(signal.SIGKILL)

    def in_child() -> None:
        _prctl(PR_SET_PDEATHSIG, die, 0, 0, 0)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(1)

    return in_child


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))

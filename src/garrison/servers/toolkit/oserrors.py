"""The operating system's refusals, said so that a caller can act on them."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from garrison.kernel.errors import Conflict, Denied, GarrisonError, Invalid, NotFound, Unavailable

_MEANING: dict[int, tuple[type[GarrisonError], str, str, str]] = {
    errno.ENOENT: (NotFound, "path.missing", "does not exist", "List its folder to see what does."),
    errno.EEXIST: (Conflict, "path.exists", "exists already", "Choose another name, or overwrite on purpose."),
    errno.ENOTEMPTY: (Conflict, "path.not_empty", "is not empty", "Remove it recursively on purpose."),
    errno.ENOTDIR: (Invalid, "path.not_a_folder", "is not a folder, or passes through something that is none", ""),
    errno.EISDIR: (Invalid, "path.is_a_folder", "is a folder, not a file", "List it instead."),
    errno.ELOOP: (Conflict, "path.changed", "became a symbolic link while it was being opened", "Try again."),
    errno.EACCES: (Denied, "path.permission", "may not be accessed by this server's user", ""),
    errno.EPERM: (Denied, "path.permission", "may not be changed by this server's user", ""),
    errno.EROFS: (Denied, "path.read_only_disk", "is on a file system that is mounted read-only", ""),
    errno.ENAMETOOLONG: (Invalid, "path.too_long", "is too long for the file system", ""),
    errno.EXDEV: (Invalid, "path.other_disk", "is on another file system", "Write a copy, then delete the original."),
    errno.ENOSPC: (Unavailable, "disk.full", "cannot be written: the disk is full", "Free some space."),
    errno.EDQUOT: (Unavailable, "disk.full", "cannot be written: the quota is used up", "Free some space."),
    errno.ENXIO: (Invalid, "path.not_a_file", "is neither a file nor a folder", ""),
}


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn an `OSError` about `path` into one of Garrison's errors."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        if number not in _MEANING:
            raise Unavailable("disk.error", f"{path}: {error.strerror or 'input/output error'}.") from error
        kind, code, what, hint = _MEANING[number]
        raise kind(code, f"{path} {what}.", hint) from None

"""Locks of the operating system on files: they go with the process that held them, however it ended."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import BinaryIO

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", -1), getattr(errno, "ENOTSUP", -1)}
_LOCKED_BYTE = 1 << 30
"""Windows forbids to read what is locked: lock a byte far behind the words."""


def open_to_lock(path: Path, *, make: bool = False, new: bool = False) -> BinaryIO:
    """Open a file for reading and writing; a link is not followed.

    Parameters
    ----------
    make
        Whether to make the file where there is none.
    new
        Make the file, and refuse one that is there.
    """
    flags = os.O_RDWR | (os.O_CREAT if make or new else 0) | (os.O_EXCL if new else 0)
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags | more, 0o666), "r+b")


def try_lock(file: BinaryIO) -> bool | None:
    """Lock a file without waiting.

    Returns
    -------
    bool or None
        Whether it is locked now; ``None`` where the file system knows no locks.
    """
    try:
        if sys.platform == "win32":
            file.seek(_LOCKED_BYTE)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            # not lockf: its locks go when *any* handle of the process on that file is closed
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False
    return True

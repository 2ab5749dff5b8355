"""Locks of the operating system on files: they go with the process that held them, however it ended.

`filelock` knows each system's locks. Its `FileLock` takes a path; ours takes an open file, so that what is
locked is what was looked at: see ``docs/adr/0015-locks-on-open-files.md``.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

from filelock import lock_descriptor

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, getattr(errno, "EOPNOTSUPP", -1), getattr(errno, "ENOTSUP", -1)}


def open_to_lock(path: Path, *, make: bool = False, new: bool = False) -> BinaryIO:
    """Open a file for reading and writing; a link is not followed.

    Parameters
    ----------
    make
        Whether to make the file if there is none.
    new
        Make the file, and refuse one that is there.
    """
    flags = os.O_RDWR | (os.O_CREAT if make or new else 0) | (os.O_EXCL if new else 0)
    more = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags | more, 0o666), "r+b")


def try_lock(file: BinaryIO) -> bool | None:
    """Lock a file without waiting.

    Windows does not let other processes read the first byte of a locked file: their information is in a file
    beside it.

    Returns
    -------
    bool or None
        Whether it is locked now; ``None`` if the file system knows no locks.
    """
    try:
        return lock_descriptor(file.fileno(), blocking=False)
    except OSError as error:
        return None if error.errno in _NO_LOCKS else False

"""Describe every error by its cause, its cure, and the traceback for the log."""

from __future__ import annotations

import errno
import sqlite3
import traceback
from collections.abc import Iterator

from annotation_store.errors import LLDError
from training.protocol import Failed, ProtocolError

_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "status_alloc_failed",  # of cuBLAS and cuDNN
)
_ON_DEVICE = ("cuda", "cublas", "cudnn", "mps", "hip ")
_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR}


def failure(error: BaseException) -> Failed:
    """Describe an exception to the user."""
    cause, cure = _sentences(error)
    details = "".join(traceback.format_exception(error))
    return Failed(cause=cause, cure=cure, details=details)


def _sentences(error: BaseException) -> tuple[str, str]:
    text = str(error).lower()
    system = _system_error(error)
    if isinstance(error, MemoryError) or any(words in text for words in _MEMORY):
        if any(words in text for words in _ON_DEVICE):
            return (
                "There is not enough memory on the graphics card for this.",
                "Close other programs that use it, choose a smaller --size, or compute with --device cpu.",
            )
        return (
            "There is not enough memory for this.",
            "Close other programs, or choose a smaller --size.",
        )
    if isinstance(error, LLDError):  # of a full disk it names the file or the project
        return str(error), getattr(error, "cure", "")
    if _disk_is_full(error):
        return "The disk is full.", "Free some space and start again; everything saved before is intact."
    if isinstance(error, ProtocolError):
        return f"The request cannot be read: {error}.", ""
    if system is not None and system.errno in _UNWRITABLE:
        where = system.filename or "a file of the project"
        return f"{where} cannot be written.", "Check that the project's folder is writable."
    if isinstance(error, FileNotFoundError):
        return f"{error.filename} does not exist.", ""
    if isinstance(error, ImportError):
        return f"A part of the program is missing: {error}.", "Install napari-lld again."
    return (
        f"An unexpected error occurred ({type(error).__name__}: {error}).",
        "Please report it, with the details that --debug prints.",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an exception and those behind it."""
    for _ in range(8):
        if error is None:
            return
        yield error
        error = error.__cause__ or error.__context__


def _system_error(error: BaseException) -> OSError | None:
    """Find the OSError behind an exception."""
    return next((cause for cause in _chain(error) if isinstance(cause, OSError)), None)


def _disk_is_full(error: BaseException) -> bool:
    """Return whether the system or SQLite has no space left."""
    for cause in _chain(error):
        if isinstance(cause, OSError):
            return cause.errno in {errno.ENOSPC, errno.EDQUOT}
        if isinstance(cause, sqlite3.Error):
            return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return False

"""Files that survive a power cut, and what the system's refusals mean."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from annotation_store.errors import ProjectError

_FULL = {errno.ENOSPC, errno.EDQUOT} if hasattr(errno, "EDQUOT") else {errno.ENOSPC}
_LONGEST_PATH = 490
"""Bytes of a project's path: SQLite takes 512 for the database with the names of its journals."""
_LONGEST_NAME = 255


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk (not folders, on Windows)."""
    if path.is_dir() and os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY if os.name != "nt" else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Write all of a folder to the disk: files, then the folders that name them."""
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(Path(place) / name)
        sync(Path(place))


def move(path: Path, target: Path) -> None:
    """Rename, replacing a file of that name, so that a power cut afterwards does not undo it."""
    path.replace(target)
    sync(target.parent)
    if path.parent != target.parent:
        sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder, if there is none, so that a power cut afterwards does not undo it."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


@contextmanager
def folder_kept_if_filled(folder: Path) -> Iterator[None]:
    """Make a folder to write in; if the block fails, remove what was made and is empty."""
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        make_folder(folder)
        yield
    except BaseException:
        for place in made:
            with suppress(OSError):
                place.rmdir()
        raise


def refuse_long_path(folder: Path) -> None:
    """Reject a project's folder whose path is too long for the database.

    Raises
    ------
    ProjectError
        With the numbers.
    """
    length = len(os.fsencode(folder.absolute()))
    longest_name = max(len(os.fsencode(part)) for part in folder.absolute().parts)
    if length > _LONGEST_PATH or longest_name > _LONGEST_NAME:
        raise ProjectError(
            f"The path of the project {folder.name[:40]} is too long ({length} bytes, its longest name "
            f"{longest_name}; at most {_LONGEST_PATH} and {_LONGEST_NAME}): choose a shorter one."
        )


def why_not_written(what: str, error: OSError) -> str:
    """Explain in a sentence why something cannot be written, and the cure.

    Parameters
    ----------
    what
        ``The project /data/film``.
    """
    # a library's own words (of HDF5, of Arrow) name temporary files and the time
    reason = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return f"{what} cannot be written: the disk is full ({reason}). Free some space, then try again."
    if error.errno == errno.ENAMETOOLONG:
        return f"{what} cannot be written: its path is too long ({reason}). Choose a shorter one."
    return f"{what} cannot be written ({reason}): choose a folder where you may write, with free space."


def hash_of(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

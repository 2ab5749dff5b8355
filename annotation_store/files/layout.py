"""Where things lie in a project's folder, and the guard that nothing of it leads out.

A project may come from an untrusted source: a link in place of one of its folders would have other files of
the person who opens it read, moved or deleted. So no link is followed inside a project, wherever it points.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from annotation_store.errors import ProjectError, ProjectGoneError
from annotation_store.files.disk import make_folder, move

DATABASE = "project.db"
PIXELS = "fields.zarr"
ORIGINALS = "originals"
MODELS = "models"
LOGS = "logs"
BACKUPS = "backups"
RUNS = "runs"
"""What a run keeps while it lasts: the lock, the queue, the resumable state (`training.worker`)."""
STAGING = ".staging"
"""Work in progress, in folders with a lock that shows whether their process is alive."""
THUMBNAILS = ".thumbnails"
"""Created again if missing."""
FEATURES = ".features"
"""The cache of feature vectors: computed again if missing."""
ENGINE = ".engine"
"""The networks of models as graphs for the prediction engine: made again if missing."""
LOST = "lost+found"
"""Where files go that belong to nothing, or were damaged: for people to look at."""

JOURNALS = tuple(f"{DATABASE}{end}" for end in ("-wal", "-shm", "-journal"))
_GUARDED = (
    PIXELS,
    ORIGINALS,
    MODELS,
    LOGS,
    BACKUPS,
    RUNS,
    STAGING,
    THUMBNAILS,
    FEATURES,
    ENGINE,
    LOST,
    DATABASE,
    *JOURNALS,
)
_JUNCTION = 0xA0000003  # Windows' IO_REPARSE_TAG_MOUNT_POINT; a symbolic link is one by its mode
_HASH = re.compile(r"[0-9a-f]{64}")
_SUFFIX = re.compile(r"(\.[\w.+-]{0,31})?", re.ASCII)


def is_link(path: Path) -> bool:
    """Return whether a path itself is a symlink or a Windows junction; ``False`` if it does not exist."""
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def refuse_links(project: Path) -> None:
    """Reject a project of which one of its own folders, or its database, is a link.

    Raises
    ------
    ProjectError
        With the name of the link.
    """
    for name in _GUARDED:
        inside(project, name)


def inside(project: Path, *names: str) -> Path:
    """Return a path in a project; no step of it may be a link.

    Raises
    ------
    ProjectError
        One is.
    """
    path = project
    for name in names:
        path = path / name
        if is_link(path):
            raise ProjectError(
                f"{path} is a link, which is not allowed inside a project: "
                "replace it with the file or folder that it points to."
            )
    return path


def database_status(project: Path) -> os.stat_result:
    """Return the status of the database of a project that is open.

    Raises
    ------
    ProjectGoneError
        There is none: the folder or its database was deleted or moved, or cannot be reached.
    """
    try:
        return (project / DATABASE).lstat()
    except OSError as error:
        raise ProjectGoneError(
            f"The project {project} is no longer there ({error.strerror or error}): nothing more is "
            "saved. Bring the folder back, then open it again."
        ) from error


def refuse_links_below(folder: Path) -> None:
    """Reject a folder that holds a link, however deep."""
    for path in _walk(folder):
        inside(path.parent, path.name)


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            yield Path(place) / name


def original_path(project: Path, content_hash: object, suffix: object) -> Path:
    """Return the place of an original; hash and suffix come from the database, which is not trusted.

    Raises
    ------
    ProjectError
        They would lead out of the folder, or a link does.
    """
    if not _HASH.fullmatch(str(content_hash)) or not _SUFFIX.fullmatch(str(suffix)):
        raise ProjectError(
            f"The database of the project {project} contains an invalid file name "
            f"({f'{content_hash}{suffix}'[:80]!r}): it was changed or is damaged. Run napari-lld check."
        )
    return inside(project, ORIGINALS, f"{content_hash}{suffix}")


def set_aside(project: Path, path: Path, *, under: str = "") -> Path:
    """Move a file or folder of a project to ``lost+found``, beside what is there; nothing is overwritten.

    Parameters
    ----------
    under
        The name of a folder in ``lost+found``, for what belongs together.
    """
    folder = inside(project, LOST, under) if under else inside(project, LOST)
    make_folder(folder)
    target, number = folder / path.name, 2
    while os.path.lexists(target):
        target = folder / f"{path.name} ({number})"
        number += 1
    move(path, target)
    return target

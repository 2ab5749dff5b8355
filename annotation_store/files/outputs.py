"""Files written in one step; those that the user names: never in a project, never over a file unasked."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from annotation_store.errors import OutputError
from annotation_store.files.disk import sync, why_not_written
from annotation_store.files.layout import DATABASE, is_link
from annotation_store.files.temporary import locked_folder, sweep

_BESIDE = ".napari-lld-"


def check_output(out: Path, *, overwrite: bool = False) -> None:
    """Reject a file or folder that must not be written.

    Parameters
    ----------
    overwrite
        Whether a file that exists may be replaced. A folder is never replaced by a file.

    Raises
    ------
    OutputError
        `out` lies inside a project (links are followed), or is a file that exists and `overwrite` is false.
    """
    project = project_around(out)
    if project is not None:
        raise OutputError(f"{out} lies inside the project {project}: choose a place outside it.")
    if not overwrite and os.path.lexists(out) and not out.is_dir():
        raise OutputError(f"{out} already exists: name another file, or give --overwrite to replace it.")


def project_around(out: Path) -> Path | None:
    """Return the project whose folder `out` is or lies in, by its own path or through a link."""
    try:
        places = {out.parent.resolve() / out.name, out.resolve()}
    except (OSError, RuntimeError) as error:  # a loop of links
        raise OutputError(
            f"{out} cannot be written: its path contains a loop of links. Choose another place."
        ) from error
    for place in places:
        for folder in (place, *place.parents):
            with suppress(OSError):
                if (folder / DATABASE).is_file():  # also one whose pixels are missing
                    return folder
    return None


def missing(places: Sequence[Path]) -> list[Path]:
    """List the files and folders that are not there yet."""
    return [place for place in places if not os.path.lexists(place)]


@contextmanager
def removed_on_failure(places: Sequence[Path]) -> Iterator[None]:
    """Remove files and folders of this export's own making, if the block that completes it fails."""
    try:
        yield
    except BaseException:
        for place in places:
            with suppress(OSError):
                if place.is_dir():
                    shutil.rmtree(place)
                else:
                    place.unlink(missing_ok=True)
        raise


def write_file(
    out: Path, content: str | bytes | Iterable[str], *, durable: bool = True, parents: bool = True
) -> None:
    """Write a file in one step: a reader sees the old file or the new one, never half of it.

    Parameters
    ----------
    durable
        Whether it is on the disk before this returns, and what killed programs left beside it is removed
        first. What can be made again needs neither.
    parents
        Whether to make the folders above its own: not in a project, which may be gone.

    Raises
    ------
    OutputError
        It cannot be written. What was there before is unchanged.
    """
    chunks = [content] if isinstance(content, str | bytes) else content
    with new_file(out, durable=durable, parents=parents) as temporary, temporary.open("wb") as file:
        for chunk in chunks:
            # half of a surrogate pair (from a file's name) is written as "?"
            file.write(chunk.encode("utf-8", "replace") if isinstance(chunk, str) else chunk)


@contextmanager
def new_file(out: Path, *, durable: bool = True, parents: bool = True) -> Iterator[Path]:
    """Yield a file beside `out` to be written, which takes its place at the end; for writers of others.

    Parameters
    ----------
    durable, parents
        As `write_file` has it.

    Raises
    ------
    OutputError
        It cannot be written. What was there before is unchanged.
    """
    try:
        if out.is_dir():
            raise OutputError(f"{out} is a folder: give a file to write to.")
        with place_beside(out, tidy=durable, parents=parents) as hidden:
            temporary = hidden / "file"
            yield temporary
            if durable:
                sync(temporary)
            temporary.replace(out)
        if durable:
            with suppress(OSError):  # a folder that may be written and not read
                sync(out.parent)
    except OSError as error:
        raise OutputError(why_not_written(f"The file {out}", error)) from error


@contextmanager
def place_beside(out: Path, *, tidy: bool = True, parents: bool = True) -> Iterator[Path]:
    """Make a hidden folder beside a file or folder that is to be written, and remove it at the end.

    Parameters
    ----------
    tidy
        Whether to remove first what killed programs left there of earlier attempts; what a living one fills
        stays.
    parents
        As `write_file` has it.
    """
    prefix = f".{out.name[:40]}{_BESIDE}"
    if tidy:
        sweep(out.absolute().parent, prefix)
    with locked_folder(out.absolute().parent, prefix, parents=parents) as folder:
        yield folder


def is_place_beside(path: Path) -> bool:
    """Return whether a folder is one of `place_beside`: being written, or left by a killed process."""
    return path.name.startswith(".") and _BESIDE in path.name and path.is_dir() and not is_link(path)

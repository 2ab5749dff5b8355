"""Check the name and place of a new project before it is created; no Qt."""

from __future__ import annotations

import os
import re
from pathlib import Path

from annotation_store.errors import OutputError
from annotation_store.files.layout import DATABASE
from annotation_store.files.outputs import project_around
from napari_lld.i18n.translate import tr

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]')
"""What some system does not take in a name: a project is carried from one to another."""
_LONGEST_NAME = 200
_LONGEST_PATH = 400
"""Bytes, with room below the limit of SQLite for what lies in a project."""


def folder_problem(place: Path, name: str) -> str:
    """Explain why no project of a name can be made in a folder; empty if nothing is known against it.

    The store itself says the last word as it makes the project.
    """
    if not name.removesuffix(".lld").strip(". "):
        return tr("Give the project a name.")
    if _FORBIDDEN.search(name):
        return tr('A name cannot hold any of \\ / : * ? " < > |: choose another.')
    if not place.is_absolute():
        return _not_whole()
    folder = place / (name if name.endswith(".lld") else f"{name}.lld")
    if len(os.fsencode(name)) > _LONGEST_NAME or len(os.fsencode(folder.absolute())) > _LONGEST_PATH:
        return tr("Name and folder are too long together: choose a shorter name, or another folder.")
    if (folder / DATABASE).is_file():
        return tr("{name} is a project already: open it, or choose another name.", name=folder.name)
    try:
        outer = project_around(folder)
    except OutputError:
        return tr("The folder is a broken link: choose another.")
    if outer is not None:
        return tr("This folder lies inside the project {name}: choose one outside it.", name=outer.name)
    nearest = next((path for path in (folder, place, *place.parents) if path.exists()), None)
    if nearest is None:
        return tr("The folder does not exist: choose another.")
    if not nearest.is_dir():
        return tr("{name} is a file: choose a folder.", name=nearest.name)
    if not os.access(nearest, os.W_OK | os.X_OK):
        return tr("You may not write in {name}: choose another folder.", name=nearest.name or str(nearest))
    return ""


def images_problem(images: Path | None) -> str:
    """Explain why no images can be taken from a folder; empty if nothing is known against it.

    Whether it holds any is known only once it has been walked: `find_images` says it as the project is made.
    """
    if images is None:
        return ""
    if not images.is_absolute():
        return _not_whole()
    try:
        exists = images.is_dir()
    except (OSError, ValueError):  # a name that the system cannot even look for
        exists = False
    return "" if exists else tr("This folder does not exist: choose another, or leave it empty.")


def _not_whole() -> str:
    """Explain that a path is relative: nobody at a window knows in which folder the program runs."""
    return tr("Enter the full path of the folder.")

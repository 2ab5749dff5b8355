"""Copy files of one project for another: by hard links if the disk allows it, else as new files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from annotation_store._collections.ingest import original_beside
from annotation_store.errors import ProjectError
from annotation_store.files.disk import hash_of, sync, sync_tree
from annotation_store.files.layout import MODELS, PIXELS, inside, original_path, refuse_links_below
from annotation_store.records import FieldKind


def copy_field(project: Path, row: Mapping[str, Any], target: Path, *, name: str | None = None) -> None:
    """Copy the pixels of a field, and its original beside them.

    Parameters
    ----------
    row
        Its row of the table.
    name
        What the pixels are to be called; then the original, which may say more, stays behind.

    Raises
    ------
    ProjectError
        They are missing or damaged.
    """
    source = inside(project, PIXELS, str(int(row["id"])))
    if not (source / "zarr.json").is_file():
        raise ProjectError(_missing(project, f"the pixels of the field {row['name']}"))
    refuse_links_below(source)
    copy_tree(source, target)
    if name is not None:
        _rename(target / "zarr.json", name)
    if row["kind"] == FieldKind.IMAGE and not row["withheld"] and name is None:
        original = original_path(project, row["content_hash"], row["suffix"])
        if not original.is_file() or hash_of(original) != row["content_hash"]:
            raise ProjectError(_missing(project, f"the bytes of the original of the field {row['name']}"))
        link(original, original_beside(target))
        sync(original_beside(target))
    sync_tree(target)


def copy_model(project: Path, model_id: int, target: Path, *, retired: bool = False) -> None:
    """Copy the files of a model; one that is retired may have none."""
    source = inside(project, MODELS, str(int(model_id)))
    if not source.is_dir():
        if retired:
            target.mkdir(parents=True)
            return
        raise ProjectError(_missing(project, f"the files of the model {model_id}"))
    refuse_links_below(source)
    copy_tree(source, target)
    sync_tree(target)


def _missing(project: Path, what: str) -> str:
    return (
        f"The project {project} cannot be copied from: {what} are missing or damaged. "
        f"Run 'napari-lld check {project} --repair', then try again. Nothing was changed."
    )


def copy_tree(source: Path, target: Path) -> None:
    """Copy a folder; its files are never changed in place, so that the disk may keep them once."""
    for place, _, names in os.walk(source, onerror=_raise):
        folder = target / Path(place).relative_to(source)
        folder.mkdir(parents=True)
        for name in names:
            link(Path(place) / name, folder / name)


def _raise(error: OSError) -> None:
    raise error


def link(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Link a file under a second name, or copy it where the disk cannot."""
    with suppress(OSError, NotImplementedError):
        os.link(source, target)
        return
    shutil.copyfile(source, target)


def _rename(file: Path, name: str) -> None:
    """Replace the name that an OME-Zarr image gives of itself, in a file of its own."""
    content = json.loads(file.read_bytes())
    for image in content.get("attributes", {}).get("ome", {}).get("multiscales", []):
        if "name" in image:
            image["name"] = name
    file.unlink()  # it may be one file with the source's
    file.write_text(json.dumps(content), encoding="utf-8")

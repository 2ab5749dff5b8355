"""List the images that paths name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from annotation_store.errors import ImageError
from annotation_store.images.metadata import shown
from annotation_store.images.read import IMAGE_SUFFIXES
from annotation_store.images.slide_files import one_of_each_series
from annotation_store.images.zarr_reader import is_zarr


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """List the images that paths name: files, OME-Zarr folders, and what other folders hold.

    Folders are walked; hidden files and folders are passed over, and so are napari-lld projects; links to
    folders are not followed; an OME-Zarr folder is one image.

    Raises
    ------
    ImageError
        A path does not exist, a folder holds no image, or it is a napari-lld project itself.
    """
    images: list[Path] = []
    for item in [paths] if isinstance(paths, str | Path) else paths:
        path = Path(item)
        try:
            is_folder, exists = path.is_dir(), path.exists() or path.is_symlink()
        except (OSError, ValueError):  # a name that the system cannot even look for
            is_folder = exists = False
        if is_folder and _is_project(path):
            raise ImageError(
                f"{shown(path)} is a napari-lld project, not a folder of images: "
                "give the folder that its images came from."
            )
        if is_folder and not is_zarr(path):
            inside = _one_per_slide(_inside(path))
            if not inside:
                raise ImageError(
                    f"The folder {shown(path)} holds no images: "
                    "give a folder with PNG, JPEG, TIFF, BMP or OME-Zarr images."
                )
            images += inside
        elif exists:
            images.append(path)
        else:
            raise ImageError(f"There is no file or folder {shown(path)}: check the path.")
    return list(dict.fromkeys(images))


def _one_per_slide(paths: Iterable[Path]) -> list[Path]:
    """Keep one file of each DICOM series."""
    all_paths = sorted(paths)
    others = [path for path in all_paths if path.suffix.lower() != ".dcm"]
    series = one_of_each_series(path for path in all_paths if path.suffix.lower() == ".dcm")
    return sorted([*others, *series]) if series else others


def _is_project(folder: Path) -> bool:
    return (folder / "project.db").is_file() and (folder / "fields.zarr").is_dir()


def _inside(folder: Path) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        raise ImageError(
            f"The folder {shown(str(error.filename or folder))} cannot be read ({error.strerror}): "
            "check its permissions."
        ) from error

    for place, folders, names in os.walk(folder, onerror=unreadable):
        parent = Path(place)
        deeper = []
        for name in folders:
            if name.startswith("."):
                continue
            try:
                if is_zarr(parent / name):
                    yield parent / name
                elif not _is_project(parent / name):
                    deeper.append(name)
            except PermissionError as error:  # a folder that may be listed but not entered
                unreadable(error)
        folders[:] = deeper
        for name in names:
            path = parent / name
            if not name.startswith(".") and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file():
                yield path

"""Where the images of annotations may lie: the folders of a data set."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.image_names import IMAGE_FOLDERS, folded
from annotation_store.images import IMAGE_SUFFIXES

Size = tuple[int, int]
"""Width and height in pixels."""

_MAX_FILES = 1_000_000
_ORIENTATION = 0x0112
_ANNOTATION_FOLDERS = frozenset({"annotations", "annotation", "labels", "label", "ann", "json", "xml"})


class SearchPlace(NamedTuple):
    """A folder in which images are looked for, with its sub-folders where it is `deep`."""

    folder: Path
    deep: bool = True


def image_size(path: Path) -> Size | None:
    """Return width and height as a viewer shows them, from the file's head; ``None`` if it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        except Exception:  # decoders raise any exception on damaged files
            return None
    return (height, width) if turned else (width, height)


def walk(root: Path) -> Iterator[Path]:
    """List the files under a folder; hidden ones, and links that lead out of it, are passed over.

    Raises
    ------
    FormatError
        There is no such folder, or it contains too many files.
    """
    if not root.is_dir():
        raise FormatError(f"There is no folder {root}: check the path.")
    top = root.resolve()
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > _MAX_FILES:
                raise FormatError(
                    f"The folder {root} holds more than {_MAX_FILES:,} files: name a smaller one."
                )
            path = Path(folder) / name
            if name.startswith(".") or (path.is_symlink() and not _leads_to(path).is_relative_to(top)):
                continue
            yield path


def _leads_to(link: Path) -> Path:
    """Return where a link leads; `Path.resolve` raises an error for links that lead to themselves."""
    return Path(os.path.realpath(link))


def places(path: Path, images: Path | None) -> list[SearchPlace]:
    """List where the images of a file (or folder) of annotations may lie.

    Without a folder that the user names, these are the folder of the file, the image folders in it, and,
    where it is called ``annotations`` or the like, those beside it: so COCO, CVAT, VOC and LLD have it.

    Raises
    ------
    FormatError
        There is no such folder.
    """
    if images is not None:
        if not images.is_dir():
            raise FormatError(f"There is no folder {images}: give the folder of the images.")
        return [SearchPlace(images), *_subsets(images, path)]
    whole = path.is_dir()
    home = path if whole else path.parent
    places = [SearchPlace(home, deep=whole)]
    tops = [home]
    if home.absolute().name.lower() in _ANNOTATION_FOLDERS:
        tops.append(home.absolute().parent)
        places += _subsets(tops[-1], path)  # train2017/ beside annotations/
    for top in tops:
        for name in IMAGE_FOLDERS:
            if (top / name).is_dir():
                places += [*_subsets(top / name, path), SearchPlace(top / name)]
    return places


def _subsets(folder: Path, path: Path) -> list[SearchPlace]:
    """Return the sub-folder that a file's name speaks of: ``instances_train.json`` of ``train``."""
    names = dict.fromkeys((path.stem, path.stem.partition("_")[2])) if path.suffix else {}
    return [SearchPlace(folder / name) for name in names if name and (folder / name).is_dir()]


def image_files(place: SearchPlace, top: str | None) -> Iterator[Path]:
    folder = place.folder
    if not folder.is_dir():
        return
    if place.deep:
        paths: Iterable[Path] = walk(folder)
    elif top is None:
        real = folder.resolve()
        children = (p for p in islice(folder.iterdir(), _MAX_FILES) if not p.name.startswith("."))
        paths = (p for p in sorted(children) if not p.is_symlink() or _leads_to(p).is_relative_to(real))
    else:
        children = (p for p in islice(folder.iterdir(), _MAX_FILES) if folded(p.name) == top)
        paths = (
            p for child in sorted(children) if child.is_dir() and not child.is_symlink() for p in walk(child)
        )
    yield from (path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES and path.is_file())

"""Finding the images that annotations speak of: image files, or the fields that the project has already."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TypeVar

from PIL import Image

from annotation_store.errors import FormatError
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Field

Size = tuple[int, int]
_T = TypeVar("_T")

_MAX_FILES = 1_000_000
_ORIENTATION = 0x0112


def image_size(path: Path) -> Size | None:
    """Tell width and height as a viewer shows them, from the file's head; ``None`` where it has none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION) in (5, 6, 7, 8)
        except Exception:  # decoders raise whatever they like on damaged files
            return None
    return (height, width) if turned else (width, height)


def walk(root: Path) -> Iterator[Path]:
    """List the files under a folder; hidden ones, and links that lead out of it, are passed over.

    Raises
    ------
    FormatError
        There is no such folder, or it holds absurdly many files.
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
            if name.startswith(".") or (path.is_symlink() and not path.resolve().is_relative_to(top)):
                continue
            yield path


def beside(path: Path, images: Path | None) -> list[Path]:
    """List where the images of a file of annotations may lie: a named folder, else beside it.

    Raises
    ------
    FormatError
        There is no such folder.
    """
    if images is None:
        return [path.parent, path.parent / "images"]
    if not images.is_dir():
        raise FormatError(f"There is no folder {images}: give the folder of the images.")
    return [images]


@dataclass
class Images:
    """The images that an import may draw on.

    Attributes
    ----------
    folders
        Where image files lie.
    deep
        Whether to look into their subfolders too.
    fields
        The fields of the project: an annotation may be for one of them, with no image file at hand.
    """

    folders: Sequence[Path]
    fields: Sequence[Field] = ()
    deep: bool = True
    _sizes: dict[Path, Size | None] = field(default_factory=dict)

    @cached_property
    def _files(self) -> dict[str, list[Path]]:
        """Image files by their path below their folder, by name, and by stem."""
        found: dict[str, list[Path]] = {}
        seen: set[Path] = set()
        for folder in self.folders:
            if not folder.is_dir():
                continue
            for path in walk(folder) if self.deep else sorted(folder.iterdir()):
                if path.suffix.lower() in IMAGE_SUFFIXES and path not in seen:
                    seen.add(path)
                    for key in {*_keys(path.relative_to(folder).as_posix())}:
                        found.setdefault(key, []).append(path)
        return found

    @cached_property
    def _known(self) -> Mapping[str, list[Field]]:
        found: dict[str, list[Field]] = {}
        for one in self.fields:
            for key in {*_keys(one.name)}:
                found.setdefault(key, []).append(one)
        return found

    def file(self, name: str) -> Path | None:
        """Find the file of an image by its name, or by its name without suffix; no guess between two."""
        return _only(self._files, name)

    def known(self, name: str) -> Field | None:
        """Find the field of the project that goes by a name."""
        return _only(self._known, name)

    def size(self, path: Path | None, name: str) -> Size | None:
        """Tell an image's size: the file's, else that of the field of the project."""
        if path is not None:
            if path not in self._sizes:
                self._sizes[path] = image_size(path)
            return self._sizes[path]
        known = self.known(name)
        return None if known is None else (known.width, known.height)


def _keys(name: str) -> Iterable[str]:
    path = PurePosixPath(name.replace("\\", "/"))
    return name, path.name, path.stem


def _only(found: Mapping[str, list[_T]], name: str) -> _T | None:
    for key in _keys(name):
        if len(alike := found.get(key, [])) == 1:
            return alike[0]
        if alike:
            return None
    return None

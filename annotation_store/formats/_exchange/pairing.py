"""Pair files of annotations with images, where each image has its own file (Pascal VOC, QuPath)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from annotation_store.formats._exchange.images import Images, Match
from annotation_store.images import IMAGE_SUFFIXES

# folders named for their content, not for a patient
_SAY_NOTHING = frozenset(
    {"annotations", "annotation", "xml", "labels", "jpegimages", "images", "geojson", "json"}
)


@dataclass(frozen=True, slots=True)
class Pairing:
    """Finds the image of a file of annotations: by the file's own name, or by the name in it.

    Attributes
    ----------
    top
        The folder that holds all those files.
    stems
        How many of them go by each name, suffix aside.
    """

    images: Images
    top: Path
    stems: Mapping[str, int]

    @classmethod
    def for_files(cls, images: Images, path: Path, files: Iterable[Path]) -> Pairing:
        """Pair some files below a folder, or one file."""
        return cls(
            images, path if path.is_dir() else path.parent, Counter(_stem(file.stem) for file in files)
        )

    def match(self, file: Path, stated: str = "", folder: str = "") -> tuple[str, Match]:
        """Return the name of the field of a file, and the image or field of that name.

        Parameters
        ----------
        stated, folder
            The name and the folder of the image as the file states them; they may be empty, or of a time
            before the image was renamed.
        """
        by_file_name = self._find(file, file.stem)
        if not stated:
            return self._named(file, by_file_name, file.stem), by_file_name
        by_stated_name = self._find(file, stated)
        stem = _stem(stated)
        if stem == _stem(file.stem) or not by_file_name.found:
            match = by_stated_name if by_stated_name.found else by_file_name
        elif not by_stated_name.found or self.stems.get(stem):
            match = by_file_name  # the image of that name has its own file
        else:
            return stated, Match(alike=(f"{file.stem} (by the file's name)", f"{stated} (by the name in it)"))
        if match.alike and folder:
            inner = self.images.find(f"{folder}/{stated}", beside=file.parent)
            match = inner if inner.found else match
        return self._named(file, match, stated), match

    def _find(self, file: Path, name: str) -> Match:
        """Search beside the file, then in folders of the same name, then where no folder confirms a match."""
        beside = self.images.find(name, beside=file.parent)
        below = self._below(file)
        if not below or (beside.path is not None and beside.path.parent == file.parent):
            return beside
        inner = self.images.find("/".join([*below, name]))
        if inner.found or inner.alike:
            return inner
        alone = self.stems.get(_stem(name), 0) <= 1
        return beside if alone and beside.found and self.images.is_flat(beside) else Match()

    def _below(self, file: Path) -> list[str]:
        parts = file.parent.relative_to(self.top).parts
        return [part for part in parts if part.lower() not in _SAY_NOTHING]

    def _named(self, file: Path, match: Match, name: str) -> str:
        if match.path is None and match.field is not None:
            return match.field.name
        twins = match.path is None or self.stems.get(_stem(file.stem), 0) > 1
        return "/".join([*(self._below(file) if twins else ()), match.path.name if match.path else name])


def _stem(name: str) -> str:
    """Remove the folders and the suffix of an image; what follows another dot belongs to the name."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.stem if path.suffix.lower() in IMAGE_SUFFIXES else path.name

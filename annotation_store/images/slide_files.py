"""The files of a slide, and its fingerprint, which finds it after it was moved.

Most slides are one file. An MRXS is a file and the folder of its name; a DICOM slide is one file per level,
all of one series. Images of the label and of the whole slide (macro) carry patients' names: where they are
files of their own, they belong to no slide, and a slide without them is the same slide.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation_store.errors import ImageError
from annotation_store.images import zarr_reader
from annotation_store.images.colour import ColourError
from annotation_store.images.metadata import shown

_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
_MAX_FILES = 10_000
_TAGS = [
    "SOPClassUID", "ImageType", "StudyInstanceUID", "PatientID", "SeriesInstanceUID",
    "TotalPixelMatrixColumns", "TotalPixelMatrixRows", "TotalPixelMatrixFocalPlanes",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instance:
    """What the head of a DICOM file states.

    Attributes
    ----------
    kind
        ``VOLUME`` for the pixels of the slide, else ``LABEL``, ``OVERVIEW`` or ``THUMBNAIL``.
    owner
        Study and patient, which are one for a slide.
    """

    path: Path
    series: str
    owner: tuple[str, str]
    kind: str
    width: int
    height: int
    planes: int


def is_mrxs(path: Path) -> bool:
    """Return whether a file is the head of an MRXS slide, by its name: it is a JPEG."""
    return path.suffix.lower() == ".mrxs"


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def mrxs_folder(path: Path) -> Path:
    """Return the folder that holds the pixels of an MRXS.

    Raises
    ------
    ColourError
        It is not beside the file.
    """
    folder = path.with_suffix("")
    if not (folder / "Slidedat.ini").is_file():
        raise ColourError(f"lacks its folder: copy the folder {shown(folder.name)} beside it")
    return folder


def instance(path: Path) -> Instance | None:
    """Read the head of a DICOM file; ``None`` if it is damaged, or not a whole-slide image."""
    import pydicom  # half a second, and few slides are DICOM

    try:
        head: Any = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        if str(head.get("SOPClassUID", "")) != _WHOLE_SLIDE:
            return None
        kinds = [str(kind) for kind in head.get("ImageType", [])]
        return Instance(
            path,
            str(head.SeriesInstanceUID),
            (str(head.get("StudyInstanceUID", "")), str(head.get("PatientID", ""))),
            kinds[2] if len(kinds) > 2 else "VOLUME",
            int(head.get("TotalPixelMatrixColumns", 0)),
            int(head.get("TotalPixelMatrixRows", 0)),
            int(head.get("TotalPixelMatrixFocalPlanes", 1) or 1),
        )
    except Exception:  # whatever is wrong in there
        return None


def series_of(path: Path) -> list[Instance]:
    """List the pixels of a DICOM slide, one file per level, the given one first.

    Raises
    ------
    ColourError
        It is not a slide, or its series mixes patients or studies.
    """
    first = instance(path)
    if first is None:
        raise ColourError(
            "is a DICOM file, but not a readable whole-slide image: copy the slide's files again"
        )
    if first.kind in ("LABEL", "OVERVIEW"):
        raise ColourError("shows the label, which can name the patient: add another file of its series")
    beside = [p for p in _files_in(path.parent) if p != path and is_dicom(p)]
    others = [other for p in beside if (other := instance(p)) is not None and other.series == first.series]
    if any(other.owner != first.owner for other in others):
        raise ColourError(
            "lies beside instances of another study under the same series: keep each study in its own folder"
        )
    return [first, *(other for other in others if other.kind not in ("LABEL", "OVERVIEW"))]


def one_of_each_series(paths: Iterable[Path]) -> list[Path]:
    """Choose one file of each DICOM series: its finest level; other files stay, files of labels go."""
    chosen: list[Path] = []
    finest: dict[str, Instance] = {}
    for path in paths:
        candidate = instance(path) if is_dicom(path) else None
        if candidate is None:
            chosen.append(path)
        elif candidate.kind not in ("LABEL", "OVERVIEW"):
            best = finest.get(candidate.series)
            if best is None or candidate.width > best.width:
                finest[candidate.series] = candidate
    return sorted([*chosen, *(best_of_series.path for best_of_series in finest.values())])


def _files_in(folder: Path) -> list[Path]:
    """List the files of a folder, links and hidden ones left out."""
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.is_file(follow_symlinks=False) and not e.name.startswith(".")]
    if len(names) > _MAX_FILES:
        raise ColourError(f"lies among more than {_MAX_FILES:,} files: give it a folder of its own")
    return [folder / name for name in sorted(names)]


def parts(path: Path) -> list[Path]:
    """List the files that hold a slide's pixels.

    Raises
    ------
    ColourError
        Some are missing.
    """
    if is_mrxs(path):
        return _files_in(mrxs_folder(path))
    if is_dicom(path):
        return [part.path for part in series_of(path)]
    return [path]


class _Counting:
    """A hash that counts what it was fed."""

    def __init__(self) -> None:
        self.hash = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return len(data)


def fingerprint(path: Path) -> tuple[str, int]:
    """Return SHA-256 and size of a slide's pixels: of its file, or of all its files whatever their names.

    Of an OME-Zarr folder it is that of the one zip that the folder would be. The file of an MRXS is left out:
    it shows the label.

    Raises
    ------
    ImageError
        They cannot be read.
    """
    try:
        if path.is_dir():
            sink = _Counting()
            zarr_reader.pack(zarr_reader.files_of(path), sink)
            return sink.hash.hexdigest(), sink.size
        hashes: list[str] = []
        size = 0
        for part in parts(path):
            with part.open("rb") as file:
                hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
            size += part.stat().st_size
        if not is_mrxs(path) and len(hashes) == 1:
            return hashes[0], size
        return hashlib.sha256("\n".join(sorted(hashes)).encode()).hexdigest(), size
    except OSError as error:
        raise ImageError(
            f"The slide {shown(path)} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    except ColourError as error:
        raise ImageError(f"The slide {shown(path)} {error}.") from error


def is_same(path: Path, content_hash: str, size: int | None, *, quick: bool = False) -> bool:
    """Return whether a slide has the `fingerprint` that was taken of it; `quick` compares only the size.

    Raises
    ------
    ImageError
        It cannot be read.
    """
    found = size_on_disk(path)
    if found is not None and found != size:
        return False
    return quick or fingerprint(path)[0] == content_hash


def size_on_disk(path: Path) -> int | None:
    """Return the size that `fingerprint` returns, without reading; ``None`` for a folder or no slide."""
    try:
        return sum(part.stat().st_size for part in parts(path)) if path.is_file() else None
    except (OSError, ColourError):
        return None

"""Guess the format of a file or folder of annotations, without reading it whole."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from annotation_store.errors import FormatError
from annotation_store.files.json_kinds import ends_of, kind_of_json
from annotation_store.formats._exchange.image_places import walk

_HEAD = 1_000_000
_TAIL = 200_000
_FILES = 5_000
_LABELS = 20
_BY_SUFFIX = {
    ".csv": "csv",
    ".tsv": "csv",
    ".geojson": "geojson",
    ".xml": "voc",
    ".yaml": "yolo",
    ".yml": "yolo",
    ".names": "yolo",
}
_LLD_COLUMNS = (12, 16)
_LLD_KEY = re.compile(rb'"(cell_size|nuclear_chromatio|cytoplasmic_vacuoles)"\s*:\s*"?\d')


def recognise(path: str | Path) -> str | None:
    """Return the format of a file or folder; ``None`` if it is not recognised.

    Only names and the ends of a file are read, so the guess is quick and can be wrong: the reader of the
    format decides.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.suffix.lower() in _BY_SUFFIX:
            return _BY_SUFFIX[path.suffix.lower()]
        return _of_json(ends_of(path, _HEAD, _TAIL)) if path.suffix.lower() == ".json" else None
    except (OSError, ValueError, FormatError):
        return None


def _of_folder(folder: Path) -> str | None:
    files = list(islice(walk(folder), _FILES))
    suffixes = {file.suffix.lower() for file in files}
    labels = [f for f in files if f.suffix.lower() == ".txt" and "labels" in (p.name for p in f.parents)]
    # without a folder called labels they lie beside their images; a list of classes is not among them
    stems = {file.stem for file in files if file.suffix.lower() != ".txt"}
    labels = labels or [f for f in files if f.suffix.lower() == ".txt" and f.stem in stems]
    if labels:
        return "lld" if _columns(labels) in _LLD_COLUMNS else "yolo"
    if any(f.suffix.lower() == ".json" and f.parent.name.lower() == "annotations" for f in files):
        return "lld"
    if ".geojson" in suffixes:
        return "geojson"
    return "voc" if ".xml" in suffixes else None


def _columns(labels: Iterable[Path]) -> int:
    """Count the columns of the first non-empty label."""
    for file in islice(labels, _LABELS):
        with file.open("rb") as opened:
            for line in opened.read(_TAIL).splitlines():
                if line.strip():
                    return len(line.split())
    return 0


def _of_json(ends: bytes) -> str | None:
    kind = kind_of_json(ends)
    return "lld" if kind == "coco" and _LLD_KEY.search(ends) else kind

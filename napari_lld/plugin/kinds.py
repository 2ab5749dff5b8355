"""Recognise dropped files and folders by their names and a few kilobytes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Literal

from annotation_store.files.json_kinds import ends_of, kind_of_json

Kind = Literal["project", "coco", "geojson", "yolo", "empty"]

_HEAD = 65_536
_MOST_NAMES = 2_000
"""Of a folder: one with more entries is known by those that come first."""
_MOST_JSON = 4
_PROJECT = {"project.db", "fields.zarr"}
_YOLO = {"data.yaml", "data.yml", "dataset.yaml", "dataset.yml"}


def kind_of(path: str) -> Kind | None:
    """Return what a path holds; ``None`` if it is not ours, or cannot be read."""
    place = Path(path)
    try:
        if place.is_dir():
            return _of_folder(place)
        return _of_file(place) if place.is_file() else None  # a pipe would be waited for
    except OSError:
        return None


def _of_folder(folder: Path) -> Kind | None:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    if not names:
        return "empty"
    lower = {name.lower() for name in names}
    if _PROJECT & lower:
        return "project"
    if _YOLO & lower or "labels" in lower:
        return "yolo"
    if any(name.endswith(".geojson") for name in lower):
        return "geojson"
    return None if coco_in(folder, names) is None else "coco"


def coco_in(folder: Path, names: Sequence[str]) -> Path | None:
    """Return the one COCO file among the names of a folder that has few JSON files."""
    json_files = [folder / name for name in names if name.lower().endswith(".json")]
    if not 0 < len(json_files) <= _MOST_JSON:
        return None
    coco = [file for file in json_files if file.is_file() and _of_json(file) == "coco"]
    return coco[0] if len(coco) == 1 else None


def _of_file(path: Path) -> Kind | None:
    name = path.name.lower()
    if name == "project.db":
        return "project"
    if name in _YOLO:
        return "yolo"
    if name.endswith(".geojson"):
        return "geojson"
    return _of_json(path) if name.endswith(".json") else None


def _of_json(path: Path) -> Kind | None:
    """Return what a JSON file holds, by its two ends."""
    kind = kind_of_json(ends_of(path, _HEAD, _HEAD), certain=True)
    return kind if kind in ("coco", "geojson") else None

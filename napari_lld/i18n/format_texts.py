"""The options of formats in words: what the window asks, and how it names them; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_lld.i18n.translate import later


@dataclass(frozen=True)
class Choice:
    """An option with a few values: each with what it does; the first is taken unless another is."""

    title: str
    values: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Share:
    """An option that is a share, 0 to 1."""

    title: str
    usual: float
    most: float = 1.0


@dataclass(frozen=True)
class Number:
    """An option that is a whole number."""

    title: str
    usual: int = 0


@dataclass(frozen=True)
class Text:
    """An option that is any text."""

    title: str
    usual: str = ""


Option = Choice | Share | Number | Text

_VALIDATION = Share(later("Share for validation"), 0.2, 0.9)
_SEED = Number(later("Seed of the split"))

OPTIONS: Mapping[tuple[str, str], Option] = {
    ("yolo", "fields"): Choice(
        later("Fields"),
        (
            ("annotated", later("All annotated fields, the rest as background")),
            ("covered", later("Only completely annotated fields")),
        ),
    ),
    ("yolo", "val"): _VALIDATION,
    ("yolo", "test"): Share(later("Share for a test"), 0.0, 0.9),
    ("yolo", "seed"): _SEED,
    ("lld", "layout"): Choice(
        later("Layout"),
        (
            ("", later("By the name: text in a folder, COCO in a .json file")),
            ("text", later("Label text in a folder")),
            ("coco", later("COCO JSON with its images")),
        ),
    ),
    ("lld", "columns"): Choice(
        later("Columns"),
        (
            ("auto", later("12 where nothing is unknown, else 16")),
            ("12", later("12: as published")),
            ("16", later("16: marks unknown area")),
        ),
    ),
    ("lld", "test"): Share(later("Share for a test"), 0.2, 0.9),
    ("lld", "seed"): _SEED,
    ("lld", "patch_order"): Choice(
        later("Order of the patch's four numbers"),
        (("", later("As the file shows")), ("xyxy", "x0 y0 x1 y1"), ("xxyy", "x0 x1 y0 y1")),
    ),
    ("voc", "val"): _VALIDATION,
    ("voc", "seed"): _SEED,
    ("geojson", "cells"): Choice(
        later("Cells as"),
        (
            ("annotation", later("Annotations, which can be edited in QuPath")),
            ("detection", later("Detections, which are drawn faster")),
        ),
    ),
    ("labelstudio", "prefix"): Text(later("Before an image's name"), "/data/local-files/?d="),
    ("crops", "margin"): Share(later("Margin around a cell, as a share of its longer side"), 0.0, 5.0),
}
"""Format and option to its control; any other option is asked as text, with the format's own help."""

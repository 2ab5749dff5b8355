"""The detector architectures that a model may have, by name; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ArchitectureName = Literal["yolo26n", "yolo26s", "yolo26m", "yolo11n", "yolo11s", "yolov8n", "yolov8s"]

STARTER_ARCHITECTURE: ArchitectureName = "yolo26n"
"""The starter's, and that of a model whose card names no detector."""

Size = Literal["n", "s", "m"]

SIZES: dict[Size, ArchitectureName] = {"n": "yolo26n", "s": "yolo26s", "m": "yolo26m"}
"""Choices of ``--detector``."""


@dataclass(frozen=True)
class Architecture:
    """An architecture of Ultralytics.

    Attributes
    ----------
    name, title
        Identifier in cards, and display name.
    layout
        Ultralytics' configuration file, under ``cfg/models``.
    scale
        ``"n"``, ``"s"`` or ``"m"``.
    head
        Index of its last layer, the head.
    bins
        Number of outputs of the head for each side of a box.
    channels
        Number of channels of its first layer.
    """

    name: ArchitectureName
    title: str
    layout: str
    scale: str
    head: int
    bins: int
    channels: int

    @property
    def file_name(self) -> str:
        """Return the name of Ultralytics' weights file, the parent in a card."""
        return f"{self.name}.pt"


_FAMILIES = {
    "yolo26": ("26", "YOLO26", 23, 1),
    "yolo11": ("11", "YOLO11", 23, 16),
    "yolov8": ("v8", "YOLOv8", 22, 16),
}
_CHANNELS = {"n": 16, "s": 32, "m": 64}


def _architecture(name: ArchitectureName) -> Architecture:
    family, scale = name[:-1], name[-1]
    folder, title, head, bins = _FAMILIES[family]
    return Architecture(name, title + scale, f"{folder}/{family}.yaml", scale, head, bins, _CHANNELS[scale])


ARCHITECTURES: dict[str, Architecture] = {name: _architecture(name) for name in get_args(ArchitectureName)}

TITLES = "YOLO26 n, s or m, YOLO11 n or s, or YOLOv8 n or s"
"""All of them, for a sentence."""

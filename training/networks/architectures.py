"""The detectors that a model may have, by name; no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ArchitectureName = Literal["yolo26n", "yolo26s", "yolo26m", "yolo11n", "yolo11s", "yolov8n", "yolov8s"]

STARTER_ARCHITECTURE: ArchitectureName = "yolo26n"
"""What the starter holds, and every model whose card names no detector."""

Size = Literal["n", "s", "m"]

SIZES: dict[Size, ArchitectureName] = {"n": "yolo26n", "s": "yolo26s", "m": "yolo26m"}
"""What ``--detector`` chooses from."""


@dataclass(frozen=True)
class Architecture:
    """One layout of Ultralytics.

    Attributes
    ----------
    name, title
        As it stands in cards, and as people write it.
    layout
        Ultralytics' file of it, under ``cfg/models``.
    scale
        ``"n"``, ``"s"`` or ``"m"``.
    head
        The number of its last layer, the head.
    bins
        Values that the head gives for each side of a box.
    channels
        Of its first layer.
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
        """Return the name of Ultralytics' own file of it, by which cards call such a parent."""
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

"""The formats by name, known without loading the store; a test holds them to its registry."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError


class ReadFormat(StrEnum):
    """The formats that can be imported."""

    COCO = "coco"
    YOLO = "yolo"
    LLD = "lld"
    VOC = "voc"
    CSV = "csv"
    GEOJSON = "geojson"
    LABELSTUDIO = "labelstudio"


Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Option of the format, e.g. val=0.1 for yolo; an unknown NAME lists all options.",
    ),
]


def options_of(given: list[str] | None) -> dict[str, str]:
    """Read ``--option NAME=VALUE``, which may be repeated."""
    options = {}
    for one in given or []:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise UsageError(f"--option {one}: give NAME=VALUE")
        options[name] = value
    return options

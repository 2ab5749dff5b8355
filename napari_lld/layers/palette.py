"""Colours and letters of marks: the schema's for classes, our own for what has none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from annotation_store.records import UNSURE
from annotation_store.schema import Schema

Rgba = tuple[float, float, float, float]

MISSING = "#f2f2f2"
"""A cell whose class nobody gave: near white, the colour of no class."""
UNSURE_COLOUR = "#b0b0b0"
REGION = "#2ec4e6"
IGNORED = "#9a9a9a"
CURRENT = "#ffd60a"
DRAFT = "#ffd60a"

_INK = 0.2
"""Luma of letters on the film, which is brighter than that even where it is dimmed."""


def rgba(colour: str, alpha: float = 1.0) -> Rgba:
    """Read ``#rrggbb``."""
    return (int(colour[1:3], 16) / 255, int(colour[3:5], 16) / 255, int(colour[5:7], 16) / 255, alpha)


def line_colour(colour: str) -> Rgba:
    """Give a class colour as it is drawn on the field: dark ones lightened, or they vanish in the dim."""
    red, green, blue, alpha = rgba(colour)
    dark = 0.6 - (0.299 * red + 0.587 * green + 0.114 * blue)
    if dark > 0:
        share = dark / 0.6 * 0.8
        red, green, blue = (c + (1 - c) * share for c in (red, green, blue))
    return (red, green, blue, alpha)


def ink(colours: npt.NDArray[np.float64], dark: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Darken the colours ``(n, 4)`` of the letters that are to be dark ``(n,)``."""
    luma = colours[:, :3] @ (0.299, 0.587, 0.114)
    share = np.where(dark, np.minimum(1, _INK / np.maximum(luma, _INK)), 1)
    return np.concatenate((colours[:, :3] * share[:, None], colours[:, 3:]), 1)


def class_colour(schema: Schema, name: str | None) -> str:
    """Give the colour of a class, of a group (its first class), of unsure, of missing."""
    if name is None:
        return MISSING
    if name == UNSURE:
        return UNSURE_COLOUR
    members = schema.members(name)
    return schema.class_named(members[0]).colour if members else MISSING


def class_letter(schema: Schema, name: str | None) -> str:
    """Give the letter of a class that is drawn beside its box."""
    if name is None:
        return "–"
    if name == UNSURE:
        return "?"
    if name in schema.class_names:
        item = schema.class_named(name)
        return item.letter or item.title[:2]
    group = schema.group_named(name)
    return (group.key or group.title[:2]).upper()

"""Lengths in micrometres where the size of a pixel is known, else in pixels; the red cell as a measure."""

from __future__ import annotations

import math

from annotation_store.records import Box

RED_CELL_UM = 7.5
"""The diameter of a normal red cell on a film."""

Point = tuple[float, float]


def length(pixels: float, pixel_size_um: float | None) -> str:
    """Write a length: ``12.3 µm``, or ``87 px`` where the size of a pixel is not known."""
    if pixel_size_um is None:
        return f"{pixels:.0f} px"
    return f"{_format_um(pixels * pixel_size_um)} µm"


def box_size(box: Box, pixel_size_um: float | None) -> str:
    """Write width and height of a box."""
    _x, _y, w, h = box
    if pixel_size_um is None:
        return f"{w:.0f} × {h:.0f} px"
    return f"{_format_um(w * pixel_size_um)} × {_format_um(h * pixel_size_um)} µm"


def _format_um(um: float) -> str:
    return f"{um:.0f}" if um >= 100 else f"{um:.1f}" if um >= 1 else f"{um:.2g}"


def distance(a: Point, b: Point) -> float:
    """Return the distance of two points."""
    return math.hypot(a[0] - b[0], a[1] - b[1])


def bar(screen_per_pixel: float, pixel_size_um: float | None, longest: float = 140.0) -> tuple[float, str]:
    """Choose a scale bar: its length on the screen, and what is written at it.

    Parameters
    ----------
    screen_per_pixel
        Pixels of the screen for a pixel of the field.
    pixel_size_um
        Micrometres a pixel, where known.
    longest
        Pixels of the screen it may take.
    """
    per_unit = screen_per_pixel / pixel_size_um if pixel_size_um else screen_per_pixel
    most = longest / max(per_unit, 1e-9)
    power = 10.0 ** math.floor(math.log10(most))
    nice = next(n for n in (5.0, 2.0, 1.0) if n * power <= most * (1 + 1e-9)) * power
    unit = "µm" if pixel_size_um else "px"
    return nice * per_unit, f"{nice:g} {unit}"

"""Metadata of image files: pixel size and objective; and printable names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MICROMETRES = {
    "m": 1e6,
    "cm": 1e4,
    "mm": 1e3,
    "µm": 1.0,
    "nm": 1e-3,
    "pm": 1e-6,
    "å": 1e-4,
    "in": 25_400.0,
    "meter": 1e6,
    "centimeter": 1e4,
    "millimeter": 1e3,
    "micrometer": 1.0,
    "nanometer": 1e-3,
    "picometer": 1e-6,
    "angstrom": 1e-4,
    "inch": 25_400.0,
    "um": 1.0,
    "micron": 1.0,
    "microns": 1.0,
}

_LEAST, _MOST = 0.001, 100.0
_MOST_PRINTED = 10.0
"""A resolution for printers (72, 96, 300 dots per inch) is not that of the film: 300 dpi are 85 µm."""


@dataclass(frozen=True, slots=True)
class ImageMetadata:
    """What a file states; ``None`` if it states nothing, or nothing that can be right.

    Attributes
    ----------
    pixel_size_um
        Micrometres a pixel of the full resolution.
    magnification
        Of the objective.
    """

    pixel_size_um: float | None = None
    magnification: float | None = None


def shown(path: Path | str) -> str:
    """Format a path so that it keeps to one line and one reading direction."""
    text = str(path)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def in_micrometres(value: Any, unit: Any) -> float | None:
    """Convert a length; ``None`` if the unit is not a length, or the number is not one."""
    factor = _MICROMETRES.get(str(unit).strip().lower().replace("μ", "µ").replace("metre", "meter"))
    number = _positive(value)
    return None if factor is None or number is None else number * factor


def square(x: float | None, y: float | None, *, printed: bool = False) -> float | None:
    """Return the one pixel size of both axes; ``None`` if they differ, or it cannot be a microscope's."""
    if x is None or y is None or abs(x - y) > 0.01 * max(x, y):
        return None
    size = (x + y) / 2
    return round(size, 9) if _LEAST <= size <= (_MOST_PRINTED if printed else _MOST) else None


def magnification(value: Any) -> float | None:
    """Check an objective's magnification."""
    number = _positive(value)
    return number if number is not None and 0.1 <= number <= 1000 else None


def from_pillow(info: Mapping[Any, Any]) -> ImageMetadata:
    """Read the resolution of a PNG (pHYs), JPEG or BMP."""
    dpi = info.get("dpi")
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return ImageMetadata()
    x, y = (None if not (n := _positive(value)) else 25_400.0 / n for value in dpi)
    return ImageMetadata(square(x, y, printed=True))


def from_tiff(tiff: Any, page: Any) -> ImageMetadata:
    """Read OME-XML, an Aperio description, ImageJ's unit, or the resolution tags of a TIFF, in that order."""
    try:
        return _from_tiff(tiff, page)
    except Exception:  # whatever is wrong with it, the pixels may still be right
        return ImageMetadata()


def _from_tiff(tiff: Any, page: Any) -> ImageMetadata:
    description = str(page.tags.valueof(270, "") or "")
    if tiff.is_ome and (facts := _from_ome_xml(tiff.ome_metadata or "")) != ImageMetadata():
        return facts
    if description.startswith("Aperio "):
        properties = {
            part.partition("=")[0].strip(): part.partition("=")[2].strip() for part in description.split("|")
        }
        size = _positive(properties.get("MPP"))
        return ImageMetadata(square(size, size), magnification(properties.get("AppMag")))
    per_unit = [_ratio(page.tags.valueof(tag)) for tag in (282, 283)]
    if None in per_unit:
        return ImageMetadata()
    stated_unit = page.tags.valueof(296)  # its "none" is 1, and yet falsy
    unit = {2: "inch", 3: "cm"}.get(2 if stated_unit is None else int(stated_unit))
    if tiff.is_imagej:
        unit = str((tiff.imagej_metadata or {}).get("unit", "")).replace("\\u00B5", "µ")
    x, y = (in_micrometres(1 / n if n else None, unit) for n in per_unit)
    return ImageMetadata(square(x, y, printed=unit in ("inch", "cm")))


def _from_ome_xml(text: str) -> ImageMetadata:
    import defusedxml.ElementTree  # entity bombs are refused there

    root = defusedxml.ElementTree.fromstring(text)
    size = None
    pixels = root.find(".//{*}Pixels")
    if pixels is not None:
        x, y = (
            in_micrometres(pixels.get(f"PhysicalSize{axis}"), pixels.get(f"PhysicalSize{axis}Unit", "µm"))
            for axis in "XY"
        )
        size = square(x, y)
    named = {
        power
        for objective in root.iterfind(".//{*}Objective")
        if (power := magnification(objective.get("NominalMagnification"))) is not None
    }
    return ImageMetadata(size, named.pop() if len(named) == 1 else None)


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        top, bottom = (_positive(n) for n in value)
        return top / bottom if top and bottom else None
    return _positive(value)


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None

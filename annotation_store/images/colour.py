"""Values of any kind to RGB, 8 bits per channel; the rule is stated in `annotation_store.images.read`."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Values = npt.NDArray[Any]


class ColourError(ValueError):
    """Values that cannot be brought to RGB; the text continues after "The image FILE …"."""


def scaled(array: Values, *, bits: int | None = None, alpha: str | None = None) -> Pixels:
    """Convert grey or RGB values, with or without opacity, to RGB.

    Parameters
    ----------
    array
        ``(height, width)`` or ``(height, width, channels)``.
    bits
        The depth that the file states, where it is not that of the type (12 bits packed).
    alpha
        ``None``: no channel is opacity; ``"straight"`` or ``"premultiplied"``: the last one is.
    """
    if array.dtype == np.bool_:
        array, bits = array.astype(np.uint8), 1
    if array.ndim == 2:
        array = array[..., None]
    colour, opacity = (array, None) if alpha is None else (array[..., :-1], array[..., -1:])
    if colour.shape[2] not in (1, 3):
        raise ColourError(f"has {colour.shape[2]} channels: export it as RGB or grey")
    if array.dtype.kind in "ui":
        values, scale = _from_integers(colour, bits)
        full = (1 << bits) - 1 if bits else float(np.iinfo(array.dtype).max)
    elif array.dtype.kind == "f":
        values, scale = _from_floats(colour)
        full = scale
    else:
        raise ColourError(f"has values of type {array.dtype}: export it as RGB")
    if opacity is not None:
        values = _over_white(values, opacity / np.float32(full), premultiplied=alpha == "premultiplied")
    return np.broadcast_to(values, (*values.shape[:2], 3))


def _from_integers(colour: Values, bits: int | None) -> tuple[Pixels, float]:
    if colour.dtype == np.uint8 and bits in (None, 8):
        return colour, 255.0
    low, high = int(colour.min()), int(colour.max())
    if low < 0 or high > 65_535:
        raise ColourError(f"has values from {low} to {high}: export it with 8 or 16 bits per channel")
    if bits is None or bits > 15 or high >= 1 << bits:
        bits = next(depth for depth in (8, 10, 12, 14, 16) if high < 1 << depth)
    top = (1 << bits) - 1
    # a table, since 16-bit fields as floating point are four times their size
    table = np.rint(np.arange(top + 1) * (255.0 / top)).astype(np.uint8)
    return table[colour], float(top)


def _from_floats(colour: Values) -> tuple[Pixels, float]:
    if not np.isfinite(colour).all():
        raise ColourError("has pixels that are not numbers: export it again")
    low, high = float(colour.min()), float(colour.max())
    if low < 0 or high > 255:
        raise ColourError(f"has values from {low:g} to {high:g}: export it with 8 or 16 bits")
    scale = 255.0 if high <= 1 else 1.0
    return np.rint(colour.astype(np.float32) * scale).astype(np.uint8), 255.0 / scale


def _over_white(values: Pixels, opacity: Values, *, premultiplied: bool) -> Pixels:
    opacity = np.clip(np.nan_to_num(opacity), 0, 1)
    premultiplied_values = values if premultiplied else values * opacity
    over: Pixels = np.clip(np.rint(premultiplied_values + 255.0 * (1 - opacity)), 0, 255).astype(np.uint8)
    return over


def from_cmyk(array: Values) -> Values:
    """Return RGB of ``(height, width, 4)`` ink: (full - ink) * (full - black) / full, as Pillow has it."""
    if array.dtype not in (np.uint8, np.uint16):
        raise ColourError(f"has CMYK values of type {array.dtype}: export it as RGB")
    full = int(np.iinfo(array.dtype).max)
    light = full - array.astype(np.uint64)
    rgb: Values = (light[..., :3] * light[..., 3:] // full).astype(array.dtype)
    # as the inks state the whole range, so do the colours
    return rgb if array.dtype == np.uint8 else (rgb >> 8).astype(np.uint8)


def turned(array: Values, orientation: int) -> Values:
    """Apply a TIFF orientation tag (what `ImageOps.exif_transpose` does for Pillow's images)."""
    if orientation in (2, 4):
        array = np.flip(array, 1 if orientation == 2 else 0)
    elif orientation == 3:
        array = np.flip(array, (0, 1))
    elif orientation in (5, 6, 7, 8):
        array = array.swapaxes(0, 1)
        flips: dict[int, tuple[int, ...]] = {6: (1,), 7: (0, 1), 8: (0,)}
        array = np.flip(array, flips.get(orientation, ()))
    return array


def plane(array: Values, axes: str) -> Values:
    """Convert an array with named axes to ``(height, width[, channels])``; all others must be 1 long."""
    order = [axes.index(axis) for axis in "YX"]
    rest = [i for i, axis in enumerate(axes) if axis in "SC" and array.shape[i] > 1]
    singles = [i for i in range(array.ndim) if i not in order + rest]
    shape = [array.shape[i] for i in order + rest]
    return array.transpose([*order, *rest, *singles]).reshape(shape)


def refuse_stacks(axes: str, shape: tuple[int, ...]) -> None:
    """Reject anything but a single plane with one set of channels: no rule could choose another."""
    sizes = dict(zip(axes, shape, strict=True))
    if "Y" not in sizes or "X" not in sizes:
        raise ColourError("has no image plane: export it as one plane")
    others = {axis: n for axis, n in sizes.items() if axis not in "YXSC" and n > 1}
    if others:
        count = int(np.prod(list(others.values()), dtype=object))
        kinds = {"Z": "focus planes", "T": "times"}
        what = kinds.get(next(iter(others)), "planes") if len(others) == 1 else "planes"
        raise ColourError(f"is a stack of {count} {what}: export one plane as a field")
    if sizes.get("S", 1) > 1 and sizes.get("C", 1) > 1:
        raise ColourError("has nested channels: export it as RGB")
    channels = max(sizes.get("S", 1), sizes.get("C", 1))
    if channels not in (1, 2, 3, 4) or sizes.get("C", 1) not in (1, 3):
        raise ColourError(f"has {channels} channels: export it as RGB or grey")

"""White balance, contrast and gamma of what is shown: a table of 256 values a channel, never the pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
White = tuple[int, int, int]

_TARGET = 240.0
"""What the background becomes in all three channels."""
_GAIN = 4.0
CONTRAST = (0.5, 3.0)
GAMMA = (0.4, 2.5)


@dataclass(frozen=True)
class DisplaySettings:
    """How fields are shown.

    Attributes
    ----------
    white
        The colour of the empty background, which is shown as a neutral light grey; ``None`` = as it is.
    contrast
        1 = as it is; what is darker than the background gets darker by it, the background stays.
    gamma
        1 = as it is; above it the middle tones are lighter, below it darker.
    """

    white: White | None = None
    contrast: float = 1.0
    gamma: float = 1.0

    @property
    def plain(self) -> bool:
        """Whether everything is shown as it is."""
        return self == DisplaySettings()

    def table(self) -> npt.NDArray[np.uint8]:
        """Return what each of the 256 values becomes, as ``(3, 256)``."""
        values = np.arange(256, dtype=np.float64)[None].repeat(3, axis=0)
        if self.white is not None:
            gains = _TARGET / np.maximum(np.asarray(self.white, dtype=np.float64), 1)
            values *= np.clip(gains, 1 / _GAIN, _GAIN)[:, None]
        values = np.clip(_TARGET - (_TARGET - values) * self.contrast, 0, 255) / 255
        return np.asarray(np.round(255 * values ** (1 / self.gamma)), dtype=np.uint8)

    def shown(self, pixels: Pixels) -> Pixels:
        """Return pixels as they are shown: a copy, or the same where nothing is changed."""
        if self.plain:
            return pixels
        table = self.table()
        out = np.empty_like(pixels)
        for channel in range(3):
            out[..., channel] = table[channel][pixels[..., channel]]
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return the settings for JSON."""
        return {"white": self.white and list(self.white), "contrast": self.contrast, "gamma": self.gamma}

    @classmethod
    def from_dict(cls, stored: object) -> DisplaySettings:
        """Read what `to_dict` gave; what cannot be read counts for nothing."""
        if not isinstance(stored, Mapping):
            return cls()
        white = stored.get("white")
        sound = isinstance(white, list) and len(white) == 3 and all(isinstance(v, int) for v in white)
        return cls(
            (min(255, abs(white[0])), min(255, abs(white[1])), min(255, abs(white[2])))
            if sound and isinstance(white, list)
            else None,
            _within(stored.get("contrast"), CONTRAST),
            _within(stored.get("gamma"), GAMMA),
        )


def _within(value: object, limits: tuple[float, float]) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return 1.0
    return float(min(max(value, limits[0]), limits[1]))


class ShownLevel:
    """One level of a slide as it is shown: what napari reads of it is changed on the way."""

    def __init__(self, level: Any, look: DisplaySettings) -> None:
        self._level = level
        self._look = look
        self.shape: tuple[int, ...] = tuple(level.shape)
        self.dtype = np.dtype(np.uint8)
        self.ndim = 3
        self.size = int(level.size)

    def __getitem__(self, key: Any) -> Any:
        part = np.asarray(self._level[key])
        return self._look.shown(part) if part.ndim == 3 and part.shape[-1] == 3 else part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:, :], dtype=dtype)


def background(pixels: Pixels) -> White:
    """Return the colour of the empty background: the median of the lightest tenth of the pixels."""
    step = max(1, max(pixels.shape[:2]) // 256)
    colours = pixels[::step, ::step].reshape(-1, 3)
    light = colours.sum(axis=1, dtype=np.int32)
    lightest = colours[light >= np.percentile(light, 90)]
    red, green, blue = (int(v) for v in np.median(lightest, axis=0))
    return (red, green, blue)

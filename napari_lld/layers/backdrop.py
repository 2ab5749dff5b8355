"""The brightness behind letters: film, dimmed film, or the canvas beside the field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_lld.layers.palette import luminance

_LONGEST = 512
_FILM = 0.75
"""Luminance of an empty place of a film, where the pixels are not in memory."""

Array = npt.NDArray[np.float64]


class Backdrop:
    """The luminance of a field, coarse, as it is shown.

    Parameters
    ----------
    pixels
        The field as it is shown; ``None`` for a slide, which counts as bright film.
    width, height
        Size of the field.
    """

    def __init__(self, pixels: npt.NDArray[np.uint8] | None, width: int, height: int) -> None:
        self._step = max(1, -(-max(width, height) // _LONGEST))
        shape = (-(-height // self._step), -(-width // self._step))
        if pixels is not None and pixels.shape[:2] == (height, width):
            self._film = luminance(pixels[:: self._step, :: self._step, :3] / 255)
        else:
            self._film = np.full(shape, _FILM)
        self._sums = self._sum(self._film)

    def dim(self, mask: npt.NDArray[np.uint8], scale: float, share: float) -> None:
        """Darken where a mask is 1, by a share; `scale` is the size of the mask's pixels."""
        rows, columns = (
            np.minimum(np.arange(n) * self._step / scale, limit - 1).astype(int)
            for n, limit in zip(self._film.shape, mask.shape, strict=True)
        )
        dimmed = mask[np.ix_(rows, columns)].astype(bool)
        self._sums = self._sum(np.where(dimmed, self._film * (1 - share) ** 2.2, self._film))

    def behind(self, areas: Array, canvas: float) -> Array:
        """Return the mean luminance of areas ``(n, 4)``: top, left, bottom, right, in pixels of the field.

        Parameters
        ----------
        canvas
            Luminance of what lies beside the field.
        """
        height, width = self._film.shape
        areas = np.asarray(areas, dtype=np.float64) / self._step
        whole = np.maximum((areas[:, 2] - areas[:, 0]) * (areas[:, 3] - areas[:, 1]), 1e-9)
        rows = np.clip(np.rint(areas[:, (0, 2)]), 0, height).astype(int)
        columns = np.clip(np.rint(areas[:, (1, 3)]), 0, width).astype(int)
        s = self._sums
        total = (
            s[rows[:, 1], columns[:, 1]]
            - s[rows[:, 0], columns[:, 1]]
            - s[rows[:, 1], columns[:, 0]]
            + s[rows[:, 0], columns[:, 0]]
        )
        inside = (rows[:, 1] - rows[:, 0]) * (columns[:, 1] - columns[:, 0])
        beside = np.clip(1 - inside / whole, 0, 1)
        mean = total / np.maximum(inside, 1)
        return np.asarray(mean * (1 - beside) + canvas * beside)

    @staticmethod
    def _sum(values: Array) -> Array:
        sums = np.zeros((values.shape[0] + 1, values.shape[1] + 1))
        sums[1:, 1:] = values.cumsum(0).cumsum(1)
        return sums

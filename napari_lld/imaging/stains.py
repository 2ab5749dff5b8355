"""The two stains of a blood film told apart by their colours (Ruifrok and Johnston 2001); numpy only.

The same as `skimage.color.separate_stains` with `bex_from_rgb` (Giemsa: methyl blue and eosin), whose import
alone takes longer than the window may wait.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_lld.imaging.display import Pixels, White

_GIEMSA = (0.834750233, 0.513556283, 0.196330403)
_EOSIN = (0.092789, 0.954111, 0.283111)

Grey = npt.NDArray[np.uint8]


def _unmixing() -> npt.NDArray[np.float64]:
    blue, pink = np.array(_GIEMSA), np.array(_EOSIN)
    blue, pink = blue / np.linalg.norm(blue), pink / np.linalg.norm(pink)
    rest = np.cross(blue, pink)
    return np.asarray(np.linalg.inv(np.stack([blue, pink, rest / np.linalg.norm(rest)])))


_UNMIXING = _unmixing().astype(np.float32)
_DENSITY = -np.log(np.maximum(np.arange(256, dtype=np.float32), 1) / 255)
"""Optical density (natural) of each of the 256 values: logarithms of a crop's pixels would take too long."""


def stain_channels(pixels: Pixels, white: White = (255, 255, 255)) -> tuple[Grey, Grey]:
    """Return the film in each stain alone: the blue one (nuclei, basophilia) and the pink one (eosin).

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8, as stored.
    white
        The colour of the empty background.

    Returns
    -------
    tuple
        Two ``(H, W)`` greys, dark where there is much of the stain.
    """
    density = _DENSITY[pixels] - _DENSITY[np.asarray(white, dtype=np.uint8)]
    left = np.exp(-np.clip(density @ _UNMIXING[:, :2], 0, None))
    greys = np.asarray(np.round(255 * left), dtype=np.uint8)
    return greys[..., 0], greys[..., 1]

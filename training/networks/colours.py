"""Colours of a cell beside those of its film: what a trunk that must not rely on the stain disregards.

Laboratories stain differently, so that the trunk is trained on cells of all colours, and ignores what
distinguishes a class by its colour alone if it never saw that class: without eosinophils, their orange
granules. These few numbers are not used to train it (``docs/adr/0033``).
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

PARTS = 5
"""Equal parts of a cell, from the one with the least nuclear stain to the one with the most."""

N_COLOURS = 3 * (PARTS + 1)
"""Number of features: of each part, and of what surrounds the cell, three."""

VERSION = 1
"""Changed whenever the features change, so that stored ones are not reused."""

_STEP = 2
"""Distance of the pixels that are used, in pixels of a crop."""

_BACKGROUND = 0.05
"""Share of the pixels, the brightest, that are background."""

_SURROUNDINGS = 0.4
"""Share of the pixels around the cell, the densest, that are red cells rather than background."""

_OFFSET = 0.05
"""Added to optical densities, whose logarithm is taken."""


@torch.no_grad()
def colours(crops: torch.Tensor, *, side: int, cell: float) -> torch.Tensor:
    """Return optical density in green, and those in red and blue over it, as logarithms.

    Parameters
    ----------
    crops
        ``(N, 3, side, side)``, 0 to 1.
    cell
        Diameter of the cell over the side of a crop.

    Returns
    -------
    torch.Tensor
        ``(N, N_COLOURS)`` float32: red over green of the parts of the cell, ordered by density in red, which
        nuclei absorb and eosin hardly does, then of the surroundings; blue over green; green.
    """
    inside, around = (torch.from_numpy(indices).to(crops.device) for indices in _places(side, cell))
    # this is exported as part of a graph: all sizes but that of the batch are plain numbers
    count = len(range(0, side, _STEP)) ** 2
    pixels = crops[:, :, ::_STEP, ::_STEP].reshape(-1, 3, count).float().clamp(min=1 / 255)
    density = -torch.log(pixels)
    brightest = density.topk(round(_BACKGROUND * count), 2, largest=False)[0]
    density = (density - brightest[:, :, -1:]).clamp(min=0)
    of_cell, surroundings = density[:, :, inside], density[:, :, around]
    order = of_cell[:, :1].sort(2)[1].expand(-1, 3, -1)
    parts = of_cell.gather(2, order).reshape(-1, 3, PARTS, len(inside) // PARTS).mean(3)
    densest = surroundings.mean(1, keepdim=True).topk(round(_SURROUNDINGS * len(around)), 2)[1]
    reference = surroundings.gather(2, densest.expand(-1, 3, -1)).mean(2, keepdim=True)
    red, green, blue = torch.cat((parts, reference), 2).add(_OFFSET).log().unbind(1)
    return torch.cat((red - green, blue - green, green), 1)


@cache
def _places(side: int, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of the pixels in the cell, a multiple of `PARTS`, and of those around it."""
    offsets = (np.arange(0, side, _STEP) - (side - 1) / 2) / (side / 2)
    radius = np.hypot(offsets[:, None], offsets[None]).ravel()
    inside = np.flatnonzero(radius < 0.95 * cell)
    return inside[: len(inside) // PARTS * PARTS], np.flatnonzero(radius > 1.08 * cell)

"""What a cell looks like by its stain: colours, textures and shapes of nucleus and cytoplasm.

A trunk that was never taught a white cell sees edges and grounds before it sees what a hematologist sees.
These few numbers tell cells apart far better (``docs/adr/0019``): the amount of
stain in the nucleus and around it, how grainy either is at three scales, how much of the cell is nucleus, and
its outline.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import nn

from training.networks.describer import CONTEXT, CROP, Describer, discriminants
from training.networks.vocabulary import Vocabulary

_VERSION = 1.0
"""Another one where the numbers change: what is stored of the old ones is then not found."""

_GRAINS = (1.0, 2.0, 4.0)
"""Scales of texture, in pixels of a crop."""

_QUANTILES = (0.1, 0.5, 0.9)
_RINGS = ((0.0, 0.15), (0.15, 0.3), (0.3, 0.45), (0.45, 0.6), (0.6, 0.75))
"""Distances from the middle over half of the crop's side: the box's edge lies at 0.77."""

_STAINED = 0.12
"""Optical density, all colours together, from which a pixel is not ground."""

_FEWEST = 20
"""Pixels that a nucleus or a cytoplasm has at least."""

_OF_A_PART = 6 + 3 * len(_QUANTILES) + 8
LENGTH = 2 * _OF_A_PART + 2 * 3 * len(_GRAINS) + 10 + 3 * len(_RINGS)
"""How many numbers `appearance` gives, each between 0 and about 1."""

_ACROSS = np.arange(CROP) - (CROP - 1) / 2
_FROM_MIDDLE = np.hypot(_ACROSS[:, None], _ACROSS[None]) / (CROP / 2)
_INSIDE = _FROM_MIDDLE < 1.05 / CONTEXT
_OF_RING = [(near <= _FROM_MIDDLE) & (far > _FROM_MIDDLE) for near, far in _RINGS]


def appearance(crop: np.ndarray) -> np.ndarray:
    """Return the numbers ``(LENGTH,)`` float32 of a crop ``(CROP, CROP, 3)`` uint8."""
    import cv2

    rgb = crop.astype(np.float32)
    ground = np.maximum(np.percentile(rgb.reshape(-1, 3), 95, axis=0), 40)
    density = -np.log10(np.clip(rgb / ground.astype(np.float32), 1 / 255, 1))
    nucleus = _nucleus(rgb)
    cell = _INSIDE & ((density.sum(2) > _STAINED) | nucleus)
    rim = cv2.dilate(nucleus.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    cytoplasm = cell & ~rim
    if cytoplasm.sum() < _FEWEST:
        cytoplasm = _INSIDE & ~nucleus
    if cytoplasm.sum() < _FEWEST:
        cytoplasm = _INSIDE
    numbers: list[float] = []
    for part in (nucleus, cytoplasm):
        numbers += _colours(density[part])
    for grain in _GRAINS:
        detail = density - cv2.GaussianBlur(density, (0, 0), grain)
        for part in (nucleus, cytoplasm):
            numbers += (5 * detail[part].std(0)).tolist()  # all numbers are of one magnitude
    numbers += _shape(nucleus, cell)
    for ring in _OF_RING:
        numbers += density[ring].mean(0).tolist()
    return np.nan_to_num(np.array(numbers, np.float32))


def _nucleus(rgb: np.ndarray) -> np.ndarray:
    """Return where the nuclear stain is: ``(CROP, CROP)`` bool, at least `_FEWEST` pixels."""
    import cv2

    density = -np.log10(np.clip(rgb / 255, 1 / 255, 1))
    stain = np.clip(density[..., 1] - 0.5 * density[..., 2], 0, None)
    stain = cv2.GaussianBlur(stain, (0, 0), 1.0)
    inside = stain[_INSIDE]
    most = float(inside.max())
    if most <= 0:
        return np.asarray(_INSIDE)
    codes = (inside * (255 / most)).astype(np.uint8)
    least, _ = cv2.threshold(codes, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    found = ((stain > least * most / 255) & _INSIDE).astype(np.uint8)
    found = cv2.morphologyEx(found, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    if found.sum() < _FEWEST:
        return np.asarray(_INSIDE & (stain >= np.quantile(inside, 0.8)))
    return np.asarray(found > 0)


def _colours(pixels: np.ndarray) -> list[float]:
    """Describe the densities ``(n, 3)`` of a part."""
    purple, red = pixels[:, 1] - pixels[:, 2], pixels[:, 0] - pixels[:, 1]
    numbers = [*pixels.mean(0), *pixels.std(0), *np.quantile(pixels, _QUANTILES, axis=0).ravel()]
    for hue in (purple, red):
        numbers += [hue.mean(), hue.std(), *np.quantile(hue, (0.1, 0.9))]
    return [float(number) for number in numbers]


def _shape(nucleus: np.ndarray, cell: np.ndarray) -> list[float]:
    """Describe how much of a cell is nucleus, and the nucleus' outline."""
    import cv2

    mask = nucleus.astype(np.uint8)
    area, inside = float(mask.sum()), float(_INSIDE.sum())
    lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = max(1.0, float(cv2.contourArea(cv2.convexHull(np.concatenate(lines)))))
    lobes = [float(cv2.contourArea(line)) for line in lines]
    own = max(lines, key=cv2.contourArea)
    of_largest = max(1.0, float(cv2.contourArea(cv2.convexHull(own))))
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    thick = float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max())
    spread = np.cov(np.argwhere(nucleus).T)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1e-6))
    return [
        area / inside,
        cell.sum() / inside,
        area / max(1.0, float(cell.sum())),
        area / hull,
        float(axes[0] / axes[1]),
        0.1 * float(area - inner.sum()) / area**0.5,
        thick / area**0.5,
        0.1 * sum(lobe > 30 for lobe in lobes),
        max(lobes) / area,
        max(lobes) / of_largest,
    ]


class AppearanceDescriber(Describer):
    """A describer for a model that began without having been taught: features are `appearance` and the size.

    Its heads say nothing; what there is to say, discriminants of these features say.
    """

    heads_learn = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        nn.Module.__init__(self)
        self.trunk = nn.ModuleList([_Version()])
        self.features = LENGTH + 1
        self.heads = nn.ModuleList(nn.Linear(1, len(values)) for values in vocabulary.heads)
        self.lines = discriminants(vocabulary, self.features)

    def embed(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return ``(N, features)`` of crops ``(N, 3, CROP, CROP)`` and sizes ``(N,)``."""
        pixels = (crops.float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        found = np.stack([appearance(one) for one in pixels] or [np.zeros(LENGTH, np.float32)])[: len(pixels)]
        return torch.cat([torch.from_numpy(found).to(sizes.device), sizes.float().view(-1, 1)], 1)

    def look(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return the same: rotations and flips change nothing that counts."""
        return self.embed(crops, sizes)

    def head_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return even logits: per head ``(N, n values)``."""
        heads: Sequence[nn.Linear] = [cast(nn.Linear, head) for head in self.heads]
        return [features.new_zeros((len(features), head.out_features)) for head in heads]


class _Version(nn.Module):
    """What stored features are known by."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("appearance", torch.tensor(_VERSION))

"""Hand-crafted features of a cell's stain: colour, texture and shape of nucleus and cytoplasm.

The features of a trunk that was never trained on white cells are dominated by edges and backgrounds. These
few numbers separate cells far better (``docs/adr/0019``): the optical density of nucleus and cytoplasm, their
texture at three scales, the ratio of nucleus to cell, and the shape of the nucleus.
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
"""Changed whenever the features change, so that stored ones are not reused."""

_TEXTURE_SCALES = (1.0, 2.0, 4.0)
"""Scales of texture, in pixels of a crop."""

_QUANTILES = (0.1, 0.5, 0.9)
_RINGS = ((0.0, 0.15), (0.15, 0.3), (0.3, 0.45), (0.45, 0.6), (0.6, 0.75))
"""Inner and outer radius over half of the crop's side: the box's edge lies at 0.77."""

_MIN_DENSITY = 0.12
"""Minimum optical density, summed over the channels, of the foreground."""

_MIN_PIXELS = 20
"""Minimum number of pixels of a nucleus or a cytoplasm."""

_COLOUR_FEATURES = 6 + 3 * len(_QUANTILES) + 8
LENGTH = 2 * _COLOUR_FEATURES + 2 * 3 * len(_TEXTURE_SCALES) + 10 + 3 * len(_RINGS)
"""Number of features of `appearance`, each between 0 and about 1."""

_OFFSETS = np.arange(CROP) - (CROP - 1) / 2
_RADIUS = np.hypot(_OFFSETS[:, None], _OFFSETS[None]) / (CROP / 2)
_INSIDE = _RADIUS < 1.05 / CONTEXT
_RING_MASKS = [(near <= _RADIUS) & (far > _RADIUS) for near, far in _RINGS]


def appearance(crop: np.ndarray) -> np.ndarray:
    """Return the features ``(LENGTH,)`` float32 of a crop ``(CROP, CROP, 3)`` uint8."""
    import cv2

    rgb = crop.astype(np.float32)
    background = np.maximum(np.percentile(rgb.reshape(-1, 3), 95, axis=0), 40)
    density = -np.log10(np.clip(rgb / background.astype(np.float32), 1 / 255, 1))
    nucleus = _nucleus(rgb)
    cell = _INSIDE & ((density.sum(2) > _MIN_DENSITY) | nucleus)
    dilated = cv2.dilate(nucleus.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    cytoplasm = cell & ~dilated
    if cytoplasm.sum() < _MIN_PIXELS:
        cytoplasm = _INSIDE & ~nucleus
    if cytoplasm.sum() < _MIN_PIXELS:
        cytoplasm = _INSIDE
    features: list[float] = []
    for part in (nucleus, cytoplasm):
        features += _colours(density[part])
    for scale in _TEXTURE_SCALES:
        detail = density - cv2.GaussianBlur(density, (0, 0), scale)
        for part in (nucleus, cytoplasm):
            features += (5 * detail[part].std(0)).tolist()  # 5: all features are of one magnitude
    features += _shape(nucleus, cell)
    for ring in _RING_MASKS:
        features += density[ring].mean(0).tolist()
    return np.nan_to_num(np.array(features, np.float32))


def _nucleus(rgb: np.ndarray) -> np.ndarray:
    """Segment the nucleus by Otsu's threshold: ``(CROP, CROP)`` bool, at least `_MIN_PIXELS` pixels."""
    import cv2

    density = -np.log10(np.clip(rgb / 255, 1 / 255, 1))
    stain = np.clip(density[..., 1] - 0.5 * density[..., 2], 0, None)
    stain = cv2.GaussianBlur(stain, (0, 0), 1.0)
    inside = stain[_INSIDE]
    maximum = float(inside.max())
    if maximum <= 0:
        return np.asarray(_INSIDE)
    codes = (inside * (255 / maximum)).astype(np.uint8)
    threshold, _ = cv2.threshold(codes, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    mask = ((stain > threshold * maximum / 255) & _INSIDE).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    if mask.sum() < _MIN_PIXELS:
        return np.asarray(_INSIDE & (stain >= np.quantile(inside, 0.8)))
    return np.asarray(mask > 0)


def _colours(pixels: np.ndarray) -> list[float]:
    """Return statistics of the densities ``(n, 3)`` of a part."""
    purple, red = pixels[:, 1] - pixels[:, 2], pixels[:, 0] - pixels[:, 1]
    features = [*pixels.mean(0), *pixels.std(0), *np.quantile(pixels, _QUANTILES, axis=0).ravel()]
    for hue in (purple, red):
        features += [hue.mean(), hue.std(), *np.quantile(hue, (0.1, 0.9))]
    return [float(value) for value in features]


def _shape(nucleus: np.ndarray, cell: np.ndarray) -> list[float]:
    """Return the ratio of nucleus to cell and shape features of the nucleus."""
    import cv2

    mask = nucleus.astype(np.uint8)
    area, inside = float(mask.sum()), float(_INSIDE.sum())
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = max(1.0, float(cv2.contourArea(cv2.convexHull(np.concatenate(contours)))))
    lobes = [float(cv2.contourArea(contour)) for contour in contours]
    largest = max(contours, key=cv2.contourArea)
    largest_hull = max(1.0, float(cv2.contourArea(cv2.convexHull(largest))))
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8))
    thickness = float(cv2.distanceTransform(mask, cv2.DIST_L2, 5).max())
    spread = np.cov(np.argwhere(nucleus).T)
    axes = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1e-6))
    return [
        area / inside,
        cell.sum() / inside,
        area / max(1.0, float(cell.sum())),
        area / hull,
        float(axes[0] / axes[1]),
        0.1 * float(area - inner.sum()) / area**0.5,
        thickness / area**0.5,
        0.1 * sum(lobe > 30 for lobe in lobes),
        max(lobes) / area,
        max(lobes) / largest_hull,
    ]


class AppearanceDescriber(Describer):
    """The describer of a model without a trained trunk: its features are `appearance` and the size.

    Its heads are constant; discriminants on these features predict.
    """

    heads_learn = False

    def __init__(self, vocabulary: Vocabulary) -> None:
        nn.Module.__init__(self)
        self.trunk = nn.ModuleList([_Version()])
        self.features = LENGTH + 1
        self.colours = slice(0, 0)
        self.heads = nn.ModuleList(nn.Linear(1, len(values)) for values in vocabulary.heads)
        self.lines = discriminants(vocabulary, self.features)

    def embed(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return ``(N, features)`` of crops ``(N, 3, CROP, CROP)`` and sizes ``(N,)``."""
        pixels = (crops.float() * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
        described = np.stack([appearance(crop) for crop in pixels] or [np.zeros(LENGTH, np.float32)])[
            : len(pixels)
        ]
        return torch.cat([torch.from_numpy(described).to(sizes.device), sizes.float().view(-1, 1)], 1)

    def embed_augmented(self, crops: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        """Return `embed`: these features hardly depend on rotations and flips."""
        return self.embed(crops, sizes)

    def head_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        """Return zero logits: per head ``(N, n values)``."""
        heads: Sequence[nn.Linear] = [cast(nn.Linear, head) for head in self.heads]
        return [features.new_zeros((len(features), head.out_features)) for head in heads]


class _Version(nn.Module):
    """A buffer with the version of the features, hashed by `LearnedModel.trunk_digest`."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("appearance", torch.tensor(_VERSION))

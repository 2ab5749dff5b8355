"""Data augmentation: rotations, flips, scaling, and jitter of stain, focus and camera.

A window of a field may be scaled freely, since only boxes are trained on it; a cell's crop by ±20% at most
(here ±10%), because cell size is an attribute.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn

from training.engine.data import PATCH_CONTEXT, PreparedField
from training.networks.describer import CONTEXT, CROP
from training.networks.detector import PAD_GREY

_MIN_VISIBLE = 0.35
"""Minimum visible share of a cell; with less it is neither a cell nor background in a window."""

# haematoxylin, eosin and residual in optical density (Ruifrok and Johnston 2001)
_STAINS = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
_UNSTAIN = np.linalg.inv(_STAINS).astype(np.float32)


def sample_window(
    field: PreparedField,
    rng: np.random.Generator,
    window: int,
    scales: tuple[float, float],
    squeeze: float = 0.0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Sample a window of a field, rotated by quarter turns, flipped and scaled.

    Parameters
    ----------
    window
        Side of the window in pixels.
    scales
        Minimum and maximum factor on the working scale.
    squeeze
        See `sample_crop`.

    Returns
    -------
    tuple
        ``(window, window, 3)`` uint8; ``(n, 4)`` float32 boxes x1, y1, x2, y2; their ``(n, 2)`` weights;
        ``(window, window)`` uint8 known area, 0 outside the field.
    """
    scale = float(np.exp(rng.uniform(np.log(scales[0]), np.log(scales[1]))))
    focus = field.focus[rng.integers(len(field.focus))]
    extent = window / scale
    centre = []
    for position, length in zip(focus, field.image.shape[1::-1], strict=True):
        if length >= extent:
            centre.append(
                np.clip(position + rng.uniform(-0.3, 0.3) * extent, extent / 2, length - extent / 2)
            )
        else:
            centre.append(length / 2 + rng.uniform(-0.5, 0.5) * (extent - length))
    transform = _quarter_turn(rng) * scale
    if squeeze > 0:
        transform[rng.integers(2)] *= np.exp(-rng.uniform(0, squeeze))
    offset = window / 2 - transform @ np.array(centre)
    matrix = np.column_stack(
        (transform, offset + transform @ [0.5, 0.5] - 0.5)
    )  # OpenCV's pixel centres are integers
    image = cv2.warpAffine(field.image, matrix, (window, window), borderValue=(PAD_GREY,) * 3)
    known = cv2.warpAffine(field.known, matrix, (window, window), flags=cv2.INTER_NEAREST, borderValue=0)
    if not len(field.boxes):
        return np.asarray(image), np.zeros((0, 4), np.float32), field.weights, np.asarray(known)
    corners = field.boxes.reshape(-1, 2, 2) @ transform.T + offset
    boxes = np.concatenate((corners.min(1), corners.max(1)), 1)
    clipped = boxes.clip(0, window)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    visible = (clipped[:, 2] - clipped[:, 0]) * (clipped[:, 3] - clipped[:, 1])
    keep = visible >= _MIN_VISIBLE * area
    for x0, y0, x1, y1 in clipped[~keep & (visible > 0)].round().astype(int):
        known[y0:y1, x0:x1] = 0
    return np.asarray(image), clipped[keep].astype(np.float32), field.weights[keep], np.asarray(known)


def sample_crop(patch: np.ndarray, rng: np.random.Generator, squeeze: float = 0.0) -> np.ndarray:
    """Sample a crop ``(CROP, CROP, 3)`` of a cell's patch ``(side, side, 3)``, rotated, flipped and jittered.

    Parameters
    ----------
    squeeze
        Log of the maximum factor by which one side is compressed: published images of fields were resized to
        squares, by up to 1.3.
    """
    side = len(patch)
    angle = rng.uniform(0, 2 * np.pi)
    factor = CROP / (side * CONTEXT / PATCH_CONTEXT) * np.exp(rng.uniform(-0.1, 0.1))
    c, s = np.cos(angle) * factor, np.sin(angle) * factor
    transform = np.array([[c, -s], [s, c]])
    if rng.random() < 0.5:
        transform[:, 0] *= -1
    if squeeze > 0:
        transform[rng.integers(2)] *= np.exp(-rng.uniform(0, squeeze))
    centre = side / 2 + rng.uniform(-0.05, 0.05, 2) * (side / PATCH_CONTEXT)
    offset = CROP / 2 - 0.5 - transform @ (centre - 0.5)
    return np.asarray(
        cv2.warpAffine(
            patch, np.column_stack((transform, offset)), (CROP, CROP), borderMode=cv2.BORDER_REPLICATE
        )
    )


def jitter_stain(images: torch.Tensor, rng: np.random.Generator, strength: float = 1.0) -> torch.Tensor:
    """Jitter stain, light and colour cast of each image, in optical density.

    Parameters
    ----------
    images
        ``(N, 3, H, W)``, 0 to 1.
    strength
        0 = none, 1 = stains ±15%, light ±10%, cast ±4% (as between laboratories' stains).
    """
    if strength <= 0 or not len(images):
        return images
    n = len(images)
    factors = 1 + strength * rng.uniform(-0.15, 0.15, (n, 3)).astype(np.float32)
    mixes = np.einsum("ij,nj,jk->nik", _UNSTAIN, factors, _STAINS)
    light = strength * (rng.uniform(-0.1, 0.1, (n, 1)) + rng.uniform(-0.04, 0.04, (n, 3)))
    density = -torch.log(images.clamp(min=1 / 255))
    mix = torch.from_numpy(mixes).to(images)
    shift = torch.from_numpy(light.astype(np.float32)).to(images)
    density = torch.einsum("nchw,ncd->ndhw", density, mix) + shift[:, :, None, None]
    return torch.exp(-density).clamp(0, 1)


def jitter_blur(images: torch.Tensor, rng: np.random.Generator, strength: float = 1.0) -> torch.Tensor:
    """Blur half of the images, each by a random sigma: out of focus, or a weaker objective.

    Parameters
    ----------
    images
        ``(N, 3, H, W)``.
    strength
        0 = none, 1 = Gaussian kernels with sigma up to 2 pixels.
    """
    if strength <= 0 or not len(images):
        return images
    n, channels, height, width = images.shape
    max_sigma = 2.0 * strength
    sigmas = np.where(rng.random(n) < 0.5, rng.uniform(0, max_sigma, n), 0.0).clip(0.05)
    radius = max(1, min(round(2.5 * max_sigma), height - 1, width - 1))
    offsets = np.arange(-radius, radius + 1)
    kernels = np.exp(-0.5 * (offsets / sigmas[:, None]) ** 2)
    kernels /= kernels.sum(1, keepdims=True)
    weights = torch.from_numpy(kernels.repeat(channels, 0).astype(np.float32)).to(images)
    batch = nn.functional.pad(images.reshape(1, n * channels, height, width), (radius,) * 4, mode="reflect")
    batch = nn.functional.conv2d(batch, weights[:, None, None, :], groups=n * channels)
    batch = nn.functional.conv2d(batch, weights[:, None, :, None], groups=n * channels)
    return batch.reshape(images.shape)


def jitter_camera(images: torch.Tensor, rng: np.random.Generator, strength: float = 1.0) -> torch.Tensor:
    """Jitter the camera: contrast, saturation, resolution, JPEG compression.

    Parameters
    ----------
    images
        ``(N, 3, H, W)``, 0 to 1.
    strength
        0 = none, 1 = density ±30%, saturation ±40%, and, for half of the images each, resolution down to 0.4
        and JPEG quality down to 30.
    """
    if strength <= 0 or not len(images):
        return images
    n, _, height, width = images.shape
    contrast = np.exp(strength * rng.uniform(-0.3, 0.3, (n, 1, 1, 1)))
    colour = 1 + strength * rng.uniform(-0.4, 0.4, (n, 1, 1, 1))
    density = -torch.log(images.clamp(min=1 / 255)) * torch.from_numpy(contrast).to(images)
    grey = density.mean(1, keepdim=True)
    images = torch.exp(-(grey + (density - grey) * torch.from_numpy(colour).to(images))).clamp(0, 1)
    pixels = (images.permute(0, 2, 3, 1).cpu().numpy() * 255).round().astype(np.uint8)
    for i in range(n):
        if rng.random() < 0.5:
            share = 1 - strength * rng.uniform(0, 0.6)
            reduced = cv2.resize(pixels[i], None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            pixels[i] = cv2.resize(reduced, (width, height), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.5:
            quality = round(95 - strength * rng.uniform(0, 65))
            _, encoded = cv2.imencode(".jpg", pixels[i], (cv2.IMWRITE_JPEG_QUALITY, quality))
            pixels[i] = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    return torch.from_numpy(pixels).to(images.device).permute(0, 3, 1, 2).to(images) / 255


OTHER_LOOKS = {"stain": 2.0, "blur": 0.7, "camera": 1.0}
"""Strengths of `jitter` that simulate domain shifts between laboratories (``docs/adr/0010``)."""


def jitter(
    images: torch.Tensor, rng: np.random.Generator, *, stain: float, blur: float, camera: float
) -> torch.Tensor:
    """Jitter images ``(N, 3, H, W)`` by the three functions above, with these strengths."""
    return jitter_camera(jitter_blur(jitter_stain(images, rng, stain), rng, blur), rng, camera)


def _quarter_turn(rng: np.random.Generator) -> np.ndarray:
    turn = np.linalg.matrix_power(np.array([[0.0, -1.0], [1.0, 0.0]]), int(rng.integers(4)))
    return np.asarray(turn * np.array([1.0 if rng.random() < 0.5 else -1.0, 1.0]))

"""Different fields rather than ten of the same: k-center greedy, and cheap features where no model looked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def k_center(
    vectors: np.ndarray, count: int, *, known: np.ndarray | None = None, first: int = 0
) -> list[int]:
    """Choose vectors that cover all: each next one is the farthest from those chosen and known.

    Its cost is linear in vectors × (chosen + known).

    Parameters
    ----------
    vectors
        ``(n, d)``; best first, for the earlier of two that are equally far is chosen. A row that is not
        finite (no embedding) is as far as the mean of the others.
    known
        ``(m, d)``: what is there already.
    first
        Index of the first choice.

    Returns
    -------
    list
        Indices in the order of choice.
    """
    n = len(vectors)
    if n == 0 or count <= 0:
        return []
    seen = np.isfinite(vectors).all(1)
    nearest = np.full(n, np.inf)
    if known is not None:
        for one in known[np.isfinite(known).all(1)]:
            nearest = np.minimum(nearest, _distances(vectors, one))
    chosen: list[int] = []
    free = np.ones(n, bool)
    pick = first
    while True:
        chosen.append(pick)
        free[pick] = False
        if len(chosen) == min(count, n):
            return chosen
        if seen[pick]:
            nearest = np.minimum(nearest, _distances(vectors, vectors[pick]))
        far = np.where(seen, nearest, np.nan)
        finite = far[np.isfinite(far)]
        far = np.where(seen, far, finite.mean() if len(finite) else 0.0)
        pick = int(np.where(free, far, -1.0).argmax())


def _distances(vectors: np.ndarray, one: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors - one, axis=1))


def unit(vectors: Sequence[np.ndarray | None]) -> np.ndarray:
    """Stack vectors, each of length 1; NaN if there is none, or where its length is not that of most."""
    sizes = [len(v) for v in vectors if v is not None]
    if not sizes:
        return np.full((len(vectors), 1), np.nan)
    size = max(sorted(set(sizes)), key=sizes.count)
    rows = np.full((len(vectors), size), np.nan)
    for row, vector in zip(rows, vectors, strict=True):
        if vector is not None and len(vector) == size:
            row[:] = np.asarray(vector, np.float64) / max(float(np.linalg.norm(vector)), 1e-9)
    return rows


def colour_features(picture: np.ndarray) -> np.ndarray:
    """Describe a small picture by its colours, where no model has looked.

    Parameters
    ----------
    picture
        ``(H, W, 3)`` uint8, a thumbnail.

    Returns
    -------
    numpy.ndarray
        ``(60,)`` float32: square roots of the histograms of each channel, over the whole and over the
        darkest third, where the nuclei are.
    """
    pixels = picture.reshape(-1, 3).astype(np.float32) / 255
    if not len(pixels):
        return np.zeros(60, np.float32)
    lightness = pixels.mean(1)
    dark = pixels[lightness <= np.quantile(lightness, 1 / 3)]
    parts = [
        np.histogram(some[:, channel], bins=10, range=(0, 1))[0] / len(some)
        for some in (pixels, dark)
        for channel in range(3)
    ]
    return np.sqrt(np.concatenate(parts)).astype(np.float32)  # Hellinger: Euclidean distance means something

"""Diversity of fields: k-center greedy selection, and colour features for fields without an embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def k_center(
    vectors: np.ndarray, count: int, *, known: np.ndarray | None = None, first: int = 0
) -> list[int]:
    """Select vectors by k-center greedy: each next one is the farthest from those selected and known.

    The cost is linear in vectors × (selected + known).

    Parameters
    ----------
    vectors
        ``(n, d)``; best first, as ties go to the earlier one. A row that is not finite (no embedding) has the
        mean distance of the others.
    known
        ``(m, d)``: those that are covered already.
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
    has_vector = np.isfinite(vectors).all(1)
    nearest = np.full(n, np.inf)
    if known is not None:
        for vector in known[np.isfinite(known).all(1)]:
            nearest = np.minimum(nearest, _distances(vectors, vector))
    chosen: list[int] = []
    free = np.ones(n, bool)
    choice = first
    while True:
        chosen.append(choice)
        free[choice] = False
        if len(chosen) == min(count, n):
            return chosen
        if has_vector[choice]:
            nearest = np.minimum(nearest, _distances(vectors, vectors[choice]))
        distance = np.where(has_vector, nearest, np.nan)
        finite = distance[np.isfinite(distance)]
        distance = np.where(has_vector, distance, finite.mean() if len(finite) else 0.0)
        choice = int(np.where(free, distance, -1.0).argmax())


def _distances(vectors: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.asarray(np.linalg.norm(vectors - vector, axis=1))


def normalise(vectors: Sequence[np.ndarray | None]) -> np.ndarray:
    """Stack vectors normalised to length 1; NaN for ``None`` and for those of another dimension than most."""
    lengths = [len(v) for v in vectors if v is not None]
    if not lengths:
        return np.full((len(vectors), 1), np.nan)
    length = max(sorted(set(lengths)), key=lengths.count)
    rows = np.full((len(vectors), length), np.nan)
    for row, vector in zip(rows, vectors, strict=True):
        if vector is not None and len(vector) == length:
            row[:] = np.asarray(vector, np.float64) / max(float(np.linalg.norm(vector)), 1e-9)
    return rows


def colour_features(picture: np.ndarray) -> np.ndarray:
    """Compute colour features of a thumbnail, for fields without an embedding by a model.

    Parameters
    ----------
    picture
        ``(H, W, 3)`` uint8, a thumbnail.

    Returns
    -------
    numpy.ndarray
        ``(60,)`` float32: square roots of the histograms of each channel, over all pixels and over the
        darkest third, where the nuclei are.
    """
    pixels = picture.reshape(-1, 3).astype(np.float32) / 255
    if not len(pixels):
        return np.zeros(60, np.float32)
    lightness = pixels.mean(1)
    dark = pixels[lightness <= np.quantile(lightness, 1 / 3)]
    parts = [
        np.histogram(part[:, channel], bins=10, range=(0, 1))[0] / len(part)
        for part in (pixels, dark)
        for channel in range(3)
    ]
    return np.sqrt(np.concatenate(parts)).astype(np.float32)  # Euclidean distance = Hellinger distance

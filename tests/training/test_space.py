"""The spread within a class: the same by either way of inverting it."""

from __future__ import annotations

import numpy as np
import pytest

from training.similarity.space import SHRINKAGE, Space


@pytest.mark.parametrize(("cells", "features"), [(30, 80), (200, 40)])
def test_few_cells_give_the_same_as_the_whole_covariance(cells: int, features: int) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(cells) % 3
    vectors = rng.normal(size=(cells, features)) * rng.uniform(0.1, 5, features) + labels[:, None]
    space = Space(vectors, labels[:, None])
    weight, bias, met = space.discriminant(labels, 4)
    rest = vectors - np.stack([vectors[labels == k].mean(0) for k in range(3)])[labels]
    scale = np.sqrt((rest**2).mean(0))
    standard = (vectors - vectors.mean(0)) / scale
    covariance = (1 - SHRINKAGE) * (rest / scale).T @ (rest / scale) / cells + SHRINKAGE * np.eye(features)
    inverse = np.linalg.inv(covariance)
    means = np.stack([standard[labels == k].mean(0) for k in range(3)])
    assert met.tolist() == [True, True, True, False]
    assert np.allclose(weight[:3], means @ inverse / scale, atol=1e-3)
    expected = standard @ inverse @ means.T - 0.5 * (means @ inverse * means).sum(1)
    assert np.allclose(vectors @ weight[:3].T + bias[:3], expected, atol=5e-3)
    product = standard @ inverse @ standard.T
    lengths = np.sqrt(np.diag(product))
    whitened = space.whiten(vectors)
    assert np.allclose(whitened.cosine(whitened), product / lengths[:, None] / lengths, atol=1e-4)

"""The spread within a class: the same by either way of inverting it."""

from __future__ import annotations

import numpy as np
import pytest

from training.similarity.space import SHRINKAGE, Space


def distance_of_a_new_cell(residuals: np.ndarray, cells: int) -> float:
    """Return the mean squared distance of cells by the covariance without them, computed for each anew."""
    distances = []
    for row in residuals:
        others = residuals.T @ residuals - np.outer(row, row)
        covariance = (1 - SHRINKAGE) * others / cells + SHRINKAGE * np.eye(residuals.shape[1])
        distances.append(row @ np.linalg.solve(covariance, row))
    return float(np.mean(distances))


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
    few_cells = 0.5 * distance_of_a_new_cell(rest / scale, cells) / np.bincount(labels)
    assert np.allclose(vectors @ weight[:3].T + bias[:3], expected + few_cells, atol=5e-3, rtol=1e-3)
    product = standard @ inverse @ standard.T
    lengths = np.sqrt(np.diag(product))
    whitened = space.whiten(vectors)
    assert np.allclose(whitened.cosine(whitened), product / lengths[:, None] / lengths, atol=1e-4)


@pytest.mark.parametrize("labelled", [1, 3, 10])
def test_a_class_of_few_cells_is_recognised_and_takes_none_of_the_others(labelled: int) -> None:
    rng = np.random.default_rng(2)
    features, centres = 300, rng.normal(0, 0.55, (3, 300))
    counts = (100, 100, labelled)
    labels = np.repeat(np.arange(3), counts)
    space = Space(rng.normal(centres[labels]), labels[:, None])
    weight, bias, _ = space.discriminant(labels, 3)
    predicted = [(rng.normal(centre, 1, (200, features)) @ weight.T + bias).argmax(1) for centre in centres]
    assert (predicted[2] == 2).mean() > 0.8
    assert min((predicted[k] == k).mean() for k in (0, 1)) > 0.95


@pytest.mark.parametrize("n_lent", [0, 100])
def test_of_one_cell_of_each_class_the_feature_that_no_look_changes_does_not_outweigh_all_others(
    n_lent: int,
) -> None:
    rng = np.random.default_rng(4)
    features, centres = 60, np.zeros((2, 60))
    centres[1, :-1] = 1.5
    looks = rng.normal(0, 0.5, (8, features))
    looks[:, -1] = 0
    lent = rng.normal(0, 1, (n_lent, features))
    taught = rng.normal(centres, 1)
    taught[:, -1] = (0.2, -0.2)
    space = Space(taught, np.array([[0], [1]]), looks, lent=lent)
    weight, bias, _ = space.discriminant(np.arange(2), 2)
    for k, centre in enumerate(centres):
        cells = rng.normal(centre, 1, (200, features))
        cells[:, -1] = 0.2 - 0.4 * (k == 0)  # each as the taught cell of the other class
        assert ((cells @ weight.T + bias).argmax(1) == k).mean() > 0.8


def test_two_cells_of_a_class_are_lent_no_spread() -> None:
    rng = np.random.default_rng(5)
    labels = np.array([0, 0, 1])
    vectors = rng.normal(size=(3, 20))
    lent = rng.normal(size=(50, 20))
    one, other = (Space(vectors, labels[:, None], lent=some).discriminant(labels, 2) for some in (None, lent))
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))

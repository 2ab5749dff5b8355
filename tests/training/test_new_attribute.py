"""An attribute that no parent knows is learnt from few cells as it is usual in each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.engine.new_attribute import fit_logistic
from training.networks.describer import NEVER
from training.similarity.space import Space

FEATURES = 40


def cells(n: int = 120) -> dict[str, Any]:
    """Two classes far apart; in the first a twentieth of the cells has the rare value, in the other half."""
    rng = np.random.default_rng(3)
    classes = np.arange(n) % 2
    labels = np.where(classes == 0, rng.random(n) < 0.05, rng.random(n) < 0.5).astype(int)
    features = rng.normal(0, 1, (n, FEATURES))
    features[:, 0] += 6 * classes
    features[:, 1] += 1.5 * labels
    return {"features": features, "labels": labels, "classes": classes}


def test_a_value_that_is_rare_in_a_class_is_seldom_given_there() -> None:
    known, new = cells(), cells(2000)
    rng = np.random.default_rng(8)
    new["features"] = rng.normal(0, 1, new["features"].shape)
    new["features"][:, 0] += 6 * new["classes"]
    new["features"][:, 1] += 1.5 * new["labels"]
    lines = fit_logistic(**known, weights=np.ones(120), n_values=2, n_classes=2)
    given = lines.scores(new["features"], new["classes"]).argmax(1)
    first = new["classes"] == 0
    assert given[first].mean() < 0.1
    assert (given == new["labels"]).mean() > 0.75
    both = np.stack((known["classes"], known["labels"]), 1)
    weight, bias, _ = Space(known["features"], both).discriminant(known["labels"], 2)
    plain = (new["features"] @ weight.T + bias).argmax(1)
    assert (plain == new["labels"]).mean() < (given == new["labels"]).mean() - 0.05


def test_a_label_weighs_what_it_is_said_to() -> None:
    known = cells()
    twice = {name: np.concatenate((one, one)) for name, one in known.items()}
    once = fit_logistic(**known, weights=np.full(120, 2.0), n_values=3, n_classes=2)
    again = fit_logistic(**twice, weights=np.ones(240), n_values=3, n_classes=2)
    assert np.allclose(once.scores(known["features"], known["classes"])[:, :2],
                       again.scores(known["features"], known["classes"])[:, :2], atol=0.1)  # fmt: skip
    assert (once.bias == NEVER).tolist() == [False, False, True], "no cell has the third"


def test_cells_of_no_class_and_a_single_value_are_taken_as_they_are() -> None:
    known = cells()
    known["classes"] = np.full(120, -1)
    lines = fit_logistic(**known, weights=np.ones(120), n_values=2, n_classes=0)
    assert lines.shift.shape == (0, 2)
    assert np.isfinite(lines.scores(known["features"], known["classes"])).all()
    known["labels"] = np.where(known["labels"] == 1, 1, -1)
    alone = fit_logistic(**known, weights=np.ones(120), n_values=2, n_classes=0)
    assert alone.present.tolist() == [False, True]
    assert (alone.scores(known["features"], known["classes"])[:, 0] == NEVER).all()

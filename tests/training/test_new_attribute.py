"""An attribute that no parent knows is learnt from few cells as it is usual in each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from training.engine.cell_features import Cells
from training.engine.data import Labels
from training.engine.new_attribute import fit_logistic
from training.engine.recipe import fit_heads
from training.models.memory import source_of
from training.models.model import adapt, new_model
from training.networks.describer import NEVER, Discriminant
from training.networks.vocabulary import Vocabulary
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


def ordered_cells(n: int, seed: int = 5) -> dict[str, Any]:
    """Three values along one direction, with wide overlaps; no class."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (n, FEATURES))
    labels = np.digitize(features[:, 0] + 0.3 * rng.normal(0, 1, n), (-0.4, 0.4))
    return {"features": features, "labels": labels, "classes": np.full(n, -1)}


def test_the_order_of_values_is_learnt_from_fewer_cells() -> None:
    known, new = ordered_cells(45), ordered_cells(2000, seed=6)
    errors = {}
    for ordered in (False, True):
        lines = fit_logistic(**known, weights=np.ones(45), n_values=3, n_classes=0, ordered=ordered)
        given = lines.scores(new["features"], new["classes"]).argmax(1)
        errors[ordered] = np.abs(given - new["labels"]).mean()
    assert errors[True] < errors[False] - 0.05


def test_the_middle_value_is_most_probable_between_the_others() -> None:
    known = ordered_cells(300)
    lines = fit_logistic(**known, weights=np.ones(300), n_values=3, n_classes=0, ordered=True)
    along = np.zeros((3, FEATURES))
    along[:, 0] = -2, 0, 2
    assert lines.scores(along, np.full(3, -1)).argmax(1).tolist() == [0, 1, 2]
    slopes = np.diff(lines.weight, axis=0)
    assert np.allclose(slopes[0], slopes[1]), "the same direction separates each value from the one before it"


def test_a_value_without_cells_is_left_out_of_the_order() -> None:
    known = ordered_cells(300)
    two = known | {"labels": np.where(known["labels"] == 2, 3, np.where(known["labels"] == 0, 0, -1))}
    kinds = [
        fit_logistic(**two, weights=np.ones(300), n_values=4, n_classes=0, ordered=ordered)
        for ordered in (True, False)
    ]
    assert kinds[0].present.tolist() == [True, False, False, True]
    scores = [lines.scores(two["features"], two["classes"])[:, [0, 3]] for lines in kinds]
    odds = [s[:, 1] - s[:, 0] for s in scores]
    # scikit-learn stops earlier
    assert np.abs(odds[0] - odds[1]).mean() < 0.1, "two values have no order to use"
    assert np.corrcoef(odds)[0, 1] > 0.999


def test_a_project_fits_the_order_that_its_schema_gives() -> None:
    known = ordered_cells(60)
    directions = {}
    for ordered in ((), ("size",)):
        words = Vocabulary((), {}, {"size": ("small", "medium", "large")}, ordered=ordered)
        model = adapt(new_model(words), words, source_of("a project"))
        features = np.zeros((60, model.describer.features), np.float32)
        features[:, :FEATURES] = known["features"]
        labels = Labels.single([np.eye(3, dtype=bool)[known["labels"]]])
        units = np.array([str(i % 12) for i in range(60)])
        fit_heads(model, Cells(features, labels, units, [(0, i) for i in range(60)]))
        lines = model.describer.lines[0]
        assert isinstance(lines, Discriminant)
        steps = np.diff(lines.weight.numpy(), axis=0)
        directions[bool(ordered)] = float(np.corrcoef(steps)[0, 1])
    assert directions[True] > 0.999, "one direction"
    assert directions[False] < 0.9

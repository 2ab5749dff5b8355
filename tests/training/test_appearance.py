"""What a cell looks like by its stain, for models that were never taught a cell."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from annotation_store import load_schema
from training.models.model import new_model
from training.networks.appearance import LENGTH, AppearanceDescriber, appearance
from training.networks.describer import CROP, features_of
from training.networks.vocabulary import Vocabulary
from training.worker.embedded import by_appearance

WORDS = Vocabulary.from_schema(load_schema("lld"))


def cell(nucleus: tuple[int, int, int], radius: int, seed: int = 0) -> np.ndarray:
    """Draw a round nucleus in a pale cell, with a little noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:CROP, :CROP] - CROP / 2
    crop = np.full((CROP, CROP, 3), 235.0)
    crop[np.hypot(x, y) < 40] = (215, 205, 225)
    crop[np.hypot(x, y) < radius] = nucleus
    return np.asarray((crop + rng.normal(0, 4, crop.shape)).clip(0, 255), np.uint8)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_crop_without_any_cell_gives_finite_numbers(value: int) -> None:
    blank = appearance(np.full((CROP, CROP, 3), value, np.uint8))
    noise = appearance(np.random.default_rng(value).integers(0, 256, (CROP, CROP, 3)).astype(np.uint8))
    assert blank.shape == noise.shape == (LENGTH,)
    assert np.isfinite(blank).all()
    assert np.isfinite(noise).all()


def test_rotated_cells_look_the_same_and_others_differ() -> None:
    one, again = appearance(cell((90, 50, 140), 25)), appearance(np.rot90(cell((90, 50, 140), 25)).copy())
    other = appearance(cell((150, 80, 120), 12))
    assert np.abs(one - again).max() < 0.03
    assert np.abs(one - other).max() > 0.1


def test_features_of_a_model_never_taught_are_not_those_of_its_trunk() -> None:
    model = new_model(WORDS)
    trunk = model.trunk_digest()
    by_appearance(model)
    assert isinstance(model.describer, AppearanceDescriber)
    assert model.trunk_digest() != trunk
    found = features_of(model.describer, [cell((90, 50, 140), 25)] * 3, [0.5, 1.0, 2.0])
    assert found.shape == (3, LENGTH + 1)
    assert found[:, -1].tolist() == [0.5, 1.0, 2.0]  # the size stands last, as in other describers
    assert features_of(model.describer, [], []).shape == (0, LENGTH + 1)
    assert all(not logits.any() for logits in model.describer.head_logits(found))
    assert torch.isfinite(found).all()

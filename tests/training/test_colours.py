"""The colours of a cell: the same on a darker film, and other ones if only the cytoplasm is orange."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.networks.colours import N_COLOURS, colours
from training.networks.describer import CONTEXT, CROP

PALE, ORANGE = (225, 200, 205), (205, 130, 110)
BACKGROUND, RED_CELL, NUCLEUS = (240, 235, 225), (205, 175, 170), (90, 50, 130)


def crop(cytoplasm: tuple[int, int, int], shift: int = 0) -> np.ndarray:
    """Draw a cell with a nucleus, and red cells in the corners."""
    offsets = np.arange(CROP) - (CROP - 1) / 2
    x, y = np.meshgrid(offsets, offsets)
    pixels = np.full((CROP, CROP, 3), BACKGROUND, np.float32)
    pixels[(abs(x) > 40) & (abs(y) > 40)] = RED_CELL
    pixels[np.hypot(x, y) < CROP / CONTEXT / 2] = cytoplasm
    pixels[np.hypot(x - shift, y) < 22] = NUCLEUS
    return pixels


def of(*crops: np.ndarray) -> np.ndarray:
    stacked = torch.from_numpy(np.stack(crops).clip(0, 255) / 255).permute(0, 3, 1, 2)
    return colours(stacked, side=CROP, cell=1 / CONTEXT).numpy()


def test_a_darker_lamp_and_where_the_nucleus_lies_change_little_and_orange_granules_much() -> None:
    pale, darker, elsewhere, turned, orange = of(
        crop(PALE), 0.8 * crop(PALE), crop(PALE, 12), np.rot90(crop(PALE, 12)), crop(ORANGE)
    )
    assert np.abs(darker - pale).max() < 0.01
    assert np.abs(elsewhere - pale).max() < 0.15
    assert np.abs(turned - elsewhere).max() < 0.1
    assert np.abs(orange - pale).max() > 0.5


@pytest.mark.parametrize("value", [0, 255])
def test_a_crop_of_one_colour_has_finite_colours(value: int) -> None:
    found = of(np.full((CROP, CROP, 3), value, np.float32))
    assert found.shape == (1, N_COLOURS)
    assert np.isfinite(found).all()


def test_no_crops_have_no_colours() -> None:
    none = torch.zeros(0, 3, CROP, CROP)
    assert colours(none, side=CROP, cell=1 / CONTEXT).shape == (0, N_COLOURS)

"""Augmented views keep boxes, known area and pixels together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from training.engine.augment import jitter_blur, jitter_stain, sample_crop, sample_window
from training.engine.data import (
    MAX_PATCH_SIDE,
    LabelledCell,
    PreparedField,
    cut_patch,
    cut_patches,
    prepare_field,
)
from training.networks.describer import CROP, cut_crop
from training.networks.vocabulary import Vocabulary


def test_padding_is_unknown(make_field: Any) -> None:
    ready = prepare_field(make_field(), 128)
    rng = np.random.default_rng(0)
    for _ in range(20):
        image, _, _, known = sample_window(ready, rng, 192, (0.8, 1.2))
        padded = (image == 114).all(2)
        assert padded.any()
        assert not known[padded].any()


def test_boxes_stay_on_their_cells() -> None:
    image = np.full((96, 128, 3), 255, np.uint8)
    image[20:44, 30:60] = 0
    box = np.array([[30, 20, 60, 44]], np.float32)
    ready = PreparedField(
        image, box, np.ones((96, 128), np.uint8), np.array([[45.0, 32.0]]), np.ones((1, 2), np.float32)
    )
    rng = np.random.default_rng(1)
    for _ in range(30):
        view, boxes, _, _ = sample_window(ready, rng, 96, (0.7, 1.4))
        for x0, y0, x1, y1 in boxes.round().astype(int):
            dark = (view < 60).all(2)
            assert dark[y0 + 2 : y1 - 2, x0 + 2 : x1 - 2].all()
            dark[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2] = False
            assert not dark.any()


def test_a_cell_cut_off_by_the_view_is_neither_cell_nor_background() -> None:
    image = np.full((200, 200, 3), 255, np.uint8)
    boxes = np.array([[0, 0, 100, 100]], np.float32)
    ready = PreparedField(
        image, boxes, np.ones((200, 200), np.uint8), np.array([[150.0, 150.0]]), np.ones((1, 2), np.float32)
    )
    rng = np.random.default_rng(0)
    hidden = 0
    for _ in range(40):
        _, seen, _, known = sample_window(ready, rng, 96, (0.99, 1.01))
        if not len(seen) and not known.all():
            hidden += 1
    assert hidden


def test_a_view_is_the_same_for_the_same_seed(make_field: Any) -> None:
    ready = prepare_field(make_field(), 128)
    one, two = (sample_window(ready, np.random.default_rng(5), 64, (0.8, 1.2)) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_crops_show_the_cell_and_a_little_around_it(make_field: Any, words: Vocabulary) -> None:
    field = make_field()
    patches = cut_patches([field], words)
    direct = cut_crop(field.pixels(), field.cells[0].box).astype(int)
    assert direct.shape == (CROP, CROP, 3)
    assert direct[CROP // 2, CROP // 2, 1] < 90  # the cell
    assert direct[2, 2, 1] > 180  # the ground
    turned = sample_crop(patches.patches[0], np.random.default_rng(0))
    assert turned[CROP // 2, CROP // 2, 1] < 90


def test_a_crop_at_the_edge_and_of_a_huge_cell_is_whole() -> None:
    image = np.random.default_rng(0).integers(0, 255, (60, 50, 3)).astype(np.uint8)
    for box in [(0, 0, 10, 10), (45, 55, 5, 5), (-200, -200, 800, 900)]:
        assert cut_crop(image, box).shape == (CROP, CROP, 3)


def test_stain_jitter_changes_colour_only_a_little() -> None:
    images = torch.rand(4, 3, 16, 16)
    changed = jitter_stain(images, np.random.default_rng(0))
    assert changed.shape == images.shape
    assert 0 < float((changed - images).abs().mean()) < 0.15
    assert float(changed.min()) >= 0
    assert float(changed.max()) <= 1
    assert jitter_stain(images, np.random.default_rng(0), 0.0) is images


def test_only_cells_with_labels_become_patches(make_field: Any, words: Vocabulary) -> None:
    cells = (LabelledCell((10, 10, 20, 20)), LabelledCell((50, 50, 20, 20), "unsure", {"size": "unsure"}))
    assert len(cut_patches([make_field(cells=cells)], words)) == 0


def test_blur_takes_detail_from_half_of_the_views_and_keeps_their_brightness() -> None:
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.random((40, 3, 32, 32), np.float32))
    assert jitter_blur(images, np.random.default_rng(1), 0.0) is images
    blurred = jitter_blur(images, np.random.default_rng(1))
    assert torch.equal(blurred, jitter_blur(images, np.random.default_rng(1)))
    lost = 1 - blurred.std((1, 2, 3)) / images.std((1, 2, 3))
    assert 10 < int((lost > 0.1).sum()) < 30
    assert torch.allclose(blurred.mean((1, 2, 3)), images.mean((1, 2, 3)), atol=0.02)
    assert jitter_blur(images[:2, :, :2, :3], rng).shape == (2, 3, 2, 3), "smaller than the blur"


def test_a_patch_is_the_fields_own_pixels_with_the_cell_in_the_middle(make_field: Any) -> None:
    field = make_field()
    pixels = field.pixels()
    patch = cut_patch(pixels, (80, 40, 36, 36))
    np.testing.assert_array_equal(patch, pixels[22:94, 62:134][:, :66].repeat([1] * 65 + [7], 1))
    huge = cut_patch(np.zeros((1000, 1000, 3), np.uint8), (100, 100, 600, 500))
    assert huge.shape == (MAX_PATCH_SIDE, MAX_PATCH_SIDE, 3)
    assert cut_patch(pixels, (-5, -5, 0.1, 0.1)).shape == (2, 2, 3)


def test_of_many_cells_of_a_class_some_are_held_and_of_a_rare_one_all(
    make_field: Any, words: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.engine.data.MAX_PATCHES_PER_VALUE", 5)
    many = [LabelledCell((i, i, 20.0, 20.0), "Neutrophil") for i in range(50)]
    rare = [LabelledCell((i, 5.0, 20.0, 20.0), "Myeloblast") for i in range(3)]
    held = cut_patches([make_field(cells=(*many, *rare))], words)
    assert held.labels.allowed[0].sum(0).tolist() == [5, 0, 3]
    assert len(held.patches) == len(held.sizes) == 8

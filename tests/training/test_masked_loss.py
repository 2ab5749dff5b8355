"""What is not known teaches nothing; what is known to be empty is background."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from training.engine.data import LabelledCell, known_area, prepare_field
from training.engine.losses import MaskedDetectionLoss
from training.networks.detector import build_detector, raw_predictions

SIZE = 128


@pytest.fixture(scope="module")
def detector() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_detector().train()


def gradient(
    detector: torch.nn.Module,
    known: np.ndarray,
    boxes: list[tuple[float, float, float, float]] | None = None,
    weights: list[tuple[float, float]] | None = None,
    **options: Any,
) -> tuple[torch.Tensor, dict[str, float]]:
    """Give the gradient of the loss on the score logits ``(A,)``; boxes are x, y, w, h in pixels."""
    torch.manual_seed(1)
    raw = raw_predictions(detector, torch.rand(1, 3, SIZE, SIZE))
    raw["scores"].retain_grad()
    centred = [((x + w / 2) / SIZE, (y + h / 2) / SIZE, w / SIZE, h / SIZE) for x, y, w, h in boxes or []]
    loss, parts = MaskedDetectionLoss(detector, **options)(
        raw,
        torch.tensor(centred, dtype=torch.float32).reshape(-1, 4),
        torch.zeros(len(centred), dtype=torch.long),
        torch.from_numpy(known > 0)[None],
        None if weights is None else torch.tensor(weights),
    )
    loss.backward()
    assert raw["scores"].grad is not None
    return raw["scores"].grad[0, 0], parts


def anchor_map(gradients: torch.Tensor) -> np.ndarray:
    """Give the stride-8 anchors as ``(16, 16)``."""
    return gradients[: (SIZE // 8) ** 2].reshape(SIZE // 8, SIZE // 8).numpy()


def test_an_unmarked_area_gives_no_gradient_at_all(detector: torch.nn.Module) -> None:
    detector.zero_grad()
    grad, parts = gradient(detector, np.zeros((SIZE, SIZE), np.uint8))
    assert not grad.any()
    assert parts == {"box": 0.0, "score": 0.0, "distance": 0.0}
    assert all(p.grad is None or not p.grad.any() for p in detector.parameters())


def test_an_empty_finished_region_is_background(detector: torch.nn.Module) -> None:
    known = np.zeros((SIZE, SIZE), np.uint8)
    known[:64, :64] = 1
    grad, _ = gradient(detector, known, rim_rule=False)
    at = anchor_map(grad)
    assert (at[:8, :8] > 0).all()  # scores are pushed down inside
    assert not at[8:].any()
    assert not at[:, 8:].any()


def test_a_cell_outside_the_regions_trains_its_box_but_no_background(detector: torch.nn.Module) -> None:
    grad, parts = gradient(detector, np.zeros((SIZE, SIZE), np.uint8), [(40, 40, 40, 40)])
    assert (grad < 0).any()  # pushed up
    assert parts["box"] > 0
    outside = np.ones((16, 16), bool)
    outside[5:10, 5:10] = False
    assert not anchor_map(grad)[outside].any()


def test_in_the_rim_an_anchor_that_looks_outside_is_left_alone(detector: torch.nn.Module) -> None:
    known = np.zeros((SIZE, SIZE), np.uint8)
    known[:, :64] = 1
    strict, _ = gradient(detector, known, rim_rule=True)
    plain, _ = gradient(detector, known, rim_rule=False)
    assert ((plain == 0) <= (strict == 0)).all()
    # the deep inside teaches either way
    assert (anchor_map(strict)[:, :3] > 0).all()


def test_a_rejected_box_is_known_background_unless_a_cell_covers_it() -> None:
    cell = LabelledCell((40, 40, 20, 20))
    known = known_area((100, 100), 1.0, [cell], [], [], [(10, 10, 20, 20), (50, 50, 20, 20)])
    assert known[10:30, 10:30].all()
    assert known[60:70, 60:70].all()
    assert not known[40:60, 40:60].any()
    assert not known[:10].any()


def test_an_ignore_area_is_never_known(make_field: Any) -> None:
    ready = prepare_field(make_field(ignore=[(0, 0, 64, 96)]), 128)
    assert not ready.known[:, :64].any()
    assert ready.known[:, 64:].all()


def test_several_regions_and_polygons_are_known_together() -> None:
    from annotation_store.records import Shape

    shapes = [Shape.rectangle(0, 0, 10, 10), Shape.polygon([(50, 50), (90, 50), (90, 90)])]
    known = known_area((100, 100), 1.0, [], shapes, [], [])
    assert int(known.sum()) == pytest.approx(100 + 800, rel=0.06)
    assert known[55, 80]
    assert not known[85, 55]


def test_known_area_follows_the_working_scale(make_field: Any) -> None:
    ready = prepare_field(make_field(regions=[(0, 0, 64, 96)]), 256)
    assert ready.image.shape == (192, 256, 3)
    assert ready.known[:, :128].all()
    assert not ready.known[:, 128:].any()
    assert ready.boxes[0] == pytest.approx([24, 24, 80, 80])


def test_a_pseudo_cell_weighs_less_than_a_drawn_one(detector: torch.nn.Module) -> None:
    unknown = np.zeros((SIZE, SIZE), np.uint8)
    drawn, far = (20.0, 20.0, 40.0, 40.0), (80.0, 80.0, 40.0, 40.0)
    full, _ = gradient(detector, unknown, [drawn, far], [(1, 1), (1, 1)])
    light, _ = gradient(detector, unknown, [drawn, far], [(1, 1), (0.25, 0.1)])
    where_full, where_light = anchor_map(full), anchor_map(light)
    # the drawn cell weighs more of a smaller whole; the pseudo-cell a quarter of what that makes it
    share = where_light[3:7, 3:7].sum() / where_full[3:7, 3:7].sum()
    assert share > 1
    np.testing.assert_allclose(where_light[11:14, 11:14], 0.25 * share * where_full[11:14, 11:14], rtol=1e-4)


def test_a_pseudo_cell_without_weight_teaches_nothing(detector: torch.nn.Module) -> None:
    detector.zero_grad()
    grad, parts = gradient(detector, np.zeros((SIZE, SIZE), np.uint8), [(20, 20, 40, 40)], [(0, 0)])
    assert not grad.any()
    assert parts == {"box": 0.0, "score": 0.0, "distance": 0.0}

"""Small synthetic fields: purple discs on a pale ground, in the words of a tiny schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from annotation_store.records import Box, Shape
from training.engine.data import LabelledCell, TrainingField
from training.networks.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

    from training.models.model import LearnedModel


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use one thread for tiny work: a second one only waits, for ages on a busy machine."""
    import torch

    torch.set_num_threads(1)
    # workers leave all cores but one free
    monkeypatch.setenv("NAPARI_LLD_WINDOW", "1")


@pytest.fixture
def words() -> Vocabulary:
    return Vocabulary(
        classes=("Neutrophil", "Lymphoblast", "Myeloblast"),
        groups={"blast": ("Lymphoblast", "Myeloblast")},
        attributes={"size": ("small", "large"), "vacuoles": ("absent", "some", "many")},
    )


def draw(width: int, height: int, boxes: Sequence[Box], seed: int = 0) -> np.ndarray:
    """Draw a field ``(height, width, 3)`` uint8 with a purple disc in each box."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (235, 225, 230), np.float32) + rng.normal(0, 4, (height, width, 3))
    rows, columns = np.mgrid[:height, :width] + 0.5
    for x, y, w, h in boxes:
        inside = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1
        image[inside] = (95, 50, 140)
    return image.clip(0, 255).astype(np.uint8)


@dataclass
class FieldMaker:
    """Makes training fields of 128 × 96 pixels."""

    width: int = 128
    height: int = 96
    cells: tuple[LabelledCell, ...] = (
        LabelledCell((12, 12, 28, 28), "Neutrophil", {"size": "small", "vacuoles": "absent"}),
        LabelledCell((80, 40, 36, 36), "Lymphoblast", {"size": "large", "vacuoles": "many"}),
    )
    extra: list[Box] = field(default_factory=list)

    def __call__(
        self,
        *,
        cells: tuple[LabelledCell, ...] | None = None,
        regions: Sequence[Box] | None = None,
        ignore: Sequence[Box] = (),
        rejections: Sequence[Box] = (),
        drawn: Sequence[Box] | None = None,
        name: str = "field",
    ) -> TrainingField:
        cells = self.cells if cells is None else cells
        image = draw(self.width, self.height, [c.box for c in cells] if drawn is None else drawn)
        whole = [(0.0, 0.0, float(self.width), float(self.height))]
        return TrainingField(
            name=name,
            pixels=lambda: image,
            cells=cells,
            regions=tuple(Shape.rectangle(*box) for box in (whole if regions is None else regions)),
            ignore=tuple(Shape.rectangle(*box) for box in ignore),
            rejections=tuple(rejections),
        )


@pytest.fixture
def make_field() -> FieldMaker:
    return FieldMaker()


def weights(model: LearnedModel) -> dict[str, torch.Tensor]:
    """Copy all that a model has learnt."""
    return {name: tensor.clone() for name, tensor in model.tensors()}


class Heard:
    """Stands in for the worker's channel; remembers what was sent."""

    cancelled = False

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def send(self, message: Any) -> None:
        self.messages.append(message)

    def check(self) -> None:
        pass

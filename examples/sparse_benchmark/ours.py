"""Our engine on a set of fields, from the COCO weights, by the same loop that trains a project's models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from torch import nn

from annotation_store.records import Proposal
from annotation_store.schema import load_schema
from training.calibration import Calibration
from training.engine._ultralytics import DetectionModel, yolo26n_layout
from training.engine.data import TrainingField, cut_patches, prepare_field
from training.engine.loop import LearningConfig, Loop
from training.engine.model import LearnedModel, new_model, with_coco_weights
from training.engine.vocabulary import Vocabulary
from training.evaluate import FieldTruth, TrueCell
from training.measure import fit_calibration, judge
from training.predict import calibrated, propose_raw
from training.pseudo import trusted_confidence, with_pseudo_cells


def vocabulary_of(classes: Sequence[str], *, attributes: bool) -> Vocabulary:
    """Give the words: WBCAtt's attributes, or none."""
    wbcatt = Vocabulary.from_schema(load_schema("wbcatt"))
    return Vocabulary(tuple(classes), {}, wbcatt.attributes if attributes else {})


def train_ours(
    fields: Sequence[TrainingField],
    vocabulary: Vocabulary,
    weights: Path | None,
    *,
    epochs: int,
    size: int,
    seed: int,
    settings: dict[str, Any],
) -> LearnedModel:
    """Train with the loop; `settings` are changes to `LearningConfig`."""
    model = new_model(vocabulary, seed=seed, size=size)
    if weights is not None:
        with_coco_weights(model, weights)
    settings = dict(settings)
    pseudo = settings.pop("pseudo", 0.0)  # share of the epochs that see pseudo-cells, the last tenth aside
    config = replace(LearningConfig(epochs=epochs, window=size, seed=seed), **settings)
    patches = cut_patches(fields, vocabulary)

    def learn(some: Sequence[TrainingField], epochs: int, share: float) -> None:
        prepared = [prepare_field(f, size) for f in some]
        rates = {
            name: getattr(config, name) * share for name in ("detector_rate", "describer_rate", "head_rate")
        }
        Loop(model, prepared, patches, replace(config, epochs=epochs, **rates)).run()

    if not pseudo:
        learn(fields, epochs, 1.0)
        return model
    middle, last = round(pseudo * epochs), max(1, epochs // 10)
    learn(fields, epochs - middle - last, 1.0)
    known = [regions_of(f) for f in fields]
    raw = propose_raw(model, [f.pixels for f in fields])
    model.calibration = fit_calibration(model, known, raw, note="training regions")
    trusted = trusted_confidence(judge(model, known, raw), vocabulary.groups)
    taught = with_pseudo_cells(model, fields, trusted)
    learn(taught, middle, 0.5)
    learn(fields, last, 0.1)
    model.calibration = Calibration()
    return model


def regions_of(field: TrainingField) -> FieldTruth:
    """Give a field's regions as truth."""
    height, width = field.pixels().shape[:2]
    cells = tuple(TrueCell(c.box, c.cell_class, c.attributes) for c in field.cells)
    return FieldTruth(field.name, width, height, cells, inside=field.regions)


def predict_ours(model: LearnedModel, fields: Sequence[TrainingField]) -> list[list[Proposal]]:
    """Propose cells as the worker does, down to the lowest scores."""
    raw = propose_raw(model, [f.pixels for f in fields], min_score=0.001)
    return [calibrated(model, one) for one in raw]


class _ManyClassesLoop(Loop):
    """The same loop over a detector with K classes; the class of each box travels beside its weights."""

    def _detector_loss(self, fields: Any, rng: np.random.Generator) -> Any:
        loss = self._loss

        def with_labels(raw: Any, boxes: Any, index: Any, known: Any, rows: Any) -> Any:
            return loss(raw, boxes, index, known, rows[:, :2], rows[:, 2])

        self._loss = with_labels  # type: ignore[assignment]
        try:
            return super()._detector_loss(fields, rng)
        finally:
            self._loss = loss


def train_many_classes(
    fields: Sequence[TrainingField],
    classes: Sequence[str],
    weights: Path | None,
    *,
    epochs: int,
    size: int,
    seed: int,
    settings: dict[str, Any],
) -> nn.Module:
    """Train our loop with the classes in the detector and no describer."""
    nothing = Vocabulary((), {}, {})
    model = new_model(nothing, seed=seed, size=size)
    if weights is not None:
        with_coco_weights(model, weights)
    detector: Any = DetectionModel(
        {**yolo26n_layout(), "nc": len(classes)}, ch=3, nc=len(classes), verbose=False
    )
    detector.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    own = detector.state_dict()
    start = {k: v for k, v in model.detector.state_dict().items() if own[k].shape == v.shape}
    detector.load_state_dict(start, strict=False)
    model.detector = detector
    config = replace(LearningConfig(epochs=epochs, window=size, seed=seed), **settings)
    prepared = []
    for one in fields:
        cells = [cell for cell in one.cells if cell.cell_class is not None]
        ready = prepare_field(replace(one, cells=tuple(cells)), size)
        labels = [[float(classes.index(cell.cell_class))] for cell in cells if cell.cell_class]
        ready.weights = np.concatenate((ready.weights, np.array(labels, np.float32).reshape(-1, 1)), 1)
        prepared.append(ready)
    _ManyClassesLoop(model, prepared, cut_patches([], nothing), config).run()
    return model.detector.eval()

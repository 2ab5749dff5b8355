"""Predict labelled cells out of fold, to find possible label errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from annotation_store.errors import ImageError
from annotation_store.records import Proposal
from training.engine.cell_features import Cells, embed_cells, joined
from training.engine.data import TrainingField
from training.engine.recipe import out_of_fold
from training.inference.predictor import Boxes, Predictor
from training.models.lineage import Lineage
from training.models.memory import source_of
from training.models.model import LearnedModel
from training.protocol import Progress
from training.worker.annotated_fields import AnnotatedField
from training.worker.budget import CHECKED, Budget
from training.worker.channel import Channel
from training.worker.models import resolve

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 8
_MANY = 256
"""Number of fields in a batch of the cluster."""
_PART = 0.3
"""Maximum share of the remaining time for embedding cells."""

Checked = dict[int, dict[int, Proposal]]
"""Field id to cell id to the out-of-fold prediction."""


def trunk_for(project: Project, model: LearnedModel, number: int | str | None) -> LearnedModel:
    """Return the model whose features are used: one whose trunk was not trained on the project.

    Parameters
    ----------
    number
        The model's number, or the name of its parent in a card.
    """
    if Lineage.of(project, number).origin != "scratch":
        return model
    return resolve(project, "starter")[0].to(next(model.describer.parameters()).device)


def check_labels(
    project: Project,
    model: LearnedModel,
    known: Sequence[AnnotatedField],
    channel: Channel,
    *,
    ready: tuple[Sequence[AnnotatedField], Cells] | None = None,
    budget: Budget | None = None,
    predictor: Predictor | None = None,
) -> Checked:
    """Predict each labelled cell by heads fitted on the cells of other patients.

    Parameters
    ----------
    model
        From `trunk_for`.
    known
        The whole project.
    ready
        Fields whose cells are embedded already, and their embeddings.
    budget
        ``None`` = no limit.
    predictor
        Embeds cells; ``None`` = in this process.
    """
    embed = None if predictor is None else partial(_embed_elsewhere, predictor, model)
    budget = budget or Budget(None, 0.0)
    channel.send(Progress(stage="check", done=0, total=len(known)))
    fields = list(ready[0]) if ready is not None else []
    cells = ready[1] if ready is not None else embed_cells(model, [])
    ready_ids = {item.field.id for item in fields}
    remaining = [item for item in known if item.cells and item.field.id not in ready_ids]
    for batch in budget.batches(remaining, budget.share(_PART), _BATCH if embed is None else _MANY):
        channel.check()
        new_cells = embed_cells(model, [item.training_field(project) for item in batch], embed=embed)
        cells = joined(cells, new_cells, len(fields))
        fields += batch
        channel.send(Progress(stage="check", done=len(fields), total=len(known)))
    n_cells = sum(len(item.cells) for item in known)
    budget.leave_out(CHECKED, n_cells - sum(len(item.cells) for item in known if item not in fields), n_cells)
    if not cells.positions:
        return {}
    predicted = out_of_fold(model, cells, source_of(project.uid))
    vocabulary = model.vocabulary
    checked: Checked = defaultdict(dict)
    for row, (number, index) in enumerate(cells.positions):
        cell = fields[number].cells[index]
        probabilities = [
            {}
            if head is None
            else {value: round(float(p), 5) for value, p in zip(values, head[row], strict=True) if p > 0}
            for values, head in zip(vocabulary.heads, predicted, strict=True)
        ]
        classes = probabilities.pop(0) if vocabulary.classes else {}
        attributes = {n: p for n, p in zip(vocabulary.attributes, probabilities, strict=True) if p}
        if classes or attributes:
            checked[cell.field_id][cell.id] = Proposal(cell.box, 1.0, classes, attributes)
    return dict(checked)


def _embed_elsewhere(
    predictor: Predictor, model: LearnedModel, requested: Sequence[tuple[TrainingField, list[int]]]
) -> list[np.ndarray]:
    """Embed cells by a predictor.

    Raises
    ------
    ImageError
        The image of one cannot be read.
    """

    def views() -> Iterator[tuple[TrainingField, list[Boxes]]]:
        for field, indices in requested:
            if indices:
                boxes = [field.cells[i].box for i in indices]
                yield field, [Boxes(field.pixels, boxes, side=field.cell_side)]

    features = []
    for field, (computed,) in predictor.features(model, views()):
        if computed is None:
            field.pixels()  # raises what is wrong
            raise ImageError(f"The image of {field.name} cannot be read.")
        features.append(computed)
    return features

"""What models that did not learn from labelled cells predict for them, to find possible label errors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from annotation_store.errors import ImageError
from annotation_store.records import Proposal
from training.engine.data import TrainingField
from training.engine.recipe import Cells, embed_cells, joined, out_of_fold
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
"""Fields that others look at before what they saw is joined to the rest."""
_PART = 0.3
"""Part of the time left that looking at cells may take."""

Checked = dict[int, dict[int, Proposal]]
"""Field id to cell id to what is said of the cell."""


def trunk_for(project: Project, model: LearnedModel, number: int | str | None) -> LearnedModel:
    """Return the model by whose features labels are checked: one whose trunk never learnt from the project.

    Parameters
    ----------
    number
        The model's number, or what a card calls its parent.
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
    """Predict each labelled cell from the cells of other patients.

    Parameters
    ----------
    model
        From `trunk_for`.
    known
        The whole project.
    ready
        Fields whose cells the model has looked at, and what it saw.
    budget
        ``None`` = no limit.
    predictor
        Who looks at cells; ``None`` = this process.
    """
    look = None if predictor is None else partial(_looked, predictor, model)
    budget = budget or Budget(None, 0.0)
    channel.send(Progress(stage="check", done=0, total=len(known)))
    fields = list(ready[0]) if ready is not None else []
    cells = ready[1] if ready is not None else embed_cells(model, [])
    there = {one.field.id for one in fields}
    rest = [one for one in known if one.cells and one.field.id not in there]
    for some in budget.batches(rest, budget.share(_PART), _BATCH if look is None else _MANY):
        channel.check()
        more = embed_cells(model, [one.training_field(project) for one in some], embed=look)
        cells = joined(cells, more, len(fields))
        fields += some
        channel.send(Progress(stage="check", done=len(fields), total=len(known)))
    of = sum(len(one.cells) for one in known)
    budget.leave_out(CHECKED, of - sum(len(one.cells) for one in known if one not in fields), of)
    if not cells.positions:
        return {}
    predicted = out_of_fold(model, cells, source_of(project.uid))
    words = model.vocabulary
    found: Checked = defaultdict(dict)
    for row, (number, place) in enumerate(cells.positions):
        cell = fields[number].cells[place]
        shares = [
            {}
            if head is None
            else {value: round(float(p), 5) for value, p in zip(values, head[row], strict=True) if p > 0}
            for values, head in zip(words.heads, predicted, strict=True)
        ]
        classes = shares.pop(0) if words.classes else {}
        attributes = {name: some for name, some in zip(words.attributes, shares, strict=True) if some}
        if classes or attributes:
            found[cell.field_id][cell.id] = Proposal(cell.box, 1.0, classes, attributes)
    return dict(found)


def _looked(
    predictor: Predictor, model: LearnedModel, asked: Sequence[tuple[TrainingField, list[int]]]
) -> list[np.ndarray]:
    """Have cells looked at elsewhere.

    Raises
    ------
    ImageError
        The image of one cannot be read.
    """

    def views() -> Iterator[tuple[TrainingField, list[Boxes]]]:
        for field, places in asked:
            if places:
                boxes = [field.cells[i].box for i in places]
                yield field, [Boxes(field.pixels, boxes, side=field.cell_side)]

    found = []
    for field, (seen,) in predictor.features(model, views()):
        if seen is None:
            field.pixels()  # raises what is wrong
            raise ImageError(f"The image of {field.name} cannot be read.")
        found.append(seen)
    return found

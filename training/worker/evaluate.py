"""The evaluation task: a model measured on held-out regions or against full truth.

What is judged is what a model predicts: the labels of a film move its cells and say whether it is checked
(`training.worker.films`), and the known sizes of white cells set the scale. The boxes from the stain that
prediction shows where the model finds nothing are no model's: they are not judged; the fields are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from annotation_store.errors import LLDError
from annotation_store.formats._exchange.images import Images
from annotation_store.project import Project
from training.evaluation.extra_metrics import SUGGESTED
from training.evaluation.metrics import FieldTruth
from training.evaluation.patient_split import MIN_CELLS
from training.inference.measure import measured
from training.inference.predict import Pixels, RawProposals, cell_sides
from training.inference.predictor import View
from training.inference.sources import ImageFile, StoredField
from training.models.lineage import Lineage
from training.models.model import LearnedModel
from training.networks.scale import domain_of, domain_of_size
from training.protocol import Done, EvaluateRequest, Metrics, Notice, Progress, Started
from training.worker.annotated_fields import AnnotatedField, held_before, knowledge, not_read, readable
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.full_truth import outside_regions, read_truth
from training.worker.many import predictor_for
from training.worker.models import resolve

_LEAST_SCORE = 0.01
_TOLD = 3  # sentences about what was left out of a file


def evaluate(request: EvaluateRequest, channel: Channel, device: torch.device) -> Done:
    """Measure a model; see `EvaluateRequest`."""
    with Project.open(request.project, reading=request.reading, read_only=True) as project:
        model, number = resolve(project, request.model)
        model.to(device)
        known, lost = readable(project, knowledge(project))
        for reason in not_read(project, lost):
            channel.send(Notice(reason=reason.stored()))
        films = Films(project, model, known)
        if request.truth is None:
            shown, on = _held_out(project, number, known), "held-out regions"
        else:
            file = Path(request.truth)
            shown, on = _against_file(project, request, file, channel, known, films), request.truth
        truths, pixels = [one.truth for one in shown], [one.pixels for one in shown]
        cells = sum(truth.covers(cell.box) for truth in truths for cell in truth.cells)
        channel.send(Started(task="evaluate", device=str(device), fields=len(truths), cells=cells))

        of = [one.film for one in shown]
        with predictor_for(request, project, channel) as predictor:
            sides = cell_sides(model, pixels, of, [one.side for one in shown], look=predictor.seen_side)
            views = [
                View(one.pixels, side, films.move(one.film)) for one, side in zip(shown, sides, strict=True)
            ]
            size = predictor.batch
            batches = ((start, views[start : start + size]) for start in range(0, len(views), size))
            raw: list[RawProposals] = []
            for start, some in predictor.propose(model, batches, min_score=_LEAST_SCORE):
                channel.check()
                for i, one in enumerate(some, start):
                    if one is None:
                        pixels[i]()  # raises what is wrong
                        raise LLDError(f"The image of {truths[i].name} cannot be read.")
                    films.note(of[i], one)
                    raw.append(one)
                channel.send(Progress(stage="evaluate", done=len(raw), total=len(truths)))
        metrics: dict[str, Any] = {
            "on": on,
            "outside_regions": request.outside_regions,
            **films.trust(),
            "sets": model.sets.summary(),
            "found_nothing": sum(_finds_nothing(model, one) for one in raw),
            **measured(model, truths, raw),
        }
    channel.send(Metrics(metrics=metrics))
    return Done(task="evaluate", model_id=number, metrics=metrics)


def _finds_nothing(model: LearnedModel, raw: RawProposals) -> bool:
    """Return whether prediction would leave a field to the stain."""
    return not (model.calibration.confidence(raw.scores) >= SUGGESTED).any()


class _Shown(NamedTuple):
    """A field that is judged: its truth, and what prediction would know of it.

    Attributes
    ----------
    side
        Median side of a white cell in its pixels, where the project knows it.
    """

    truth: FieldTruth
    pixels: Pixels
    film: str
    side: float | None


def _held_out(project: Project, number: int | None, known: Sequence[AnnotatedField]) -> list[_Shown]:
    """Return the held-out fields, less those that this very model has learnt from."""
    finished = [k for k in known if k.finished]
    held, _ = held_before(project, finished)
    some = [k for k in finished if k.patient in held]
    if not some:
        raise LLDError(
            f"No cells are held out yet: training holds cells out from {MIN_CELLS} cells in finished "
            "regions. To measure against a fully annotated file, give --truth and --images."
        )
    lineage = Lineage.of(project, number)
    learnt = {k.patient for k in some if lineage.saw(k.field, k.cells)}
    some = [k for k in some if k.patient not in learnt]
    if not some:
        raise LLDError(
            f"Model {number} was trained on all held-out cells, so it cannot be measured on them. To "
            "measure against a fully annotated file, give --truth and --images."
        )
    return [_Shown(k.truth(), k.pixels(project), domain_of(k.field), k.cell_side) for k in some]


def _against_file(
    project: Project,
    request: EvaluateRequest,
    file: Path,
    channel: Channel,
    known: Sequence[AnnotatedField],
    films: Films,
) -> list[_Shown]:
    places = None if request.images is None else Path(request.images)
    fields = Images((), project.fields.all(), project.pseudonyms.of_folder)
    images = Images.for_file(file, places, project if places is None else None)
    found, notes = read_truth(file, project.schema, images, request.fields)
    if not found:
        raise LLDError(f"{file} holds no image to measure on. {notes[0] if notes else ''}".strip())
    if request.outside_regions:
        found = outside_regions(found, fields, {k.field.id: k.finished for k in known})
    if notes:
        more = f" (and {len(notes) - _TOLD} more)" if len(notes) > _TOLD else ""
        channel.send(Notice(reason=(" ".join(notes[:_TOLD]) + more).removesuffix(".")))
    of_project = {k.field.id: k for k in known if k.window is None}
    shown = []
    for one in found:
        if one.path is not None:
            pixels: Pixels = ImageFile(one.path)
        elif one.field is not None:
            pixels = StoredField(project.path, one.field.id)
        field = one.field or fields.known(one.truth.name)
        there = None if field is None else of_project.get(field.id)
        shown.append(_of_image(one.truth, pixels, there, films))
    return shown


def _of_image(truth: FieldTruth, pixels: Pixels, field: AnnotatedField | None, films: Films) -> _Shown:
    """Return an image of a file; one of a field's name and size is that field."""
    size = truth.width, truth.height
    if field is not None and (field.field.width, field.field.height) == size:
        return _Shown(truth, pixels, domain_of(field.field), field.cell_side)
    stated = truth.domain != domain_of_size(*size)
    return _Shown(truth, pixels, truth.domain if stated else films.of_size(*size), None)

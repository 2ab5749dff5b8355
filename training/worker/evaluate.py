"""The evaluation task: evaluate a model on held-out regions or against full ground truth.

It evaluates what a model predicts, including the domain shifts of films (`training.worker.films`) and the
scale from known sizes of white cells. Stain proposals, which prediction falls back to if the model finds
nothing, are not evaluated; the fields that would get them are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from annotation_store.errors import ImageError, LLDError, ProjectError
from annotation_store.formats._exchange.images import Images
from annotation_store.project import Project
from training.evaluation.extra_metrics import SUGGESTED
from training.evaluation.ground_truth import FieldTruth
from training.evaluation.patient_split import MIN_CELLS
from training.inference.measure import measure
from training.inference.predict import Pixels, RawProposals, cell_sides
from training.inference.predictor import View, parts
from training.inference.sources import ImageFile, StoredField
from training.models.lineage import Lineage
from training.models.model import LearnedModel
from training.networks.scale import domain_of, domain_of_size
from training.protocol import Done, EvaluateRequest, Metrics, Notice, Progress, Started
from training.worker.annotated_fields import AnnotatedField, annotated_fields, held_before, not_read, readable
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.full_truth import outside_regions, read_truth
from training.worker.many import predictor_for
from training.worker.models import resolve

_MIN_SCORE = 0.01
_MAX_NOTES = 3  # sentences about skipped entries of a file


def evaluate(request: EvaluateRequest, channel: Channel, device: torch.device) -> Done:
    """Evaluate a model; see `EvaluateRequest`."""
    with Project.open(request.project, reading=request.reading, read_only=True) as project:
        model, number = resolve(project, request.model)
        model.to(device)
        annotated, lost = readable(project, annotated_fields(project))
        for reason in not_read(project, lost):
            channel.send(Notice(reason=reason.stored()))
        films = Films(project, model, annotated)
        skipped: list[dict[str, str]] = []
        if request.truth is None:
            fields, on = _held_out(project, number, annotated), "held-out regions"
        else:
            fields, skipped = _of_file(project, request, channel, annotated, films, number)
            on = str(request.truth)
        cells = sum(field.truth.covers(cell.box) for field in fields for cell in field.truth.cells)
        channel.send(Started(task="evaluate", device=str(device), fields=len(fields), cells=cells))

        truths: list[FieldTruth] = []
        raw: list[RawProposals] = []
        done = learnt = 0
        with predictor_for(request, project, channel) as predictor:
            sides = cell_sides(
                model,
                [field.pixels for field in fields],
                [field.film for field in fields],
                [field.side for field in fields],
                estimate=predictor.seen_side,
            )
            known = list(zip(fields, sides, strict=True))
            batches = (
                (part, [View(field.pixels, side, films.move(field.film)) for field, side in part])
                for part in parts(known, predictor.batch)
            )
            for part, proposals in predictor.propose(model, batches, min_score=_MIN_SCORE):
                channel.check()
                for (field, _), proposal in zip(part, proposals, strict=True):
                    if proposal is None:
                        unread = _why_unread(field)
                        if request.truth is None:
                            raise LLDError(unread["why"])
                        skipped.append(unread)
                        continue
                    films.note(field.film, proposal)
                    truths.append(field.truth)
                    learnt += field.learnt
                    raw.append(proposal)
                done += len(part)
                channel.send(Progress(stage="evaluate", done=done, total=len(fields)))
        if not raw:
            more = f" ({len(skipped) - 1} more likewise)" if len(skipped) > 1 else ""
            raise LLDError(
                f"No image of {on} could be read, so nothing was measured. {skipped[0]['why']}{more}"
            )
        films.tell_without_classes(channel)
        metrics: dict[str, Any] = {
            "on": on,
            "outside_regions": request.outside_regions,
            "trained_on_fields": learnt,
            **films.trust(),
            **model.sets.summary(),
            "found_nothing": sum(_finds_nothing(model, proposals) for proposals in raw),
            **measure(model, truths, raw),
        }
    channel.send(Metrics(metrics=metrics))
    return Done(task="evaluate", model_id=number, metrics=metrics, result={"skipped": skipped})


def _finds_nothing(model: LearnedModel, raw: RawProposals) -> bool:
    """Return whether prediction would fall back to stain proposals on a field."""
    return not (model.calibration.confidence(raw.scores) >= SUGGESTED).any()


class _EvaluatedField(NamedTuple):
    """A field to evaluate: its ground truth, and the input of prediction.

    Attributes
    ----------
    side
        Median side of a white cell in its pixels, if known.
    learnt
        Whether the model was trained on the field.
    """

    truth: FieldTruth
    pixels: Pixels
    film: str
    side: float | None
    learnt: bool = False


def _held_out(project: Project, number: int | None, known: Sequence[AnnotatedField]) -> list[_EvaluatedField]:
    """Return the held-out fields without those that this model was trained on."""
    finished = [k for k in known if k.finished]
    held_out, _ = held_before(project, finished)
    held_out_fields = [k for k in finished if k.patient in held_out]
    if not held_out_fields:
        raise LLDError(
            "No cells are held out on fields that can be read: training holds cells out, unless told not to, "
            f"from {MIN_CELLS} cells in finished regions. To measure against a fully annotated file, give "
            "--truth and --images."
        )
    lineage = Lineage.of(project, number)
    learnt = {k.patient for k in held_out_fields if lineage.saw(k.field, k.cells)}
    held_out_fields = [k for k in held_out_fields if k.patient not in learnt]
    if not held_out_fields:
        raise LLDError(
            f"Model {number} was trained on all held-out cells, so it cannot be measured on them. To "
            "measure against a fully annotated file, give --truth and --images."
        )
    return [
        _EvaluatedField(k.truth(), k.pixels(project), domain_of(k.field), k.cell_side)
        for k in held_out_fields
    ]


def _of_file(
    project: Project,
    request: EvaluateRequest,
    channel: Channel,
    known: Sequence[AnnotatedField],
    films: Films,
    number: int | None,
) -> tuple[list[_EvaluatedField], list[dict[str, str]]]:
    """Return the images of an annotated file, and those that were not found as `_why_unread` gives them.

    Whether they can be read is seen when they are predicted.
    """
    file = Path(str(request.truth))
    image_folder = None if request.images is None else Path(request.images)
    fields = Images((), project.fields.all(), project.pseudonyms.of_folder)
    images = Images.for_file(file, image_folder, project if image_folder is None else None)
    truths, missing, notes = read_truth(file, project.schema, images, request.fields)
    if not truths:
        why = next(iter([*missing.values(), *notes]), "")
        raise LLDError(f"{file} holds no image to measure on. {why}".strip())
    if request.outside_regions:
        truths = outside_regions(truths, fields, {k.field.id: k.finished for k in known})
    if notes:
        more = f" (and {len(notes) - _MAX_NOTES} more)" if len(notes) > _MAX_NOTES else ""
        channel.send(Notice(reason=(" ".join(notes[:_MAX_NOTES]) + more).removesuffix(".")))
    of_project = {k.field.id: k for k in known if k.window is None}
    evaluated = []
    lineage = Lineage.of(project, number)
    for image in truths:
        if image.path is not None:
            pixels: Pixels = ImageFile(image.path)
        elif image.field is not None:
            pixels = StoredField(project.path, image.field.id)
        field = image.field or fields.field_named(image.truth.name)
        annotated = None if field is None else of_project.get(field.id)
        one = _of_image(image.truth, pixels, annotated, films)
        # outside of the finished regions nothing was learned from labels
        if annotated is not None and one.film == domain_of(annotated.field) and not request.outside_regions:
            one = one._replace(learnt=lineage.saw(annotated.field, annotated.cells))
        evaluated.append(one)
    return evaluated, [{"path": name, "why": why} for name, why in missing.items()]


def _why_unread(field: _EvaluatedField) -> dict[str, str]:
    """Return the path of an image that could not be read, or its name in the project, and the reason."""
    place = field.pixels.path if isinstance(field.pixels, ImageFile) else field.truth.name
    why = f"The image of {field.truth.name} cannot be read."
    try:
        field.pixels()
    except (ProjectError, ImageError) as error:
        why = str(error)
    return {"path": str(place), "why": why}


def _of_image(
    truth: FieldTruth, pixels: Pixels, field: AnnotatedField | None, films: Films
) -> _EvaluatedField:
    """Return an image of a file; one of a field's name and size is that field."""
    size = truth.width, truth.height
    if field is not None and (field.field.width, field.field.height) == size:
        return _EvaluatedField(truth, pixels, domain_of(field.field), field.cell_side)
    stated = truth.domain != domain_of_size(*size)
    return _EvaluatedField(truth, pixels, truth.domain if stated else films.of_size(*size), None)

"""How a model did on fields that chance drew, before anybody had annotated there.

What it suggested is still in the project, and the truth came later: so it can be judged without running it,
on more cells than are both held out and drawn at random.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from annotation_store import Project
from annotation_store.geometry import iou
from annotation_store.records import Proposal, Shape, Suggestion, SuggestionState
from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.measured import Measurement, of_model
from napari_lld.report.numbers import CardPart
from training.agreement.votes import true_cell, votes
from training.evaluation.extra_metrics import describe
from training.evaluation.ground_truth import FieldTruth
from training.evaluation.matching import IOU, evaluate_field
from training.networks.scale import domain_of

_RESAMPLES = 300


def before_annotation(project: Project, facts: ReportFacts) -> Measurement:
    """Evaluate what the model had suggested on drawn fields that were untouched when it was made."""
    model = facts.model
    last = 0 if model is None else CardPart(model.card).count("last_cell")
    if model is None or not last:
        return Measurement(Mark.RANDOM, "Unknown for a model of this version.")
    embedded = set(project.embeddings.of(str(model.id)))
    cells = defaultdict(list)
    for cell in facts.cells:
        if cell.field_id in facts.random_sample:
            cells[cell.field_id].append(cell)
    later = {i for i, cells_of_field in cells.items() if min(cell.id for cell in cells_of_field) > last}
    suggested = project.review_statistics.suggested_by(model.id, later)
    inside: dict[int, list[Shape]] = defaultdict(list)
    for region in project.regions.all():
        if region.finished and region.field_id in later:
            inside[region.field_id].append(region.shape)
    outside: dict[int, list[Shape]] = defaultdict(list)
    for area in project.ignore_areas.all():
        outside[area.field_id].append(area.shape)
    voted, results = votes(project), []
    for field_id in sorted(i for i in later if inside[i] and (i in embedded or i in suggested)):
        field = facts.fields[field_id]
        truth = FieldTruth(
            field.name,
            field.width,
            field.height,
            tuple(true_cell(cell, voted.get(cell.id)) for cell in cells[field_id]),
            tuple(inside[field_id]),
            tuple(outside[field_id]),
            facts.units[field.id],
            domain_of(field),
        )
        proposed = _once(suggested.get(field_id, ()))
        results.append(evaluate_field(truth, proposed, classes=facts.schema.class_names))
    missing = (
        "None of the randomly drawn fields was annotated after this model had suggested there."
        if facts.random_sample
        else "No field was drawn at random: all were already annotated before the first ranking."
    )
    if not results:
        return Measurement(Mark.RANDOM, missing)
    numbers = describe(
        results,
        classes=facts.schema.class_names,
        attributes={attribute.name: attribute.value_names for attribute in facts.schema.attributes},
        ordered=[attribute.name for attribute in facts.schema.attributes if attribute.ordered],
        resamples=_RESAMPLES,
    )
    # what it was less sure of than a suggestion must be is not kept: no average over all confidences
    return of_model(CardPart({"random_reserve": {**numbers, "ap50": None}}), Mark.RANDOM, missing)


def _once(suggested: Sequence[Suggestion]) -> list[Proposal]:
    """Leave out what the model suggested again in a later round, preferring decided suggestions."""
    distinct: list[Suggestion] = []
    for suggestion in sorted(suggested, key=lambda s: (s.state is SuggestionState.SUPERSEDED, -s.id)):
        if all(iou(suggestion.box, other.box) < IOU for other in distinct):
            distinct.append(suggestion)
    return [suggestion.proposal for suggestion in distinct]

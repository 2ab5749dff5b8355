"""The limits of the numbers of this project, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_lld.report.agreement import Agreement
from napari_lld.report.card import starter_limits
from napari_lld.report.facts import ReportFacts
from napari_lld.report.measured import Measurement
from napari_lld.report.numbers import FEW, CardPart
from napari_lld.report.overview import Overview
from napari_lld.report.rounds import Round
from napari_lld.report.words import counted, listed
from napari_lld.report.work import WorkFacts
from training.evaluation.patient_split import count_fields
from training.networks.scale import domain_of

_SMALL = 100
_FEW_PATIENTS = 5


def limits(
    facts: ReportFacts,
    annotated: Overview,
    work: WorkFacts,
    measured: Sequence[Measurement],
    rounds: Sequence[Round],
    agreed: Agreement,
) -> list[str]:
    """Describe the limits, the most important first."""
    held, random, _ = measured
    return [
        *_held_out(facts, held),
        *_never_seen(facts, held),
        *_selection(held, random),
        *_calibration(facts, held),
        *_over_time(facts, rounds),
        *_domains(facts),
        *_people(agreed, work, annotated),
        *_starter(facts),
        "What was annotated is a choice of fields and regions, so a share of the cells boxed here is no "
        "count of the blood.",
        "Nothing here shows that a suggestion, or this report, is fit for a diagnosis. Research use only.",
    ]


def _held_out(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    if facts.model is None:
        yield "No model was trained on this project, so nothing says how well one would do here."
        return
    if held.missing:
        yield (
            "No cell is held out: every number of the model stands on cells that it has learned from, and "
            f"its performance on others is unknown. {held.missing}"
        )
        return
    if caution := facts.metrics.text("caution"):
        yield caution
    if left_out := facts.metrics.text("left_out"):
        yield left_out
    unknown = count_fields(facts.held_units) if held.of_fields is None else held.of_fields
    if held.cells < _SMALL:
        yield (
            f"The held-out numbers stand on {counted(held.cells, 'cell')} only. A few cells more or less "
            "would move them: read the intervals, not the numbers."
        )
    if unknown:
        yield (
            f"The patient of {counted(unknown, 'held-out slide or field', 'held-out slides or fields')} is "
            "not known, so these are kept apart by slide or field. Where others show the same patient, or "
            "the very same cells, the model has learned from what it is judged by, and these numbers are too "
            "good."
        )
    if 1 < held.patients < _FEW_PATIENTS:
        yield (
            f"The held-out cells are {held.units} only. How much patients differ cannot be told from so few, "
            "and the intervals are too narrow."
        )
    if held.patients == 1:
        yield (
            f"All measured held-out cells are {held.units}. No interval can be given over patients; "
            "those marked † take cells for independent and are too narrow. Another patient may look quite "
            "different."
        )


def _never_seen(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    schema, words = facts.schema, facts.words
    groups = {member for group in schema.groups if facts.labelled(group.name) for member in group.classes}
    real = [cell_class.name for cell_class in schema.classes if not cell_class.artefact]
    never = [n for n in real if not facts.labelled(n) and n not in groups]
    if never:
        yield (
            f"Never annotated in this project: {listed([words.cell_class(n) for n in never], 20)}. Of these "
            "classes nothing was learned here and nothing is measured."
        )
    if not held.missing:
        of_class = held.numbers.part("classes")
        absent = [n for n in real if facts.labelled(n) and not of_class.part(n).count("truths")]
        few = [n for n in real if 0 < of_class.part(n).count("truths") < FEW]
        if absent:
            yield (
                "Annotated, but among the held-out cells there is none: "
                f"{listed([words.cell_class(n) for n in absent])}. How well they are told is not known."
            )
        if few:
            yield (
                f"Fewer than {FEW} held-out cells: {listed([words.cell_class(n) for n in few])}. Means over "
                "classes count each of them as much as the common ones."
            )
    values = [
        f"{words.attribute(attribute.name)}: {words.value(attribute.name, value)}"
        for attribute in schema.attributes
        for value in attribute.value_names
        if facts.cells and not facts.value_counts[attribute.name][value]
    ]
    if values:
        yield f"Attribute values without a label yet: {listed(values, 14)}."


def _selection(held: Measurement, random: Measurement) -> Iterator[str]:
    if held.missing:
        return
    if random.missing:
        yield (
            "The held-out fields were annotated because a person or the ranking chose them, and none was "
            "drawn by chance. They may be harder or richer than the film as a whole."
        )
    elif random.cells < _SMALL:
        yield (
            f"Only {counted(random.cells, 'held-out cell')} lie on fields that chance drew; the others were "
            "annotated because a person or the ranking chose their field."
        )
    yield (
        "Only finished regions are judged. A cell that people overlooked there counts against a model that "
        "finds it, and of the area outside nothing is known."
    )


def _calibration(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    note = "" if facts.model is None else CardPart(facts.model.card).part("calibration").text("note")
    if "held-out cells are still too few" in note:
        yield ("The probabilities were fitted on cells that the model was trained on: they are too high.")
    elif "held-out" in note and "cross-fitted" not in note and not held.missing:
        yield (
            "The probabilities were fitted on the same held-out cells that the reliability "
            "diagrams show, so these are slightly too good."
        )


def _over_time(facts: ReportFacts, rounds: Sequence[Round]) -> Iterator[str]:
    sizes = [r.held_out.cells for r in rounds if r.held_out.cells]
    if len(set(sizes)) > 1:
        yield (
            f"The held-out cells grew from {min(sizes)} to {max(sizes)} over the rounds, so the points of a "
            "learning curve are not measured on the same cells. The column “against the model before” is."
        )
    if len(sizes) > 2:
        yield (
            f"{len(sizes)} models were compared on held-out cells, and the better ones taken into use: "
            "chosen so, the last looks a little better than it is."
        )
    if facts.model is None:
        return
    last = CardPart(facts.model.card).count("last_cell")
    newer = sum(cell.id > last for cell in facts.cells) if last else 0
    if newer:
        yield f"{counted(newer, 'cell')} came after the model was made: no number stands on them."


def _domains(facts: ReportFacts) -> Iterator[str]:
    annotated = [summary.field for summary in facts.summaries if summary.finished_regions]
    if not annotated:
        return
    all_domains = {domain_of(summary.field) for summary in facts.summaries}
    covered = {domain_of(field) for field in annotated}
    held_domains = {domain_of(field) for field in annotated if field.id in facts.held_fields}
    call = facts.words.domain
    if untouched := sorted(map(call, all_domains - covered)):
        yield (
            f"Nothing is annotated of: {listed(untouched, 6)}. On such images nothing was learned or "
            "measured."
        )
    if held_domains and (unmeasured := sorted(map(call, covered - held_domains))):
        yield f"Nothing is held out of: {listed(unmeasured, 6)}. How well a model does there is not known."
    if len(covered) == 1:
        yield (
            f"All that is annotated comes from one kind of image ({call(next(iter(covered)))}). Another "
            "microscope, camera or stain is not covered."
        )


def _people(agreed: Agreement, work: WorkFacts, annotated: Overview) -> Iterator[str]:
    if agreed.missing:
        yield (
            "The truth is what one reading says. Whether another expert would say the same was not measured, "
            "and a model cannot be shown to be better than the experts agree."
        )
    elif agreed.patients < _FEW_PATIENTS:
        yield (f"Agreement was measured on {counted(agreed.cells, 'cell')} {agreed.units} only.")
    if work.fate.total:
        yield (
            "Whoever accepts a suggestion has seen it first, and people lean towards what they are shown: "
            "that many were accepted is weaker evidence than a held-out number."
        )
    if imported := sum(person.imported for person in work.people):
        yield f"{counted(imported, 'cell')} came from files; how they were labelled is not known here."
    if annotated.cells and not work.seconds:
        yield "No time at work was counted: it is counted in the window only."


def _starter(facts: ReportFacts) -> Iterator[str]:
    if (
        facts.model is not None
        and facts.model.card.get("origin", facts.model.parent) == "starter"
        and (limits_of_starter := starter_limits())
    ):
        yield f"The model began as the bundled starter, whose limits it may share. {limits_of_starter[0]}"

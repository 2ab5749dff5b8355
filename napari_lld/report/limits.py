"""The limits of the numbers of this project, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from napari_lld.report.agreement import Agreement
from napari_lld.report.card import never_seen_by_starter, starter_limits
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
        (
            "Only selected fields and regions were annotated, so a share of the cells boxed here "
            "is not a blood count."
        ),
        "Nothing here shows that a suggestion, or this report, is fit for a diagnosis. Research use only.",
    ]


def _held_out(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    if facts.model is None:
        yield "No model was trained on this project, so it is unknown how well one would perform."
        return
    if held.missing:
        yield (
            "No cell is held out: all numbers of the model are measured on its training data, and its "
            f"performance on other cells is unknown. {held.missing}"
        )
        return
    if caution := facts.metrics.text("caution"):
        yield caution
    if left_out := facts.metrics.text("left_out"):
        yield left_out
    unknown = count_fields(facts.held_units) if held.of_fields is None else held.of_fields
    if held.cells < _SMALL:
        yield (
            f"The held-out numbers are based on only {counted(held.cells, 'cell')}. A few cells more or "
            "fewer would change them: read the intervals, not the numbers."
        )
    if unknown:
        yield (
            f"The patient of {counted(unknown, 'held-out slide or field', 'held-out slides or fields')} is "
            "unknown, so these are separated by slide or field. If others show the same patient, or "
            "even the same cells, the model was trained on its test data, and these numbers are too "
            "good."
        )
    if 1 < held.patients < _FEW_PATIENTS:
        yield (
            f"The held-out cells are {held.units} only. So few do not show how much patients differ, "
            "and the intervals are too narrow."
        )
    if held.patients == 1:
        yield (
            f"All measured held-out cells are {held.units}. Intervals over patients are not possible; "
            "those marked † treat cells as independent and are too narrow. Another patient may look quite "
            "different."
        )


def _never_seen(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    schema, words = facts.schema, facts.words
    groups = {member for group in schema.groups if facts.labelled(group.name) for member in group.classes}
    real = [cell_class.name for cell_class in schema.classes if not cell_class.artefact]
    never = [n for n in real if not facts.labelled(n) and n not in groups]
    if never:
        words_of = f"Never annotated in this project: {listed([words.cell_class(n) for n in never], 20)}."
        if facts.model is None:
            unseen = [words.cell_class(n) for n in never if n in never_seen_by_starter(schema, facts.starter)]
            told = f" The starter has never seen these: {listed(unseen, 20)}." if unseen else ""
            yield f"{words_of} They are not measured here.{told}"
        else:
            yield f"{words_of} The model has not learned these classes here, and they are not measured."
    if not held.missing:
        of_class = held.numbers.part("classes")
        absent = [n for n in real if facts.labelled(n) and not of_class.part(n).count("truths")]
        few = [n for n in real if 0 < of_class.part(n).count("truths") < FEW]
        if absent:
            yield (
                "Annotated, but without held-out cells: "
                f"{listed([words.cell_class(n) for n in absent])}. How well they are predicted is unknown."
            )
        if few:
            yield (
                f"Fewer than {FEW} held-out cells: {listed([words.cell_class(n) for n in few])}. Means over "
                "classes weight each of them as much as the common ones."
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
            "The held-out fields were selected by a person or by the ranking, and none was "
            "drawn at random. They may be more difficult or contain more cells than the film "
            "as a whole."
        )
    elif random.cells < _SMALL:
        yield (
            f"Only {counted(random.cells, 'held-out cell')} lie on randomly drawn fields; the fields of the "
            "others were selected by a person or by the ranking."
        )
    yield (
        "Only finished regions are evaluated. A cell that people overlooked there counts as "
        "an error of a model that finds it, and the area outside is not evaluated."
    )


def _calibration(facts: ReportFacts, held: Measurement) -> Iterator[str]:
    note = "" if facts.model is None else CardPart(facts.model.card).part("calibration").text("note")
    if "held-out cells are still too few" in note:
        yield ("The probabilities were fitted on cells that the model was trained on: they are too high.")
    elif "held-out" in note and "cross-fitted" not in note and not held.missing:
        yield (
            "The probabilities were fitted on the same held-out cells that the reliability "
            "diagrams show, so these are slightly too optimistic."
        )


def _over_time(facts: ReportFacts, rounds: Sequence[Round]) -> Iterator[str]:
    sizes = [r.held_out.cells for r in rounds if r.held_out.cells]
    if len(set(sizes)) > 1:
        yield (
            f"The held-out cells grew from {min(sizes)} to {max(sizes)} over the rounds, so the points of a "
            "learning curve are not measured on the same cells. The column “against the previous model” is."
        )
    if len(sizes) > 2:
        yield (
            f"{len(sizes)} models were compared on held-out cells, and the better ones promoted: "
            "because of this selection, the last one looks slightly better than it is."
        )
    if facts.model is None:
        return
    last = CardPart(facts.model.card).count("last_cell")
    newer = sum(cell.id > last for cell in facts.cells) if last else 0
    if newer:
        yield (
            f"{counted(newer, 'cell')} were added after the model was trained, and the numbers do not "
            "include them."
        )


def _domains(facts: ReportFacts) -> Iterator[str]:
    annotated = [summary.field for summary in facts.summaries if summary.finished_regions]
    if not annotated:
        return
    all_domains = {domain_of(summary.field) for summary in facts.summaries}
    covered = {domain_of(field) for field in annotated}
    held_domains = {domain_of(field) for field in annotated if field.id in facts.held_fields}
    call = facts.words.domain
    if untouched := sorted(map(call, all_domains - covered)):
        yield (f"No annotations in: {listed(untouched, 6)}. Nothing was learned or measured on such images.")
    if held_domains and (unmeasured := sorted(map(call, covered - held_domains))):
        yield f"No held-out cells in: {listed(unmeasured, 6)}. How well a model performs there is unknown."
    if len(covered) == 1:
        yield (
            f"All annotations come from one kind of image ({call(next(iter(covered)))}). Another "
            "microscope, camera or stain is not covered."
        )


def _people(agreed: Agreement, work: WorkFacts, annotated: Overview) -> Iterator[str]:
    if agreed.missing:
        yield (
            "The ground truth is a single reading. Whether another expert would agree was "
            "not measured, and no model can be shown to be better than the agreement between "
            "experts."
        )
    elif agreed.patients < _FEW_PATIENTS:
        yield (f"Agreement was measured on only {counted(agreed.cells, 'cell')} {agreed.units}.")
    if work.fate.total:
        yield (
            "People who accept a suggestion have seen it first and tend to agree with what "
            "they see: a high acceptance rate is weaker evidence than a held-out number."
        )
    if imported := sum(person.imported for person in work.people):
        yield f"{counted(imported, 'cell')} were imported from files; how they were labelled is unknown."
    if annotated.cells and not work.seconds:
        yield "No working time was recorded: it is recorded only in the window."


def _starter(facts: ReportFacts) -> Iterator[str]:
    if (
        facts.model is not None
        and facts.model.card.get("origin", facts.model.parent) == "starter"
        and (limits_of_starter := starter_limits())
    ):
        yield f"The model started from the bundled starter and may share its limits. {limits_of_starter[0]}"

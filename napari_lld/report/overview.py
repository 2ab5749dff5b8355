"""The project in numbers: patients, classes and values, domains."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from annotation_store import Project
from annotation_store.schema.reserved import UNSURE
from napari_lld.report.facts import ReportFacts
from napari_lld.report.numbers import CardPart
from napari_lld.report.words import counted, listed
from napari_lld.session.differential import Differential, differential
from training.networks.scale import domain_of

MOST_PATIENTS = 100
"""Rows of the table of patients; those with fewer cells are added up."""
MOST_DOMAINS = 40


@dataclass(frozen=True, slots=True)
class PatientRow:
    """One patient (or all fields without a patient): its annotations, and whether it is used for training."""

    title: str
    slides: int
    fields: int
    annotated: int
    cells: int
    classes: str
    use: str


@dataclass(frozen=True, slots=True)
class ValueRow:
    """How often each value of an attribute was given."""

    title: str
    counts: Sequence[tuple[str, int]]
    unsure: int
    missing: int


@dataclass(frozen=True, slots=True)
class DomainRow:
    """The fields of one microscope, camera and stain."""

    title: str
    fields: int
    annotated: int
    cells: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What a project holds."""

    fields: int
    annotated: int
    regions: int
    cells: int
    waiting: int
    patients: Sequence[PatientRow]
    known_patients: int
    domains: Sequence[DomainRow]
    differential: Differential
    values: Sequence[ValueRow]


def overview(project: Project, facts: ReportFacts) -> Overview:
    """Count the contents of a project."""
    summaries = facts.summaries
    return Overview(
        fields=len(summaries),
        annotated=sum(summary.finished_regions > 0 for summary in summaries),
        regions=sum(summary.finished_regions for summary in summaries),
        cells=len(facts.cells),
        waiting=sum(summary.pending_suggestions for summary in summaries),
        patients=_patients(facts),
        known_patients=len(facts.words.patients),
        domains=_domains(facts),
        differential=differential(
            project.cells.count_by_class(), facts.schema, unknown=project.suggestions.count_unknown()
        ),
        values=_values(facts),
    )


def _patients(facts: ReportFacts) -> list[PatientRow]:
    classes: dict[str | None, Counter[str | None]] = defaultdict(Counter)
    first: dict[str | None, int] = {}
    for cell in facts.cells:
        patient = facts.fields[cell.field_id].patient
        classes[patient][cell.cell_class] += 1
        first.setdefault(patient, cell.id)  # cells come in the order of their ids
    last = max((CardPart(model.card).count("last_cell") for model in facts.models), default=0)
    fields: Counter[str | None] = Counter()
    annotated: Counter[str | None] = Counter()
    slides: dict[str | None, set[str]] = defaultdict(set)
    held: Counter[str | None] = Counter()
    for summary in facts.summaries:
        patient = summary.field.patient
        fields[patient] += 1
        annotated[patient] += summary.finished_regions > 0
        held[patient] += summary.field.id in facts.held_fields
        if summary.field.slide is not None:
            slides[patient].add(summary.field.slide)

    def use(patient: str | None) -> str:
        if not facts.models or not annotated[patient]:
            return ""
        if patient is None and held[None]:
            return f"{counted(held[None], 'field')} held out"
        if held[patient]:
            return "held out"
        return "not yet learned from" if last and first.get(patient, last + 1) > last else "learned from"

    rows = [
        PatientRow(
            facts.words.patient(patient),
            len(slides[patient]),
            n,
            annotated[patient],
            classes[patient].total(),
            _class_list(facts, classes[patient]),
            use(patient),
        )
        for patient, n in fields.items()
    ]
    if len(rows) <= MOST_PATIENTS:
        return rows
    shown_ids = {id(row) for row in sorted(rows, key=lambda row: -row.cells)[: MOST_PATIENTS - 1]}
    rest = [row for row in rows if id(row) not in shown_ids]
    total = PatientRow(
        f"{len(rest):,} more",
        sum(row.slides for row in rest),
        sum(row.fields for row in rest),
        sum(row.annotated for row in rest),
        sum(row.cells for row in rest),
        "",
        "",
    )
    return [*(row for row in rows if id(row) in shown_ids), total]


def _class_list(facts: ReportFacts, counts: Counter[str | None]) -> str:
    # most_common keeps the order of equals: that of the names, so that nothing depends on chance
    ordered = sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))
    return listed([f"{facts.words.cell_class(name)} {n:,}" for name, n in ordered], 8) if ordered else ""


def _values(facts: ReportFacts) -> list[ValueRow]:
    total = facts.attribute_cells()
    rows = []
    for attribute in facts.schema.attributes:
        counts = facts.value_counts[attribute.name]
        rows.append(
            ValueRow(
                attribute.title or attribute.name,
                [(value.title or value.name, counts[value.name]) for value in attribute.values],
                counts[UNSURE],
                max(0, total - counts.total()),
            )
        )
    return rows


def _domains(facts: ReportFacts) -> list[DomainRow]:
    cells = Counter(cell.field_id for cell in facts.cells)
    rows: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    for summary in facts.summaries:
        row = rows[domain_of(summary.field)]
        row[0] += 1
        row[1] += summary.finished_regions > 0
        row[2] += cells[summary.field.id]
        row[3] += summary.field.id in facts.held_fields and summary.finished_regions > 0
    ordered = sorted(rows.items(), key=lambda item: (-item[1][2], item[0]))
    return [DomainRow(facts.words.domain(name), *counts) for name, counts in ordered[:MOST_DOMAINS]]

"""The data of the report, read from the project once, in few statements."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from annotation_store import Project
from annotation_store.records import Cell, Field, FieldSummary, Model, Reading
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import units_of_fields
from napari_lld.report.card import starter_card
from napari_lld.report.numbers import CardPart
from napari_lld.report.words import Words
from training.models.lineage import still_held_out
from training.models.renaming import card_now
from training.networks.scale import domain_of


def _domain_names(project: Project, domains: Iterable[str], *, names: bool) -> dict[str, str]:
    """Replace the domains' hashes in cards by numbers, unless names are harmless or requested."""
    names_of: dict[str, str] = {}
    for number, domain in enumerate(domains, 1):
        hashed = project.pseudonyms.of_domain(domain)
        names_of[domain] = names_of[hashed] = domain if names or hashed == domain else f"Domain {number}"
    return names_of


@dataclass(frozen=True)
class ReportFacts:
    """A project as its report sees it.

    Attributes
    ----------
    cells
        Of the current reading.
    random_sample
        Ids of the fields that chance drew.
    units
        Ids of fields to their units: see `annotation_store.splits.units`.
    held_units
        The units that no training has seen.
    starter
        The card of the bundled starter; empty if it cannot be read.
    """

    schema: Schema
    reading: Reading
    summaries: Sequence[FieldSummary]
    cells: Sequence[Cell]
    models: Sequence[Model]
    random_sample: frozenset[int]
    units: Mapping[int, str]
    held_units: frozenset[str]
    words: Words
    starter: Mapping[str, Any]

    @classmethod
    def of_project(cls, project: Project, *, names: bool = False) -> ReportFacts:
        """Read the facts of a project."""
        numbers = {patient.name: i for i, patient in enumerate(project.fields.patients(), 1)}
        summaries = project.fields.summaries()
        models = [replace(model, card=card_now(project, model.card)) for model in project.models.all()]
        units = units_of_fields(summary.field for summary in summaries)
        fields: dict[str, list[Field]] = defaultdict(list)
        for summary in summaries:
            fields[units[summary.field.id]].append(summary.field)
        annotated = {summary.field.id for summary in summaries if summary.finished_regions}
        held, _ = still_held_out(project, fields, annotated, [model.card for model in models])
        domains = dict.fromkeys(domain_of(summary.field) for summary in summaries)
        return cls(
            project.schema,
            project.reading,
            summaries,
            project.cells.all(),
            models,
            frozenset(project.random_sample.fields()),
            units,
            frozenset(held),
            Words(project.schema, numbers, _domain_names(project, domains, names=names), names),
            card_now(project, starter_card()),
        )

    @cached_property
    def fields(self) -> Mapping[int, Field]:
        """The fields by their ids."""
        return {summary.field.id: summary.field for summary in self.summaries}

    @cached_property
    def model(self) -> Model | None:
        """The model that the report describes: the one in use, else the newest."""
        active = next((model for model in self.models if model.active), None)
        return active or (self.models[-1] if self.models else None)

    @cached_property
    def metrics(self) -> CardPart:
        """What was measured of that model."""
        return CardPart({} if self.model is None else self.model.card).part("metrics")

    @cached_property
    def held_fields(self) -> frozenset[int]:
        """Ids of the fields that no training has seen."""
        return frozenset(i for i, unit in self.units.items() if unit in self.held_units)

    @cached_property
    def class_counts(self) -> Counter[str | None]:
        """How many cells have each class."""
        return Counter(cell.cell_class for cell in self.cells)

    @cached_property
    def value_counts(self) -> Mapping[str, Counter[str]]:
        """How many cells have each value of each attribute."""
        counts: dict[str, Counter[str]] = {attribute.name: Counter() for attribute in self.schema.attributes}
        for cell in self.cells:
            for name, value in cell.attributes.items():
                if name in counts:
                    counts[name][value] += 1
        return counts

    def attribute_cells(self) -> int:
        """Count the cells that can have attributes: all but artefacts."""
        artefacts = {cell_class.name for cell_class in self.schema.classes if cell_class.artefact}
        return sum(n for name, n in self.class_counts.items() if name not in artefacts)

    def labelled(self, name: str) -> bool:
        """Return whether a class was given to any cell, by itself."""
        return self.class_counts[name] > 0 and name != UNSURE

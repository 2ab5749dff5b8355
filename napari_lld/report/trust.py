"""Reliability of suggestions: prediction sets, and films the model was not trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from annotation_store import Project
from napari_lld.report.facts import ReportFacts
from napari_lld.report.numbers import CardPart
from training.evaluation.unchecked_films import MIN_CHECKED_CELLS, narrows_nothing
from training.models.lineage import learnt_from
from training.networks.scale import domain_of


@dataclass(frozen=True, slots=True)
class SetRow:
    """What the model claims of sets of the class, or of an attribute.

    Attributes
    ----------
    patients, of_fields
        Whose cells they are, and how many of these are fields whose patient is not known.
    coverage, size, values
        Share of held-out cells whose set holds the true value, values of a set on average, and how many there
        are to choose from; ``None`` if too few cells allow no estimate.
    claimed
        Whether sets are claimed.
    """

    title: str
    cells: int
    patients: int
    of_fields: int | None
    claimed: bool
    coverage: float | None
    size: float | None
    values: int | None

    @property
    def is_wide(self) -> bool:
        """Whether the sets hold nearly all values."""
        return narrows_nothing({"mass": self.claimed or None, "size": self.size, "values": self.values})


def set_rows(facts: ReportFacts) -> list[SetRow]:
    """Return a row for the class and each attribute that held-out cells are labelled with."""
    heads = CardPart({} if facts.model is None else facts.model.card).part("sets", "heads")
    rows = []
    for name in heads:
        head = heads.part(name)
        rows.append(
            SetRow(
                "Class" if name == "class" else facts.words.attribute(name),
                head.count("cells"),
                head.count("patients"),
                head.count_or_none("of_fields"),
                head.number("mass") is not None,
                head.number("coverage"),
                head.number("size"),
                head.count_or_none("values"),
            )
        )
    return rows


def units_word(rows: Sequence[SetRow]) -> str:
    """Return the name of the units that the sets are counted by."""
    if all(row.of_fields == row.patients for row in rows):
        return "Fields"
    return "Patients" if all(row.of_fields == 0 for row in rows) else "Patients (or fields)"


def films_not_learned(project: Project, facts: ReportFacts) -> list[tuple[str, int, int]]:
    """List the films with fewer than `MIN_CHECKED_CELLS` training cells, with fields and cells.

    Without a model they are those of all fields, where the starter's suggestions wait. Empty for a model of a
    version that kept no account of it.
    """
    card = {} if facts.model is None else facts.model.card
    waiting = any(summary.pending_suggestions for summary in facts.summaries)
    if "learnt_films" not in card and (facts.model is not None or not waiting):
        return []
    fields = Counter(domain_of(summary.field) for summary in facts.summaries if not summary.field.is_slide)
    cells = {film: learnt_from(project, card, film) for film in fields}
    return [
        (facts.words.domain(film), count, cells[film])
        for film, count in fields.items()
        if cells[film] < MIN_CHECKED_CELLS
    ]

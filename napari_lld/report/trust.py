"""Reliability of suggestions: prediction sets, and films the model was not trained on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from annotation_store import Project
from annotation_store.records import Cell
from napari_lld.report.facts import ReportFacts
from napari_lld.report.numbers import CardPart
from training.evaluation.unchecked_films import can_tell_unlike, narrows_nothing, needed_cells
from training.models.lineage import count_labelled, count_taught
from training.networks.scale import domain_of
from training.networks.vocabulary import Vocabulary, trained_values


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


@dataclass(frozen=True, slots=True)
class UncheckedFilms:
    """The films that too few cells are labelled of to check predictions on them.

    Attributes
    ----------
    films
        Name, number of fields, number of labelled cells, and number of cells that do not count, as they are
        labelled with nothing that the model has learned, of each; empty if there are none.
    needed
        The number of cells that is enough.
    """

    films: Sequence[tuple[str, int, int, int]]
    needed: int


def unchecked_films(project: Project, facts: ReportFacts) -> UncheckedFilms:
    """Count the labelled cells of films as a prediction does (`training.worker.films`), the largest first.

    Without a model the starter suggests, and learns from the project's labels. Empty if nothing waits of it,
    or what waits has no class and no value yet, and for a model of a version that kept no account of its
    films.
    """
    card = {} if facts.model is None else facts.model.card
    vocabulary = Vocabulary.from_schema(facts.schema)
    taught = _taught(card if facts.model else facts.starter, vocabulary)
    if facts.model is None:
        taught = _with_labels(taught, vocabulary, facts.cells)
    trained = trained_values(vocabulary, taught)
    of_classes = taught.get("class", {}).values()
    needed = needed_cells(
        predicts_classes=bool(vocabulary.classes) and trained[0] is not None,
        tells_unlike=can_tell_unlike(of_classes),
    )
    waiting = any(summary.pending_suggestions for summary in facts.summaries) and any(
        known is not None for known in trained
    )
    if "learnt_films" not in card and (facts.model is not None or not waiting):
        return UncheckedFilms((), needed)
    cells: dict[str, list[Cell]] = defaultdict(list)
    for cell in facts.cells:
        cells[domain_of(facts.fields[cell.field_id])].append(cell)
    fields = Counter(domain_of(summary.field) for summary in facts.summaries if not summary.field.is_slide)
    films = []
    for film, count in fields.most_common():
        labelled = count_labelled(project, card, film, cells[film], vocabulary, trained)
        if labelled < needed:
            others = count_taught(cells[film], vocabulary, trained)[1]
            films.append((facts.words.domain(film), count, labelled, others))
    return UncheckedFilms(films, needed)


def _taught(card: Mapping[str, object], vocabulary: Vocabulary) -> dict[str, dict[str, float]]:
    """Return how many cells of each value of the schema a model was trained on, according to its card."""
    listed = CardPart(card).part("taught")
    return {
        name: {value: listed.part(name).number(value) or 0.0 for value in values}
        for name, values in zip(vocabulary.head_names, vocabulary.heads, strict=True)
    }


def _with_labels(
    taught: Mapping[str, Mapping[str, float]], vocabulary: Vocabulary, cells: Iterable[Cell]
) -> dict[str, dict[str, float]]:
    """Add the project's labelled cells to those that a model was trained on."""
    added = {name: dict(counts) for name, counts in taught.items()}
    for cell in cells:
        targets = vocabulary.targets(cell.cell_class, cell.attributes)
        for counts, target in zip(added.values(), targets, strict=True):
            if target.sum() == 1:
                counts[list(counts)[int(target.argmax())]] += 1
    return added

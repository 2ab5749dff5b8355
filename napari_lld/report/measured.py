"""Scores of the model from its card, on held-out, random and learned-from cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from napari_lld.report.facts import ReportFacts
from napari_lld.report.marks import Mark
from napari_lld.report.numbers import CardPart, Estimate, spread
from napari_lld.report.svg import reliability
from napari_lld.report.words import Words
from training.evaluation.units import of_units

_KEYS = {Mark.HELD_OUT: "held_out", Mark.RANDOM: "random_reserve", Mark.TRAINED_ON: "trained_on"}
MOST_NAMES = 30
"""Rows and columns of a confusion matrix; a schema may have hundreds of classes."""


_NONE = Estimate(None, 0)
_NOTHING = CardPart(None)


@dataclass(frozen=True)
class Measurement:
    """What was measured on cells of one mark.

    Attributes
    ----------
    missing
        Why there is nothing, as a sentence; empty if there is something.
    patients
        What the bootstrap resamples: patients, or fields if none is known.
    of_fields
        How many of these are fields; ``None`` if an older version did not count them.
    threshold
        Confidence from which a suggestion counts for precision, recall and F1.
    """

    mark: Mark
    missing: str
    fields: int = 0
    cells: int = 0
    patients: int = 0
    of_fields: int | None = None
    threshold: float = 0.5
    found: Estimate = _NONE
    recall: Estimate = _NONE
    precision: Estimate = _NONE
    class_f1: Estimate = _NONE
    attribute_f1: Estimate = _NONE
    numbers: CardPart = _NOTHING

    @property
    def units(self) -> str:
        """Of whom its cells are."""
        return of_units(self.patients, self.of_fields)


@dataclass(frozen=True, slots=True)
class ClassRow:
    """How well one class is told, over found cells."""

    title: str
    truths: int
    found: Estimate
    f1: Estimate
    precision: Estimate
    recall: Estimate


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """How well one attribute is told, over found cells, and with those not found."""

    title: str
    macro: Estimate
    end_to_end: Estimate
    accuracy: Estimate
    look_up: Estimate
    within_class: Estimate
    rank_error: Estimate
    weighted_kappa: Estimate
    trained_on: Estimate
    values: Sequence[tuple[str, Estimate, Estimate]]


@dataclass(frozen=True, slots=True)
class Confusion:
    """Who was taken for whom: a row a true name; shades from 0 to 1 are shares of the row."""

    title: str
    said: Sequence[str]
    rows: Sequence[tuple[str, int, Sequence[tuple[int, float, bool]]]]
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Reliability:
    """How often predictions of a confidence were right."""

    title: str
    n: int
    before: float | None
    after: float | None
    chart: Markup


@dataclass(frozen=True, slots=True)
class DomainScores:
    """What was scored on one domain."""

    title: str
    fields: int
    cells: int
    found: Estimate
    recall: Estimate
    class_f1: Estimate
    attribute_f1: Estimate


def measurements(facts: ReportFacts) -> list[Measurement]:
    """Return the three measurements of the model, each with its numbers or the reason for having none."""
    return [_measurement(facts, mark) for mark in _KEYS]


def of_model(metrics: CardPart, mark: Mark, missing: str = "") -> Measurement:
    """Return the metrics of a model on the cells of one kind."""
    numbers = metrics.part(_KEYS[mark])
    cells = numbers.count("cells")
    if not cells:
        return Measurement(mark, missing or "Nothing was measured.")
    between = numbers.part("intervals")
    # a mean over attributes: it stands on no more cells than the attribute that most of them have
    rows = [numbers.part("attributes", name) for name in numbers.part("attributes")]
    most = max((row.count("n") for row in rows if row.number("f1") is not None), default=0)
    return Measurement(
        mark,
        "",
        fields=numbers.count("fields"),
        cells=cells,
        patients=between.count("patients"),
        of_fields=between.count_or_none("of_fields"),
        threshold=numbers.number("threshold") or 0.5,
        found=numbers.estimate("ap50", cells, between),
        recall=numbers.share("recall", cells, between),
        precision=numbers.share("precision", numbers.count("proposals"), between),
        class_f1=numbers.estimate("class_f1", numbers.count("class_n"), between),
        attribute_f1=numbers.estimate("attribute_f1", most, between),
        numbers=numbers,
    )


def _measurement(facts: ReportFacts, mark: Mark) -> Measurement:
    return of_model(facts.metrics, mark, _why_missing(facts, mark))


def _why_missing(facts: ReportFacts, mark: Mark) -> str:
    if facts.model is None:
        return "No model was trained yet."
    if mark is Mark.HELD_OUT:
        return facts.metrics.text("note") or "Nothing is held out yet."
    if _KEYS[mark] not in facts.metrics:
        if mark is Mark.RANDOM and not facts.metrics.part("held_out"):
            return "Nothing is held out yet."
        return "The version that trained this model did not measure this; the next training will."
    if mark is Mark.RANDOM:
        if not facts.random_sample:
            return "No field was drawn at random: all were already annotated before the first ranking."
        drawn, begun = len(facts.random_sample), _annotated(facts)
        return (
            f"{begun} of the {drawn} randomly drawn fields are annotated so far, in part or completely; "
            "none of these was held out when the model was measured."
        )
    return "The model has not learned from any cell in a finished region."


def _annotated(facts: ReportFacts) -> int:
    return sum(
        summary.finished_regions > 0 and summary.field.id in facts.random_sample
        for summary in facts.summaries
    )


def class_rows(measurement: Measurement, words: Words) -> list[ClassRow]:
    """Return a row for each class that occurs among the cells."""
    rows = []
    for name in measurement.numbers.part("classes"):
        row = measurement.numbers.part("classes", name)
        between, n, truths = row.part("intervals"), row.count("n"), row.count("truths")
        rows.append(
            ClassRow(
                words.cell_class(name),
                truths,
                row.estimate("ap50", truths, between),
                row.estimate("f1", n, between),
                row.estimate("precision", n, between),
                row.share("recall", n, between),
            )
        )
    return rows


def attribute_tables(measurement: Measurement, trained: Measurement, words: Words) -> list[AttributeTable]:
    """Return a table for each attribute that any found cell has."""
    tables = []
    for name in measurement.numbers.part("attributes"):
        row = measurement.numbers.part("attributes", name)
        n = row.count("n")
        if not n:
            continue
        between, values = row.part("intervals"), row.part("values")
        learnt = trained.numbers.part("attributes", name)
        tables.append(
            AttributeTable(
                words.attribute(name),
                row.estimate("f1", n, between),
                row.estimate("f1_end_to_end", n, between),
                row.share("accuracy", n, between),
                row.estimate("look_up", n, between),
                row.estimate("within_class", n, between),
                row.estimate("rank_error", n, between),
                row.estimate("weighted_kappa", n, between),
                learnt.estimate("f1", learnt.count("n"), learnt.part("intervals")),
                [
                    (
                        words.value(name, value),
                        _of_value(values.part(value)),
                        _of_value(learnt.part("values", value)),
                    )
                    for value in values
                ],
            )
        )
    return tables


def _of_value(row: CardPart) -> Estimate:
    return Estimate(row.number("f1"), row.count("n"), *spread(row, "interval"))


def confusions(measurement: Measurement, words: Words) -> list[Confusion]:
    """Return the confusion matrices of class and attributes that are not empty."""
    tables = measurement.numbers.part("confusion")
    matrices = [_confusion("Class", tables.part("class"), words.cell_class)]
    for name in tables.part("attributes"):

        def value(value: str, name: str = name) -> str:
            return words.value(name, value)

        matrices.append(_confusion(words.attribute(name), tables.part("attributes", name), value))
    return [table for table in matrices if table is not None]


def _confusion(title: str, table: CardPart, call: Callable[[str], str]) -> Confusion | None:
    truth, predicted, counts = table.list("truth"), table.list("said"), table.list("counts")
    if not any(name is not None for name in truth) or not all(isinstance(row, list) for row in counts):
        return None
    # what stands beside a name that is left out would be lost without a word
    left_out = max(len(truth) - MOST_NAMES, len(predicted) - MOST_NAMES, 0)
    truth, predicted = truth[:MOST_NAMES], predicted[:MOST_NAMES]

    def named(name: object, nothing: str) -> str:
        if name is None:
            return nothing
        return "nothing said" if name == "" else call(str(name))

    rows = []
    for name, row in zip(truth, counts, strict=False):
        numbers = [int(c) if isinstance(c, int | float) and c >= 0 else 0 for c in row[: len(predicted)]]
        total = sum(numbers)
        cells = [
            (n, n / total if total else 0.0, name is not None and name == column)
            for column, n in zip(predicted, numbers, strict=False)
        ]
        rows.append((named(name, "no cell there"), total, cells))
    return Confusion(title, [named(name, "not found") for name in predicted], rows, left_out)


def reliabilities(measurement: Measurement, words: Words) -> list[Reliability]:
    """Return the diagrams of suggestions, class and attributes that were measured."""
    calibration = measurement.numbers.part("calibration")
    parts = [("Suggestions: is it a white cell?", calibration.part("cells"))]
    parts.append(("Class of found cells", calibration.part("class")))
    parts += [
        (words.attribute(name), calibration.part("attributes", name))
        for name in calibration.part("attributes")
    ]
    diagrams = []
    for title, part in parts:
        rows = [CardPart(row) for row in part.list("curve")]
        curve = [(row.number("mean") or 0.0, row.count("n"), row.count("right")) for row in rows]
        sane = [(min(max(mean, 0.0), 1.0), n, min(right, n)) for mean, n, right in curve]
        chart = reliability(sane, title)
        if part.count("n") and chart:
            diagrams.append(
                Reliability(title, part.count("n"), part.number("before"), part.number("after"), chart)
            )
    return diagrams


def domain_scores(measurement: Measurement, words: Words) -> list[DomainScores]:
    """Return the numbers of each domain, if there are several."""
    rows = []
    for name in measurement.numbers.part("domains"):
        row = measurement.numbers.part("domains", name)
        cells = row.count("cells")
        rows.append(
            DomainScores(
                words.domain(name),
                row.count("fields"),
                cells,
                row.estimate("ap50", cells, _NOTHING),
                row.share("recall", cells, _NOTHING),
                row.estimate("class_f1", row.count("class_n"), _NOTHING),
                row.estimate("attribute_f1", row.count("attribute_n"), _NOTHING),
            )
        )
    return rows

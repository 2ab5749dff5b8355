"""The differential count: how many white cells of each class, with what certainty; no Qt.

A cell whose class is missing or unsure is counted apart and is in no percentage, and so are suggestions of
unknown cells; artefacts are no white cells. Of them only nucleated red cells are told, as per 100 white
cells.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from annotation_store import ClassCount
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.i18n.translate import tr
from training.evaluation.statistics import clopper_pearson, wilson

BLAST = "blast"
"""The class group whose share is told as blast %."""
NUCLEATED_RED = "nucleated red cell"


@dataclass(frozen=True)
class Share:
    """One line of a differential: a class or class group, its count, its share and 95% interval."""

    name: str
    title: str
    count: int
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Differential:
    """A differential count.

    Attributes
    ----------
    shares
        The classes that occur, in the schema's order, then groups such as *blast, lineage unknown*.
    counted
        White cells with a class: what the shares are of.
    unclassified
        White cells whose class is missing or unsure.
    blasts
        All cells of the group `BLAST` and of its classes, or ``None`` if the schema has no such group.
    nucleated_red
        Artefacts of that kind.
    unknown
        Suggestions of cells unlike anything taught that wait: counted under no class.
    """

    shares: tuple[Share, ...]
    counted: int
    unclassified: int
    blasts: Share | None
    nucleated_red: int
    unknown: int = 0

    @property
    def nucleated_red_per_100(self) -> float | None:
        """Nucleated red cells per 100 white cells, or ``None`` before one is counted."""
        return 100 * self.nucleated_red / self.counted if self.counted else None


def differential(
    class_counts: Iterable[ClassCount],
    schema: Schema,
    *,
    unknown: int = 0,
    worth: Mapping[str, float] | None = None,
) -> Differential:
    """Make a differential of counts by class and kind (`Project.cells.count_by_class`).

    Parameters
    ----------
    unknown
        See `Project.suggestions.count_unknown`.
    worth
        Of cells that were counted in places of a slide: see `training.evaluation.statistics.effective_share`.
        By class or group; the intervals are then exact ones, else Wilson's.
    """
    counts: Counter[str] = Counter()
    unclassified = nucleated_red = 0
    artefacts = {item.name for item in schema.classes if item.artefact}
    for class_count in class_counts:
        if class_count.cell_class in artefacts:
            nucleated_red += class_count.count if class_count.kind == NUCLEATED_RED else 0
        elif class_count.cell_class is None or class_count.cell_class == UNSURE:
            unclassified += class_count.count
        else:
            counts[class_count.cell_class] += class_count.count
    counted = counts.total()

    def share(name: str, title: str, count: int) -> Share:
        cell_worth = None if worth is None else worth.get(name, min(worth.values(), default=1.0))
        low, high = (
            wilson(count, counted) if cell_worth is None else clopper_pearson(count, counted, cell_worth)
        )
        return Share(name, title, count, count / counted if counted else 0.0, low, high)

    names = [*schema.class_names, *(group.name for group in schema.groups)]
    shares = tuple(share(name, schema.class_title(name), counts[name]) for name in names if counts[name])
    blasts = None
    if schema.is_group(BLAST):
        blast_names = {BLAST, *schema.members(BLAST)}
        blasts = share(BLAST, tr("All blasts"), sum(counts[name] for name in blast_names))
    return Differential(shares, counted, unclassified, blasts, nucleated_red, unknown)


def as_rows(counts: Differential) -> list[tuple[str, str, str, str, str]]:
    """Return a differential as rows of text: class, count, percent, and its 95% interval from and to."""
    rows = [("class", "count", "percent", "from", "to")]
    lines = [*counts.shares, *([counts.blasts] if counts.blasts is not None else [])]
    rows += [
        (s.title, str(s.count), f"{100 * s.share:.1f}", f"{100 * s.low:.1f}", f"{100 * s.high:.1f}")
        for s in lines
    ]
    rows.append(("White cells counted", str(counts.counted), "", "", ""))
    rows.append(("Class missing or unsure", str(counts.unclassified), "", "", ""))
    rows.append(("Unknown, suggested and not counted", str(counts.unknown), "", "", ""))
    per = counts.nucleated_red_per_100
    rows.append(
        (
            "Nucleated red cells (percent: per 100 white cells)",
            str(counts.nucleated_red),
            "" if per is None else f"{per:.1f}",
            "",
            "",
        )
    )
    return rows


def as_csv(counts: Differential) -> str:
    """Write a differential as CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(as_rows(counts))
    return text.getvalue()


def as_text(counts: Differential) -> str:
    """Write a differential with tabs, as spreadsheets take it from the clipboard."""
    return "\n".join("\t".join(row) for row in as_rows(counts))

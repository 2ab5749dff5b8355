"""Count the contents of an export, and the losses of its format, before anything is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from annotation_store.formats._exchange.export import Contents, Progress, reading_all, with_progress
from annotation_store.records import Cell, Proposal
from annotation_store.schema.reserved import UNSURE

if TYPE_CHECKING:
    from annotation_store.project import Project

OF_CELLS = ("attributes", "unsure", "flags", "comments", "nameless")
OF_SUGGESTIONS = ("probabilities", "novelty", "unchecked", "sets")
"""What only cells, and only suggestions, have to lose."""

LOST: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "coco": ("images",),
        "yolo": ("attributes", "flags", "comments", "slides", *OF_SUGGESTIONS),
        "lld": ("nameless", "unsure", "flags", "comments", "slides"),
        "voc": ("slides",),
        "csv": ("images", "regions", "ignore_areas", "probabilities"),
        "geojson": ("images",),
        "labelstudio": ("images", *OF_SUGGESTIONS),
        "huggingface": ("slides", *OF_SUGGESTIONS),
        "crops": ("regions", "ignore_areas", "probabilities"),
    }
)
"""What each format loses, as `docs/formats.md` describes; round-trip tests check it."""

NO_UNKNOWN_AREA = frozenset({"yolo"})
"""Formats whose readers take all that is not boxed for background, whatever is written beside."""

REGIONS_OF_OUR_OWN = frozenset({"coco", "huggingface", "voc"})
"""Formats that hold regions in members of our own, which other programs pass over."""

NO_SUGGESTIONS = frozenset({"lld", "voc"})
"""Formats that refuse suggestions."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What the current reading of a project holds, as counts.

    Attributes
    ----------
    regions
        Finished ones; drafts are in no export.
    attributes, unsure, flags, comments
        Cells with a value; with an unsure value; with a kind, a bookmark, cut, or waiting for a second
        opinion; with a comment.
    nameless
        Cells without one class: missing, unsure, or a group.
    slides
        Whole slides: only their finished regions are written, as pictures.
    images
        Fields: their pixels do not go along.
    probabilities, novelty, unchecked, sets
        Pending suggestions with probabilities of class or values; with the p-value of being of a taught
        class; of films where nothing was checked; with sets of values.
    annotated, covered
        Fields, without slides, with any annotation; of those, the ones that finished regions and ignore areas
        cover.
    """

    fields: int
    regions: int
    ignore_areas: int
    cells: int
    suggestions: int
    attributes: int
    unsure: int
    flags: int
    comments: int
    nameless: int
    slides: int
    images: int
    annotated: int = 0
    covered: int = 0
    probabilities: int = 0
    novelty: int = 0
    unchecked: int = 0
    sets: int = 0

    def lost(self, form: str, what: str = "cells") -> dict[str, int]:
        """Count what a format would lose; kinds that lose nothing are left out."""
        others = OF_SUGGESTIONS if what == "cells" else OF_CELLS
        kinds = [kind for kind in LOST[form] if kind not in others]
        return {kind: count for kind in kinds if (count := getattr(self, kind))}


def survey(project: Project, progress: Progress | None = None) -> Survey:
    """Count what there is to export; what `progress` raises ends it."""
    contents = Contents.of_project(project, "cells", progress)
    classes = set(contents.schema.class_names)
    covered = 0
    counts: Counter[str] = Counter()
    for field in with_progress(contents.fields, progress):
        counts.update(_had(contents.cells.get(field.id, ()), classes))
        covered += not field.is_slide and contents.covered(field)
    with reading_all(project, progress):
        proposals = [suggestion.proposal for suggestion in project.suggestions.find()]
    return Survey(
        fields=len(contents.fields),
        regions=sum(map(len, contents.regions.values())),
        ignore_areas=sum(map(len, contents.ignore_areas.values())),
        suggestions=len(proposals),
        slides=sum(field.is_slide for field in contents.fields),
        images=len(contents.fields),
        annotated=sum(not field.is_slide for field in contents.annotated()),
        covered=covered,
        **{kind: counts[kind] for kind in ("cells", *OF_CELLS)},
        **_trust(proposals),
    )


def _had(cells: Sequence[Cell], classes: Collection[str]) -> dict[str, int]:
    """Count cells, and those that have something to lose, for each of `OF_CELLS`."""
    return {
        "cells": len(cells),
        "attributes": sum(bool(cell.attributes) for cell in cells),
        "unsure": sum(UNSURE in cell.attributes.values() for cell in cells),
        "flags": sum(bool(c.kind or c.cut or c.bookmark or c.second_opinion) for c in cells),
        "comments": sum(bool(cell.comment) for cell in cells),
        "nameless": sum(cell.cell_class not in classes for cell in cells),
    }


def lost_by_suggestions(contents: Contents, form: str) -> list[str]:
    """Describe in sentences what a format loses of the suggestions that are written."""
    kinds = [kind for kind in OF_SUGGESTIONS if kind in LOST[form]]
    counts = _trust(
        [suggestion.proposal for of_field in contents.suggestions.values() for suggestion in of_field]
    )
    return [_SENTENCES[kind].format(n=counts[kind]) for kind in kinds if counts[kind]]


_SENTENCES = {
    "probabilities": "{n} suggestions keep only their most probable class and values, not all probabilities.",
    "novelty": "{n} suggestions lose how unlike the taught classes they are (novelty).",
    "unchecked": "{n} suggestions lose the mark that predictions on their film are unchecked.",
    "sets": "{n} suggestions lose their sets of values.",
}


def _trust(proposals: Sequence[Proposal]) -> dict[str, int]:
    """Count the suggestions that have something to lose, for each of `OF_SUGGESTIONS`."""
    return {
        "probabilities": sum(bool(p.class_probabilities or p.attribute_probabilities) for p in proposals),
        "novelty": sum(p.novelty is not None for p in proposals),
        "unchecked": sum(p.unchecked for p in proposals),
        "sets": sum(bool(p.sets) for p in proposals),
    }

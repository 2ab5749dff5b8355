"""The current differential of a whole slide: counts, searched area, pending reviews; no Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from annotation_store import Project
from annotation_store.records import Field
from annotation_store.schema import Schema
from napari_lld.i18n.translate import decimal, tr, trn
from napari_lld.session.differential import Differential, as_rows, differential
from napari_lld.session.gallery_items import Item
from training.inference.slide_count import LIKELY, Areas, SlideCount, count

TARGETS = (100, 200, 500)
"""White cells that are counted to, by custom."""


@dataclass(frozen=True)
class ReadPlaces:
    """What a search has read of a slide to count in: the result of a `DifferentialRequest`.

    Attributes
    ----------
    boxes
        Where one counts.
    tiles
        Places that were read.
    share_read
        Of the slide's pixels.
    model
        The model's number; ``None`` = the starter.
    worth
        See `napari_lld.session.differential.differential`.
    """

    field_id: int
    to: int
    boxes: Areas
    tiles: int
    share_read: float
    exhausted: bool
    model: int | None
    worth: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_result(cls, result: Mapping[str, Any], model: int | None) -> ReadPlaces:
        """Read a result of the worker."""
        return cls(
            int(result["field"]),
            int(result["to"]),
            Areas([(float(x), float(y), float(w), float(h)) for x, y, w, h in result["places"]]),
            int(result["tiles"]),
            float(result["share_read"]),
            int(result["tiles"]) >= int(result["monolayer_tiles"]),
            model,
            {str(name): float(cell_worth) for name, cell_worth in result["worth"].items()},
        )

    def count(self, project: Project) -> SlideCount:
        """Count the cells and suggestions of the searched places; called in a thread."""
        holds = self.boxes.holds
        cells = project.cells.pick(self.field_id, holds)
        return count(cells, project.suggestions.pick(self.field_id, holds, least=LIKELY), holds)


@dataclass(frozen=True)
class Counted:
    """What was counted on a slide, to be listed alone.

    Attributes
    ----------
    name
        The slide's.
    places
        Where one counts.
    """

    field_id: int
    name: str
    places: Areas

    def holds(self, item: Item) -> bool:
        """Return whether an item of the gallery is among what was counted."""
        entry = item.entry
        if entry.field_id != self.field_id or not self.places.holds(entry.box):
            return False
        return entry.kind == "cell" or (entry.confidence or 0.0) >= LIKELY


@dataclass(frozen=True)
class SlideDifferential:
    """What was counted on a slide, and how far it is to be relied on."""

    read: ReadPlaces
    found: SlideCount
    schema: Schema
    slide: Field

    @cached_property
    def counts(self) -> Differential:
        """Classes with shares and intervals."""
        count, worth = self.found, self.read.worth
        return differential(count.found, self.schema, unknown=count.unknown, worth=worth)

    @property
    def unreviewed(self) -> int:
        """How many of those counted are predictions that nobody has reviewed."""
        return len(self.found.suggestions)

    @property
    def reviewed(self) -> int:
        """How many of those counted are cells of the reading."""
        return len(self.found.cells)

    @property
    def heading(self) -> str:
        """How many white cells were counted, of how many."""
        return tr(
            "{counted} of {target} white cells counted", counted=self.counts.counted, target=self.read.to
        )

    @property
    def apart(self) -> str:
        """What is in no percentage."""
        artefacts = self.found.artefacts(self.schema)
        parts = [
            trn("{count} unknown", "{count} unknown", self.counts.unknown) if self.counts.unknown else "",
            trn("{count} artefact", "{count} artefacts", artefacts) if artefacts else "",
            tr("{count} without a class", count=self.counts.unclassified) if self.counts.unclassified else "",
        ]
        return (
            tr("Not in the percentages: {what}.", what=", ".join(filter(None, parts))) if any(parts) else ""
        )

    @property
    def area(self) -> str:
        """How large the area is in which it was counted."""
        um = self.slide.pixel_size_um
        if um is None:
            return tr("{count} pixels", count=f"{self.read.boxes.pixels:,}")
        return tr("{area} mm²", area=decimal(self.read.boxes.pixels * um * um / 1e6, ".2f"))

    @property
    def where(self) -> str:
        """What was read."""
        text = trn(
            "Read: {area} of the monolayer in {count} place, {share:.1%} of the slide's pixels. Sparse and "
            "thick zones are not counted.",
            "Read: {area} of the monolayer in {count} places, {share:.1%} of the slide's pixels. Sparse and "
            "thick zones are not counted.",
            self.read.tiles,
            area=self.area,
            share=self.read.share_read,
        )
        if self.read.exhausted and self.counts.counted < self.read.to:
            text += " " + tr("There are no more: the whole monolayer was searched.")
        return text

    @property
    def trust(self) -> str:
        """How many of those counted are predictions."""
        by = tr("model {id}", id=self.read.model) if self.read.model is not None else tr("the starter")
        if not self.unreviewed:
            return tr("All counted cells were reviewed by a person.") if self.reviewed else ""
        if not self.reviewed:
            return tr("All counted cells are predictions of {model} that nobody has reviewed.", model=by)
        return trn(
            "{count} of the {all} counted cells is a prediction of {model} that nobody has reviewed.",
            "{count} of the {all} counted cells are predictions of {model} that nobody has reviewed.",
            self.unreviewed,
            all=self.unreviewed + self.reviewed,
            model=by,
        )

    def as_rows(self) -> list[tuple[str, ...]]:
        """Return it as rows of text, for other programs; no name of a patient or file."""
        um, pixels = self.slide.pixel_size_um, self.read.boxes.pixels
        area = "" if um is None else f"{pixels * um * um / 1e6:.4f}"
        return [
            *(row for row in as_rows(self.counts) if not row[0].startswith("Unknown")),
            ("Unknown, not counted", str(self.counts.unknown), "", "", ""),
            ("Artefacts, not counted", str(self.found.artefacts(self.schema)), "", "", ""),
            ("Of these predicted and not reviewed", str(self.unreviewed), "", "", ""),
            ("Monolayer read (mm²)", area, "", "", ""),
            ("Monolayer read (pixels)", str(pixels), "", "", ""),
            ("Model", "starter" if self.read.model is None else str(self.read.model), "", "", ""),
        ]

    def as_text(self) -> str:
        """Write it with tabs, as spreadsheets take it from the clipboard."""
        return "\n".join("\t".join(row) for row in self.as_rows())

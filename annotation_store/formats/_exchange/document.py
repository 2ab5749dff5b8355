"""The content of an annotation file of any format: plain data between a parser and the merge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from annotation_store.errors import FormatError
from annotation_store.records import Box, Proposal
from annotation_store.validation import clean_name

Regions = Literal["file", "stated", "none", "full"]
"""Which areas an import finishes; see `annotation_store.formats.read`."""

_SHOWN = 20


@dataclass(slots=True)
class CellIn:
    """A cell that a file names, already in the schema's words."""

    where: str  # how to name it in a sentence
    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str | None] = field(default_factory=dict)
    flags: Mapping[str, Any] = field(default_factory=dict)
    extra: dict[str, Any] | None = None


@dataclass(slots=True)
class FieldIn:
    """A field that a file names.

    Attributes
    ----------
    regions
        Coordinates as in `Shape`; ``None`` if the file states none, so that the whole field counts.
    image
        Where the image lies, if the parser knows; else it is looked for by `name`.
    beside, stem
        Where to look first, and what else the image may be called: see `Images.find`.
    note
        For the note of a field that is new.
    unknown_boxes
        Label and box of what the schema has no class for: see `unknown_classes`.
    lost
        Box of each other mark that cannot come in, ``None`` if its place cannot be read: see `left_out`.
    """

    name: str
    width: int | None = None
    height: int | None = None
    patient: str | None = None
    slide: str | None = None
    domain: str | None = None
    pixel_size_um: float | None = None
    regions: list[tuple[float, ...]] | None = None
    ignore_areas: list[tuple[float, ...]] = field(default_factory=list)
    cells: list[CellIn] = field(default_factory=list)
    proposals: list[tuple[str, Proposal]] = field(default_factory=list)
    image: Path | None = None
    beside: Path | None = None
    stem: str = ""
    note: str = ""
    unknown_boxes: list[tuple[str, Box]] = field(default_factory=list)
    lost: list[Box | None] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    def left_out(self, box: Sequence[float] | None, reason: str = "") -> None:
        """Record a mark that may be a cell but cannot be imported, whatever the cause.

        It never becomes background: where it lies in a finished region it becomes an ignore area, and a field
        with a mark whose place cannot be read is not called finished.

        Parameters
        ----------
        box
            Its position, four finite numbers in pixels; ``None`` if unknown.
        reason
            A sentence with ``{n}`` for the count, unless it is reported otherwise.
        """
        self.lost.append(None if box is None else (box[0], box[1], box[2], box[3]))
        if reason:
            self.reasons.append(reason)


_MAX_SIDE = 1e9


class Skipped:
    """Sentences about what was left out; a flood of one kind becomes one line."""

    def __init__(self) -> None:
        self._counted: Counter[str] = Counter()
        self._listed: dict[str, list[str]] = {}

    def count(self, sentence: str) -> None:
        """Count one more of a kind; `sentence` has ``{n}`` for how many."""
        self._counted[sentence] += 1

    def note(self, kind: str, sentence: str) -> None:
        """Note a sentence of a kind."""
        self._listed.setdefault(kind, []).append(sentence)

    def listed(self, kind: str) -> list[str]:
        """Return the sentences of a kind."""
        return list(self._listed.get(kind, ()))

    def absorb(self, other: Skipped) -> None:
        """Add the sentences of another instance."""
        self._counted += other._counted
        for kind, listed in other._listed.items():
            self._listed.setdefault(kind, []).extend(listed)

    def __bool__(self) -> bool:
        return bool(self._counted or self._listed)

    def sentences(self) -> list[str]:
        """Return all sentences."""
        lines = [sentence.replace("{n}", str(n)) for sentence, n in self._counted.items()]
        for kind, listed in self._listed.items():
            lines += listed[:_SHOWN]
            if len(listed) > _SHOWN:
                lines.append(f"… and {len(listed) - _SHOWN} more: {kind}.")
        return lines


def stated_side(number: float | None) -> int | None:
    """Return the width or height that a file states of an image; ``None`` if it cannot be one."""
    return round(number) if number is not None and 1 <= number <= _MAX_SIDE else None


def note_odd_side(skipped: Skipped, name: str, side: str) -> None:
    """Note that the width or height that a file states of an image is not one."""
    sentence = _odd_side(clean_name(name), side)
    if sentence not in skipped.listed("odd sizes"):
        skipped.note("odd sizes", sentence)


def _odd_side(name: str, side: str) -> str:
    return f"{name}: its {side} in the file is not a size, and is ignored."


@dataclass(slots=True)
class Document:
    """The content of a file."""

    source: str
    fields: list[FieldIn]
    skipped: Skipped
    annotations: int = 0
    """How many cells and proposals the file holds, those that could not be read included."""

    def refuse_empty(self) -> None:
        """Reject a document of which every record was left out.

        Raises
        ------
        FormatError
            With the first reason.
        """
        reasons = self.skipped.sentences()
        if not self.fields and reasons:
            raise FormatError(f"Nothing in {self.source} can be read. {reasons[0]}")

"""The fields of the report: drawn as they were at the start and as they are at the end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from annotation_store.records import Box, Cell, Field, Region, Suggestion
from napari_lld.demo.report import FieldPage, Mark, draw, drawing
from napari_lld.demo.truth import best_overlap
from training.simulate import SAME_CELL

if TYPE_CHECKING:
    from annotation_store import Project
    from annotation_store.schema import Schema
    from training.evaluation.ground_truth import FieldTruth


@dataclass(frozen=True, slots=True)
class Before:
    """What was annotated at the start."""

    cells: frozenset[int]
    regions: tuple[Region, ...]

    @classmethod
    def of_project(cls, project: Project) -> Before:
        """Store what is annotated now."""
        return cls(frozenset(cell.id for cell in project.cells.all()), tuple(project.regions.all()))


def draw_page(
    project: Project, field: Field, before: Before, truth: FieldTruth, *, composed: bool, reviewed: bool
) -> FieldPage:
    """Draw one field before and after."""
    pixels = project.pixels.read(field.id)
    regions = [region.shape for region in before.regions if region.field_id == field.id]
    cells = project.cells.all(field.id)
    suggestions = project.suggestions.find(field.id)
    start = [cell for cell in cells if cell.id in before.cells]
    added = [cell for cell in cells if cell.id not in before.cells]
    missed = not_found(truth, [cell.box for cell in cells] + [suggestion.box for suggestion in suggestions])
    annotated = [Mark(cell.box, drawing.CELL, text=_words(project.schema, cell)) for cell in start]
    return FieldPage(
        name=field.name,
        composed=composed,
        reviewed=reviewed,
        before=draw(pixels, regions, annotated, veil=True),
        after=draw(
            pixels,
            regions,
            [Mark(box, drawing.MISSED, "dotted") for box in missed]
            + [
                Mark(suggestion.box, drawing.SUGGESTION, "dashed", _guess(project.schema, suggestion))
                for suggestion in suggestions
            ]
            + [Mark(cell.box, drawing.ADDED, text=_words(project.schema, cell)) for cell in added]
            + annotated,
        ),
        size=(field.width, field.height),
        annotated=len(start),
        added=len(added),
        waiting=len(suggestions),
        missed=len(missed),
    )


def not_found(truth: FieldTruth, boxes: list[Box]) -> list[Box]:
    """List the true cells outside the regions that none of `boxes` overlaps by half."""
    return [
        cell.box
        for cell in truth.cells
        if truth.covers(cell.box) and best_overlap(cell.box, boxes)[1] < SAME_CELL
    ]


def _words(schema: Schema, cell: Cell) -> str:
    return schema.class_title(cell.cell_class or "")


def _guess(schema: Schema, suggestion: Suggestion) -> str:
    if suggestion.is_unknown:
        return "unknown"
    title = schema.class_title(suggestion.stated_class or "")
    return f"{title} {suggestion.probability:.2f}".strip()

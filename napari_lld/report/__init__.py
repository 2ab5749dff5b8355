"""A report of rounds on a project: one self-contained HTML file, readable on screen and in print."""

from __future__ import annotations

from napari_lld.report.data import AttributeScores, Effort, FieldPage, Report, Round, Scores, Tally
from napari_lld.report.drawing import Mark, draw
from napari_lld.report.html import render

__all__ = [
    "AttributeScores",
    "Effort",
    "FieldPage",
    "Mark",
    "Report",
    "Round",
    "Scores",
    "Tally",
    "draw",
    "render",
]

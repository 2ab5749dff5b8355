"""The report of a demonstration: its rounds as one self-contained HTML file, for screen and print."""

from __future__ import annotations

from napari_lld.demo.report.data import AttributeScores, Effort, FieldPage, Report, Round, Scores, Tally
from napari_lld.demo.report.drawing import Mark, draw
from napari_lld.demo.report.html import render

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

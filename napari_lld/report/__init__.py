"""The report of a project: one self-contained HTML file, readable on screen and in print.

It reads what the project and its models' cards hold. It imports no torch and runs no model, so that every
number in it was measured when the model was made, on the cells it names.
"""

from __future__ import annotations

from napari_lld.options import ReportOptions
from napari_lld.report.page import render_project, write_report

__all__ = ["ReportOptions", "render_project", "write_report"]

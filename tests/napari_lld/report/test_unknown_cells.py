"""The report counts unknown cells apart, and calls none by the class that it is most like."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project, Proposal
from annotation_store.schema import load_schema
from napari_lld.report import render_project
from napari_lld.report.pictures import _proposed
from napari_lld.report.words import Words


def test_suggestions_that_wait_are_told_apart(small_project: Path) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        said = [Proposal((10.0 + 30 * i, 10, 20, 20), 0.9, {"Monocyte": 1.0}, novelty=0.01) for i in (0, 1)]
        project.suggestions.replace(project.fields.all()[0].id, said, model_id=None)
        page = render_project(project)
        assert "2 suggestions pending, 2 of them unknown cells, unlike all training cells" in page
        project.suggestions.replace(
            project.fields.all()[0].id, [Proposal(said[0].box, 0.9, {"Monocyte": 1.0})], model_id=None
        )
        assert "unknown cells" not in render_project(project)


def test_a_picture_of_an_unknown_cell_has_no_class_of_the_model() -> None:
    words = Words(load_schema("lld"), {}, {})
    row = {"confidence": 0.9, "said_class": None, "unknown": True}
    assert _proposed(row, words) == "unknown, unlike all training cells; a cell at 90%"
    assert (
        _proposed({"confidence": 0.9, "said_class": ["Monocyte", 0.8]}, words)
        == "Monocyte at 80%; a cell at 90%"
    )

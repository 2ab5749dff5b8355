"""The report counts unknown cells apart, and names the class that each is most like."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project, Proposal
from annotation_store.schema import load_schema
from napari_lld.report import render_project
from napari_lld.report.pictures import describe_prediction, describe_verdict
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


def test_a_picture_of_an_unknown_cell_is_called_neither_correct_nor_wrong() -> None:
    words = Words(load_schema("lld"), {}, {})
    row = {"confidence": 0.9, "said_class": None, "most_similar": ["Monocyte", 0.8], "unknown": True}
    assert describe_prediction(row, words) == "unknown (most similar: Monocyte); a cell at 90%"
    assert {describe_verdict(row | {"what": what}, words) for what in ("right", "class")} == {
        "Unknown to the model"
    }
    assert describe_verdict(row | {"what": "no cell"}, words) == "Suggested where there is no cell"
    of_an_older_version = {"confidence": 0.9, "said_class": None, "unknown": True}
    assert (
        describe_prediction(of_an_older_version, words) == "unknown, unlike all training cells; a cell at 90%"
    )
    known = {"confidence": 0.9, "said_class": ["Monocyte", 0.8], "unknown": False}
    assert describe_prediction(known, words) == "Monocyte at 80%; a cell at 90%"
    assert describe_verdict(known | {"what": "right"}, words) == "Correct in everything labelled"

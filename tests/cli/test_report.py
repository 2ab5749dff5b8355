"""The report of a project: one file, and only numbers that the project holds."""

from __future__ import annotations

import re
from pathlib import Path

from annotation_store import Project


def text_of(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html.split("</style>")[1]).split())


def test_a_report_tells_what_the_project_holds(cli, sample_project: Path, tmp_path: Path) -> None:
    with Project.open(sample_project, annotator="Ada <b>") as project:
        first = project.fields()[0].id
        project.add_active_seconds(first, 3700)
        for number, (why, numbers) in enumerate(
            ((None, {"cells": 41, "ap50": 0.71, "class_f1": None}), ("It is worse.", {"cells": 41}))
        ):
            project.new_model_id()
            project.model_folder(number + 1).mkdir(parents=True)
            card = {"metrics": {"held_out": numbers}, "why_not_active": why}
            project.add_model(number + 1, parent="starter", card=card, activate=why is None)
        cells = len(project.cells())
    out = tmp_path / "report.html"
    assert cli("report", sample_project, out).code == 0
    html = out.read_text(encoding="utf-8")
    text = text_of(html)
    assert "Research use only, not for diagnosis" in text
    assert f"18 fields 18 fields with a finished region 18 finished regions {cells} cells 2 models" in text
    assert "starter 41 0.71 – – – – in use" in text
    assert "It is worse." in text
    assert "Ada &lt;b&gt; 1 h 02 min 1" in text
    assert not re.search(r"(src|href)=|https?:", html)  # nothing outside itself


def test_an_empty_project_has_a_report_without_numbers(cli, tmp_path: Path) -> None:
    cli("new", tmp_path / "p")
    assert cli("report", tmp_path / "p", tmp_path / "r.html").code == 0
    text = text_of((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "No cell has a class yet." in text
    assert "No model was trained yet." in text
    assert "No time was counted yet." in text


def test_a_place_that_cannot_be_is_refused_in_one_line(cli, sample_project: Path, tmp_path: Path) -> None:
    answer = cli("report", sample_project, tmp_path / "nowhere" / "r.html")
    assert answer.code == 2
    assert "does not exist" in answer.err

"""The whole report: what it must never hold, what it must always say, and what it says of a rich project."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from importlib.resources import files
from pathlib import Path

import pytest

from annotation_store import Project, Schema
from annotation_store.splits import units
from napari_lld.report import ReportOptions, render_project, write_report
from tests.napari_lld.report.conftest import ANNOTATOR, PATIENTS, Page, add_model

SECTIONS = (
    "The project",
    "Patients",
    "Effort",
    "Learning curves",
    "Detection of cells: model 2",
    "Prediction of classes",
    "Prediction of attributes",
    "Prediction sets",
    "Confusion matrices",
    "Calibration",
    "Agreement of the readings",
    "Single cells",
    "Model card",
    "What the numbers do not show",
)


def test_every_section_is_there_in_order(page: Page) -> None:
    assert tuple(name for name in page.sections if name) == SECTIONS
    assert "Research use only, not for diagnosis" in page.text("")


def test_it_refers_to_nothing_outside_itself(page: Page) -> None:
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "srcset", "action", "data", "xlink:href"):
                assert re.match(r"data:image/jpeg;base64,|#", value or ""), (tag, name, value)
    words = re.sub(r"data:image/jpeg;base64,[\w+/=]+", "", page.html)
    assert not re.search(r"https?:|//|@import|url\(", words)


def test_what_comes_from_the_project_is_text_and_never_markup(page: Page) -> None:
    assert "<script" not in page.html
    assert ANNOTATOR in page.text("Effort")  # as the words it is


def test_words_of_a_card_or_of_single_cells_are_text_too_whoever_wrote_them(rich: Path) -> None:
    evil = "</td></style><img src=https://evil.example onerror=alert(1)>"
    with Project.open(rich) as project:
        card = json.loads(json.dumps(project.models.all()[-1].card))
        held = card["metrics"]["held_out"]
        held["classes"][evil] = held["classes"]["Neutrophil"]
        held["domains"] = {evil: {"cells": 40, "fields": 2, "recall": 0.5}}
        held["attributes"][evil] = held["attributes"]["cell_size"]
        held["confusion"]["class"]["truth"][0] = evil
        card["calibration"] = {"note": evil}
        card["why_not_active"] = card["metrics"]["note"] = evil
        card["versions"] = {evil: evil}
        number = project.models.reserve_id()
        project.models.folder(number).mkdir()
        kept = (rich / "models" / "2" / "outcomes.json").read_text()
        for word in ("Neutrophil", "cell_size"):
            kept = kept.replace(f'"{word}"', json.dumps(evil))
        (project.models.folder(number) / "outcomes.json").write_text(kept)
        project.models.add(number, parent=evil, card=card, activate=True)
        field = project.fields.all()[0]
        project.fields.update(field.id, domain=evil, slide=evil)
        page = Page(render_project(project, ReportOptions(names=True, title=evil)))
    for section in ("", "Model card", "Single cells", "Prediction of classes"):
        assert evil in page.text(section)
    assert "<img src=https" not in page.html
    assert all((a["src"] or "").startswith("data:") for tag, a in page.tags if tag == "img")


def test_no_patient_file_or_project_is_named_unless_names_are_asked_for(page: Page, rich: Path) -> None:
    with Project.open(rich, read_only=True) as project:
        files = [field.name for field in project.fields.all()]
        named = Page(render_project(project, ReportOptions(names=True)))
    for name in (*PATIENTS, "Müller", "Yılmaz", *files, *(Path(name).stem for name in files)):
        assert name not in page.html
        assert name not in page.text()
    assert "Patient 1" in page.text("Patients")
    for name in PATIENTS:
        assert name in named.text("Patients")
    assert "Müller, Hans" in named.text("")  # the project's own name
    assert any(name in named.text("Single cells") for name in files)
    assert "<script" not in named.html


def test_every_table_and_diagram_of_a_model_bears_a_mark(page: Page) -> None:
    """Each lies beneath a heading with a mark, or bears one itself."""
    body = page.html.split("</style>")[1].split('id="limits"')[0]
    parts = re.split(r"(<h[23][ >].*?</h[23]>)", body, flags=re.S)
    heading = {"2": "", "3": ""}
    seen = 0
    for part in parts:
        if found := re.match(r"<h([23])", part):
            heading[found[1]] = part
            heading |= {"3": ""} if found[1] == "2" else {}
            continue
        marked = any('class="mark' in text for text in heading.values())
        for piece in re.findall(r"<table.*?</table>|<figure.*?</figure>", part, flags=re.S):
            if "Model card" in heading["2"]:
                continue  # what it was made with and of: no measurement
            seen += 1
            assert marked or 'class="mark' in piece, (heading, piece[:300])
    assert seen > 20
    assert page.html.count('<span class="mark held">') >= 6


def test_the_three_measurements_stand_beside_each_other_with_n_and_interval(page: Page) -> None:
    table = page.text(SECTIONS[4])
    assert re.search(r"held-out \d+ \d+ \d+ % \(\d+–\d+\)†? \d+ %", table)
    assert re.search(r"random reserve held out as well \d+ \d+ ", table)
    assert re.search(r"trained-on \d+ \d+ ", table)
    assert re.search(r"0\.\d\d \(0\.\d\d–[01]\.\d\d\)", table)


def test_effort_counts_who_did_what_and_what_became_of_suggestions(page: Page) -> None:
    text = page.text("Effort")
    assert f"{ANNOTATOR} 62 min 1 0 3 " in text
    assert "Suggestions reviewed" in text
    assert f"{ANNOTATOR} counted 4 2 2 of 4 1 0 1" in text
    assert "On fields drawn at random random reserve 4 2 2 of 4" in text
    assert "Class 1 1 of 3" in text
    assert "a bad box 1" in text


def test_diagrams_are_sound_svg_that_says_in_words_what_it_shows(page: Page) -> None:
    charts = re.findall(r"<svg class=\"chart\".*?</svg>", page.html, flags=re.S)
    assert len(charts) > 8
    for chart in charts:
        root = ET.fromstring(chart)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        assert re.search(r"\d", root.attrib["aria-label"])
        for circle in root.iter("circle"):
            assert 0 <= float(circle.attrib["cx"]) <= width
            assert 0 <= float(circle.attrib["cy"]) <= height


def test_bins_of_a_reliability_diagram_hold_the_counts_that_were_measured(page: Page, rich: Path) -> None:
    with Project.open(rich, read_only=True) as project:
        card = project.models.all()[-1].card
    rows = card["metrics"]["held_out"]["calibration"]["cells"]["curve"]
    chart = re.search(r"is it a white cell\?</figcaption>(<svg.*?</svg>)", page.html, flags=re.S)
    assert chart is not None
    counts = [e.text for e in ET.fromstring(chart[1]).iter("text") if e.attrib.get("class") == "small"]
    assert counts == [str(row["n"]) for row in sorted(rows, key=lambda row: row["mean"])]


def test_a_confusion_matrix_holds_the_counts_that_were_measured(page: Page, rich: Path) -> None:
    with Project.open(rich, read_only=True) as project:
        table = project.models.all()[-1].card["metrics"]["held_out"]["confusion"]["class"]
    matrix = re.search(r"<caption>Class</caption>(.*?)</table>", page.html, flags=re.S)
    assert matrix is not None
    rows = [re.findall(r"<td[^>]*>(\d*)</td>", row) for row in matrix[1].split("<tr>")[2:]]
    assert [[int(n or 0) for n in row] for row in rows] == table["counts"]
    assert matrix[1].count('class="right"') == sum(name is not None for name in table["truth"])
    assert "unknown to the model is counted by its most similar class" in page.text("Confusion matrices")


def test_single_cells_are_pictures_of_a_bounded_number_and_size(page: Page) -> None:
    pictures = [a["src"] or "" for tag, a in page.tags if tag == "img"]
    assert 6 <= len(pictures) <= 36
    assert max(map(len, pictures)) < 40_000
    text = page.text("Single cells")
    for title in ("The best", "The worst", "The least certain", "Labelled:", "Predicted:", "Field 1"):
        assert title in text


def test_agreement_and_what_the_numbers_do_not_show_speak_of_this_project(page: Page) -> None:
    agreed = page.text("Agreement of the readings")
    assert "2 readings (Reading 1, Ben's)" in agreed
    assert re.search(r"Class .*?– Ben's \d+ \d+ % \(\d+–\d+\)† 0\.\d\d", agreed)
    told = page.text("What the numbers do not show")
    for words in (
        "held-out cells are of 2 patients only",
        "Never annotated in this project: Myeloblast",
        "Attribute values without a label yet: Nucleolus: Inconspicuous",
        "fitted on the same held-out cells",
        "tend to agree with what they see",
        "The model started from the bundled starter",
    ):
        assert words in told, words


def test_an_empty_project_says_in_each_section_that_there_is_nothing(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p", annotator="Ada") as project:
        page = Page(render_project(project))
    for section, words in {
        "The project": "No cell has a class yet.",
        "Patients": "No patients are known",
        "Effort": "There is no work yet",
        "Learning curves": "No model was trained yet.",
        "Detection of cells": "No model was trained yet.",
        "Confusion matrices": "No held-out cell has a label yet",
        "Calibration": "Nothing is held out yet",
        "Agreement of the readings": "There is only one reading",
        "Single cells": "No model was trained yet.",
        "Model card": "suggestions come from the bundled starter",
        "What the numbers do not show": "No model was trained on this project",
    }.items():
        assert words in page.text(section), section
    assert "No suggestion was reviewed yet." in page.text("Effort")


def test_without_a_model_the_card_and_the_limits_are_the_starters(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p", annotator="Ada") as project:
        page = Page(render_project(project))
    card = page.text("Model card")
    for limit in json.loads((files("training.models") / "starter/starter.json").read_text("utf-8"))["limits"]:
        assert limit in card
    assert "AML-Cytomorphology_LMU" in card
    limits = page.text("What the numbers do not show")
    assert "The model has not learned" not in limits
    never_seen = re.search(r"The starter has never seen these: ([^.]*)\.", limits)
    assert never_seen is not None
    assert "Lymphoblast" in never_seen[1]
    assert "Myeloblast" not in never_seen[1]


def test_a_renamed_class_is_not_one_that_the_starter_has_never_seen(tmp_path: Path) -> None:
    with Project.create(tmp_path / "p", annotator="Ada") as project:
        data = project.schema.model_dump(mode="json") | {"groups": []}
        monocyte = next(one for one in data["classes"] if one["name"] == "Monocyte")
        monocyte |= {"name": "Wanderzelle", "title": "Wanderzelle", "spellings": []}
        data["classes"] = [one if one["name"] != "Monocyte" else monocyte for one in data["classes"]]
        project.schema_versions.change(Schema.model_validate(data), {"Monocyte": "Wanderzelle"})
        limits = Page(render_project(project)).text("What the numbers do not show")
    never_seen = re.search(r"The starter has never seen these: ([^.]*)\.", limits)
    assert never_seen is not None
    assert "Wanderzelle" not in never_seen[1]


def test_what_an_older_version_did_not_measure_is_said_not_to_be_measured(rich: Path) -> None:
    with Project.open(rich) as project:
        project.models.activate(1)
        page = Page(render_project(project))
    found = page.text("Detection of cells: model 1")
    assert re.search(r"held-out \d+ \d+ ", found)
    assert found.count("The version that trained this model did not measure this") == 2
    assert "The version that trained this model did not measure this" in page.text("Calibration")
    assert "The version that trained this model did not store these" in page.text("Single cells")
    assert "1 (in use)" in page.text("Learning curves")
    assert "unknown" in page.text("Learning curves")


def test_where_nothing_is_held_out_what_was_learned_from_is_shown_as_such(rich: Path) -> None:
    with Project.open(rich) as project:
        add_model(project, held=())
        page = Page(render_project(project))
    assert "Not yet measured: nothing is held out (holdout 0)." in page.text("Detection of cells: model 3")
    assert "too optimistic" in page.text("Prediction of classes")
    assert "it had learned from all of these" in page.text("Single cells")
    for heading in ("Prediction of classes", "Prediction of attributes", "Single cells"):
        assert re.search(heading + r'[^<]*<span class="mark trained">', page.html)
    assert "No cell is held out" in page.text("What the numbers do not show")


def test_a_file_that_cannot_be_read_costs_its_pictures_only(rich: Path) -> None:
    (rich / "models" / "2" / "outcomes.json").write_text('{"version": 1, "held_out": [{"kind": "best"}]}')
    with Project.open(rich, read_only=True) as project:
        assert "No cells were stored that could be shown" in Page(render_project(project)).text(
            "Single cells"
        )


def test_the_file_appears_whole_or_not_at_all(rich: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "r.html"
    out.write_text("before")
    monkeypatch.setattr("napari_lld.report.page.render_project", lambda *_: 1 / 0)
    with Project.open(rich, read_only=True) as project, pytest.raises(ZeroDivisionError):
        write_report(project, out, overwrite=True)
    assert out.read_text() == "before"
    assert [path.name for path in tmp_path.glob("*r.html*")] == ["r.html"]


def test_it_needs_no_torch_no_qt_and_writes_nothing_to_the_project(
    small_project: Path, tmp_path: Path
) -> None:
    with Project.open(small_project) as project:
        for field in project.fields.all():
            project.regions.add_whole_field(field.id)
            project.cells.add(field.id, (10, 10, 20, 20), cell_class="Monocyte")
        add_model(project, held=tuple(units(project.fields.all()[:1])))
    code = (
        "import sys; from pathlib import Path; from annotation_store import Project\n"
        "from napari_lld.report import write_report\n"
        "with Project.open(sys.argv[1], read_only=True) as project:\n"
        "    write_report(project, Path(sys.argv[2]))\n"
        "assert not {'torch', 'ultralytics', 'qtpy', 'napari'} & set(sys.modules), 'too much'"
    )

    def files() -> dict[Path, int]:
        some = [p for p in small_project.rglob("*") if p.is_file() and not p.name.endswith(("-wal", "-shm"))]
        return {p: p.stat().st_mtime_ns for p in some}

    before, out = files(), tmp_path / "r.html"
    subprocess.run([sys.executable, "-c", code, str(small_project), str(out)], check=True)
    assert files() == before
    assert Page(out.read_text("utf-8")).text("Single cells")


def test_each_patient_is_held_out_or_learned_from_or_neither_yet(rich: Path) -> None:
    with Project.open(rich) as project:
        field = project.fields.all()[2]
        project.fields.update(field.id, patient="New")
        for cell in project.cells.all(field.id):
            project.cells.delete(cell.id)
        project.cells.add(field.id, (5, 5, 20, 20), cell_class="Monocyte")
        text = Page(render_project(project)).text("Patients")
    for words in (
        r"Patient 1 .*? held out Patient 2",
        r"Patient 4 .*? learned from",
        r"Monocyte 1 not yet learned",
    ):
        assert re.search(words, text), words

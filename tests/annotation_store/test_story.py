"""Who labelled a cell, when, from which suggestion; who worked how long; whose fields they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from annotation_store import EditError, Project, Proposal
from tests.database import engine


def test_the_story_of_a_cell_is_one_call_and_one_statement(project: Project, folder: Path) -> None:
    (suggestion,) = project.suggestions.replace(
        1, [Proposal((1, 1, 20, 20), 0.75, {"Monocyte": 1.0})], model_id=None
    )
    cell = project.suggestions.accept(suggestion)
    with Project.open(folder, annotator="Ben", reading=1) as other:
        other.cells.change(cell, cell_class="Neutrophil")
        other.cells.change(cell, comment="sure")
    project.cells.delete(cell)
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(engine(project), "before_cursor_execute", note)
    story = project.cells.provenance(cell)
    assert len(seen) == 1
    assert [(r.annotator, r.action, r.command) for r in story.rows] == [
        ("Ada", "add", "Accept suggestion"),
        ("Ben", "change", "Label cell"),
        ("Ben", "change", "Change cell"),
        ("Ada", "delete", "Delete cell"),
    ]
    assert (story.made_by, story.labelled_by, story.deleted) == ("Ada", "Ben", True)
    assert story.rows[1].before == {"cell_class": "Monocyte"}
    assert story.suggestion is not None
    assert (story.suggestion.id, story.suggestion.confidence) == (suggestion, 0.75)
    assert story.cell.cell_class == "Neutrophil"
    assert story.rows[0].at <= story.rows[-1].at


def test_a_cell_drawn_by_hand_has_no_suggestion_and_none_has_no_story(project: Project) -> None:
    cell = project.cells.add(1, (1, 1, 20, 20))
    story = project.cells.provenance(cell)
    assert (story.suggestion, story.deleted, story.labelled_by) == (None, False, "Ada")
    assert story.cell == project.cells.get(cell)
    with pytest.raises(EditError, match="no cell 99"):
        project.cells.provenance(99)


def test_active_seconds_add_up_per_annotator_and_field(project: Project, folder: Path) -> None:
    project.work_time.add(1, 10)
    project.work_time.add(1, 2.5)
    with Project.open(folder, annotator="Ben") as other:
        other.work_time.add(2, 4)
    assert [(t.annotator, t.field_id, t.seconds) for t in project.work_time.all()] == [
        ("Ada", 1, 12.5),
        ("Ben", 2, 4.0),
    ]
    assert len(project.work_time.all(2)) == 1
    for wrong in (-1, float("nan"), float("inf"), 1e9, "x"):
        with pytest.raises(EditError):
            project.work_time.add(1, wrong)  # type: ignore[arg-type]
    with pytest.raises(EditError, match="no field"):
        project.work_time.add(99, 1)


def test_what_is_known_of_a_field_can_be_said_when_it_comes_and_later(
    project: Project, image_folder: Path
) -> None:
    about = {"microscope": "H", "camera": "C1", "magnification": 40, "stain": "Wright", "domain": "H40"}
    (added,) = project.fields.add([image_folder / "c.jpg"], about=about).added
    field = project.fields.get(added)
    assert (field.microscope, field.camera, field.stain, field.domain) == ("H", "C1", "Wright", "H40")
    assert field.magnification == 40
    project.fields.update(added, camera="C2", stain=None, quality="blurred")
    field = project.fields.get(added)
    assert (field.camera, field.stain, field.quality) == ("C2", None, "blurred")
    project.undo(added)
    assert project.fields.get(added).camera == "C1"
    for wrong in ({"magnification": -1}, {"magnification": "big"}, {"width": 3}):
        with pytest.raises(EditError):
            project.fields.update(added, **wrong)
    assert project.check() == []


def test_patients_have_slides_and_fields(project: Project) -> None:
    assert project.fields.patients() == []
    project.fields.update(1, patient="P1", slide="S1")
    project.fields.update(2, patient="P1", slide="S2")
    (patient,) = project.fields.patients()
    assert (patient.name, patient.slides, patient.field_ids) == ("P1", ("S1", "S2"), (1, 2))

"""Whether a model has learnt from cells that are held out now is read off its card and its parents'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project
from training.lineage import Lineage, still_held_out
from training.split import held_out, held_out_key
from training.worker.project_data import fields_by_patient, knowledge


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project of four patients, P0 to P3, with a field and a cell each."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(4):
        Image.fromarray(np.full((40, 40, 3), i, np.uint8)).save(images / f"f{i}.png")
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.add_fields([images])
        for i, field in enumerate(made.fields()):
            made.update_field(field.id, patient=f"P{i}")
            made.mark_whole_field(field.id)
            made.add_cell(field.id, (5, 5, 10, 10))
        yield made


def add(project: Project, parent: str = "starter", **card: Any) -> int:
    number = project.new_model_id()
    project.model_folder(number).mkdir(parents=True)
    project.add_model(number, parent=parent, card=card, activate=True)
    return number


def seen(project: Project, model: int | str | None) -> str:
    lineage = Lineage.of(project, model)
    return " ".join(k.patient for k in knowledge(project) if lineage.saw(k.field, k.cells))


def hashed(project: Project, *patients: str) -> list[str]:
    return [held_out_key(project, patient) for patient in patients]


def test_the_parents_teachers_are_the_childs(project: Project) -> None:
    ids = [field.id for field in project.fields()]
    first = add(project, learnt_fields=ids[:1], held_out=hashed(project, "P3"))
    second = add(project, str(first), learnt_fields=ids[1:2])
    assert seen(project, first) == "P0"
    assert seen(project, second) == "P0 P1"
    assert seen(project, None) == seen(project, "starter") == seen(project, "scratch") == ""


def test_a_card_that_lists_no_fields_is_read_by_whom_it_held_out_and_its_last_cell(project: Project) -> None:
    cells = [cell.id for cell in project.cells()]
    old = add(project, held_out=hashed(project, "P3"), last_cell=cells[1])
    assert seen(project, old) == "P0 P1", "P2 was annotated later"
    assert seen(project, add(project, held_out=["P3"])) == "P0 P1 P2", "the oldest cards name patients"
    assert seen(project, add(project)) == "P0 P1 P2 P3"


def test_a_field_that_goes_to_another_patient_was_learnt_from_all_the_same(project: Project) -> None:
    ids = [field.id for field in project.fields()]
    model = add(project, learnt_fields=ids[:1], held_out=hashed(project, "P3"))
    project.update_field(ids[0], patient="P3")
    assert seen(project, model) == "P3"


def test_what_a_file_has_learnt_from_nobody_knows(project: Project) -> None:
    first = add(project, "file", learnt_fields=[])
    assert not Lineage.of(project, add(project, str(first))).known
    assert not Lineage.of(project, "yolo26n.pt").known
    assert not Lineage.of(project, "99").known, "a model that is no longer there"
    itself = add(project, "3", learnt_fields=[])
    assert not Lineage.of(project, itself).known, "a circle ends"
    assert Lineage.of(project, add(project, "scratch")).known


def test_nobody_is_held_out_whom_the_start_has_learnt_from() -> None:
    cells = {f"p{i}": 10 for i in range(10)}
    first = held_out(cells, 0.2)
    learnt = set(cells) - first - {"p9"}
    assert held_out(cells, 0.5, already=first, learnt=learnt) <= first | {"p9"}
    assert held_out(cells, 0.2, already=first, learnt=cells) == set()


def test_held_out_patients_are_known_by_their_fields_after_another_name_and_counted_when_gone(
    project: Project,
) -> None:
    ids = [field.id for field in project.fields()]
    add(project, held_out=hashed(project, "P2", "P3"), held_fields=ids[2:], learnt_fields=ids[:2])
    cards = [model.card for model in project.models()]

    def held() -> tuple[set[str], int]:
        return still_held_out(project, fields_by_patient(knowledge(project)), cards)

    assert held() == ({"P2", "P3"}, 0)
    project.update_field(ids[2], patient="Q")
    assert held() == ({"Q", "P3"}, 0)
    for cell in project.cells(ids[3]):
        project.delete_cell(cell.id)
    assert held() == ({"Q", "P3"}, 1), "still never learnt from, but nothing to measure on"
    project.update_field(ids[2], patient="P0")
    assert held()[0] == {"P3"}, "with a patient who was learnt from it is nobody's unseen field"


@pytest.mark.parametrize("listed", [None, 3, "x", ["1"], [None, 1.5], {"1": 1}])
def test_a_card_that_lists_nonsense_stops_nothing(project: Project, listed: Any) -> None:
    model = add(project, learnt_fields=listed, held_fields=listed, held_out=listed, last_cell=listed)
    seen(project, model)
    still_held_out(project, fields_by_patient(knowledge(project)), [m.card for m in project.models()])

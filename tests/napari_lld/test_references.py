"""Labelled cells beside the current one: which are shown, in which order, at which scale."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotation_store import Project
from napari_lld.session.references import CLASS, PER_VALUE, Comparison, Question
from napari_lld.session.session import Session
from napari_lld.tasks.reference_reader import SIDE, bundled_examples, compare

VALUES = ("open", "coarse")


@pytest.fixture
def labelled(small_project: Path) -> Path:
    """Give a project with six coarse cells and an open one, and one without a value."""
    with Project.open(small_project, annotator="Ada") as project:
        for number in range(6):
            project.cells.add(
                1 + number % 2,
                (10 * number, 10, 20, 20),
                cell_class="Monocyte",
                attributes={"nuclear_chromatin": "coarse"},
            )
        project.cells.add(
            1, (5, 60, 30, 30), cell_class="Myeloblast", attributes={"nuclear_chromatin": "open"}
        )
        project.cells.add(1, (60, 60, 20, 20))
    return small_project


def question(**changes: Any) -> Question:
    about: dict[str, Any] = {
        "what": "nuclear_chromatin",
        "values": VALUES,
        "of": ("cell", 8),
        "field_id": 1,
        "box": (60, 60, 20, 20),
        "cell_class": None,
    }
    return Question(**{**about, **changes})


def ids(comparison: Comparison, value: str) -> list[int | None]:
    return [one.cell_id for one in comparison.cells[value]]


def test_the_newest_labelled_cells_of_each_value_and_bundled_ones_are_shown(labelled: Path) -> None:
    found = compare(labelled, 1, question())
    assert ids(found, "coarse") == [6, 5, 4, None]
    assert ids(found, "open") == [7, None, None, None]
    assert found.bundled
    assert found.side_um is None, "of bundled cells no size is known: each fills its picture"
    assert found.current is not None
    assert {one.crop.shape for cells in found.cells.values() for one in cells} == {(SIDE, SIDE, 3)}


def test_the_nearest_come_first_and_what_is_gone_or_labelled_anew_is_left_out(labelled: Path) -> None:
    with Project.open(labelled, annotator="Ada") as project:
        project.cells.delete(2)
        project.cells.change(3, attributes={"nuclear_chromatin": "open"})
    near = {"coarse": tuple((("cell", i), 0.9 - i / 100) for i in (1, 2, 3, 8))}
    found = compare(labelled, 1, question(near=near))
    assert ids(found, "coarse") == [1, 6, 5, None]
    assert [one.likeness for one in found.cells["coarse"]] == [0.89, None, None, None]
    assert ids(found, "open")[:2] == [7, 3]


def test_where_all_pixel_sizes_are_known_all_pictures_are_as_many_micrometres_wide(labelled: Path) -> None:
    with Project.open(labelled, annotator="Ada") as project:
        project.fields.update(1, pixel_size_um=0.1)
        project.fields.update(2, pixel_size_um=0.2)
    found = compare(labelled, 1, question())
    assert not found.bundled
    assert found.side_um == pytest.approx(1.4 * 20 * 0.2), "the largest cell fills its picture"
    assert ids(found, "coarse") == [6, 5, 4, 3]
    found = compare(labelled, 1, question(what="cell_size", values=("small", "large")))
    assert found.bundled
    assert found.side_um is None, "nothing of the project has these values"


def test_a_value_that_no_cell_anywhere_has_does_not_take_the_scale_away(labelled: Path) -> None:
    with Project.open(labelled, annotator="Ada") as project:
        for field in (1, 2):
            project.fields.update(field, pixel_size_um=0.1)
    found = compare(labelled, 1, question(values=("coarse", "unheard of")))
    assert found.side_um == pytest.approx(1.4 * 20 * 0.1)
    assert found.cells["unheard of"] == ()


def test_the_bundled_label_of_the_very_cell_is_never_shown(tmp_path: Path) -> None:
    example = next(one for one in bundled_examples() if one.cell_class == "Basophil")
    with Project.create(tmp_path / "sample.lld", "lld", annotator="Ada") as project:
        (field,) = project.fields.add([example.path]).added
        project.cells.add(field, example.box)
    asked = question(what=CLASS, values=("Basophil",), of=("cell", 1), field_id=field, box=example.box)
    found = compare(tmp_path / "sample.lld", 1, asked).cells["Basophil"]
    assert len(found) == PER_VALUE
    here = compare(tmp_path / "sample.lld", 1, replace(asked, box=(0, 0, 5, 5))).cells["Basophil"]
    pictures = [one.crop.tobytes() for one in here]
    assert [one.crop.tobytes() for one in found[:-1]] == pictures[1:], "the first was the cell itself"


def test_of_a_class_the_most_alike_stands_first_and_empty_ones_are_left_out(labelled: Path) -> None:
    classes = ("Myeloblast", "Monocyte", "Promonocyte")
    near = {"Monocyte": ((("cell", 1), 0.9),), "Myeloblast": ((("cell", 7), 0.4),)}
    found = compare(labelled, 1, question(what=CLASS, values=classes, near=near))
    assert list(found.cells) == ["Monocyte", "Myeloblast"]
    assert None in ids(found, "Monocyte")


def test_a_schema_of_other_words_has_no_bundledbundled_examples(tmp_path: Path, labelled: Path) -> None:
    found = compare(labelled, 1, question(values=("unheard of",)))
    assert found.cells == {"unheard of": ()}


# ---------------------------------------------------------------------- what the session asks


class Asked:
    """Stands in for the thread and the assistant; answers when told to."""

    def __init__(self, session: Session) -> None:
        self.questions: list[tuple[Question, Callable[[Comparison], None]]] = []
        self.requests: list[tuple[Any, Callable[[Any], None]]] = []
        session.references.reader = lambda asked, then: self.questions.append((asked, then))
        session.assistant.process = self

    def ask(self, request: Any, answered: Any, heard: Any = None, *, kind: str = "") -> None:
        if getattr(request, "what", "") == "references":
            self.requests.append((request, answered))

    def forget(self) -> None:
        """Drop nothing."""


@pytest.fixture
def asked(new_session: Session, labelled: Path) -> Asked:
    asked = Asked(new_session)
    assert new_session.open(labelled, annotator="Ada")
    return asked


def test_one_key_shows_the_row_of_the_caret_and_the_same_key_closes(
    new_session: Session, asked: Asked
) -> None:
    references, selection = new_session.references, new_session.selection
    references.toggle()
    assert not references.is_open, "no cell is current"
    selection.select("cell", 8)
    selection.set_caret(1)
    references.toggle()
    assert references.is_open
    assert asked.questions[-1][0] == question()
    selection.move_caret(1)
    assert asked.questions[-1][0].what == "nuclear_shape"
    references.toggle_classes()
    assert asked.questions[-1][0].what == CLASS
    assert "Neutrophil" in asked.questions[-1][0].values
    references.show("cell_size")
    assert selection.caret == 0
    assert asked.questions[-1][0].what == "cell_size"
    references.toggle()
    assert not references.is_open
    selection.move_caret(1)
    assert asked.questions[-1][0].what == "cell_size", "nothing is asked while it is closed"


def test_the_nearest_replace_the_newest_once_the_assistant_answers(
    new_session: Session, asked: Asked, labelled: Path
) -> None:
    references, selection = new_session.references, new_session.selection
    selection.select("cell", 8)
    selection.set_caret(1)
    references.toggle()
    first, then = asked.questions[-1]
    then(compare(labelled, 1, first))
    assert references.comparison is not None
    assert references.chosen == ("open", 0)
    request, answered = asked.requests[-1]
    assert (request.of, request.most) == (("cell", 8), PER_VALUE + 1)
    result = {"references": {"nuclear_chromatin": {"coarse": [[["cell", 1], 0.8]], "open": []}}}
    answered(SimpleNamespace(type="done", result=result))
    second, then = asked.questions[-1]
    assert second.near == {"coarse": ((("cell", 1), 0.8),), "open": ()}
    then(compare(labelled, 1, second))
    assert ids(references.comparison, "coarse")[0] == 1
    references.step(1)
    assert references.chosen == ("open", 1)
    references.step(-1)
    references.step(-1)
    assert references.chosen == ("coarse", 3)
    selection.set_caret(2)
    assert len(asked.requests) == 1, "one answer holds for all rows of a cell"
    then(compare(labelled, 1, second))
    assert references.comparison.question == second, "a late answer changes nothing"
    new_session.close()
    assert not references.is_open


def test_a_blind_reader_gets_no_likeness(new_session: Session, asked: Asked) -> None:
    assert new_session.readings.add("blind", blind=True) is not None
    cell = new_session.boxes.add((5, 5, 20, 20))
    assert cell is not None
    new_session.references.toggle()
    assert asked.questions
    assert not asked.requests

"""Sets of values, and films where nothing was checked: named, marked, never taken many at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from annotation_store import Proposal
from annotation_store.schema import load_schema
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers.palette import proposal_word, set_word, set_words
from napari_lld.session.session import Session
from napari_lld.session.training_state import TrainingState
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.cell.cell_panel import AttributeRow

from .conftest import listen, suggest_by_a_model

LLD = load_schema("lld")
CLASSES = {"Monocyte": 0.5, "Lymphocyte": 0.4, "Neutrophil": 0.1}
VALUES = {"cell_size": {"medium": 0.5, "large": 0.45, "small": 0.05}}
BOX = (5.0, 10.0, 20.0, 20.0)
SETS = Proposal(
    BOX,
    0.95,
    CLASSES,
    VALUES,
    novelty=0.7,
    sets={"class": ("Monocyte", "Lymphocyte"), "cell_size": ("medium", "large")},
)
ONE = Proposal((35.0, 10.0, 20.0, 20.0), 0.9, {"Monocyte": 1.0}, {}, sets={"class": ("Monocyte",)})
UNCHECKED = Proposal((65.0, 10.0, 20.0, 20.0), 0.8, {"Monocyte": 0.9, "Neutrophil": 0.1}, {}, unchecked=True)
NO_SETS = Proposal((65.0, 50.0, 20.0, 20.0), 0.7, {"Monocyte": 0.8, "Neutrophil": 0.2}, {})


@pytest.fixture
def folder(small_project: Path) -> Path:
    suggest_by_a_model(small_project, [SETS, ONE, UNCHECKED, NO_SETS])
    return small_project


@pytest.fixture
def session(dock: AnnotateDock, folder: Path) -> Session:
    session = dock.desk.session
    session.open(folder, annotator="Ada")
    return session


def choose(session: Session, proposal: Proposal) -> None:
    session.selection.select(
        "suggestion", next(s.id for s in session.marks.waiting if s.proposal.box == proposal.box)
    )


def thoughts(dock: AnnotateDock) -> str:
    (found,) = (
        one.text()
        for one in dock.findChildren(QLabel)
        if one.text().startswith("White cell ") and "%" in one.text()
    )
    return found


def test_a_set_of_several_is_named_and_one_of_one_reads_as_before() -> None:
    assert set_word(LLD, SETS, "class") == "M or L, 95%"
    assert set_words(LLD, SETS) == ["M or L, 95%", "Cell size: Medium or Large, 95%"]
    three = replace(SETS, sets={"class": ("Monocyte", "Lymphocyte", "Neutrophil")})
    assert set_word(LLD, three, "class") == "M, L or N, 95%"
    gone = replace(SETS, sets={"class": ("Monocyte", "Gone")})
    assert set_words(LLD, gone) == set_words(LLD, ONE) == set_words(LLD, NO_SETS) == []


def test_the_number_on_the_canvas_is_that_of_the_letter_beside_it() -> None:
    assert proposal_word(LLD, SETS) == "M 48%"
    assert proposal_word(LLD, UNCHECKED) == "M 72%"


def test_the_panels_name_the_set_and_frame_its_values(
    session: Session, dock: AnnotateDock, qtbot: QtBot
) -> None:
    choose(session, SETS)
    qtbot.wait(50)
    assert thoughts(dock) == "White cell 95% · Monocyte 48%, Lymphocyte 38%, Neutrophil 10%\nM or L, 95%"
    framed = [b.objectName() for b in dock.findChildren(ChoiceButton) if b.among]
    assert framed == [
        "lld_class_Lymphocyte",
        "lld_class_Monocyte",
        "lld_value_cell_size_medium",
        "lld_value_cell_size_large",
    ]
    row = dock.findChild(AttributeRow, "lld_row_cell_size")
    assert row is not None
    assert "Medium or Large, 95%" in row.toolTip()
    choose(session, ONE)
    qtbot.wait(50)
    assert thoughts(dock) == "White cell 90% · Monocyte 90%"
    assert not any(b.among for b in dock.findChildren(ChoiceButton))
    assert "95%" not in row.toolTip()


def test_the_panel_says_what_was_not_checked(session: Session, dock: AnnotateDock, qtbot: QtBot) -> None:
    choose(session, UNCHECKED)
    qtbot.wait(50)
    assert thoughts(dock).splitlines()[1] == "Probabilities not yet checked on this film"
    choose(session, NO_SETS)
    qtbot.wait(50)
    assert thoughts(dock).splitlines()[1] == "Probabilities not yet checked on your films"


def test_what_was_not_checked_is_never_accepted_all_at_once(session: Session) -> None:
    assert "1 is from a film that the model has not learned from" in session.bulk_accept.choice
    assert len(session.bulk_accept.accept_all()) == 3
    assert [s.proposal for s in session.marks.waiting] == [UNCHECKED]
    assert "label" in session.bulk_accept.refusal
    choose(session, UNCHECKED)
    session.review.accept()
    assert not session.marks.waiting


def test_the_gallery_leaves_it_though_it_was_on_the_screen(session: Session) -> None:
    from napari_lld.session.gallery import Gallery
    from napari_lld.tasks.gallery_reader import read_items

    assert session.project is not None
    gallery = Gallery(session)
    gallery.attach()
    gallery.take(None, read_items(session.project, None))
    told = listen(session)
    gallery.accept(gallery.shown, seen={item.key for item in gallery.shown})
    assert told[-1].startswith("3 suggestions accepted. 1 is from a film that the model has not learned from")
    assert [s.proposal for s in session.marks.waiting] == [UNCHECKED]
    gallery.detach()


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (
            {
                "unchecked": ["A", "B"],
                "labelled": {"A": 0, "B": 14},
                "needed": 40,
                "not_learned": {"A": 12},
                "sets": None,
            },
            "films A (0 of 40 cells labelled, and 12 with what the model has not learned), B (14 of 40 cells "
            "labelled), and none of a class or value is above 90% there: label 40 cells of each with what "
            "the model has learned",
        ),
        (
            {"unchecked": ["A"], "labelled": {"A": 3}, "needed": 10, "not_learned": {}, "sets": None},
            "Probabilities are not yet checked on the film A (3 of 10 cells labelled), and",
        ),
        (
            {"unchecked": [], "sets": None},
            "The probabilities are not yet checked on your films: this needs 50",
        ),
        (
            {
                "unchecked": list("ABCDEFG"),
                "labelled": dict.fromkeys("ABCDEFG", 1),
                "needed": 10,
                "not_learned": {},
                "sets": None,
            },
            "D (1 of 10 cells labelled), E (1 of 10 cells labelled) and 2 more, and none",
        ),
        ({"unchecked": [], "sets": {"heads": {}}}, ""),
        ({}, ""),
    ],
)
def test_the_window_says_once_how_far_a_round_can_be_relied_on(result: dict[str, Any], says: str) -> None:
    state = TrainingState()
    state.receive(SimpleNamespace(type="done", model_id=None, result=result))
    assert says in state.message
    assert state.message.count("not yet checked") == bool(says)

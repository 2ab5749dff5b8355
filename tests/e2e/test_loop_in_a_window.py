"""The whole loop in one real window: draw, label, train, review, undo, close, reopen."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project, SuggestionState, formats
from napari_lld import sample

pytestmark = [pytest.mark.window, pytest.mark.timeout(900)]

TRAINING_SECONDS = 600
"""How long the test waits for a training that takes about half a minute on two idle cores."""


def truth_of(field_name: str) -> list[tuple[float, float, float, float]]:
    """Give the true boxes of a sample field, to draw what is really there."""
    truth = json.loads(sample.truth().read_text(encoding="utf-8"))
    image = next(i for i in truth["images"] if i["file_name"] == field_name)
    return [tuple(a["bbox"]) for a in truth["annotations"] if a["image_id"] == image["id"]]


@pytest.fixture
def bare_project(tmp_path: Path) -> Path:
    """Give a project of three sample fields without any annotation."""
    folder = tmp_path / "bare.lld"
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add(
            [p for p in sample.fields() if p.name in ("pbc_00.jpg", "pbc_01.jpg", "txl_00.jpg")]
        )
    return folder


def test_annotate_train_while_editing_review_undo_reopen(
    open_window: Callable[..., Any],
    bare_project: Path,
    stalls: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    window = open_window(bare_project)
    session = window.session
    field = window.show_field("pbc_00")
    boxes = truth_of("pbc_00.jpg")

    # A region and its cells, with the mouse; class and attributes, by key.
    window.press("R")
    window.drag((2, 2), (field.width / 2, field.height - 2))
    assert len(session.marks.regions) == 1
    inside = [box for box in boxes if session.marks.regions[0].shape.contains_centre(box)]
    assert len(inside) >= 3
    window.press("B")
    for x, y, w, h in inside:
        window.drag((x, y), (x + w, y + h))
        window.press("Shift+N", "3", "2", "2", "1", "2", "1", "1")
    window.press("Esc")
    cells = session.project.cells.all(field.id)
    assert len(cells) == len(inside)
    assert {cell.cell_class for cell in cells} == {"Neutrophil"}
    assert {len(cell.attributes) for cell in cells} == {7}

    # Train, small; and go on working meanwhile.
    window.dock.show_model_tab()
    window.dock.desk.training_options = lambda: {
        "epochs": 2,
        "size": 160,
        "budget": 300,
        "holdout": 0,
        "min_confidence": 0.05,
        "device": "cpu",
    }
    window.click("training.start")
    assert session.training.state.busy
    failures: list[str] = []
    session.notice.connect(lambda level, text: failures.append(text) if level == "error" else None)
    window.qtbot.waitUntil(
        lambda: session.training.state.phase != "starting", timeout=TRAINING_SECONDS * 1000
    )
    assert session.training.state.busy, failures
    with stalls:
        edited = cells[0].id
        x, y, w, h = session.project.cells.get(edited).box
        window.click_field(x + w / 2, y + h / 2)
        assert session.selection.cell.id == edited
        window.press("Shift+M", "Down", "1")
        assert session.training.state.busy, "the edit did not fall into the training"
        window.qtbot.waitUntil(lambda: not session.training.state.busy, timeout=TRAINING_SECONDS * 1000)
        window.settle(300)
    assert not failures
    with capsys.disabled():
        print(f"\nGUI while training: {stalls.report()}")  # noqa: T201
    assert session.project.cells.get(edited).cell_class == "Monocyte"
    assert session.project.models.active() is not None

    # Suggestions have come; review them by key.
    session.marks.threshold = 0.0
    waiting = [s for s in session.fields.summaries() if s.pending_suggestions >= 3]
    assert waiting, "no suggestions came"
    session.fields.show(waiting[0].field.id)
    window.dock.show_suggestions_tab()
    window.settle()
    reviewed = session.fields.current_id
    before = len(session.marks.cells)
    window.press("S")
    first = session.selection.suggestion
    window.press("A")
    second = session.selection.suggestion
    assert second is not None
    assert second.id != first.id
    window.press("X")
    third = session.selection.suggestion
    window.press("A")
    assert len(session.marks.cells) == before + 2
    window.press("Ctrl+Z")  # the last accept
    assert len(session.marks.cells) == before + 1
    assert third.id in {s.id for s in session.suggestions.shown}
    pending = len(session.suggestions.shown)
    window.close()
    assert session.project is None

    # Everything is there again.
    again = open_window(bare_project)
    session = again.session
    assert session.fields.current_id == reviewed
    assert len(session.marks.cells) == before + 1
    assert len(session.suggestions.shown) == pending
    states = {
        s.id: s.state
        for s in session.project.suggestions.find(reviewed, states=tuple(SuggestionState))
        if s.id in (first.id, second.id, third.id)
    }
    assert states == {
        first.id: SuggestionState.ACCEPTED,
        second.id: SuggestionState.REJECTED,
        third.id: SuggestionState.PENDING,
    }
    assert session.project.cells.get(edited).cell_class == "Monocyte"
    assert session.project.cells.get(edited).attributes["cell_size"] == "small"
    assert session.project.models.active() is not None
    assert session.project.check() == []
    again.close()
    with Project.open(bare_project) as project:
        out = bare_project.parent / "export.json"
        formats.write("coco", project, out)
    exported = json.loads(out.read_text(encoding="utf-8"))
    assert len(exported["annotations"]) == len(inside) + (before + 1 if reviewed != field.id else 1)

"""The gallery's orders by likeness, asked of an assistant that answers when the test lets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton

from annotation_store import Entry, Project, Proposal
from annotation_store.records import RejectionReason, SuggestionState
from napari_lld.commands.keymap import KeyMap
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session.gallery import MISSING, Gallery
from napari_lld.session.gallery_items import Item, Key
from napari_lld.session.gallery_order import GalleryOrder, Scope, Show
from napari_lld.session.session import Session
from napari_lld.widgets.gallery.gallery_model import GalleryModel
from napari_lld.widgets.gallery.gallery_window import GalleryWindow
from training.protocol import Done, Failed, LikenessRequest, Progress

from .conftest import read_at_once
from .test_gallery import choose, opened, settle

PLACES = [(5.0 + 18 * i, 10.0, 16.0, 16.0) for i in range(6)]


class FakeAssistant:
    """Keeps the questions; answers them when it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[LikenessRequest, Callable[[Any], None]]] = []
        self.heard: Callable[[Any], None] = lambda _message: None

    def ask(
        self, request: Any, answered: Callable[[Any], None], heard: Any = None, *, kind: str = ""
    ) -> None:
        if heard is not None:
            self.heard = heard
        if kind == "gallery":
            self.asked.append((request, answered))

    def forget(self) -> None:
        """Drop what was asked."""
        self.asked.clear()

    def answer(self, **result: Any) -> None:
        """Answer the newest question."""
        self.asked[-1][1](Done(task="likeness", result=result))


@pytest.fixture
def assistant(session: Session) -> FakeAssistant:
    """Give the session an assistant, and its first field six suggestions."""
    assert session.project is not None
    fake = FakeAssistant()
    session.assistant.process = fake
    proposals = [Proposal(place, 0.9, {"Monocyte": 0.9, "Basophil": 0.1}) for place in PLACES]
    session.project.suggestions.replace(session.project.fields.all()[0].id, proposals, model_id=None)
    return fake


@pytest.fixture
def gallery(session: Session, assistant: FakeAssistant) -> Iterator[Gallery]:
    """Give a gallery whose reader answers at once."""
    yield from read_at_once(session)


def keys(gallery: Gallery) -> list[Key]:
    return [item.key for item in gallery.shown]


def places(gallery: Gallery) -> list[int]:
    return [PLACES.index(item.entry.box) for item in gallery.shown]


def test_the_most_alike_come_first_and_the_way_back_leads_to_the_order_before(
    gallery: Gallery, assistant: FakeAssistant, session: Session
) -> None:
    assert session.project is not None
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[3])
    request = assistant.asked[-1][0]
    assert (request.what, request.of, request.fields) == ("similar", known[3], None)
    assert request.project == str(session.project.path)
    assert keys(gallery) == known, "it stays usable while the assistant computes"
    assert gallery.in_likeness
    order = [3, 5, 0, 1, 2, 4]
    stale = ["cell", 99]
    assistant.answer(keys=[known[i] for i in order] + [stale], likeness=[1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    assert places(gallery) == order
    assert gallery.ranking is not None
    assert gallery.ranking.numbers[known[5]] == 0.9
    gallery.leave_likeness()
    assert gallery.order is GalleryOrder.SUREST
    assert keys(gallery) == known
    assert not gallery.in_likeness


def test_an_order_that_was_left_or_replaced_does_not_come_later(
    gallery: Gallery, assistant: FakeAssistant
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[1])
    gallery.leave_likeness()
    assistant.answer(keys=known[::-1], likeness=[1.0] * 6)
    assert keys(gallery) == known
    gallery.sort_by(GalleryOrder.SIMILAR, known[1])
    gallery.sort_by(GalleryOrder.OUTLIERS)
    assistant.asked[-2][1](Done(task="likeness", result={"keys": known[::-1], "likeness": [1.0] * 6}))
    assert gallery.order is GalleryOrder.SUREST
    assert gallery.likeness.waiting is GalleryOrder.OUTLIERS


def test_what_was_accepted_while_it_was_computed_keeps_its_place(
    gallery: Gallery, assistant: FakeAssistant
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[0])
    gallery.set_class(gallery.shown[2:3], "Basophil")
    assistant.answer(keys=[known[i] for i in (0, 2, 1, 3, 4, 5)], likeness=[1, 0.9, 0.8, 0.7, 0.6, 0.5])
    assert places(gallery) == [0, 2, 1, 3, 4, 5]
    assert gallery.shown[1].word == "Basophil"
    gallery.set_class(gallery.shown[:1], "Basophil")
    assert places(gallery) == [0, 2, 1, 3, 4, 5]
    assert gallery.ranking is not None
    assert gallery.ranking.of == gallery.shown[0].key


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        (
            Failed(cause="The model's file is damaged.", cure="Use another."),
            "The model's file is damaged. Use",
        ),
        (
            Done(task="likeness", result={"keys": [], "likeness": []}),
            ("No cell can be compared with this one."),
        ),
        (Done(task="likeness", result={"keys": "nonsense"}), "Unexpected error: "),
        (Done(task="likeness", result={}), "Unexpected error: KeyError"),
    ],
)
def test_what_fails_is_one_sentence_and_the_list_stays(
    gallery: Gallery, assistant: FakeAssistant, message: Any, sentence: str
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[1])
    assistant.asked[-1][1](message)
    assert gallery.likeness.trouble.startswith(sentence)
    assert keys(gallery) == known
    assert gallery.order is GalleryOrder.SUREST
    gallery.leave_likeness()
    assert not gallery.in_likeness


def test_without_a_process_it_says_so(gallery: Gallery, session: Session) -> None:
    session.assistant.process = None
    gallery.sort_by(GalleryOrder.CLUSTERS)
    assert gallery.likeness.trouble == "This window has no process to compare cells."
    assert len(gallery.shown) == 6


def test_a_group_is_listed_alone_and_its_row_says_what_is_labelled(
    gallery: Gallery, assistant: FakeAssistant
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.CLUSTERS)
    assistant.answer(
        clusters=[
            {"name": "Monocyte", "named": 0, "purity": 0.0, "keys": [known[i] for i in (4, 0, 2, 5)]},
            {"name": None, "named": 0, "purity": 0.0, "keys": [known[1], ["suggestion", 999]]},
        ]
    )
    assert places(gallery) == [4, 0, 2, 5, 1], "the most typical of the largest group first"
    assert [(r.name, r.count, r.labelled) for r in gallery.clusters] == [("Monocyte", 4, 0), (None, 1, 0)]
    assert [PLACES.index(item.entry.box) for item in gallery.clusters[0].typical] == [4, 0, 2]
    gallery.show_cluster(0)
    assert places(gallery) == [4, 0, 2, 5]
    assert gallery.counts == {"Monocyte": 4}
    gallery.set_class(gallery.shown, "Basophil")
    assert places(gallery) == [4, 0, 2, 5]
    gallery.set_class(gallery.shown[:1], "Neutrophil")
    first = gallery.clusters[0]
    assert (first.name, first.count, first.labelled, first.named) == ("Basophil", 4, 4, 3)
    assert len(gallery.clusters) == 2, "the others are there, though one is listed alone"
    gallery.show_cluster(None)
    assert places(gallery) == [4, 0, 2, 5, 1]


def test_near_duplicates_stand_in_pairs_and_leave_as_pairs(
    gallery: Gallery, assistant: FakeAssistant
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.DUPLICATES)
    pairs = [[known[4], known[1], 0.97], [known[1], known[0], 0.9], [known[5], known[2], 0.8]]
    assistant.answer(pairs=pairs)
    assert places(gallery) == [4, 1, 5, 2], "no crop stands in two pairs"
    gallery.set_class(gallery.shown[3:4], "Basophil")
    assert places(gallery) == [4, 1, 5, 2]
    gallery.only_class = "Basophil"
    gallery.arrange()
    assert places(gallery) == [5, 2], "a pair is not torn apart"
    gallery.only_class = None
    gallery.arrange()
    gallery.reject(gallery.shown[:1], RejectionReason.DUPLICATE)
    assert places(gallery) == [5, 2], "what is settled leaves"
    gallery.undo()
    assert places(gallery) == [4, 1, 5, 2]


def test_what_is_new_comes_with_the_next_sorting(
    gallery: Gallery, assistant: FakeAssistant, session: Session
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[0])
    assistant.answer(keys=known, likeness=[1.0] * 6)
    assert not gallery.outdated
    session.boxes.add((10, 50, 16, 16))
    assert places(gallery) == [0, 1, 2, 3, 4, 5]
    assert gallery.outdated
    gallery.sort_again()
    assert assistant.asked[-1][0].of == known[0]
    assert len(assistant.asked) == 2


def test_another_scope_asks_for_its_fields(
    gallery: Gallery, assistant: FakeAssistant, session: Session
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[0])
    assistant.answer(keys=known[::-1], likeness=[1.0] * 6)
    gallery.scope = Scope.FIELD
    gallery.read_all()
    assert assistant.asked[-1][0].fields == [session.fields.current_id]
    assert places(gallery) == [5, 4, 3, 2, 1, 0], "until then it stays as it was"


def test_filters_hold_in_an_order_by_likeness(gallery: Gallery, assistant: FakeAssistant) -> None:
    known = keys(gallery)
    gallery.set_class(gallery.shown[:2], "Basophil")
    gallery.sort_by(GalleryOrder.OUTLIERS)
    now = keys(gallery)
    assistant.answer(keys=now[:2][::-1], distance=[0.9, 0.2])
    assert places(gallery) == [1, 0], "only what can be compared is listed"
    gallery.show = Show.WAITING
    gallery.arrange()
    assert keys(gallery) == []
    gallery.show = Show.CELLS
    gallery.only_class = MISSING
    gallery.arrange()
    assert keys(gallery) == []
    assert gallery.counts == {"Basophil": 2}
    assert len(known) == 6


def test_closing_the_project_leaves_the_order(
    gallery: Gallery, assistant: FakeAssistant, session: Session, small_project: Path
) -> None:
    known = keys(gallery)
    gallery.sort_by(GalleryOrder.SIMILAR, known[0])
    assistant.answer(keys=known[::-1], likeness=[1.0] * 6)
    gallery.detach()
    assert gallery.order is GalleryOrder.SUREST
    assert not gallery.in_likeness
    with Project.open(small_project, read_only=True) as project:
        assert project.cells.all() == []


@pytest.fixture
def window(
    dock: AnnotateDock, small_project: Path, suggest: Callable[[Path], list[int]], qtbot: QtBot
) -> Iterator[GalleryWindow]:
    """Give the gallery's window with a fake assistant, three suggestions and a cell with a class."""
    ids = suggest(small_project)
    assert len(ids) == 3
    with Project.open(small_project, annotator="Ada") as project:
        project.cells.add(project.fields.all()[0].id, (60, 60, 20, 20), cell_class="Basophil")
    dock.desk.session.assistant.process = FakeAssistant()
    window = opened(dock, small_project, qtbot)
    yield window
    window.close()


def asked(window: GalleryWindow) -> FakeAssistant:
    process = window.session.assistant.process
    assert isinstance(process, FakeAssistant)
    return process


def test_a_group_is_chosen_by_one_key_or_click_and_labelled_by_one_more(
    window: GalleryWindow, qtbot: QtBot
) -> None:
    known = keys(window.gallery)
    qtbot.keyClick(window.grid, Qt.Key.Key_C, Qt.KeyboardModifier.AltModifier)
    assert asked(window).asked[-1][0].what == "clusters"
    qtbot.waitUntil(lambda: window.likeness.sentence.text().startswith("Comparing cells"))
    asked(window).heard(Progress(stage="look", done=2, total=4))
    qtbot.waitUntil(lambda: window.likeness.sentence.text().startswith("Computing embeddings: 2 of 4"))
    cell = next(key for key in known if key[0] == "cell")
    others = [key for key in known if key != cell]
    asked(window).answer(
        clusters=[
            {"name": "Neutrophil", "named": 0, "purity": 0.0, "keys": [cell, *others[:2]]},
            {"name": "Neutrophil", "named": 0, "purity": 0.0, "keys": others[2:]},
        ]
    )
    settle(window, qtbot)
    assert window.likeness.sentence.text().startswith("2 groups. N or a click selects")
    least = window.minimumSizeHint()
    assert least.width() <= 853, "it fits a small screen, 1280 × 720 at 150%"
    assert least.height() <= 480
    assert [window.clusters.standing(row) for row in window.clusters.rows] == [
        "1 labelled",
        "named by the model",
    ]
    qtbot.keyClick(window.grid, Qt.Key.Key_N)
    assert [item.key for item in window.grid.chosen()] == others[:2], "what has a class stays as it is"
    current = window.grid.current()
    assert current is not None
    assert current.key == others[0], "keys go on from what is chosen"
    qtbot.keyClick(window.grid, Qt.Key.Key_M, Qt.KeyboardModifier.ShiftModifier)
    settle(window, qtbot)
    assert [item.word for item in window.gallery.shown] == ["Basophil", "Monocyte", "Monocyte"]
    assert window.clusters.standing(window.clusters.rows[0]) == "3 labelled, 67% agree"
    second = window.clusters.visualItemRect(window.clusters.item(1)).center()
    qtbot.mouseClick(window.clusters.viewport(), Qt.MouseButton.LeftButton, pos=second)
    assert [item.key for item in window.grid.chosen()] == others[2:]
    for listed in (4, 4):  # all groups, then the order before
        qtbot.keyClick(window.grid, Qt.Key.Key_Escape)
        assert len(window.gallery.shown) == listed
    assert window.gallery.order is GalleryOrder.UNCERTAIN
    assert window.clusters.isHidden()
    assert window.isVisible()
    qtbot.keyClick(window.grid, Qt.Key.Key_Escape)
    assert not window.isVisible()


def test_what_could_not_be_computed_is_dismissed_and_the_groups_stay(
    window: GalleryWindow, qtbot: QtBot
) -> None:
    known = keys(window.gallery)
    window.gallery.sort_by(GalleryOrder.CLUSTERS)
    asked(window).answer(clusters=[{"name": None, "named": 0, "purity": 0.0, "keys": known}])
    window.gallery.sort_by(GalleryOrder.DUPLICATES)
    asked(window).answer(pairs=[])
    settle(window, qtbot)
    assert window.likeness.sentence.text().startswith("No two crops")
    qtbot.keyClick(window.grid, Qt.Key.Key_Escape)
    settle(window, qtbot)
    assert window.likeness.sentence.text().startswith("1 group. ")
    window.gallery.sort_by(GalleryOrder.DUPLICATES)
    asked(window).answer(pairs=[])
    qtbot.keyClick(window.grid, Qt.Key.Key_N)
    settle(window, qtbot)
    assert window.likeness.sentence.text().startswith("1 group. "), "what is shown is described"


def test_the_menu_of_values_shows_the_keys_that_hold(dock: AnnotateDock, window: GalleryWindow) -> None:
    menu = window.findChild(QToolButton, "lld_gallery_set_value").menu()
    assert menu is not None
    assert menu.actions()[0].text().endswith("\t1")
    dock.desk.commands.key_map = KeyMap("left")
    assert menu.actions()[0].text().endswith("\t7")


def test_cells_like_the_current_one_are_shown_from_the_main_window_and_from_the_gallery(
    dock: AnnotateDock, window: GalleryWindow, qtbot: QtBot
) -> None:
    window.close()
    session, commands = dock.desk.session, dock.desk.commands
    assert not commands.run("gallery.similar"), "no cell is current"
    cell = session.marks.cells[0]
    session.selection.select("cell", cell.id)
    assert commands["gallery.similar"].keys == ("Alt+G",)
    assert commands.run("gallery.similar")
    settle(window, qtbot)
    assert asked(window).asked[-1][0].of == ("cell", cell.id)
    known = keys(window.gallery)
    ordered = sorted(known)
    asked(window).answer(keys=ordered, likeness=[1.0, 0.9, 0.8, 0.7])
    settle(window, qtbot)
    assert keys(window.gallery) == ordered
    assert window.likeness.sentence.text().startswith("The cells most similar to this one (Basophil, ")
    model = window.grid.model_
    assert [model.aside(item) for item in window.gallery.shown] == ["≈ 100%", "≈ 90%", "≈ 80%", "≈ 70%"]
    choose(window, 2)
    qtbot.keyClick(window.grid, Qt.Key.Key_G, Qt.KeyboardModifier.AltModifier)
    assert asked(window).asked[-1][0].of == ordered[2]


def test_pairs_stand_side_by_side(window: GalleryWindow, qtbot: QtBot) -> None:
    known = keys(window.gallery)
    window.resize(176 + 60 + 5 * 116, 400)
    qtbot.waitUntil(lambda: window.grid.columns % 2 == 1)
    window.gallery.sort_by(GalleryOrder.DUPLICATES)
    asked(window).answer(pairs=[[known[0], known[1], 0.9], [known[2], known[3], 0.8]])
    assert window.grid.columns % 2 == 0


def test_words_that_change_neither_lay_the_crops_out_anew_nor_ask_the_store(
    session: Session, qtbot: QtBot
) -> None:
    gallery = Gallery(session)
    model = GalleryModel(gallery)

    def items(word: str) -> list[Item]:
        boxes = [(float(i % 100), float(i // 100), 5.0, 5.0) for i in range(10_000)]
        entries = [
            Entry("suggestion", i, 1, box, state=SuggestionState.PENDING) for i, box in enumerate(boxes)
        ]
        return [Item(entry, word, None, None, None) for entry in entries]

    gallery.take(None, items("Monocyte"))
    model.show_items(gallery.shown)
    told: list[str] = []
    model.modelReset.connect(lambda: told.append("reset"))
    model.dataChanged.connect(lambda *_: told.append("words"))
    gallery.shown_changed.connect(lambda: model.show_items(gallery.shown))
    gallery.take([1], items("Basophil"))
    assert told == ["words"]
    assert gallery.counts == {"Basophil": 10_000}

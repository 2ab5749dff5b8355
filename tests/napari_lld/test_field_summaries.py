"""Projects of many fields: the field and the list are shown at once, while a thread reads their states."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QLabel

from annotation_store import Project, Shape
from annotation_store.records import Edit, Proposal, RegionState
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.session import field_summaries
from napari_lld.session.field_order import FieldFilter, FieldOrder, Standing
from napari_lld.session.session import Session
from napari_lld.widgets.base.row_list import RowList


class Reader:
    """A thread of which a test says when it has read."""

    def __init__(self) -> None:
        self.work: Callable[[], Any] | None = None

    def start(
        self,
        work: Callable[[], Any],
        on_result: Callable[[Any], None],
        failed: Callable[[str], None],
        *,
        after_painting: bool,
    ) -> None:
        self.work, self._on_result, self._failed = work, on_result, failed

    def drop(self) -> None:
        self.work = None

    def read(self) -> Any:
        assert self.work is not None
        return self.work()

    def deliver(self, result: Any) -> None:
        if self.work is not None:
            self.work = None
            self._on_result(result)

    def fail(self) -> None:
        self.work = None
        self._failed("The disk is gone.")


@pytest.fixture
def many(
    small_project: Path, more_fields: Callable[[Path, list[str]], None], monkeypatch: pytest.MonkeyPatch
) -> Path:
    monkeypatch.setattr(field_summaries, "AT_ONCE", 2)
    more_fields(small_project, ["a.png", "b.png", "c.png"])
    with Project.open(small_project, annotator="Ada") as project:
        project.regions.add_whole_field(2)
        project.suggestions.replace(3, [Proposal((5, 5, 20, 20), 0.9)], model_id=None)
    return small_project


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def session(many: Path, reader: Reader) -> Iterator[Session]:
    session = Session()
    session.fields.read_in(reader)
    assert session.open(many, annotator="Ada")
    yield session
    session.close()


def test_the_field_is_shown_before_the_states_of_all_are_read(session: Session, reader: Reader) -> None:
    fields = session.fields
    listed: list[int] = []
    fields.listed_changed.connect(lambda: listed.append(len(fields.listed)))
    assert fields.current_id == 1
    assert fields.being_read
    assert list(fields.listed) == [1, 2, 3, 4, 5]
    assert fields.summary(2).finished_regions == 1
    fields.next()
    assert fields.current_id == 2
    fields.show(4)
    assert fields.current_id == 4, "any field can be shown meanwhile"
    assert fields.being_read
    reader.deliver(reader.read())
    assert not fields.being_read
    assert listed == [5]
    assert (fields.annotated, fields.pending, fields.all_complete) == (1, 1, False)
    assert fields.current_id == 4
    fields.next()
    assert fields.current_id == 5


def test_opening_reads_no_states_beside_the_thread(
    many: Path, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    with Project.open(many, read_only=True) as project:
        store = type(project.fields)
    read = store.summaries
    monkeypatch.setattr(store, "summaries", lambda self, ids=None: asked.append(ids) or read(self, ids))
    session = Session()
    session.fields.read_in(reader)
    assert session.open(many, annotator="Ada")
    assert session.suggestions.what_next
    assert asked == []
    reader.deliver(reader.read())
    assert asked == [None]
    session.close()


def test_the_garbage_collector_passes_over_what_the_thread_has_read(session: Session, reader: Reader) -> None:
    reader.deliver(reader.read())
    summary = session.fields.summary(2)
    assert gc.is_tracked(summary)
    assert not any(summary is collected for collected in gc.get_objects())
    assert gc.isenabled()


def test_what_is_edited_meanwhile_is_counted(session: Session, reader: Reader) -> None:
    project = session.project
    assert project is not None
    read = reader.read()
    project.regions.add(5, Shape.rectangle(0, 0, 20, 20))
    project.suggestions.replace(1, [Proposal((5, 5, 20, 20), 0.9)], model_id=None)
    assert session.fields.summary(5).finished_regions == 1
    project.regions.add_whole_field(5)
    assert session.fields.summary(5).finished_regions == 2
    reader.deliver(read)
    assert session.fields.summary(5).finished_regions == 2
    assert (session.fields.annotated, session.fields.pending) == (2, 2)


def test_a_page_of_the_list_is_read_at_once(
    session: Session, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert session.project is not None
    store, asked = type(session.project.fields), []
    read = store.summaries
    monkeypatch.setattr(store, "summaries", lambda self, ids=None: asked.append(ids) or read(self, ids))
    assert [session.fields.summary(i).field.id for i in (1, 2, 3, 4, 5)] == [1, 2, 3, 4, 5]
    assert asked == [{1, 2, 3, 4, 5}]


def test_who_cannot_wait_reads_at_once_and_the_thread_is_not_heard(session: Session, reader: Reader) -> None:
    listed: list[int] = []
    session.fields.listed_changed.connect(lambda: listed.append(len(session.fields.listed)))
    late = reader.read()
    session.fields.filter = FieldFilter(frozenset({Standing.WAITING}))
    assert list(session.fields.listed) == [3]
    assert listed[-1] == 1
    reader.deliver(late)
    assert list(session.fields.listed) == [3]


def test_sorting_waits_for_the_thread_and_the_list_comes_in_that_order(
    session: Session, reader: Reader
) -> None:
    session.fields.order = FieldOrder.WAITING
    assert session.fields.being_read
    reader.deliver(reader.read())
    assert session.fields.listed[0] == 3


def test_an_order_by_rank_that_shows_nothing_is_explained_once_the_fields_are_read(
    session: Session, reader: Reader
) -> None:
    notices: list[str] = []
    session.notice.connect(lambda _level, sentence: notices.append(sentence))
    session.fields.order = FieldOrder.RANK
    assert notices == []
    reader.deliver(reader.read())
    assert notices == ["Nothing is ranked yet: this comes with the first training."]
    session.fields.arrange()
    assert len(notices) == 1


def test_a_training_asks_the_project_itself_whether_a_region_is_finished(
    session: Session, many: Path
) -> None:
    assert session.fields.has_annotated
    assert session.fields.being_read, "the window does not wait for all fields"
    with Project.open(many, annotator="Ada") as project:
        (region,) = project.regions.all()
        project.regions.change(region.id, state=RegionState.DRAFT)
    session.refresh()
    assert not session.fields.has_annotated


def test_the_pointer_shows_that_the_window_waits_for_the_fields(
    many: Path, dock: AnnotateDock, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = dock.desk.session
    assert session.open(many, annotator="Ada")
    assert session.project is not None
    store = type(session.project.fields)
    read, pointers = store.summaries, []

    def summaries(self: object, ids: object = None) -> object:
        pointers.append(QApplication.overrideCursor())
        return read(self, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(store, "summaries", summaries)
    assert session.fields.being_read
    session.fields.filter = FieldFilter(frozenset({Standing.WAITING}))
    assert [cursor.shape() for cursor in pointers] == [Qt.CursorShape.WaitCursor]
    assert QApplication.overrideCursor() is None


def test_an_edit_of_the_whole_project_has_the_thread_read_again(session: Session, reader: Reader) -> None:
    project = session.project
    assert project is not None
    first = reader.work
    project.events.edited.emit(Edit(1, None, "Change the schema", {}))
    assert reader.work is not first
    assert session.fields.being_read
    reader.deliver(reader.read())
    assert len(session.fields.listed) == 5


def test_where_the_thread_fails_the_list_is_read_by_who_shows_it(session: Session, reader: Reader) -> None:
    reader.fail()
    assert len(session.fields.listed) == 5


def test_another_project_is_not_given_the_states_of_the_last(session: Session, reader: Reader) -> None:
    late = reader.read()
    session.close()
    reader.deliver(late)
    assert not session.fields.being_read
    assert not session.fields.by_id


def test_a_remembered_order_is_kept(many: Path, reader: Reader) -> None:
    session = Session()
    assert session.open(many, annotator="Ada")
    session.fields.order = FieldOrder.WAITING
    session.fields.go_to(None)
    session.close()
    session.fields.read_in(reader)
    assert session.open(many, annotator="Ada")
    assert session.fields.current_id is None, "the first is known only once all are read"
    reader.deliver(reader.read())
    assert session.fields.current_id == 3
    assert session.fields.listed[0] == 3
    session.close()


def test_the_dock_lists_a_large_project_before_its_thread_has_read(
    many: Path, viewer: ViewerModel, dock: AnnotateDock, qtbot: QtBot
) -> None:
    session = dock.desk.session
    assert session.open(many, annotator="Ada")
    assert session.fields.being_read
    listed = dock.findChild(RowList, "lld_field_view")
    titles = [text.text() for text in dock.findChildren(QLabel)]
    assert "Fields · 5" in titles
    model = listed.model()
    rows = [model.index(row, 0).data(Qt.ItemDataRole.AccessibleTextRole) for row in range(model.rowCount())]
    assert rows[1].endswith("whole field reviewed")
    assert rows[2].endswith("1 suggestion to review")
    assert session.fields.being_read
    assert [layer.name for layer in viewer.layers], "the field is there"
    qtbot.waitUntil(lambda: not session.fields.being_read)
    titles = [text.text() for text in dock.findChildren(QLabel)]
    assert "Fields · 5" in titles
    assert listed.model().rowCount() == 5


def test_the_list_stays_where_the_user_scrolled_to_when_the_thread_has_read(
    many: Path, dock: AnnotateDock, qtbot: QtBot
) -> None:
    session = dock.desk.session
    listed = dock.findChild(RowList, "lld_field_view")
    listed.setFixedHeight(40)
    dock.show()
    assert session.open(many, annotator="Ada")
    bar = listed.verticalScrollBar()
    bar.setValue(bar.maximum())
    assert bar.value() > 0
    assert session.fields.being_read
    qtbot.waitUntil(lambda: not session.fields.being_read)
    assert bar.value() == bar.maximum()


def test_the_next_field_in_a_remembered_order_is_found_before_the_thread_has_read(
    many: Path, reader: Reader
) -> None:
    session = Session()
    assert session.open(many, annotator="Ada")
    session.fields.order = FieldOrder.NAME
    names = [session.fields.by_id[field_id].field.name for field_id in session.fields.listed]
    session.fields.show(session.fields.listed[1])
    session.close()
    session.fields.read_in(reader)
    assert session.open(many, annotator="Ada")
    assert not session.fields.listed
    session.fields.next()
    assert session.fields.current is not None
    assert session.fields.current.name == names[2]
    session.close()


def test_the_title_counts_the_chosen_fields_before_the_thread_has_read(
    many: Path, dock: AnnotateDock
) -> None:
    session = dock.desk.session
    assert session.open(many, annotator="Ada")
    session.fields.choose([2, 3])
    assert session.fields.being_read
    assert "2 of 5 selected" in [text.text() for text in dock.findChildren(QLabel)]

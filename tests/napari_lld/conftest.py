"""No test of the desk leaves a widget behind."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from annotation_store import Project, Proposal

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from pytestqt.qtbot import QtBot
    from qtpy.QtWidgets import QAbstractButton, QWidget

    from napari_lld.controllers.dock import AnnotateDock
    from napari_lld.session.gallery import Gallery
    from napari_lld.session.session import Session


def _windows() -> dict[int, Any]:
    if "qtpy.QtWidgets" not in sys.modules:
        return {}
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        return {}
    return {id(widget): widget for widget in QApplication.topLevelWidgets() if widget.parent() is None}


@pytest.fixture(autouse=True)
def no_widget_leaks() -> Iterator[None]:
    """Fail where a window outlives its test, hidden or shown: it would hear of sessions that are closed."""
    before = _windows()
    yield
    if not _windows():
        return
    from qtpy.QtCore import QCoreApplication, QEvent

    for _ in range(2):  # what is deleted may delete in its turn
        QCoreApplication.sendPostedEvents(None, int(QEvent.Type.DeferredDelete.value))
        QCoreApplication.processEvents()
    gc.collect()
    if not gc.get_freeze_count():
        gc.freeze()  # modules, mostly: to walk over them after each test takes longer than many a test
    left = [widget for key, widget in _windows().items() if key not in before]
    assert not left, f"left behind: {[(type(w).__name__, w.objectName()) for w in left]}"


@pytest.fixture
def viewer() -> ViewerModel:
    """Give a viewer without a canvas."""
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def dock(viewer: ViewerModel, qtbot: QtBot, no_leaks: None) -> Iterator[AnnotateDock]:
    """Give a dock of a usual size on that viewer."""
    from napari_lld.controllers.dock import AnnotateDock

    dock = AnnotateDock(viewer)
    qtbot.addWidget(dock)
    dock.resize(420, 703)
    dock.show()
    yield dock
    dock.release()


def button(dock: QWidget, name: str) -> QAbstractButton:
    """Find a button by its name without ``lld_``."""
    from qtpy.QtWidgets import QAbstractButton

    found = dock.findChild(QAbstractButton, f"lld_{name}")
    assert found is not None, name
    return found


@pytest.fixture
def new_session() -> Iterator[Session]:
    """Give a session without a project and without a window."""
    from napari_lld.session.session import Session

    session = Session()
    yield session
    session.close()


@pytest.fixture
def session(new_session: Session, small_project: Path) -> Session:
    """Give a session of Ada's on the small project."""
    assert new_session.open(small_project, annotator="Ada")
    return new_session


@pytest.fixture
def with_slide(small_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small project with a slide of 600 x 500 pixels as its third field."""
    import numpy as np
    import tifffile

    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    pixels = np.random.default_rng(0).integers(0, 255, (500, 600, 3), np.uint8)
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        tiff.write(pixels, tile=(128, 128), photometric="rgb", subifds=1)
        tiff.write(pixels[::2, ::2], tile=(128, 128), photometric="rgb", subfiletype=1)
    with Project.open(small_project, annotator="Ada") as project:
        project.fields.add([tmp_path / "slide.tif"])
    return small_project


def listen(session: Session) -> list[str]:
    """Give a list that grows by each sentence the session tells from now on."""
    sentences: list[str] = []
    session.notice.connect(lambda _level, sentence: sentences.append(sentence))
    return sentences


@pytest.fixture
def german() -> Iterator[None]:
    """Let the window speak German."""
    from napari_lld.i18n.translate import use_language

    use_language("de")
    yield
    use_language("en")


@pytest.fixture(autouse=True)
def no_question_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where a test opens a project as somebody without a reading: the question would wait for ever."""
    if "napari_lld.widgets" in sys.modules:
        from napari_lld.widgets.dialogs import reading_dialog

        def refuse(annotator: str, *_: object, **__: object) -> None:
            pytest.fail(f"{annotator} was asked for a reading: open the project as its reader")

        monkeypatch.setattr(reading_dialog, "ask_reading", refuse)


@pytest.fixture(autouse=True)
def _no_warm_worker(no_warm_worker: None) -> None:
    """See `no_warm_worker`."""


EARNED: dict[str, Any] = {
    "least": 0.3,
    "units": 30,
    "of": 300,
    "wrong": 3,
    "classes": {"Monocyte": [297, 300]},
}
"""What a model has earned on held-out cells: monocytes may be accepted many at once."""


def suggest_by_a_model(folder: Path, proposals: Sequence[Proposal]) -> None:
    """Put proposals of an active model into the first field of a project."""
    with Project.open(folder, annotator="model") as project:
        number = project.models.reserve_id()
        project.models.folder(number).mkdir(parents=True, exist_ok=True)
        card = {"metrics": {"held_out": {"cells": 300}, "bulk": EARNED}}
        project.models.add(number, parent="starter", card=card, activate=True)
        project.suggestions.replace(project.fields.all()[0].id, proposals, model_id=number)


def read_at_once(session: Session) -> Iterator[Gallery]:
    """Give a gallery of a session whose reader answers at once, the surest first."""
    from napari_lld.session.gallery import Gallery
    from napari_lld.session.gallery_items import Item, read_items, successors
    from napari_lld.session.gallery_order import GalleryOrder

    project = session.project
    assert project is not None
    gallery = Gallery(session)
    known: list[Item] = []

    def read(field_ids: list[int] | None) -> None:
        items = read_items(project, field_ids)
        before = [item for item in known if field_ids is None or item.entry.field_id in field_ids]
        known[:] = [item for item in known if item not in before] + items
        gallery.take(field_ids, items, successors(before, items))

    gallery.read_requested.connect(read)
    gallery.order = GalleryOrder.SUREST
    gallery.attach()
    yield gallery
    gallery.detach()

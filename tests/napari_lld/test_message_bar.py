"""Messages are read whole: wrapped over the list of fields, the rest under *Details*."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, QRect
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel, QToolButton

from napari_lld.controllers.dock import AnnotateDock
from napari_lld.widgets.dock.message_bar import MessageBar, MessageDetails

LONG = (
    "Nothing was written: there is no room left on the disk of /home/ada/" + "blood-films/" * 4 + "out.json."
)


def parts(dock: AnnotateDock) -> tuple[MessageBar, QLabel, QToolButton]:
    bar = dock.findChild(MessageBar, "lld_message")
    assert bar is not None
    return bar, bar.text, bar.details


def test_a_long_sentence_is_wrapped_and_nothing_moves(dock: AnnotateDock, qtbot: QtBot) -> None:
    bar, text, details = parts(dock)
    assert bar.isHidden()
    before = dock.size()
    dock.desk.session.notify("error", LONG)
    assert bar.isVisible()
    assert text.text() == LONG
    assert text.height() >= text.heightForWidth(text.width()) - 2, "no line is cut"
    assert details.isHidden(), "there is nothing more to say"
    assert dock.size() == before
    assert bar.geometry().right() < dock.width()
    dock.resize(360, 600)
    qtbot.wait(10)
    assert bar.geometry().bottom() < dock.height()


def test_a_message_covers_no_button_of_the_dock_and_is_closed_by_one_of_its_own(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    dock.resize(420, 680)
    dock.show()
    assert dock.desk.session.open(small_project)
    bar, _text, _details = parts(dock)
    dock.desk.session.notify(
        "info", "210 cells came in on 14 fields, and 2 conflicts wait for your decision."
    )
    qtbot.wait(50)  # what was opened is laid out after the message has come
    place = QRect(bar.mapTo(dock, QPoint(0, 0)), bar.size())
    buttons = [b for b in dock.findChildren(QAbstractButton) if b.isVisible() and not bar.isAncestorOf(b)]
    assert len(buttons) > 20
    covered = [b for b in buttons if place.intersects(QRect(b.mapTo(dock, QPoint(0, 0)), b.size()))]
    assert [b.accessibleName() for b in covered] == []
    assert bar.close_.accessibleName() == "Close"
    bar.close_.click()
    assert bar.isHidden()


def test_an_error_of_a_project_is_not_shown_over_the_next_one(
    dock: AnnotateDock, small_project: Path
) -> None:
    dock.show()
    assert dock.desk.session.open(small_project)
    bar, _text, _details = parts(dock)
    dock.desk.session.notify("error", "The pixels of the field 7 are damaged.")
    assert bar.isVisible()
    dock.desk.session.fields.next()
    assert bar.isVisible(), "it stays until it is closed"
    assert dock.desk.session.open(small_project)
    assert bar.isHidden()
    dock.desk.session.notify("info", "210 cells came in.")
    dock.desk.session.close()
    assert bar.isVisible(), "the start page shows what was reported last"


def test_details_hold_all_of_it_to_copy(dock: AnnotateDock) -> None:
    bar, text, details = parts(dock)
    message = "\n".join(["12 cells exported to out.json.", *(f"field {i}: left out" for i in range(30))])
    dock.desk.session.notify("info", message)
    assert text.text() == "12 cells exported to out.json."
    assert details.isVisible()
    details.click()
    (shown,) = dock.window().findChildren(MessageDetails)
    assert shown.text.toPlainText() == message
    shown._copy()
    clipboard = QApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text() == message
    shown.close()
    dock.desk.session.notify("error", "word " * 300)
    assert bar.height() < dock.height() / 2
    assert details.isVisible(), "what does not fit is there"


def test_an_error_stays_and_a_hint_stands_in_its_own_line(dock: AnnotateDock) -> None:
    bar, _text, _details = parts(dock)
    dock.desk.session.notify("error", "It failed.")
    assert not bar._fading.isActive()
    dock.desk.session.notify("hint", "Something else.")
    assert bar.isVisible()
    dock.desk.session.notify("info", "Done.")
    assert bar._fading.isActive()

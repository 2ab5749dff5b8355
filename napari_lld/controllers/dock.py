"""The one dock: start page, or fields, tools, current cell, suggestions and model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy import API_NAME
from qtpy.QtCore import QEvent, QPoint, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QSizePolicy,
    QStackedWidget,
    QTabWidget,
    QWidget,
)

from annotation_store.errors import LLDError
from napari_lld.controllers.desk import desk_for
from napari_lld.controllers.window_binding import WindowBinding
from napari_lld.i18n.translate import tr
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.widgets.base.dropping import dropped_paths
from napari_lld.widgets.base.focus import controls, holds, order_tabs, show_focus
from napari_lld.widgets.base.parts import Part, column, rule
from napari_lld.widgets.base.room import Pages, Scrolling, available
from napari_lld.widgets.base.theme import colours, stylesheet
from napari_lld.widgets.base.windows import main_window
from napari_lld.widgets.cell.cell_panel import CellPanel
from napari_lld.widgets.counts.differential_panel import DifferentialPanel
from napari_lld.widgets.dialogs.close_question import may_close, what_would_end
from napari_lld.widgets.dock.foot import Foot
from napari_lld.widgets.dock.header import Header, ToolBar
from napari_lld.widgets.dock.message_bar import MessageBar
from napari_lld.widgets.dock.saving_bar import SavingBar
from napari_lld.widgets.dock.start_page import StartPage
from napari_lld.widgets.fields.field_list import FieldList
from napari_lld.widgets.review.label_error_list import LabelErrorList
from napari_lld.widgets.review.label_error_panel import LabelErrorPanel
from napari_lld.widgets.review.suggestion_panel import SuggestionPanel
from napari_lld.widgets.training.training_panel import TrainingPanel

if TYPE_CHECKING:
    import napari

WIDTH = 420
_LEAST = QSize(320, 120)
_SHARE = 0.4
"""How much of the screen's width the dock takes by default."""


def _refuse_other_qt() -> None:
    """Raise a plain sentence in a napari that runs with another binding of Qt."""
    if API_NAME != "PyQt6":
        sentence = tr(
            "Annotate (LLD) needs PyQt6, and this napari runs with {name}; close it, then: "
            "pip install PyQt6, and start it with QT_API=pyqt6.",
            name=API_NAME,
        )
        raise LLDError(sentence)


class AnnotateDock(QWidget):
    """What napari docks: *Plugins → Annotate (LLD)*."""

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        _refuse_other_qt()
        super().__init__()
        self.setObjectName("lld_desk")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.setAcceptDrops(True)
        self.desk = desk_for(napari_viewer)
        self.desk.take_dock(self)
        self._released = False
        self._docked = False
        session = self.desk.session
        self._message = MessageBar(self, self._message_bottom)
        self._build()
        self._listening = Subscriptions()
        self._listening.add(session.project_changed, self._on_project)
        self._listening.add(session.leaving, self._message.forget)
        self._listening.add(session.training.state.changed, self._on_training)
        self._listening.add(session.marks.changed, self._on_marks)
        self._listening.add(session.fields.current_changed, self._on_marks)
        self._listening.add(session.marks.threshold_changed, self._on_marks)
        self._listening.add(session.label_errors.changed, self._on_label_errors)
        self._listening.add(self.desk.hinted, self._on_hint)
        self._listening.add(self.desk.jobs.changed, self._on_job)
        self._listening.add(self.desk.viewer.events.theme, self._on_theme)
        self._listening.add(session.words_changed, self._on_words)
        self._show_all()

    def _build(self) -> None:
        """Build the contents of the dock in the current language."""
        session, commands = self.desk.session, self.desk.commands

        self._stack = Pages()
        self._start = StartPage(session, commands)
        self._stack.addWidget(self._start)
        page = QWidget()
        layout = column(page, 2, (8, 2, 8, 0))
        self._header = Header(session, commands, self.desk.services.clock)
        self._saving = SavingBar(session, commands)
        self._fields = FieldList(session, commands)
        self._fields.bind(self.desk.fields.filter_asked, self._fields.show_filter)
        self._fields.bind(self.desk.fields.jump_asked, self._fields.show_jump)
        self._label_error_list = LabelErrorList(session, commands)
        self._places = QStackedWidget()
        self._places.addWidget(self._fields)
        self._places.addWidget(self._label_error_list)
        self._places.installEventFilter(self._message)
        self._tools = ToolBar(session, commands)
        self._cell = CellPanel(session, commands)
        self._suggestions = SuggestionPanel(session, commands)
        self._label_errors = LabelErrorPanel(session, commands)
        self._review = QStackedWidget()
        self._review.addWidget(self._suggestions)
        self._review.addWidget(self._label_errors)
        self._training = TrainingPanel(session, commands)
        self._differential = DifferentialPanel(session, commands)
        self._tabs = QTabWidget()
        self._tabs.tabBar().setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self._tabs.tabBar().setDrawBase(False)
        self._tabs.tabBar().setAccessibleName(tr("Suggestions, model or count"))
        self._tabs.addTab(self._review, tr("Suggestions"))
        self._tabs.addTab(self._training, tr("Model"))
        self._tabs.addTab(self._differential, tr("Count"))
        self._tabs.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
        self._tabs.currentChanged.connect(self._on_tab)
        layout.addWidget(self._header)
        layout.addWidget(self._places, 1)
        layout.addWidget(self._tools)
        layout.addWidget(rule())
        layout.addWidget(self._cell)
        layout.addWidget(self._tabs)
        self._stack.addWidget(page)

        outer = column(self, 0)
        self._scrolling = Scrolling(self._stack, _LEAST)
        outer.addWidget(self._saving)
        outer.addWidget(self._scrolling, 1)
        self._foot = Foot(self.desk, lambda: self.desk.layer_cells.can_take)
        outer.addWidget(self._foot)
        self._scrolling.keep_wheel()

    def _show_all(self) -> None:
        show_focus(self)
        self._on_theme()
        self._on_project()
        self._on_training()

    def _on_words(self) -> None:
        """Rebuild the dock in another language; what is open, chosen and in front stays."""
        self.setUpdatesEnabled(False)
        focus = QApplication.focusWidget()
        had_focus = focus is not None and holds(self, focus)
        for part in self._parts():
            part.release()
        indices = {box.objectName(): box.currentIndex() for box in self.findChildren(QComboBox)}
        tab = self._tabs.currentIndex()
        old = QWidget()
        old.setLayout(self.layout())  # takes the widgets along
        self._build()
        for box in self.findChildren(QComboBox):
            box.setCurrentIndex(indices.get(box.objectName(), box.currentIndex()))
        self._message.use_words()
        self._message.raise_()
        self._show_all()
        self._on_label_errors()
        self._on_job()
        self._tabs.setCurrentIndex(tab)
        old.deleteLater()
        self.setUpdatesEnabled(True)
        if had_focus and (first := next(controls(self), None)) is not None:
            first.setFocus(Qt.FocusReason.OtherFocusReason)

    def sizeHint(self) -> QSize:
        """Wide enough for three columns of classes, if the screen is."""
        share = round(_SHARE * available(self).width())
        return QSize(max(min(WIDTH, share), _LEAST.width()), 690)

    def _parts(self) -> Iterator[Part]:
        yield from (
            self._start,
            self._header,
            self._saving,
            self._fields,
            self._tools,
            self._cell,
            self._suggestions,
            self._label_error_list,
            self._label_errors,
            self._training,
            self._differential,
            self._foot,
        )

    def show_model_tab(self) -> None:
        """Bring training and models to the front."""
        self._tabs.setCurrentWidget(self._training)

    def _on_tab(self, _index: int) -> None:
        if self._tabs.currentWidget() is self._training:
            self.desk.services.warm_up()

    def show_count_tab(self) -> None:
        """Bring the differential count to the front."""
        self._tabs.setCurrentWidget(self._differential)

    def show_suggestions_tab(self) -> None:
        """Bring the review of suggestions to the front."""
        self._tabs.setCurrentWidget(self._review)

    # ------------------------------------------------------------------ life in the window

    def event(self, event: QEvent | None) -> bool:
        """Handle docking into a window and removal from it."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._docked = True
            elif self._docked and self.desk.ends_with(self) and what_would_end(self.desk):
                QTimer.singleShot(0, self._ask_to_go)  # once napari is done with its own dock
            elif self._docked:
                self._go()
        return bool(super().event(event))

    def _go(self) -> None:
        self.release()
        self.deleteLater()  # napari has let go of it, and does not delete it

    def _ask_to_go(self) -> None:
        """Ask before closing the last dock ends what is at work; where it may not, the dock comes back."""
        if self._released or self.parent() is not None:
            return
        if may_close(self.desk, self.desk.window):
            self._go()
        else:
            self._docked = False
            self.desk.show_again(self)

    def showEvent(self, event: Any) -> None:
        """Bind the desk to the window that shows the dock, unless another dock has."""
        super().showEvent(event)
        if self.window().focusWidget() is None:
            self.setFocus(Qt.FocusReason.OtherFocusReason)  # else Qt chooses a control
        window = main_window(self)
        if not self._released and window is not self:
            self.desk.bind_window(window, WindowBinding)

    def release(self) -> None:
        """Release the desk; the last dock closes it."""
        if self._released:
            return
        self._released = True
        self._listening.close()
        for part in self._parts():
            part.release()
        self.desk.drop_dock(self)

    # ------------------------------------------------------------------ showing

    def _on_theme(self, *_args: object) -> None:
        new = colours(str(self.desk.viewer.theme))
        sheet = stylesheet(new)
        if sheet != self.styleSheet():  # to style all that is here anew takes longer than to make it
            self.setStyleSheet(sheet)
        for part in self._parts():
            part.use_colours(new)

    def _on_project(self) -> None:
        self._stack.setCurrentIndex(0 if self.desk.session.project is None else 1)
        order_tabs(self)  # the classes and attributes may be new
        self._on_marks()

    def _on_marks(self, *_args: object) -> None:
        if self.desk.session.label_errors.active:
            self._tabs.setTabText(0, tr("Label errors"))
            return
        count = len(self.desk.session.suggestions.shown)
        self._tabs.setTabText(0, tr("Suggestions ({count})", count=count) if count else tr("Suggestions"))

    def _on_label_errors(self) -> None:
        """Show possible label errors in the place of fields and suggestions, or these again."""
        checking = self.desk.session.label_errors.active
        if checking is not bool(self._places.currentIndex()):
            self._places.setCurrentIndex(int(checking))
            self._review.setCurrentIndex(int(checking))
            if checking:
                self.show_suggestions_tab()
        self._on_marks()

    def _on_training(self) -> None:
        training = self.desk.session.training.state
        fraction = training.progress.fraction
        share = f" {fraction:.0%}" if training.busy and fraction is not None else ""
        self._tabs.setTabText(1, tr("Model · working{share}", share=share) if training.busy else tr("Model"))

    def _on_hint(self, sentence: str) -> None:
        self._foot.hint(sentence)

    def show_message(self, level: str, message: str) -> bool:
        """Show a message over the list of fields; False if it is not visible."""
        if not self.isVisible():
            return False
        self._foot.make_way()  # the message stands above it
        self._message.show_message(level, message)
        return True

    def _message_bottom(self) -> int:
        """Messages lie over the foot of the list of fields: all buttons above and below stay free."""
        if self.desk.session.project is None:
            return int(self.height())
        return int(self._places.mapTo(self, QPoint(0, self._places.height())).y())

    def _on_job(self) -> None:
        self._start.setEnabled(not self.desk.jobs.busy)

    # ------------------------------------------------------------------ dropping files

    def dragEnterEvent(self, event: Any) -> None:
        """Accept a dropped project, or files and folders of images."""
        if self.desk.fields.wants(dropped_paths(event)):
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:
        """Open or add what was dropped."""
        self.desk.fields.drop(dropped_paths(event))

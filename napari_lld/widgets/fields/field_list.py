"""The list of fields: which of them, in which order, and how far the work on each is."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QModelIndex, QPoint, Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QAbstractItemView, QMenu, QToolButton, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.session.field_order import NO_FILTER, FieldOrder
from napari_lld.session.session import Session
from napari_lld.widgets.base.parts import Part, column, label, row, with_key
from napari_lld.widgets.base.room import FoldingRow, show_popup
from napari_lld.widgets.base.row_list import RowList
from napari_lld.widgets.base.theme import Colours
from napari_lld.widgets.fields.field_delegate import FieldDelegate
from napari_lld.widgets.fields.field_filter import FieldFilterPopup
from napari_lld.widgets.fields.field_jump import FieldJumpPopup
from napari_lld.widgets.fields.field_model import FieldsModel

_REFRESH_MS = 60
_SHORTEST, _LONGEST = "Fields · 1000 ", "Fields · 100000 of 100000"
"""Titles for which there is always room, and up to which one is read whole."""


class FieldList(Part):
    """The fields that pass the filter; a click shows one."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(session, commands, parent)
        self.setObjectName("lld_fields")
        layout = column(self, 2)
        # Filters of large projects have long titles: they give way.
        self._title = label(tr("Fields"), "heading", gives_way=True)
        self._filter = self.tool_button("fields.filter", tr("Filter"), hint=False)
        self._filter.setCheckable(True)
        # a click checks it by itself: it shows whether a filter is active, not whether its window is open
        self._filter.clicked.connect(lambda *_: self._show_filtered())
        self._sort = self._menu_button(tr("Sort"), tr("Order of the fields"), self._sort_menu)
        self._about = self._menu_button("⋯", tr("This field: quality, comment, skip"), self._field_menu)
        title = row(self._title, self._filter, self._sort, self._about, spacing=3)
        title.setStretch(0, 1)
        turn = [self.tool_button("field.previous", "‹"), self.tool_button("field.next", "›")]
        if "fields.add" in commands:
            turn.append(self.tool_button("fields.add", tr("Add …")))
        layout.addWidget(FoldingRow(title, row(*turn, 1, spacing=3), spacing=3, stretch=0))
        self.model = FieldsModel(session, self)
        self._view = RowList("lld_field_view", self.model, FieldDelegate())
        self._view.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self._view.setAccessibleName(tr("Fields"))
        self._view.clicked.connect(self._on_clicked)
        self._showing = False
        self._choosing = False
        chooser = self._view.selectionModel()
        assert chooser is not None
        chooser.selectionChanged.connect(self._on_selection)
        self._view.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self._view.customContextMenuRequested.connect(self._on_context)
        layout.addWidget(self._view, 1)
        self._settling.setInterval(_REFRESH_MS)  # many edits in a row are told as one
        self.bind(session.project_changed, self._on_project)
        self.bind(session.fields.summaries_changed, self.refresh_soon)
        self.bind(session.fields.listed_changed, self.refresh)
        self.bind(session.fields.current_changed, self._on_field)
        self.bind(session.fields.chosen_changed, self._on_chosen)
        self._on_project()

    def release(self) -> None:
        """Disconnect from the session."""
        self.model.stop()
        super().release()

    def use_colours(self, new: Colours) -> None:
        """Apply the colours of the theme."""
        super().use_colours(new)
        self._view.use_colours(new)

    def show_filter(self) -> None:
        """Open the filter popup."""
        popup = FieldFilterPopup(self.session, self)
        show_popup(popup, self._filter.mapToGlobal(QPoint(0, self._filter.height() + 2)))

    def show_jump(self) -> None:
        """Open the line that goes to a field."""
        popup = FieldJumpPopup(self.session, self)
        popup.setFixedWidth(max(self.width(), popup.minimumWidth()))
        show_popup(popup, self.mapToGlobal(QPoint(0, self._filter.height() + 8)))

    def _show_filtered(self) -> bool:
        """Show on the button whether a filter is active."""
        filtered = self.session.fields.filter != NO_FILTER
        self._filter.setChecked(filtered)
        tip = self.commands["fields.filter"].tooltip
        self._filter.setToolTip(tr("A filter is active.") + "\n" + tip if filtered else tip)
        return filtered

    def _menu_button(self, text: str, tip: str, fill: Callable[[QMenu], None]) -> QToolButton:
        button = QToolButton()
        button.setText(text)
        button.setToolTip(tip)
        button.setAccessibleName(tip)
        button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        menu = QMenu(button)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(lambda: fill(menu))
        button.setMenu(menu)
        return button

    def _sort_menu(self, menu: QMenu) -> None:
        menu.clear()
        session = self.session
        for order in FieldOrder:
            action = menu.addAction(tr(order))
            action.setCheckable(True)
            action.setChecked(order is session.fields.order)
            action.triggered.connect(lambda *_, chosen=order: setattr(session.fields, "order", chosen))
        menu.addSeparator()
        self._add_command(menu, "fields.arrange")

    def _field_menu(self, menu: QMenu) -> None:
        menu.clear()
        field = self.session.fields.current
        for command in self.commands:
            if command.id.startswith("field.quality."):
                action = self._add_command(menu, command.id)
                action.setCheckable(True)
                action.setChecked(field is not None and command.id == f"field.quality.{field.quality}")
        menu.addSeparator()
        self._add_command(menu, "field.go")
        menu.addSeparator()
        self._add_command(menu, "field.details")
        self._add_command(menu, "field.comment")
        skip = self._add_command(menu, "field.skip")
        skip.setCheckable(True)
        skip.setChecked(field is not None and field.skipped)

    def _add_command(self, menu: QMenu, command_id: str) -> QAction:
        command = self.commands[command_id]
        action = menu.addAction(with_key(command.title, command.key))
        action.setToolTip(command.tooltip)
        action.setEnabled(command.when(self.session))
        action.triggered.connect(lambda *_: self.commands.run(command_id))
        return action

    def _on_project(self) -> None:
        self.model.forget()
        self.refresh()

    def refresh(self) -> None:
        """Show the current list."""
        super().refresh()
        changed = self.model.refresh()
        self._show_title()
        if changed:  # else it stays where the user scrolled to
            self._on_field()

    def _show_title(self) -> None:
        session = self.session
        if session.fields.being_read:
            count = len(session.fields.listed)
            title = tr("Fields · {count}", count=count) if count else tr("Reading the fields …")
            self._write_title(self._chosen_title() or title)
            self._title.setToolTip("")
            return
        summaries = session.fields.by_id
        if self._show_filtered():
            title = tr("Fields · {shown} of {count}", shown=len(session.fields.listed), count=len(summaries))
        else:
            title = tr("Fields · {count}", count=len(summaries)) if summaries else tr("Fields")
        title = self._chosen_title() or title
        self._write_title(title)
        self._title.setToolTip(tr("{count} · {done} annotated", count=title, done=session.fields.annotated))

    def _chosen_title(self) -> str:
        """Return how many fields are chosen, in words; nothing if none is."""
        fields = self.session.fields
        if not (chosen := len(fields.chosen)):
            return ""
        return tr("{chosen} of {count} selected", chosen=chosen, count=len(fields.listed))

    def _write_title(self, title: str) -> None:
        """Write the title; where it is too long for one row with all buttons, the row folds."""
        self._title.setText(title)
        width = self._title.fontMetrics().horizontalAdvance
        shown = min(width(f"{title} "), width(_LONGEST))
        self._title.setMinimumWidth(4 + max(width(_SHORTEST), shown))

    def _on_field(self) -> None:
        """Show which field is current, and which are chosen beside it."""
        session = self.session
        self._showing = True
        self._view.show_current(self.model.index(session.fields.place_of(session.fields.current_id)))
        if session.fields.chosen:
            self._view.show_chosen([session.fields.place_of(field_id) for field_id in session.fields.chosen])
        self._showing = False

    def _on_chosen(self) -> None:
        self._show_title()
        if not self._choosing:
            self._on_field()

    def _on_selection(self, *_: object) -> None:
        """Apply the mouse's selection of several rows; a single row is only shown."""
        if self._showing:
            return
        fields = [self.model.field_id(index) for index in self._view.selectedIndexes()]
        self._choosing = True
        self.session.fields.choose(fields if len(fields) > 1 else ())
        self._choosing = False

    def _on_clicked(self, index: QModelIndex) -> None:
        if not self.session.fields.chosen:
            self.session.fields.show(self.model.field_id(index))

    def _on_context(self, place: QPoint) -> None:
        index = self._view.indexAt(place)
        if index.isValid():
            self._on_clicked(index)  # the menu is about the field shown, or those chosen
            menu = self._about.menu()
            if menu is not None:
                menu.popup(self._view.viewport().mapToGlobal(place))

"""Dialog of conflicts with imported files and other copies of the project: list, show, take or keep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QDialog,
    QHBoxLayout,
    QHeaderView,
    QPushButton,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from annotation_store.records import Conflict
from annotation_store.schema import Schema
from napari_lld.i18n.schema_texts import shown
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.session.session import Session
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.widgets.base.parts import label
from napari_lld.widgets.base.room import keep_on_screen

_COLUMNS = (later("Field"), later("Here"), later("There"), later("From"))
_TEXTS = {
    "patient": later("patient"),
    "slide": later("slide"),
    "domain": later("domain"),
    "quality": later("quality"),
    "note": later("note"),
    "comment": later("comment"),
    "kind": later("kind"),
}


def in_words(values: Mapping[str, Any], schema: Schema) -> str:
    """Write what one side states: of a cell its class, then its values, by their titles."""
    if "deleted" in values:
        return tr("deleted") if values["deleted"] else tr("not deleted")
    parts = []
    if "cell_class" in values:
        name = values["cell_class"]
        parts.append(tr("no class") if name is None else schema.class_title(name))
    for name, value in (values.get("attributes") or {}).items():
        title = schema.value_title(name, value) if value else tr("missing")
        parts.append(f"{schema.attribute_title(name)}: {title}")
    for name, shape in (("box", values.get("box")), ("shape", values.get("shape"))):
        if shape is not None:
            numbers = ", ".join(f"{number:.0f}" for number in shape)
            parts.append(f"{tr('box') if name == 'box' else tr('area')} {numbers}")
    if "state" in values:
        parts.append(tr("finished") if values["state"] == "finished" else tr("draft"))
    for name, value in values.items():
        if name not in ("cell_class", "attributes", "box", "shape", "state"):
            shown_value = tr("missing") if value in (None, "") else str(value)
            parts.append(f"{tr(_TEXTS[name]) if name in _TEXTS else name}: {shown_value}")
    return ", ".join(parts)


class ConflictsModel(QAbstractTableModel):
    """The conflicts that are open."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.conflicts: list[Conflict] = []

    def refresh(self) -> None:
        """Read them anew."""
        project = self._session.project
        self.beginResetModel()
        self.conflicts = project.conflicts.all() if project is not None else []
        self.endResetModel()

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Count the conflicts."""
        return 0 if parent is not None and parent.isValid() else len(self.conflicts)

    def columnCount(self, parent: QModelIndex | None = None) -> int:
        """Count the columns."""
        return 0 if parent is not None and parent.isValid() else len(_COLUMNS)

    def headerData(
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """List the columns."""
        if role == Qt.ItemDataRole.DisplayRole and orientation == Qt.Orientation.Horizontal:
            return tr(_COLUMNS[section])
        return None

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Describe what a conflict is about."""
        project = self._session.project
        if project is None or role not in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            return None
        conflict = self.conflicts[index.row()]
        match index.column():
            case 0:
                return project.fields.get(conflict.field_id).name
            case 1:
                return in_words(conflict.here, shown(project.schema))
            case 2:
                return in_words(conflict.there, shown(project.schema))
        place = f"{conflict.source}, {conflict.place}"
        return (
            place
            if role == Qt.ItemDataRole.ToolTipRole
            else conflict.source.replace("\\", "/").split("/")[-1]
        )


class ConflictsDialog(QDialog):
    """Lists the conflicts; the chosen one is shown on its field."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("lld_conflicts")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(tr("Conflicts"))
        self.resize(760, 340)
        self._session = session
        self._told = label(wrap=True)
        self.model = ConflictsModel(session, self)
        self.table = QTableView()
        self.table.setTabKeyNavigation(False)
        self.table.setAccessibleName(tr("Conflicts"))
        self.table.setModel(self.model)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.verticalHeader().setVisible(False)
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setStretchLastSection(True)
        for column, width in enumerate((150, 220, 220)):
            self.table.setColumnWidth(column, width)
        self.take = QPushButton(tr("Use what is there"))
        self.keep = QPushButton(tr("Keep what is here"))
        close = QPushButton(tr("Close"))
        close.clicked.connect(self.close)
        self.take.clicked.connect(lambda: self._resolve(take=True))
        self.keep.clicked.connect(lambda: self._resolve(take=False))
        buttons = QHBoxLayout()
        buttons.addWidget(self.take)
        buttons.addWidget(self.keep)
        buttons.addStretch(1)
        buttons.addWidget(close)
        layout = QVBoxLayout(self)
        layout.addWidget(self._told)
        layout.addWidget(self.table, 1)
        layout.addLayout(buttons)
        keep_on_screen(self)
        self._resolving = False
        selection = self.table.selectionModel()
        assert selection is not None
        selection.selectionChanged.connect(self._on_selection)
        self._listening = Subscriptions()
        self._listening.add(
            session.fields.summaries_changed, self.refresh
        )  # also after an undo, which opens one again
        self._listening.add(session.readings.changed, self.refresh)
        self._listening.add(session.project_changed, self.refresh)
        self.refresh()
        if self.model.conflicts:
            self.table.selectRow(0)

    def refresh(self) -> None:
        """List what is open now."""
        if self._resolving:
            return
        self.model.refresh()
        count = len(self.model.conflicts)
        self._told.setText(
            trn(
                "{count} conflict with an imported file or another copy. Nothing was overwritten.",
                "{count} conflicts with imported files or other copies. Nothing was overwritten.",
                count,
            )
            if count
            else tr("No conflict is open.")
        )
        self._on_selection()

    def chosen(self) -> list[Conflict]:
        """List the conflicts that are chosen."""
        selection = self.table.selectionModel()
        rows = selection.selectedRows() if selection is not None else []
        return [self.model.conflicts[index.row()] for index in rows]

    def _on_selection(self, *_args: object) -> None:
        chosen = self.chosen()
        for button in (self.take, self.keep):
            button.setEnabled(bool(chosen))
        if len(chosen) == 1:
            conflict = chosen[0]
            self._session.fields.show(conflict.field_id)
            if conflict.cell_id is not None:
                self._session.selection.select("cell", conflict.cell_id)
            elif conflict.region_id is not None:
                self._session.selection.select("region", conflict.region_id)

    def _resolve(self, *, take: bool) -> None:
        row = min((index.row() for index in self.table.selectedIndexes()), default=0)
        self._resolving = True
        try:
            self._session.resolve_conflicts([conflict.id for conflict in self.chosen()], take=take)
        finally:
            self._resolving = False
        self.refresh()
        if self.model.conflicts:
            self.table.selectRow(min(row, len(self.model.conflicts) - 1))

    def closeEvent(self, event: Any) -> None:
        """Disconnect from the session."""
        self._listening.close()
        super().closeEvent(event)

"""Choose the schema of a new project: one of the bundled ones, or one of a file."""

from __future__ import annotations

from html import escape
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QComboBox, QFileDialog, QVBoxLayout, QWidget

from annotation_store.records import many_records
from annotation_store.schema import Schema, load_schema
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.session import user_state
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.widgets.base.parts import label

SCHEMAS = (
    (later("LLD: 14 classes, 7 attributes"), "lld"),
    (later("WBCAtt: 5 classes, 11 attributes"), "wbcatt"),
)
_NAME = 40
"""Average letters of a schema's name that are shown; the tooltip shows all."""


class _Choices(QComboBox):
    """Choices of which one opens a dialog: the wheel must not pass over it."""

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Leave the wheel to what scrolls."""
        if event is not None:
            event.ignore()


class SchemaChoice(QWidget):
    """The bundled schemas, those of files that were chosen, and below them the way to a file.

    A thread reads the file, which may hold many annotations. If it cannot be read, the reason is shown below
    and the schema that was chosen before stays chosen.
    """

    changed = Signal()
    """Whether a file is being read has changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._schemas: list[str | Schema] = [name for _title, name in SCHEMAS]
        self._files: list[Path | None] = [None for _schema in SCHEMAS]
        self._chosen = 0
        self._reading = LatestTask("schema", self)
        self.choices = _Choices()
        self.choices.setAccessibleName(tr("Schema"))
        self.choices.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.choices.addItems([*(tr(title) for title, _name in SCHEMAS), tr("From a file …")])
        self.choices.activated.connect(self._on_activated)
        self.setFocusProxy(self.choices)
        self.problem = label(role="notice", wrap=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choices)
        layout.addWidget(self.problem)
        self._say("")

    @property
    def schema(self) -> str | Schema:
        """The chosen schema, or the name of a bundled one."""
        return self._schemas[self._chosen]

    @property
    def busy(self) -> bool:
        """Whether a file is being read."""
        return self._reading.busy

    def close_reading(self) -> None:
        """Discard what is still being read: the dialog is closed."""
        self._reading.close(0)

    def _on_activated(self, row: int) -> None:
        if row < len(self._schemas):
            self._reading.drop()
            self._choose(row)
            self._say("")
            return
        self.choices.setCurrentIndex(self._chosen)  # until another one is read
        start = str(user_state.recall("schemas", Path.home()))
        kinds = f"{tr('Schema (YAML) or COCO file')} (*.yaml *.yml *.json)"
        file, _filter = QFileDialog.getOpenFileName(self, tr("Choose a schema"), start, kinds)
        if file:
            self.read(Path(file))

    def read(self, file: Path) -> None:
        """Read the schema of a file, and choose it."""

        def load() -> Schema:
            with many_records():  # the collector would hold up the window: a COCO file lists each cell
                return load_schema(file)

        def on_read(schema: Schema) -> None:
            self._add(schema, file)
            user_state.remember("schemas", str(file.parent))
            self._say("")

        self._reading.start(load, on_read, self._say)
        self._say(tr("Reading {name} …", name=file.name))

    def _add(self, schema: Schema, file: Path) -> None:
        """Insert an entry for a schema; one that was read from the same file before is replaced."""
        name = " ".join(schema.name.split())
        metrics = self.choices.fontMetrics()
        shown = metrics.elidedText(name, Qt.TextElideMode.ElideRight, _NAME * metrics.averageCharWidth())
        classes, attributes = len(schema.classes), len(schema.attributes)
        title = tr(
            "{name}: {classes}, {attributes}",
            name=shown,
            classes=trn("{count} class", "{count} classes", classes),
            attributes=trn("{count} attribute", "{count} attributes", attributes),
        )
        whole = str(file) if shown == name else f"{name}\n{file}"
        if file in self._files:
            row = self._files.index(file)
            self._schemas[row] = schema
            self.choices.setItemText(row, title)
        else:
            row = len(self._schemas)
            self._schemas.append(schema)
            self._files.append(file)
            self.choices.insertItem(row, title)
        # a name may look like HTML
        tooltip = f"<p style='white-space: pre'>{escape(whole)}</p>"
        self.choices.setItemData(row, tooltip, Qt.ItemDataRole.ToolTipRole)
        self._choose(row)

    def _choose(self, row: int) -> None:
        self._chosen = row
        self.choices.setCurrentIndex(row)
        self.choices.setToolTip(self.choices.itemData(row, Qt.ItemDataRole.ToolTipRole) or "")

    def _say(self, text: str) -> None:
        self.problem.setText(text)
        self.problem.setVisible(bool(text))
        self.changed.emit()

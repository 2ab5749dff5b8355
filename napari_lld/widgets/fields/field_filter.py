"""Popup that filters the field list."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QCheckBox, QComboBox, QFrame, QPushButton, QVBoxLayout, QWidget

from annotation_store.records import FieldSummary
from napari_lld.commands.registry import class_like
from napari_lld.i18n.translate import tr
from napari_lld.session.field_order import NO_FILTER, NO_PATIENT, QUALITIES, FieldFilter, Standing, standing
from napari_lld.session.session import Session
from napari_lld.widgets.base.focus import show_focus
from napari_lld.widgets.base.parts import label
from napari_lld.widgets.base.whole_text import HintedLine

_PAUSE_MS = 150


class FieldFilterPopup(QFrame):
    """Text, state, patient, class and quality; what is chosen holds at once."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent, Qt.WindowType.Popup)
        self.setObjectName("lld_filter")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setStyleSheet("#lld_filter { border: 1px solid palette(mid); }")
        self.setMinimumWidth(260)
        self._session = session
        current = session.fields.filter
        summaries = session.fields.summaries()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(10, 8, 10, 8)
        layout.setSpacing(4)
        self.text = HintedLine(current.text)
        self.text.setPlaceholderText(tr("name, patient, slide or comment"))
        self.text.setAccessibleName(tr("Words to filter the fields by"))
        self.text.setClearButtonEnabled(True)
        layout.addWidget(self.text)
        counts = Counter(standing(summary) for summary in summaries)
        self.states: dict[Standing, QCheckBox] = {}
        for state in Standing:
            box = QCheckBox(f"{tr(state)} ({counts[state]})")
            box.setChecked(state in current.standings)
            box.toggled.connect(self._soon)
            layout.addWidget(box)
            self.states[state] = box
        patients = Counter(summary.field.patient or NO_PATIENT for summary in summaries)
        self.patient = self._choice(
            tr("Patient"),
            tr("all patients"),
            [(f"{name or tr('no patient known')} ({patients[name]})", name) for name in sorted(patients)],
            current.patient,
        )
        self.cell_class = self._choice(
            tr("With a cell of the class"), tr("any class"), self._classes(summaries), current.classes
        )
        qualities = Counter(summary.field.quality for summary in summaries if summary.field.quality)
        quality_names = [*QUALITIES, *sorted(set(qualities) - set(QUALITIES) - {None})]
        self.quality = self._choice(
            tr("Quality"),
            tr("any quality"),
            [(f"{tr(str(name))} ({qualities[name]})", str(name)) for name in quality_names],
            current.quality,
        )
        self.everything = QPushButton(tr("Show all fields"))
        self.everything.clicked.connect(self._show_all)
        layout.addWidget(self.everything)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self.apply)
        self.text.textChanged.connect(self._soon)
        self.text.returnPressed.connect(self.close)
        show_focus(self)
        self.text.setFocus()

    def _classes(self, summaries: Sequence[FieldSummary]) -> list[tuple[str, frozenset[str]]]:
        """Return the classes and groups with how many fields have one; a group's classes count for it."""
        schema = self._session.schema
        if schema is None:
            return []
        choices = []
        for item in class_like(schema):
            words = frozenset((item.name, *schema.members(item.name)))
            count = sum(bool(words & summary.classes) for summary in summaries)
            choices.append((f"{item.title} ({count})", words))
        return choices

    def _choice(
        self, title: str, any_title: str, items: Sequence[tuple[str, object]], chosen: object
    ) -> QComboBox:
        box = QComboBox()
        box.setAccessibleName(title)
        box.setMaxVisibleItems(15)
        box.addItem(any_title, None)
        for text, value in items:
            box.addItem(text, value)
        box.setCurrentIndex(next((i for i in range(box.count()) if box.itemData(i) == chosen), 0))
        box.currentIndexChanged.connect(self._soon)
        layout = self.layout()
        assert layout is not None
        layout.addWidget(label(title, "muted"))
        layout.addWidget(box)
        return box

    def _soon(self, *_args: object) -> None:
        self._pause.start()

    def apply(self) -> None:
        """Apply the chosen filter to the list."""
        self._pause.stop()
        self._session.fields.filter = FieldFilter(
            frozenset(state for state, box in self.states.items() if box.isChecked()),
            self.patient.currentData(),
            self.quality.currentData(),
            self.text.text().strip(),
            self.cell_class.currentData() or frozenset(),
        )

    def _show_all(self) -> None:
        self._pause.stop()
        self._session.fields.filter = NO_FILTER
        self.close()

    def closeEvent(self, event: object) -> None:
        """Apply the text typed last."""
        if self._pause.isActive():
            self.apply()
        super().closeEvent(event)

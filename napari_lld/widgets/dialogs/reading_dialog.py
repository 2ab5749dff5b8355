"""The dialog of readings: choose one, or start a new one."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QDialog,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from annotation_store.records import Reading
from napari_lld.i18n.translate import tr
from napari_lld.session.readings import NewReading, ReadingChoice, reading_words
from napari_lld.widgets.base.parts import confirm_buttons, label, run_dialog

_NEW = 0
"""The number of the choice that begins a reading; readings have theirs."""


def reading_name(reading: Reading) -> str:
    """Return the name of a reading, and whether it is blind."""
    name = reading_words(reading.name)
    return tr("{name} (blind)", name=name) if reading.blind else name


def reading_title(reading: Reading, annotator: str, *, unclaimed: bool = False) -> str:
    """Return the name of a reading and whose it is, for one of the annotators."""
    name = reading_name(reading)
    if unclaimed:
        return tr("{reading} – still empty", reading=name)
    if reading.is_consensus:
        return tr("{reading} – no reader (consensus)", reading=name)
    if reading.annotator == annotator:
        return tr("{reading} – your own", reading=name)
    return tr("{reading} – of {reader}", reading=name, reader=reading.annotator)


class ReadingDialog(QDialog):
    """Asks in which reading to work: one's own, another's (and says so), or a new one.

    Parameters
    ----------
    current
        The reading in use; ``None`` if the annotator has none and has to choose.
    unclaimed
        Whether the reading in use is empty, and becomes the annotator's by their first mark.
    begin
        Whether a new reading is what was asked for.
    """

    def __init__(
        self,
        annotator: str,
        readings: Sequence[Reading],
        current: Reading | None,
        *,
        unclaimed: bool = False,
        begin: bool = False,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._annotator = annotator
        self._readings = {reading.id: reading for reading in readings}
        self._current = current
        self._unclaimed = unclaimed
        self.setWindowTitle(tr("Readings"))
        self.setMinimumWidth(460)
        layout = QVBoxLayout(self)
        if current is None:
            layout.addWidget(label(tr("{name} has no reading in this project yet.", name=annotator), "title"))
        layout.addWidget(
            label(
                tr(
                    "A reading holds the regions, cells and values of one reader. "
                    "Readings of the same fields can be compared."
                ),
                wrap=True,
            )
        )
        self._choices = QButtonGroup(self)
        for number, reading in self._readings.items():
            self._add_choice(layout, number, reading_title(reading, annotator, unclaimed=unclaimed))
        self._add_choice(layout, _NEW, tr("Start a new, empty reading"))
        form = QFormLayout()
        form.setContentsMargins(24, 0, 0, 0)
        self.name = QLineEdit(self._free_name(annotator))
        self.reader = QLineEdit(annotator)
        self.reader.setEnabled(current is not None)
        self.blind = QCheckBox(tr("Blind: suggestions only inside finished regions"))
        form.addRow(tr("Reader"), self.reader)
        form.addRow(tr("Name"), self.name)
        form.addRow("", self.blind)
        layout.addLayout(form)
        self.about = label(role="muted", wrap=True)
        self.about.setObjectName("lld_about_reading")
        self.about.setMinimumHeight(3 * self.about.fontMetrics().lineSpacing())
        layout.addWidget(self.about)
        buttons, self.ok = confirm_buttons(self)
        layout.addWidget(buttons)
        button = self._choices.button(_NEW if begin or current is None else current.id)
        assert button is not None
        button.setChecked(True)
        self._choices.idToggled.connect(lambda *_: self._show())
        self.name.textChanged.connect(lambda *_: self._show())
        self.reader.textChanged.connect(lambda *_: self._show())
        self._show()

    def _add_choice(self, layout: QVBoxLayout, number: int, text: str) -> None:
        button = QRadioButton(text)
        self._choices.addButton(button, number)
        layout.addWidget(button)

    def _free_name(self, name: str) -> str:
        used = {reading_words(reading.name) for reading in self._readings.values()}
        free, number = name, 2
        while free in used:
            free, number = f"{name} {number}", number + 1
        return free

    def choose(self, number: int) -> None:
        """Mark one of the readings, or with 0 a new one."""
        button = self._choices.button(number)
        assert button is not None
        button.setChecked(True)

    def _show(self) -> None:
        """Describe what the choice means, and name it on the button."""
        reading = self._readings.get(self._choices.checkedId())
        new = reading is None
        for widget in (self.name, self.blind):
            widget.setEnabled(new)
        self.reader.setEnabled(new and self._current is not None)
        self.ok.setEnabled(True)
        if reading is None:
            self._show_new()
        elif self._current is not None and reading.id == self._current.id:
            self.ok.setText(tr("Stay in this reading"))
            self.about.setText(
                tr("Nothing is marked in it yet: it becomes yours by your first mark.")
                if self._unclaimed
                else ""
            )
        elif reading.annotator == self._annotator:
            self.ok.setText(tr("Open your reading"))
            self.about.setText("")
        else:
            self.ok.setText(
                tr("Continue the reading of {reader}", reader=reading.annotator)
                if reading.annotator
                else tr("Continue the consensus")
            )
            text = (
                tr(
                    "This is the reading of {reader}. What you draw and change there is part of it, "
                    "under your name {name}.",
                    reader=reading.annotator,
                    name=self._annotator,
                )
                if reading.annotator
                else tr("A consensus belongs to no reader. Your changes to it are stored under your name.")
            )
            if self._current is not None and self._current.blind:
                text += " " + tr("Your own reading is blind: what you see there can influence it.")
            self.about.setText(text)

    def _show_new(self) -> None:
        name, reader = self.name.text().strip(), self.reader.text().strip()
        exists = any(
            name in (reading.name, reading_words(reading.name)) for reading in self._readings.values()
        )
        self.ok.setText(tr("Start the reading"))
        self.ok.setEnabled(bool(name and reader) and not exists)
        if exists:
            self.about.setText(tr("A reading called {name} already exists.", name=name))
        elif reader != self._annotator:
            self.about.setText(tr("It opens when {reader} annotates.", reader=reader))
        else:
            self.about.setText("")

    def answer(self) -> ReadingChoice:
        """Return the number of the chosen or new reading."""
        number = int(self._choices.checkedId())
        if number != _NEW:
            return number
        return NewReading(self.name.text().strip(), self.reader.text().strip(), self.blind.isChecked())


def ask_reading(
    annotator: str,
    readings: Sequence[Reading],
    current: Reading | None,
    parent: QWidget | None,
    *,
    unclaimed: bool = False,
    begin: bool = False,
) -> ReadingChoice | None:
    """Ask in which reading to work."""
    dialog = ReadingDialog(annotator, readings, current, unclaimed=unclaimed, begin=begin, parent=parent)
    return run_dialog(dialog, dialog.answer)

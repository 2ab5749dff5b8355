"""Dialogs about fields. Each function returns the answer or ``None``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtWidgets import (
    QButtonGroup,
    QCompleter,
    QDialog,
    QFormLayout,
    QLineEdit,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from annotation_store import validation
from annotation_store.errors import EditError, LLDError
from annotation_store.records import Field
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.patient_rule import Coverage, coverage, path_of, patients_by
from napari_lld.widgets.base.parts import confirm_buttons, label, run_dialog
from napari_lld.widgets.dialogs.dialogs import ask_lines
from napari_lld.widgets.fields.patient_chooser import PatientChooser

_EXAMPLES = 500
_NUMBER = re.compile(r"(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d{1,3})?", re.ASCII)

Changes = Mapping[int, Mapping[str, Any]]
"""What to change of fields, by their ids."""


def ask_field_comment(name: str, text: str, parent: QWidget | None) -> str | None:
    """Prompt for the comment on a field, beginning with the one that is there."""
    return ask_lines(tr("On the field {name}:", name=name), text, parent)


class FieldDetailsDialog(QDialog):
    """Asks for patient, slide, domain and size of a pixel of one field or many.

    Only what was written into is changed; where fields differ, their values stay until something is written.
    """

    def __init__(
        self, chosen: Sequence[Field], all_fields: Sequence[Field], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._chosen = chosen
        self.setWindowTitle(tr("Field details"))
        self.setMinimumWidth(420)
        layout = QVBoxLayout(self)
        about = chosen[0].name if len(chosen) == 1 else trn("{count} field", "{count} fields", len(chosen))
        layout.addWidget(label(about, "title", wrap=True))
        form = QFormLayout()
        self.lines: dict[str, QLineEdit] = {}
        titles = {
            "patient": tr("Patient"),
            "slide": tr("Slide"),
            "domain": tr("Domain"),
            "pixel_size_um": tr("Pixel size in µm"),
        }
        for name, title in titles.items():
            line = self.lines[name] = QLineEdit()
            values = dict.fromkeys(getattr(field, name) for field in chosen)
            if len(values) > 1:
                line.setPlaceholderText(tr("several, left unchanged"))
            else:
                line.setText(_format_value(next(iter(values))))
            if name != "pixel_size_um":
                existing_values = sorted(
                    {str(value) for field in all_fields if (value := getattr(field, name))}
                )
                line.setCompleter(QCompleter(existing_values, line))
            line.textEdited.connect(lambda *_: self._check())
            form.addRow(title, line)
        layout.addLayout(form)
        self.about = label(role="notice", wrap=True)
        layout.addWidget(self.about)
        layout.addWidget(
            label(
                tr("Fields of one patient are never split between training and test. You can undo this."),
                "muted",
                wrap=True,
            )
        )
        buttons, self.ok = confirm_buttons(self)
        layout.addWidget(buttons)
        self._check()

    def _check(self) -> None:
        """Show beside the fields what the store would refuse: after the dialog the entries would be lost."""
        problem = ""
        try:
            validation.field_changes(self._edited_values())
        except ValueError:
            problem = tr("The pixel size must be a number, such as 0.1.")
        except EditError as error:
            problem = in_the_window(str(error))
        self.about.setText(problem)
        self.ok.setEnabled(not problem)

    def _edited_values(self) -> dict[str, Any]:
        """Return the edited values; empty text becomes ``None``."""
        changes: dict[str, Any] = {}
        for name, line in self.lines.items():
            if not line.isModified():
                continue
            text = line.text().strip()
            changes[name] = _number(text) if text and name == "pixel_size_um" else text or None
        return changes

    def answer(self) -> Changes:
        """Return the changes; empty if nothing was edited."""
        changes = self._edited_values()
        return {field.id: changes for field in self._chosen} if changes else {}


def _format_value(value: Any) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(text: str) -> float:
    """Read a number with a point or a comma as its decimal sign; no sign groups digits.

    Raises
    ------
    ValueError
        It is not a number above zero.
    """
    if not _NUMBER.fullmatch(text):
        raise ValueError(text)
    number = float(text.replace(",", "."))
    if number <= 0:
        raise ValueError(text)
    return number


def ask_field_details(
    chosen: Sequence[Field], all_fields: Sequence[Field], parent: QWidget | None
) -> Changes | None:
    """Ask for the details of some fields."""
    dialog = FieldDetailsDialog(chosen, all_fields, parent)
    return run_dialog(dialog, dialog.answer)


@dataclass(frozen=True)
class PatientAnswer:
    """The rule for new images, and what it changes of the fields that are there."""

    rule: str
    changes: Changes = field(default_factory=dict)


class PatientsDialog(QDialog):
    """Asks for the project's patient rule, and for which of its fields it holds."""

    def __init__(self, rule: str | None, fields: Sequence[Field], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._fields = fields
        self.setWindowTitle(tr("Patients"))
        self.setMinimumWidth(480)
        layout = QVBoxLayout(self)
        layout.addWidget(label(tr("Now: {coverage}.", coverage=coverage(fields)), "title"))
        layout.addWidget(
            label(
                tr("The patient is read from the name of an image. The project keeps the rule for new ones."),
                wrap=True,
            )
        )
        paths = [path_of(field) for field in fields[:_EXAMPLES]]
        self.chooser = PatientChooser(rule, lambda: paths)
        layout.addWidget(self.chooser)
        self._scope = QButtonGroup(self)
        self.new, self.missing, self.all = (QRadioButton() for _ in range(3))
        for number, button in enumerate((self.new, self.missing, self.all)):
            self._scope.addButton(button, number)
            layout.addWidget(button)
        self.then = label(role="heading", wrap=True)
        self.then.setObjectName("lld_patients_then")
        layout.addWidget(self.then)
        buttons, self.ok = confirm_buttons(self)
        layout.addWidget(buttons)
        (self.missing if any(not field.patient for field in fields) else self.new).setChecked(True)
        self.chooser.changed.connect(self._show)
        self._scope.idToggled.connect(lambda *_: self._show())
        self._show()

    def _changes(self, *, overwrite: bool) -> dict[int, dict[str, str]]:
        """Return the changes of the rule: for fields without a patient, or for all that it matches."""
        try:
            read_values = patients_by(self.chooser.expression, self._fields)
        except LLDError:
            return {}
        by_id = {field.id: field for field in self._fields}
        changes = {}
        for field_id, values_read in read_values.items():
            new = {
                name: value for name, value in values_read.items() if getattr(by_id[field_id], name) != value
            }
            if new and "patient" in values_read and (overwrite or not by_id[field_id].patient):
                changes[field_id] = new
        return changes

    def _show(self) -> None:
        missing, all_changes = self._changes(overwrite=False), self._changes(overwrite=True)
        self.new.setText(tr("For new images only"))
        self.missing.setText(
            trn("And {count} field without a patient", "And {count} fields without a patient", len(missing))
        )
        self.all.setText(
            trn("And all fields: {count} changes", "And all fields: {count} change", len(all_changes))
        )
        changes = self._chosen_changes()
        patients = [changes.get(field.id, {}).get("patient", field.patient) for field in self._fields]
        expected = Coverage(len({p for p in patients if p}), sum(not p for p in patients))
        self.then.setText(tr("Then: {coverage}.", coverage=expected))
        self.ok.setEnabled(self.chooser.sound)

    def _chosen_changes(self) -> dict[int, dict[str, str]]:
        if self.new.isChecked():
            return {}
        return self._changes(overwrite=self.all.isChecked())

    def answer(self) -> PatientAnswer:
        """Return the rule, and the changes of fields."""
        return PatientAnswer(self.chooser.expression, self._chosen_changes())


def ask_patients(rule: str | None, fields: Sequence[Field], parent: QWidget | None) -> PatientAnswer | None:
    """Ask how patients are read from names."""
    dialog = PatientsDialog(rule, fields, parent)
    return run_dialog(dialog, dialog.answer)

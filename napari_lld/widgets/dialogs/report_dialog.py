"""Dialog for the report: destination, title, and whether names are included."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QDialog, QFormLayout, QLineEdit, QVBoxLayout, QWidget

from napari_lld.i18n.translate import tr
from napari_lld.options import ReportOptions
from napari_lld.widgets.base.form import OptionsForm
from napari_lld.widgets.base.parts import confirm_buttons, label, path_row, run_dialog, show_whole
from napari_lld.widgets.base.save_place import SavePlace, problem_of


@dataclass(frozen=True)
class ReportChoice:
    """Destination and options of the report."""

    out: Path
    options: ReportOptions


class ReportDialog(QDialog):
    """Asks for it; without names unless they are asked for."""

    def __init__(self, start: Path, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Report"))
        self.setMinimumWidth(540)
        self.place = QLineEdit(str(start))
        self._save_place = SavePlace(self)
        self.problem = label(role="notice", wrap=True)
        self.problem.setMinimumHeight(2 * self.problem.fontMetrics().lineSpacing())
        form = QFormLayout()
        form.addRow(tr("To"), path_row(self.place, tr("To"), (tr("Browse …"), self._browse)))
        self.options = OptionsForm(ReportOptions, form)
        form.addRow("", self.problem)
        buttons, self.ok = confirm_buttons(self, tr("Write"))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(buttons)
        self.place.textChanged.connect(lambda *_: self._show_problem())
        self.options.changed.connect(lambda *_: self._show_problem())
        self._show_problem()

    def answer(self) -> ReportChoice:
        """Return what was chosen."""
        return ReportChoice(self._out(), self.options.value())

    def _out(self) -> Path:
        out = Path(self.place.text().strip()).expanduser()
        return out if out.suffix.lower() in (".html", ".htm") else out.with_name(f"{out.name}.html")

    def _show_problem(self) -> None:
        """Describe what is wrong with the place, or who can be known from the report."""
        problem = ""
        if not self.place.text().strip():
            problem = tr("Choose a location.")
        elif not self._out().absolute().parent.is_dir():
            problem = tr("The folder {folder} does not exist.", folder=self._out().absolute().parent)
        elif self._out().is_dir():
            problem = tr("{name} is a folder: give another name.", name=self._out().name)
        else:
            problem = problem_of(self._out())
        lines = [
            tr("Patients can be identified from it: share it with care.")
            if self.options.value().names
            else tr("Patients and fields have numbers; annotators stand with their names.")
        ]
        self.problem.setText(problem or "\n".join(lines))
        show_whole(self.problem)
        self.ok.setEnabled(not problem)

    def _browse(self) -> str:
        return self._save_place.browse(tr("Report"), self.place.text(), "HTML (*.html)")

    def accept(self) -> None:
        """Close the dialog, once it is agreed what is replaced."""
        if self._save_place.agreed(self._out()):
            super().accept()


def ask_report(start: Path, parent: QWidget | None) -> ReportChoice | None:
    """Ask for the destination and the options of the report."""
    dialog = ReportDialog(start, parent)
    return run_dialog(dialog, dialog.answer)

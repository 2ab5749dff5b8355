"""Dialogs that ask the user. Each function returns the answer or ``None``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtpy.QtWidgets import (
    QDialog,
    QFileDialog,
    QFormLayout,
    QInputDialog,
    QLineEdit,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from annotation_store.files.layout import DATABASE
from annotation_store.images.find import find_images
from annotation_store.images.read import IMAGE_SUFFIXES
from annotation_store.schema import Schema
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session import user_state
from napari_lld.session.new_project import folder_problem, images_problem
from napari_lld.session.patient_rule import images_in
from napari_lld.tasks import actions
from napari_lld.tasks.jobs import Jobs
from napari_lld.widgets.base.parts import confirm_buttons, label, path_row, run_dialog
from napari_lld.widgets.base.theme import RESEARCH_USE
from napari_lld.widgets.base.whole_text import HintedLine
from napari_lld.widgets.dialogs.schema_choice import SchemaChoice
from napari_lld.widgets.fields.patient_chooser import PatientChooser

_IMAGES = f"({' '.join(f'*{suffix}' for suffix in sorted(IMAGE_SUFFIXES))})"


@dataclass(frozen=True)
class NewProject:
    """What a new project shall be."""

    folder: Path
    schema: str | Schema
    images: Path | None
    annotator: str | None
    patient_from: str | None = None


class NewProjectDialog(QDialog):
    """Asks for name, place, schema and the first images of a project."""

    def __init__(self, parent: QWidget | None = None, annotator: str = "") -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("New project"))
        self.setMinimumWidth(480)
        layout = QVBoxLayout(self)
        form = QFormLayout()
        self.name = QLineEdit("blood-films")
        self.place = QLineEdit(str(user_state.recall("place", Path.home())))
        self.images = HintedLine()
        self.images.setPlaceholderText(tr("a folder of PNG, JPEG or TIFF fields; may be added later"))
        self.schema = SchemaChoice()
        self.schema.changed.connect(self._check)
        self.annotator = HintedLine(annotator)
        self.annotator.setPlaceholderText(tr("your name, saved with every edit"))
        form.addRow(tr("Name"), self.name)
        form.addRow(tr("In the folder"), self._folder_row(self.place, tr("In the folder")))
        self.problem, self.images_problem = label(role="notice", wrap=True), label(role="notice", wrap=True)
        form.addRow("", self.problem)
        form.addRow(tr("Schema"), self.schema)
        form.addRow(tr("Images"), self._folder_row(self.images, tr("Images")))
        form.addRow("", self.images_problem)
        self.jobs = Jobs(self)
        for line in (self.name, self.place, self.images):
            line.textChanged.connect(lambda *_: self._show_problem())
        self.patients = PatientChooser("", self._first_images)
        form.addRow(tr("Patient from name"), self.patients)
        form.addRow(tr("Annotator"), self.annotator)
        layout.addLayout(form)
        self.images.textChanged.connect(lambda *_: self.patients.refresh())
        self.patients.changed.connect(self._check)
        layout.addWidget(label(tr(RESEARCH_USE), "muted"))
        self.name.textChanged.connect(lambda *_: self._check())
        buttons, self._ok = confirm_buttons(self, tr("Create"))
        layout.addWidget(buttons)
        self._check()
        self._show_problem()

    def _show_problem(self, refused: str = "", refused_images: str = "") -> None:
        """Show beside the fields what is wrong with them, or why the project could not be made."""
        place = Path(self.place.text().strip() or Path.home()).expanduser()
        for target, sentence in (
            (self.problem, refused or folder_problem(place, self.name.text().strip())),
            (self.images_problem, refused_images or images_problem(self.answer().images)),
        ):
            target.setText(sentence)
            target.setVisible(bool(sentence))

    def accept(self) -> None:
        """Create the project; on failure keep the dialog open and show the reason."""
        self._show_problem()
        if self.jobs.busy or self.schema.busy or self.problem.text() or self.images_problem.text():
            return
        answer = self.answer()
        self._ok.setEnabled(False)
        if answer.images is None:
            self._make(answer)
            return
        images = answer.images
        self.jobs.start(
            tr("Looking for images"),
            lambda _report: str(len(find_images([images]))),
            lambda _count: self._make(answer),
            lambda sentence: self._on_refused(images=sentence),
        )

    def _make(self, answer: NewProject) -> None:
        self.jobs.start(
            tr("Creating {name}", name=answer.folder.name),
            lambda on_progress: actions.create_project(
                answer.folder, answer.schema, [], on_progress, annotator=answer.annotator
            ),
            lambda _project: super(NewProjectDialog, self).accept(),
            self._on_refused,
        )

    def _on_refused(self, sentence: str = "", images: str = "") -> None:
        self._check()
        self._show_problem(in_the_window(sentence), in_the_window(images))

    def done(self, result: int) -> None:
        """Close once nothing is being made any more."""
        self.schema.close_reading()
        self.jobs.wait(5)
        super().done(result)

    def _first_images(self) -> list[Path]:
        images = self.images.text().strip()
        return images_in(Path(images).expanduser() if images else None)

    def _check(self) -> None:
        """Reject a rule that cannot be read and a project without a name; wait for what runs."""
        waits = self.jobs.busy or self.schema.busy
        self._ok.setEnabled(not waits and self.patients.sound and bool(self.name.text().strip()))

    def _folder_row(self, line: QLineEdit, name: str) -> QWidget:
        def choose() -> str:
            start = line.text() or str(Path.home())
            return str(QFileDialog.getExistingDirectory(self, tr("Choose a folder"), start))

        return path_row(line, name, (tr("Browse …"), choose))

    def answer(self) -> NewProject:
        """Return what was typed."""
        name = self.name.text().strip()
        if not name.endswith(".lld"):
            name += ".lld"
        images = self.images.text().strip()
        annotator = self.annotator.text().strip()
        return NewProject(
            Path(self.place.text().strip() or Path.home()).expanduser() / name,
            self.schema.schema,
            Path(images).expanduser() if images else None,
            annotator or None,
            self.patients.expression or None,
        )


def ask_new_project(parent: QWidget | None, annotator: str = "") -> NewProject | None:
    """Ask what a new project shall be, and make it, without images so far."""
    dialog = NewProjectDialog(parent, annotator)
    answer = run_dialog(dialog, dialog.answer)
    if answer is not None:
        user_state.remember("place", str(answer.folder.parent))
    return answer


def ask_project(parent: QWidget | None) -> Path | None:
    """Prompt for the folder of a project."""
    place, title = str(user_state.recall("place", Path.home())), tr("Open a project folder")
    while place := QFileDialog.getExistingDirectory(parent, title, place):
        if (Path(place) / DATABASE).is_file():
            return Path(place)
        text = tr(
            "{name} is not a project. Choose the folder of one: its name ends in .lld.", name=Path(place).name
        )
        QMessageBox.warning(parent, title, text)
    return None


def ask_images(parent: QWidget | None) -> list[Path]:
    """Prompt for image files."""
    kinds = f"{tr('Images')} {_IMAGES}"
    files, _filter = QFileDialog.getOpenFileNames(parent, tr("Add fields"), str(Path.home()), kinds)
    return [Path(file) for file in files]


def ask_anyway(title: str, doubts: Sequence[str], parent: QWidget | None) -> bool:
    """Ask whether an area shall be finished in spite of what was found."""
    box = QMessageBox(QMessageBox.Icon.Warning, title, tr("Finish anyway?"), parent=parent)
    text = "\n".join(f"• {doubt}" for doubt in doubts)
    rest = tr("Everything without a box in it will count as background.")
    box.setInformativeText(f"{text}\n\n{rest}")
    finish = box.addButton(tr("Finish"), QMessageBox.ButtonRole.AcceptRole)
    back = box.addButton(tr("Go back and check"), QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(back)
    box.setEscapeButton(back)
    box.exec()
    return box.clickedButton() is finish


def ask_for_reading(why: str, parent: QWidget | None) -> bool:
    """Ask whether to open a project for reading only."""
    box = QMessageBox(parent)
    box.setWindowTitle(tr("Open a project"))
    box.setText(tr("You cannot write to this project. Open it read-only?"))
    box.setInformativeText(tr("You can view and export it, but not change it."))
    box.setDetailedText(why)
    read = box.addButton(tr("Open read-only"), QMessageBox.ButtonRole.AcceptRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(read)
    box.exec()
    return box.clickedButton() is read


def ask_annotator(name: str, parent: QWidget | None) -> str | None:
    """Ask who annotates."""
    answer, accepted = QInputDialog.getText(
        parent, tr("Annotator"), tr("Name, saved with every edit:"), QLineEdit.EchoMode.Normal, name
    )
    return answer.strip() or None if accepted else None


def ask_scheduler(address: str, parent: QWidget | None) -> str | None:
    """Ask where to train and predict; empty = on this computer, ``None`` = cancelled."""
    dialog = QInputDialog(parent)
    dialog.setWindowTitle(tr("Compute on other computers"))
    dialog.setLabelText(
        tr(
            "Address of a dask scheduler of yours whose workers train and predict, such as tcp://host:8786.\n"
            "Leave it empty to compute on this computer."
        )
    )
    dialog.setTextValue(address)
    return run_dialog(dialog, lambda: str(dialog.textValue()).strip())


def ask_pixel_size(
    um: float, before: float | None, others: int, parent: QWidget | None
) -> Literal["one", "all"] | None:
    """Ask which fields get the pixel size that a red cell of 7.5 µm gives."""
    box = QMessageBox(parent)
    box.setWindowTitle(tr("Pixel size"))
    text = tr("If this red cell is 7.5 µm wide, a pixel is {um:.3f} µm.", um=um)
    if before is not None:
        text += " " + tr("Until now it was {before:.3f} µm.", before=before)
    box.setText(text)
    box.setInformativeText(
        tr("It is used to judge and learn cell size. Undo reverts it on each field separately.")
    )
    this_field = box.addButton(tr("This field"), QMessageBox.ButtonRole.AcceptRole)
    all_fields = None
    if others:
        all_fields = box.addButton(
            trn(
                "This field and {count} like it",
                "This field and {count} like it",
                others,
            ),
            QMessageBox.ButtonRole.AcceptRole,
        )
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(this_field)
    box.exec()
    pressed = box.clickedButton()
    if pressed is this_field:
        return "one"
    return "all" if all_fields is not None and pressed is all_fields else None


def ask_comment(text: str, parent: QWidget | None) -> str | None:
    """Prompt for a comment, beginning with the one that is there."""
    return ask_lines(tr("On this cell:"), text, parent)


def ask_lines(about: str, text: str, parent: QWidget | None) -> str | None:
    """Prompt for a comment of some lines, in a frame that is seen in napari's themes too."""
    dialog = QInputDialog(parent)
    dialog.setWindowTitle(tr("Comment"))
    dialog.setLabelText(about)
    dialog.setOption(QInputDialog.InputDialogOption.UsePlainTextEditForTextInput)
    dialog.setTextValue(text)
    dialog.setStyleSheet("QPlainTextEdit { border: 1px solid palette(mid); border-radius: 3px; }")
    dialog.resize(380, 200)
    return run_dialog(dialog, lambda: str(dialog.textValue()))


def ask_overlapping_field(name: str, others: Sequence[str], parent: QWidget | None) -> str | None:
    """Ask which field overlaps one; ``None`` if cancelled."""
    if not others:
        return None
    field_name, accepted = QInputDialog.getItem(
        parent,
        tr("Fields that overlap"),
        tr("Which field overlaps {name}?", name=name),
        list(others),
        0,
        False,
    )
    return field_name if accepted else None

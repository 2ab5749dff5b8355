"""The import dialog: file, options, and a preview of the import."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from annotation_store import formats
from annotation_store.records import ImportReport, Reading
from napari_lld.i18n.translate import later, tr, trn
from napari_lld.options import ImportOptions
from napari_lld.tasks.import_preview import Import, ImportPreview, ProjectPlace, comes_in, look, shortened
from napari_lld.tasks.jobs import Jobs
from napari_lld.widgets.base.form import Control, OptionsForm
from napari_lld.widgets.base.parts import confirm_buttons, label, path_row, run_dialog, show_whole
from napari_lld.widgets.base.room import keep_on_screen
from napari_lld.widgets.base.whole_text import HintedLine
from napari_lld.widgets.dialogs.format_options import FormatOptions
from napari_lld.widgets.fields.patient_chooser import PatientChooser

_MEANS = {
    "stated": later(
        "Only areas that the file itself marks as annotated become finished regions. Nothing is guessed."
    ),
    "file": later(
        "If the file does not state which area is annotated, the whole image counts as annotated: "
        "unmarked cells would be learned as background."
    ),
    "none": later(
        "No finished region is imported: finish them yourself once every white cell in them is boxed."
    ),
    "full": later(
        "Choose this only if every white cell of every image is boxed: the rest is learned as background."
    ),
}
_PAUSE_MS = 350
_LINES = 3


class ImportDialog(QDialog):
    """Asks what to import; *Import* is there once it is known what would come in."""

    def __init__(
        self, place: ProjectPlace, reading: Reading, start: Path | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Import labels"))
        self.setMinimumWidth(620)
        self._place, self._blind = place, reading.blind
        self._look: ImportPreview | None = None
        self._looked_at: Import | None = None
        self._recognised = True
        self._over = False
        self.jobs = Jobs(self)
        self.jobs.changed.connect(self._on_job)
        self.jobs.stopped.connect(lambda *_: self._look_soon())
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(self._look_now)

        self.path = HintedLine()
        self.path.setPlaceholderText(tr("the file of labels, or the data set's folder"))
        self.images = QLineEdit()
        self._means = label(role="muted", wrap=True)
        self.patients = PatientChooser(place.patient_rule)
        self.format_options = FormatOptions()
        self.holds = label(wrap=True)
        self.left_out = label(role="notice", wrap=True)
        for target, lines in ((self.holds, 3), (self.left_out, 5), (self._means, 2)):
            target.setMinimumHeight(lines * target.fontMetrics().lineSpacing())
            target.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        self.skip = QCheckBox(tr("Leave that out, and import the rest"))
        self.own = QCheckBox(
            tr(
                "This reading is blind: {name}'s own labels, made without seeing those of others",
                name=reading.annotator,
            )
        )
        self.own.setVisible(reading.blind)
        self.busy = QProgressBar()
        self.busy.setTextVisible(False)
        self.busy.setFixedHeight(6)
        policy = self.busy.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.busy.setSizePolicy(policy)

        ways = (tr("File …"), self._browse_file), (tr("Folder …"), lambda: self._browse_folder(self.path))
        browse = (tr("Browse …"), lambda: self._browse_folder(self.images))
        form = QFormLayout()
        self._form = form
        form.addRow(tr("From"), path_row(self.path, tr("From"), *ways))
        names = {name: formats.FORMATS[name].title for name in formats.names(reading=True)}
        images, patients = path_row(self.images, tr("Images"), browse), self.patients
        self.options = OptionsForm(
            ImportOptions,
            form,
            choices={"format": {"": tr("Recognise"), **names}},
            custom={
                "images": Control(self.images, self._folder, self.images.textChanged, row=images),
                "patient_from": Control(patients, self._patient_rule, patients.changed, row=patients),
                "options": replace(self.format_options.control(), row=self.format_options),
                "skip_unknown": Control(self.skip, self.skip.isChecked, self.skip.toggled),
            },
        )
        self.form = self.options.combo("format")
        self.regions = self.options.combo("regions")
        form.insertRow(form.getWidgetPosition(self.regions)[0] + 1, "", self._means)
        form.addRow(tr("To import"), self.holds)
        form.addRow(tr("Left out"), self.left_out)
        form.addRow("", self.skip)
        form.addRow("", self.own)
        buttons, self.ok = confirm_buttons(self, tr("Import"))
        layout = QVBoxLayout(self)
        layout.addLayout(form)
        layout.addWidget(self.busy)
        layout.addWidget(buttons)
        self.path.textChanged.connect(lambda *_: self._on_path())
        self.form.currentIndexChanged.connect(lambda *_: self._on_form(chosen=True))
        self.options.changed.connect(self._look_soon)
        self.own.toggled.connect(lambda *_: self._show_preview())
        self._on_form(chosen=False)
        self.path.setText(str(start or ""))
        self._look_soon()

    def answer(self) -> Import:
        """Return what was chosen."""
        return Import(Path(self.path.text().strip()).expanduser(), self.options.value())

    def _folder(self) -> Path | None:
        text = self.images.text().strip()
        return Path(text).expanduser() if text else None

    def _patient_rule(self) -> str | None:
        rule = self.patients.expression
        return rule if rule != self._place.patient_rule else None

    def done(self, result: int) -> None:
        """Stop looking, whichever way the dialog ends."""
        self._over = True
        self._pause.stop()
        self.jobs.stop()
        super().done(result)

    # ------------------------------------------------------------------ choosing

    def _browse_file(self) -> str:
        return str(QFileDialog.getOpenFileName(self, tr("Import labels"), self._start())[0])

    def _browse_folder(self, line: QLineEdit) -> str:
        start = line.text() or self._start()
        return str(QFileDialog.getExistingDirectory(self, tr("Choose a folder"), start))

    def _start(self) -> str:
        return self.path.text().strip() or str(self._place.project.parent)

    def _on_path(self) -> None:
        """Recognise anew, unless the user said what it is."""
        if self._recognised:
            self._show_form("")
        self._look_soon()

    def _show_form(self, name: str) -> None:
        self.form.blockSignals(True)
        self.form.setCurrentIndex(max(self.form.findData(name), 0))
        self.form.blockSignals(False)
        self._on_form(chosen=False)

    def _on_form(self, *, chosen: bool) -> None:
        """Show the options of the format."""
        name = str(self.form.currentData())
        if chosen:
            self._recognised = not name
        read_options = formats.FORMATS[name].read_options if name else ()
        self.format_options.offer(read_options)
        self._form.setRowVisible(self.format_options, bool(read_options))
        if chosen:
            self._look_soon()

    # ------------------------------------------------------------------ looking

    def _look_soon(self) -> None:
        """Update the preview once the user has stopped changing options."""
        self._means.setText(tr(_MEANS[str(self.regions.currentData())]))
        if self._look is not None and self._looked_at == self._question():
            self._show_preview()
            return
        self._look = None
        self.jobs.stop()
        if not self._over:
            self._pause.start()
        self._show_preview()

    def _question(self) -> Import:
        """Return the options that the preview depends on."""
        answer = self.answer()
        form = "" if self._recognised else answer.options.format
        return replace(answer, options=replace(answer.options, format=form, skip_unknown=False))

    def _look_now(self) -> None:
        if self.jobs.busy:  # it was asked to stop, and emits `stopped` then
            return
        question = self._question()
        if self._problem():
            self._show_preview()
            return
        place = self._place
        self.jobs.start(
            tr("Previewing"),
            lambda on_progress: look(place, question, on_progress),
            lambda preview: self._on_look(question, preview),
            lambda sentence: self._on_look(
                question, ImportPreview(question.options.format, problem=sentence)
            ),
        )

    def _on_look(self, question: Import, preview: ImportPreview) -> None:
        if question != self._question():
            self._look_soon()
            return
        self._looked_at, self._look = question, preview
        if self._recognised:
            self._show_form(preview.form)
        self.skip.setChecked(False)  # it applied to another preview
        self._show_preview()

    def _on_job(self) -> None:
        self.busy.setRange(0, self.jobs.total)
        self.busy.setValue(self.jobs.done)
        self._show_preview()

    # ------------------------------------------------------------------ showing

    def _problem(self) -> str:
        if not self.path.text().strip():
            return tr("Choose what to import.")
        if not self.answer().path.exists():
            return tr("This file or folder does not exist.")
        images = self._folder()
        if images is not None and not images.is_dir():
            return tr("The folder {folder} does not exist.", folder=images)
        return ""

    def _show_preview(self) -> None:
        preview = self._look
        looking = not self._problem() and preview is None
        report = preview.report if preview is not None else None
        refused = preview.refused if preview is not None else ()
        self.busy.setVisible(self.jobs.busy or looking)
        self.holds.setText(self._coming_in(report) if report is not None else self._waiting(looking))
        lines = [preview.problem] if preview is not None and preview.problem else []
        if report is not None:
            words = [f"'{name}'" for name in report.unknown]  # listed once, among the refused
            skipped = [s for s in report.skipped if not any(word in s for word in words)]
            lines = shortened([*refused, *skipped], _LINES)
            self.left_out.setToolTip("\n".join([*refused, *skipped][:40]))
        nothing = report is not None and not _brings(report)
        if nothing:
            lines.append(tr("There is nothing new to import."))
        self.left_out.setText("\n".join(lines) or (tr("nothing") if report is not None else ""))
        show_whole(self.holds)
        show_whole(self.left_out)
        self.skip.setVisible(bool(refused))
        ready = report is not None and not nothing and (not refused or self.skip.isChecked())
        self.ok.setEnabled(ready and (not self._blind or self.own.isChecked()))

    def _coming_in(self, report: ImportReport) -> str:
        text = comes_in(report)
        if report.unstated and self.regions.currentData() in ("stated", "file"):
            text += "\n" + trn(
                "The file does not state what is annotated in {count} image.",
                "The file does not state what is annotated in {count} images.",
                report.unstated,
            )
        return text

    def _waiting(self, looking: bool) -> str:
        if not looking:
            return self._problem()
        if self.jobs.busy and self.jobs.total:
            return tr("Previewing: {done} of {total} …", done=self.jobs.done, total=self.jobs.total)
        return tr("Previewing …")


class ImportedDialog(QDialog):
    """What came in, what was skipped and why."""

    def __init__(self, text: str, skipped: list[str], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(tr("Imported"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.resize(620, 320)
        self.list = QPlainTextEdit("\n".join(skipped))
        self.list.setReadOnly(True)
        self.list.setAccessibleName(tr("Left out or noted"))
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addWidget(label(text, wrap=True))
        layout.addWidget(label(tr("Left out or noted:")))
        layout.addWidget(self.list, 1)
        undo = tr("Undo reverts an import field by field; imported images stay.")
        layout.addWidget(label(undo, "muted", wrap=True))
        layout.addWidget(buttons)
        keep_on_screen(self)


def _brings(report: ImportReport) -> bool:
    return bool(
        report.fields
        or report.cells
        or report.regions
        or report.suggestions
        or report.filled
        or report.conflicts
    )


def ask_import(
    place: ProjectPlace, reading: Reading, start: Path | None, parent: QWidget | None
) -> Import | None:
    """Ask what to import."""
    dialog = ImportDialog(place, reading, start, parent)
    return run_dialog(dialog, dialog.answer)

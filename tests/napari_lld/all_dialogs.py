"""Every dialog of the window, filled with something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from qtpy.QtWidgets import QDialog

from annotation_store import Project, formats
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.tasks.import_preview import ProjectPlace
from napari_lld.widgets.base.theme import colours


def all_dialogs(dock: AnnotateDock, project: Project, tmp_path: Path) -> Iterator[QDialog]:
    """Give each dialog of the window, once, as it opens."""
    from annotation_store.copies.report import Brought, Difference
    from napari_lld.session.log import Log
    from napari_lld.widgets.dialogs.class_meaning_dialog import ClassMeaningDialog
    from napari_lld.widgets.dialogs.conflicts_dialog import ConflictsDialog
    from napari_lld.widgets.dialogs.dialogs import NewProjectDialog
    from napari_lld.widgets.dialogs.export_dialog import ExportDialog
    from napari_lld.widgets.dialogs.help_overlay import HelpOverlay
    from napari_lld.widgets.dialogs.import_dialog import ImportDialog, ImportedDialog
    from napari_lld.widgets.dialogs.key_editor import KeyEditor
    from napari_lld.widgets.dialogs.log_window import LogWindow
    from napari_lld.widgets.dialogs.merge_dialog import MergeDialog
    from napari_lld.widgets.dialogs.reading_dialog import ReadingDialog
    from napari_lld.widgets.dialogs.report_dialog import ReportDialog
    from napari_lld.widgets.dock.message_bar import MessageDetails
    from napari_lld.widgets.fields.field_dialogs import FieldDetailsDialog, PatientsDialog
    from napari_lld.widgets.training.training_window import TrainingWindow

    session, commands = dock.desk.session, dock.desk.commands
    yield NewProjectDialog()
    yield ExportDialog(formats.survey(project), tmp_path)
    yield ReportDialog(tmp_path / "report.html")
    fields = project.fields.all()
    yield FieldDetailsDialog(fields, fields)
    yield PatientsDialog(None, fields)
    yield ReadingDialog("Ada", project.readings.all(), project.reading)
    yield ImportDialog(ProjectPlace.of_project(project), project.reading)
    yield ImportedDialog("Much came in.", ["a line"] * 40)
    yield HelpOverlay(commands, colours())
    yield KeyEditor(commands, colours())
    yield LogWindow(Log(), session, colours())
    yield TrainingWindow(session, colours())
    yield ConflictsDialog(session)
    differences = [Difference("a.png", "cell", "Bert", {"cell_class": None}, {"cell_class": "Monocyte"})] * 40
    yield MergeDialog(tmp_path, Brought(tmp_path, cells=3, differences=differences), project.schema)
    yield MessageDetails("A long story. " * 400)
    yield ClassMeaningDialog(Counter({"Segs": 3, "Odd": 1}), project.schema)


def windows_of_slides() -> Iterator[QDialog]:
    """Give the windows that show a slide, without one."""
    from napari_lld.widgets.counts.slide_differential_window import SlideDifferentialWindow
    from napari_lld.widgets.fields.slide_map_window import SlideMapWindow

    yield SlideMapWindow(colours())
    yield SlideDifferentialWindow(colours())

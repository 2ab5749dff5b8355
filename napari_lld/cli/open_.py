"""``napari-lld open``: the window."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, complain
from napari_lld.cli._options import open_project
from napari_lld.cli.environment import check_window, doubts

DIALOG = "--dialog"
"""What the shortcuts of a desktop start it with."""


def open_window(
    context: typer.Context,
    project: Annotated[
        Path | None, typer.Argument(metavar="[PROJECT]", help="Folder of a project.", show_default=False)
    ] = None,
    dialog: Annotated[
        bool, typer.Option(DIALOG, help="Also show errors in a dialog, for use without a terminal.")
    ] = False,
) -> None:
    """Open napari with the plugin; without PROJECT, on a page to make or choose one."""
    del dialog  # whoever reports errors looks for it (`napari_lld.cli._app`)
    if project is not None:
        check_project(project, context.find_root().command.list_commands(context))  # type: ignore[attr-defined]
    check_window()
    for sentence in doubts():
        complain(f"Note: {sentence}.")
    from napari_lld.window import run_window

    run_window(None if project is None else project.absolute())


def check_project(path: Path, commands: Sequence[str]) -> None:
    """Report in the terminal that a path cannot be opened: a window would hide the message."""
    if not path.exists():
        near = difflib.get_close_matches(str(path), commands, n=1)
        if near and path.parent == Path():
            raise UsageError(f"There is neither a command nor a project '{path}'; did you mean '{near[0]}'?")
        raise UsageError(f"{path} does not exist; create a project with: napari-lld new {path}")
    open_project(path, read_only=True).close()


def show_error(sentence: str) -> None:
    """Show in a dialog why nothing opens; nothing where no window can be shown either."""
    try:
        check_window()
        from qtpy.QtCore import Qt
        from qtpy.QtWidgets import QApplication, QMessageBox
    except (UsageError, ImportError):
        return
    application = QApplication.instance() or QApplication([])
    box = QMessageBox(QMessageBox.Icon.Critical, "napari-lld", sentence)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.exec()
    del application  # it has to live as long as the dialog

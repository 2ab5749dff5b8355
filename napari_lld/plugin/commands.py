"""Commands of napari's Layers menu: cells to layers and back, and a project's field is what they act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_lld.controllers.dock import AnnotateDock


def send_cells() -> None:
    """Send the cells of the dock's field to plain layers; without a project, say so."""
    _run("layers.send")


def take_cells() -> None:
    """Take the cells of the chosen layer into the dock's field; without a project, say so."""
    _run("layers.take")


def _run(command: str) -> None:
    from napari_lld.plugin.dock import dock_of

    dock = dock_of()
    if dock is not None and not (
        dock.desk.session.fields.current_id is not None and dock.desk.commands.run(command)
    ):
        _ask_for_a_project(dock)


def _ask_for_a_project(dock: AnnotateDock) -> None:
    from napari_lld.i18n.translate import tr

    dock.desk.session.notify(
        "info", tr("Open a project and one of its fields first: cells belong to a field.")
    )

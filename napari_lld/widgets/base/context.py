"""Protocols of the desk for the parts of a window, so that they do not depend on the whole desk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

    from napari_lld.commands.registry import Commands
    from napari_lld.layers import DeskLayers
    from napari_lld.session.session import Session
    from napari_lld.tasks.assistant_process import AssistantProcess
    from napari_lld.tasks.jobs import Jobs
    from napari_lld.tasks.training_process import TrainingProcess


class DeskContext(Protocol):
    """The desk of one viewer, as its widgets and controllers see it."""

    @property
    def viewer(self) -> Any:
        """The napari viewer."""

    @property
    def window(self) -> QWidget | None:
        """The main window, the parent of dialogs; ``None`` without one."""

    @property
    def session(self) -> Session:
        """What is open and current."""

    @property
    def commands(self) -> Commands:
        """The commands of the window."""

    @property
    def layers(self) -> DeskLayers:
        """The napari layers."""

    @property
    def jobs(self) -> Jobs:
        """The long action that runs beside the window."""

    @property
    def process(self) -> TrainingProcess:
        """The worker process."""

    @property
    def assistant(self) -> AssistantProcess:
        """The second worker process, which answers while one looks on."""

    @property
    def training_options(self) -> Callable[[], dict[str, Any]]:
        """What the next training is asked for."""

    @property
    def unclosed(self) -> bool:
        """Whether a polygon is being drawn that would be lost."""

    def fail(self, sentence: str) -> None:
        """Show why an action failed."""

    def still_busy(self) -> bool:
        """Return whether a long action is running, and show a message if so."""

    def add_paths(self, paths: list[Path]) -> None:
        """Add images and folders of images to the project."""

    def import_labels(self, path: Path | None = None) -> None:
        """Ask how labels are to be imported, then import them."""

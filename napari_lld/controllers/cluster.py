"""Ask for the address of a cluster, and check in a thread whether it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QTimer

from napari_lld.commands.registry import Command
from napari_lld.session.cluster import Reached
from napari_lld.session.subscriptions import Subscriptions
from napari_lld.tasks.latest_task import LatestTask
from napari_lld.widgets.dialogs import dialogs

if TYPE_CHECKING:
    from napari_lld.session.session import Session
    from napari_lld.widgets.base.context import DeskContext

_PAUSE_MS = 800
"""In napari's own preferences an address changes with each letter."""


class ClusterController(QObject):
    """Belongs to one desk."""

    def __init__(self, desk: DeskContext, parent: QObject) -> None:
        super().__init__(parent)
        self._desk = desk
        self._cluster = cluster = desk.session.training.cluster
        self._task = LatestTask("cluster", self)
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE_MS)
        self._pause.timeout.connect(cluster.look)
        cluster.check = self._check
        self._listening = Subscriptions()
        self._listening.add(desk.session.preferences.events.scheduler, lambda *_: self._pause.start())
        self._listening.add(cluster.checked, desk.session.notify)

    def commands(self) -> Iterator[Command]:
        """Make the command."""

        def idle(session: Session) -> bool:
            return not session.training.state.busy

        yield Command(
            "training.cluster",
            "Compute on other computers …",
            self.ask,
            (),
            "Model",
            idle,
            "Train and predict on the workers of a dask scheduler; without an address on this computer.",
        )

    def ask(self) -> None:
        """Ask for the address, and look who answers there."""
        if why := self._cluster.why_not:
            self._desk.session.notify("info", why)
            return
        address = dialogs.ask_scheduler(self._cluster.address, self._desk.window)
        if address is None:
            return
        self._desk.session.preferences.scheduler = address
        self._pause.stop()
        self._cluster.look()

    def close(self) -> None:
        """Disconnect from the session; what is looked at ends by itself."""
        self._pause.stop()
        self._cluster.check = None
        self._listening.close()
        self._task.close(0.0)

    def _check(
        self, address: str, on_reached: Callable[[Reached], None], failed: Callable[[str], None]
    ) -> None:
        def look() -> Reached:
            from training.cluster.reach import reach  # dask takes half a second

            return reach(address)

        self._task.start(look, on_reached, failed)

"""Notifies the work clock of mouse and key events of one window."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QApplication, QWidget

from napari_lld.session.work_clock import WorkClock
from napari_lld.widgets.base.windows import main_window

_USES = frozenset(
    {QEvent.Type.KeyPress, QEvent.Type.MouseButtonPress, QEvent.Type.MouseMove, QEvent.Type.Wheel}
)
_KEEP_MS = 60_000


class Activity(QObject):
    """Watches one window, and has the clock keep what it counted every minute."""

    def __init__(self, window: QWidget, clock: WorkClock) -> None:
        super().__init__(window)
        self._window = window
        self._clock = clock
        self._keeping = QTimer(self)
        self._keeping.setInterval(_KEEP_MS)
        self._keeping.timeout.connect(clock.flush)
        self._keeping.start()
        application = QApplication.instance()
        assert application is not None
        application.installEventFilter(self)

    def close(self) -> None:
        """Watch no more."""
        self._keeping.stop()
        application = QApplication.instance()
        if application is not None:
            application.removeEventFilter(self)

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Observe an event without handling it."""
        if (
            event is not None
            and event.type() in _USES
            and isinstance(watched, QWidget)
            and main_window(watched) is self._window
        ):
            self._clock.touch()
        return False

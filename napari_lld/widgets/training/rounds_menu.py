"""The menu of training rounds: automatic rounds, and the queue."""

from __future__ import annotations

from qtpy.QtWidgets import QMenu, QWidget

from napari_lld.commands.registry import Commands
from napari_lld.i18n.translate import tr
from napari_lld.session.rounds import LONG
from napari_lld.session.session import Session

AFTER = (0, 10, 25, 50, 100)
"""New cells after which an automatic round may begin; 0 = never."""


class RoundsMenu(QMenu):
    """Created again whenever it opens: it keeps nothing."""

    def __init__(self, session: Session, commands: Commands, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self._commands = session, commands
        self.setToolTipsVisible(True)
        self._rounds = session.training.rounds
        self.aboutToShow.connect(self.fill)

    def fill(self) -> None:
        """Fill the menu."""
        self.clear()
        preferences = self._session.preferences
        self._heading(tr("Train automatically …"))
        for cells in sorted({*AFTER, preferences.automatic}):
            title = tr("after {count} new cells in finished regions", count=cells) if cells else tr("never")
            action = self.addAction(title)
            action.setCheckable(True)
            action.setChecked(cells == preferences.automatic)
            action.triggered.connect(lambda *_, chosen=cells: setattr(preferences, "automatic", chosen))
        longer = self.addAction(
            tr("then a longer round of {minutes:g} minutes, used only if not worse", minutes=LONG / 60)
        )
        longer.setCheckable(True)
        longer.setChecked(preferences.longer)
        longer.setEnabled(bool(preferences.automatic))
        longer.triggered.connect(lambda checked: setattr(preferences, "longer", bool(checked)))
        ready = self.addAction(self._about_ready())
        ready.setCheckable(True)
        ready.setChecked(preferences.ready)
        ready.triggered.connect(lambda checked: setattr(preferences, "ready", bool(checked)))
        instant = self.addAction(tr("Learn from each label at once"))
        instant.setCheckable(True)
        instant.setChecked(preferences.instant)
        instant.triggered.connect(lambda checked: setattr(preferences, "instant", bool(checked)))
        self.addSeparator()
        self._add_cluster()
        self.addSeparator()
        self._heading(tr("Waiting in the queue"))
        for planned in list(self._rounds.queue):
            action = self.addAction(tr("{title}: remove from the queue", title=planned.title))
            action.triggered.connect(lambda *_, chosen=planned: self._rounds.drop(chosen))
        if not self._rounds.queue:
            self._heading(tr("nothing"))

    def _add_cluster(self) -> None:
        cluster, command = self._session.training.cluster, self._commands["training.cluster"]
        title = tr("Compute on {address} …", address=cluster.used) if cluster.used else command.title
        if cluster.why_not:
            title = tr("Compute on other computers (not installed) …")
        action = self.addAction(title)
        action.setCheckable(bool(cluster.used))
        action.setChecked(bool(cluster.used))
        action.setToolTip(cluster.why_not or cluster.sentence)
        action.setEnabled(command.when(self._session))
        action.triggered.connect(lambda *_: self._commands.run("training.cluster"))

    def _about_ready(self) -> str:
        memory = self._session.training.state.worker_memory
        if memory is None:
            return tr("Keep the training process ready")
        return tr("Keep the training process ready (it holds {memory:.1f} GB of memory)", memory=memory / 1e9)

    def _heading(self, text: str) -> None:
        """Write a line that cannot be chosen; the sections of Qt's menus show no title in all styles."""
        self.addAction(text).setEnabled(False)

"""What listens together stops together, whoever emits."""

from __future__ import annotations

from napari.utils.events import EmitterGroup
from psygnal import Signal
from qtpy.QtCore import QObject
from qtpy.QtCore import Signal as QtSignal

from napari_lld.session.subscriptions import Subscriptions


class Ours:
    changed = Signal(int)


class OfQt(QObject):
    changed = QtSignal(int)


def test_signals_of_all_three_kinds_are_heard_until_it_is_closed() -> None:
    heard: list[str] = []
    ours, of_qt, napari = Ours(), OfQt(), EmitterGroup(changed=None)

    def on_ours(_value: int) -> None:
        heard.append("ours")

    def on_qt(_value: int) -> None:
        heard.append("qt")

    def on_napari(_event: object) -> None:
        heard.append("napari")

    def emit() -> None:
        ours.changed.emit(1)
        of_qt.changed.emit(1)
        napari.changed()

    listening = Subscriptions()
    for signal, slot in ((ours.changed, on_ours), (of_qt.changed, on_qt), (napari.changed, on_napari)):
        listening.add(signal, slot)
    emit()
    assert heard == ["ours", "qt", "napari"]
    listening.close()
    listening.close()
    emit()
    assert heard == ["ours", "qt", "napari"]

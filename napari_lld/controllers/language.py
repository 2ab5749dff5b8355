"""Choose the language of the window, and rebuild windows in another one."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QLocale
from qtpy.QtWidgets import QDialog

from napari_lld.i18n.qt import use_qt_language
from napari_lld.i18n.translate import use_language
from napari_lld.session.session import Session


def choose_language(preference: str) -> None:
    """Choose the language of all texts that are made from now on.

    Parameters
    ----------
    preference
        ``system``, or a language such as ``de``.
    """
    languages = QLocale.system().uiLanguages() if preference == "system" else [preference]
    use_qt_language(use_language(*languages))


def show_window(make: Callable[[], QDialog], session: Session) -> QDialog:
    """Show a window that stays open while one works; it is made again when the language changes.

    Parameters
    ----------
    make
        Makes the window.
    """
    dialog = make()

    def again() -> None:
        place = dialog.geometry()
        dialog.close()
        show_window(make, session).setGeometry(place)

    session.words_changed.connect(again)
    dialog.finished.connect(lambda *_: session.words_changed.disconnect(again, missing_ok=True))
    dialog.show()
    return dialog

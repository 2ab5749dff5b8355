"""Qt's own texts (OK, Cancel, Yes, No) in the language of the window."""

from __future__ import annotations

from qtpy.QtCore import QCoreApplication, QLibraryInfo, QTranslator

_installed: dict[str, QTranslator] = {}


def use_qt_language(language: str) -> None:
    """Translate Qt's own buttons and dialogs, if Qt ships the language."""
    application = QCoreApplication.instance()
    if application is None:
        return
    for other in _installed.values():
        application.removeTranslator(other)
    if language == "en":
        return
    if language not in _installed:
        translator = QTranslator(application)
        folder = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
        if not translator.load(f"qtbase_{language}", folder):
            return
        _installed[language] = translator
    application.installTranslator(_installed[language])

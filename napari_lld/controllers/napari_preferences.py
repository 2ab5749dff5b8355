"""The preferences as napari's own settings: its Preferences dialog shows them, its file keeps them.

napari before 0.9 has no settings of plugins: there the window's own memory keeps them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any

from napari_lld.session import user_state
from napari_lld.session.preferences import Preferences

PLUGIN = "napari-lld"
_KEPT = "preferences"


def bind(preferences: Preferences) -> Callable[[], None]:
    """Sync with napari's settings from now on; return what undoes it.

    Nothing is stored if napari does not know the plugin, as when it runs from a folder that is not installed.
    """
    try:
        from napari.settings import get_plugin_settings
    except ImportError:
        return _remember(preferences)
    try:
        settings: Any = get_plugin_settings(PLUGIN).desk
    except (KeyError, AttributeError):
        return lambda: None
    undo: list[Callable[[], None]] = []
    for field in fields(preferences):
        _bind_one(preferences, settings, field.name, undo)

    def release() -> None:
        for undo_one in undo:
            undo_one()

    return release


def _remember(preferences: Preferences) -> Callable[[], None]:
    """Keep the preferences in the user state; values of another type are ignored."""
    stored = user_state.recall(_KEPT)
    for name, value in stored.items() if isinstance(stored, dict) else ():
        if type(value) is type(getattr(preferences, name, None)):
            setattr(preferences, name, value)

    def keep(*_: object) -> None:
        user_state.remember(
            _KEPT, {field.name: getattr(preferences, field.name) for field in fields(preferences)}
        )

    signals = [getattr(preferences.events, field.name) for field in fields(preferences)]
    for signal in signals:
        signal.connect(keep)

    def release() -> None:
        for signal in signals:
            signal.disconnect(keep)

    return release


def _bind_one(preferences: Preferences, settings: Any, name: str, undo: list[Callable[[], None]]) -> None:
    setattr(preferences, name, getattr(settings, name))

    def from_napari(_event: object = None) -> None:
        setattr(preferences, name, getattr(settings, name))

    def to_napari(value: object) -> None:
        if getattr(settings, name) != value:
            setattr(settings, name, value)

    theirs, ours = getattr(settings.events, name), getattr(preferences.events, name)
    theirs.connect(from_napari)
    ours.connect(to_napari)
    undo.append(lambda: theirs.disconnect(from_napari))
    undo.append(lambda: ours.disconnect(to_napari, missing_ok=True))

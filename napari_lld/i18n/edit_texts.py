"""Describe edits in the user's language; the history of the store is in English. No Qt."""

from __future__ import annotations

import re
from collections.abc import Callable

from napari_lld.i18n.translate import later, tr, trn

COMMANDS = (
    later("Add ignore area"),
    later("Box cell"),
    later("Box missed cell"),
    later("Change cell"),
    later("Change region"),
    later("Delete cell"),
    later("Delete ignore area"),
    later("Delete region"),
    later("Describe field"),
    later("Draw region"),
    later("Fields do not overlap"),
    later("Fields overlap"),
    later("Finish region"),
    later("Keep label"),
    later("Keep what is here"),
    later("Label cell"),
    later("Mark field as reviewed"),
    later("Move cell"),
    later("Not a cell"),
    later("Reopen region"),
    later("Merge projects"),
    later("Use the other value"),
    later("Accept suggestion"),
    later("Correct suggestion"),
    later("Reject suggestion"),
    # written by earlier versions
    later("Bring projects together"),
    later("Take the file's word"),
    later("Take the other's word"),
)
"""What the store calls the edits of a user, each by its own name."""

_WITH_VALUES: dict[str, Callable[..., str]] = {
    "Undo: {command}": lambda command: tr("Undone: {command}", command=edit_in_words(command)),
    "Redo: {command}": lambda command: tr("Redone: {command}", command=edit_in_words(command)),
    "Import {name}": lambda name: tr("Import {name}", name=name),
    "Label {count} cells": lambda count: trn("Label {count} cell", "Label {count} cells", int(count)),
    "Accept {count} suggestions": lambda count: trn(
        "Accept {count} suggestion", "Accept {count} suggestions", int(count)
    ),
    "Correct {count} suggestions": lambda count: trn(
        "Correct {count} suggestion", "Correct {count} suggestions", int(count)
    ),
    "Reject {count} suggestions": lambda count: trn(
        "Reject {count} suggestion", "Reject {count} suggestions", int(count)
    ),
}
"""The edits whose names hold something, as the store writes them, and how to say them."""


def _pattern(template: str) -> re.Pattern[str]:
    before, name, after = re.split(r"\{(\w+)\}", template)
    value = r"\d+" if name == "count" else ".+"
    return re.compile(f"{re.escape(before)}(?P<{name}>{value}){re.escape(after)}", re.DOTALL)


_PATTERNS = [(_pattern(template), say) for template, say in _WITH_VALUES.items()]


def edit_in_words(command: str) -> str:
    """Describe an edit for the user: "Label 4 cells", "Undo: Box cell"."""
    if command in COMMANDS:
        return tr(command)
    for pattern, say in _PATTERNS:
        if match := pattern.fullmatch(command):
            return say(**match.groupdict())
    return command

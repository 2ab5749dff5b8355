"""What an edit was, in the user's language: the store writes it in English, in its history; no Qt."""

from __future__ import annotations

import re

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
    later("Take the file's word"),
    later("Accept suggestion"),
    later("Correct suggestion"),
    later("Reject suggestion"),
)
"""What the store calls the edits of a user."""

_MANY = re.compile(r"(Label|Accept|Correct|Reject) (\d+) (?:cells|suggestions)")


def edit_in_words(command: str) -> str:
    """Say an edit as the user reads it: "Label 4 cells", "Undo: Box cell"."""
    if command.startswith("Undo: "):
        return tr("Undone: {command}", command=edit_in_words(command.removeprefix("Undo: ")))
    if command.startswith("Redo: "):
        return tr("Done again: {command}", command=edit_in_words(command.removeprefix("Redo: ")))
    if command.startswith("Import "):
        return tr("Import {name}", name=command.removeprefix("Import "))
    many = _MANY.fullmatch(command)
    if many is None:
        return tr(command) if command in COMMANDS else command
    count = int(many[2])
    match many[1]:
        case "Label":
            return trn("Label {count} cell", "Label {count} cells", count)
        case "Accept":
            return trn("Accept {count} suggestion", "Accept {count} suggestions", count)
        case "Correct":
            return trn("Correct {count} suggestion", "Correct {count} suggestions", count)
        case _:
            return trn("Reject {count} suggestion", "Reject {count} suggestions", count)

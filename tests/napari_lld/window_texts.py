"""What a window shows in words, and what English of ours is among it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.pofile import read_po
from qtpy.QtGui import QAction
from qtpy.QtWidgets import QComboBox, QTabWidget, QTreeWidget, QWidget

import napari_lld.i18n
from annotation_store.schema import load_schema
from napari_lld.i18n.schema_texts import shown

_LOCALE = Path(napari_lld.i18n.__file__).parent / "locale"
_ASKED = (
    "text",
    "toolTip",
    "accessibleName",
    "accessibleDescription",
    "placeholderText",
    "windowTitle",
    "title",
    "toPlainText",
)


def all_texts(window: QWidget) -> Iterator[tuple[QWidget | QAction, str]]:
    """Give each text of a window's widgets and menus, with whose it is: seen, hovered, or read aloud."""
    everything: list[Any] = [window, *window.findChildren(QWidget), *window.findChildren(QAction)]
    for one in everything:
        texts = [getattr(one, name)() for name in _ASKED if _is_of_qt(one, name)]
        if isinstance(one, QComboBox):
            texts += [one.itemText(number) for number in range(one.count())]
        if isinstance(one, QTabWidget):
            texts += [one.tabText(number) for number in range(one.count())]
        if isinstance(one, QTreeWidget):
            texts += [one.headerItem().text(number) for number in range(one.columnCount())]
        yield from ((one, line) for text in texts for line in str(text).splitlines() if line.strip())


def _is_of_qt(one: Any, name: str) -> bool:
    """Return whether a widget has a text of Qt by a name, and not a method of ours."""
    found = getattr(type(one), name, None)
    return found is not None and "function" not in type(found).__name__


@cache
def _english() -> re.Pattern[str]:
    """Match what only English has: the catalogue's texts and the schema's titles that German changes."""
    patterns = []
    with (_LOCALE / "de.po").open("rb") as file:
        for entry in read_po(file, locale="de"):
            ids = (entry.id,) if isinstance(entry.id, str) else entry.id
            told = (entry.string,) if isinstance(entry.string, str) else entry.string
            for text in ids:
                words = re.sub(r"\{[^}]*\}", "", text)
                if text not in told and re.search(r"[^\W\d_]{3,}", words):
                    pattern = re.escape(text.strip().splitlines()[0])
                    patterns.append(re.sub(r"\\\{[^}]*\\\}|\\\[[a-z.\\_]*\\\]", ".+?", pattern))
    for name in ("lld", "wbcatt"):
        schema = load_schema(name)
        for ours, theirs in zip(_titles(schema), _titles(shown(schema)), strict=True):
            if ours != theirs and ours:
                patterns.append(re.escape(ours))
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns))


def _titles(schema: Any) -> Iterator[str]:
    for part in (*schema.classes, *schema.groups, *schema.attributes):
        yield from (part.title, part.help)
        for value in getattr(part, "values", ()):
            yield from (value.title, value.help)


def english_left(window: QWidget) -> set[str]:
    """Give the texts of a window in German that are English still."""
    return {text for _one, text in all_texts(window) if _english().fullmatch(bare(text))}


def bare(text: str) -> str:
    """Take the key off a text: of a button, of a menu's entry, of a tooltip."""
    text = re.sub(r" {2,}\S+$", "", text.strip())
    return re.sub(r" \([^() ]+\)$", "", text).removesuffix(" ▾")

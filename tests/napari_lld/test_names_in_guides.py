"""The guides call the window's buttons, menus, tabs and keys by their names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from napari.components import ViewerModel

import napari_lld
from annotation_store.schema import load_schema
from napari_lld.commands.registry import Command, class_keys, pretty_key
from napari_lld.controllers.desk import Desk
from napari_lld.widgets.gallery.gallery_commands import gallery_commands

ROOT = Path(__file__).parents[2]
PACKAGE = Path(str(napari_lld.__file__)).parent
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in ("tutorial", "users-guide", "many-machines", "images")),
    *sorted((ROOT / "docs" / "how-to").glob("*.md")),
    *sorted((ROOT / "docs" / "explanation").glob("*.md")),
]

OF_OTHER_PROGRAMS = {
    *("Export task dataset", "COCO 1.0", "YOLO", "Datumaro", "CVAT for images"),
    *("Upload annotations › COCO 1.0", "File › Export objects as GeoJSON", "Pretty"),
    *("File → Save Selected Layers …", "System Settings → Keyboard → Keyboard navigation"),
    *("Plugins → Annotate (LLD)", "Preferences → LLD", "Layers → Annotate"),
}
"""Of CVAT, QuPath, the system, and napari's own menus, which name a plugin by its manifest."""

EMPHASISED = {
    *("any", "not", "or", "other", "one of these", "skip", "found", "unclassified"),
    *("among cells of one class", "within a class"),
    *("fields with a blast", "outliers", "not yet checked", "what the numbers do not show"),
    *("M or L, 95%", "34%, 28 to 41", "Colour profile", "Focus planes", "Several files"),
    *("Label and macro images", "pickle", "⋯"),
}
"""Words that stand out in a page and name nothing in the window, and a sign."""

SIGNS_OF_KEYS = {"Enter": "Return", "⌫": "Backspace"}
ELSEWHERE = {"Alt+B", "Alt+D", "Alt+N", "Alt+P", "⇧Tab", "Ctrl+C"}
"""Of drawing and walking by keys, of Qt, and of a terminal."""


def prose(page: Path) -> str:
    """Give the text of a page without code, pictures and the table of keys."""
    text = page.read_text(encoding="utf-8").partition("<!-- keys:")[0]
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    return re.sub(r"`[^`]*`|!\[[^\]]*\]", "", text)


def names(page: Path) -> list[str]:
    """Give what a page writes in italics."""
    found = re.findall(
        r"(?<!\*)\*(?![*\s])([^*\n]+(?:\n[^*\n]+)?)(?<!\s)\*(?!\*)",
        re.sub(r"\*\*[^*]+\*\*", "", prose(page)),
    )
    return [" ".join(name.split()).rstrip(".") for name in found]


@pytest.fixture(scope="module")
def texts() -> set[str]:
    """Give all texts of the window, in small letters: of the catalogue, the preferences and the schema."""
    with (PACKAGE / "i18n" / "locale" / "de.po").open("rb") as file:
        ids = [entry.id for entry in read_po(file, locale="de")]
    manifest = (PACKAGE / "napari.yaml").read_text(encoding="utf-8")
    found = {text for one in ids for text in ((one,) if isinstance(one, str) else one)}
    found |= set(re.findall(r"title: (.+)", manifest))
    schema = load_schema("lld")
    values = [value for attribute in schema.attributes for value in attribute.values]
    found |= {part.title for part in (*schema.classes, *schema.attributes, *values)}
    return {text.casefold() for text in found}


def is_named(name: str, texts: set[str]) -> bool:
    """Return whether each step of a path is a text, or begins one that goes on with a sign."""
    for step in re.split(" [›→] ", name):
        pattern = re.compile(re.escape(step.casefold()) + r"(?: ?[·:,…].*)?", re.DOTALL)
        if step != "☰" and not any(pattern.fullmatch(text) for text in texts):
            return False
    return True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_guide_names_in_the_window_is_there(page: Path, texts: set[str]) -> None:
    unknown = {name for name in names(page) if not is_named(name, texts)}
    assert unknown <= OF_OTHER_PROGRAMS | EMPHASISED


def test_no_exception_outlives_what_it_excuses(texts: set[str]) -> None:
    written = {name for page in PAGES for name in names(page)}
    excused = OF_OTHER_PROGRAMS | EMPHASISED
    assert excused <= written
    assert not {name for name in excused if is_named(name, texts)}


def test_a_name_that_the_window_lacks_is_noticed(texts: set[str]) -> None:
    assert not is_named("Schema …", texts)
    assert not is_named("☰ › Schema", {text for text in texts if text != "schema"})
    assert is_named("☰ › Readings …", texts)


@pytest.fixture(scope="module")
def commands(qapp: object) -> Iterator[list[Command]]:
    """Give the commands of the dock and of the gallery, those of the classes too."""
    desk = Desk(ViewerModel())
    desk.commands.use_schema(load_schema("lld"))
    desk.gallery.open()
    window = desk.gallery.window
    assert window is not None
    yield [*desk.commands, *gallery_commands(window)]
    desk.close()


KEY = r"(?:(?:Ctrl|Alt|Shift|⇧)\+?)*(?:F\d+|[A-Z]|[←↑→↓]|Enter|Esc|Del|Tab|Space|Backspace)"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_each_key_that_a_guide_names_does_something(page: Path, commands: list[Command]) -> None:
    known = {pretty_key(key) for command in commands for key in command.keys}
    known |= ELSEWHERE
    classes = {pretty_key(key) for key in class_keys(load_schema("lld")).values()}
    text = prose(page)
    bold = re.findall(rf"\*\*({KEY})\*\*", text)
    plain = re.findall(rf"(?<![\w+*⇧])((?:(?:Ctrl|Alt|Shift)\+|⇧)+{KEY}|F\d+)(?![\w+])", text)
    named = {SIGNS_OF_KEYS.get(key, key) for key in (*bold, *plain)}
    assert named <= known | classes


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_key_in_brackets_behind_a_name_is_its_key(page: Path, commands: list[Command]) -> None:
    for name, key in re.findall(rf"(?<!\*)\*([^*\n]+)\*\s\(\*{{0,2}}({KEY})\b", prose(page)):
        title = name.split(" → ")[-1].split(" › ")[-1].casefold()
        titles = [c.title.casefold() for c in commands if key in {pretty_key(k) for k in c.keys}]
        assert any(one.startswith(title) for one in titles), f"{name} ({key}): {titles}"

"""The commands of the gallery's window: those of the main window with the same keys act on many here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from annotation_store.records import RejectionReason
from annotation_store.schema.reserved import UNSURE
from napari_lld.commands.registry import Command, class_keys, class_like, has_project
from napari_lld.i18n.translate import later
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.session.session import Session
from napari_lld.widgets.gallery.class_strip import ClassStrip
from napari_lld.widgets.gallery.cluster_list import ClusterList
from napari_lld.widgets.gallery.gallery_grid import GalleryGrid


class Window(Protocol):
    """What of the gallery's window the commands act on."""

    session: Session
    gallery: Gallery
    grid: GalleryGrid
    classes: ClassStrip
    clusters: ClusterList

    def set_word(self, word: str | None) -> None:
        """Set the attribute of all that is chosen; ``None`` clears it."""

    def set_value_number(self, number: int) -> None:
        """Set the attribute of all that is chosen by the number of the value."""

    def go(self) -> None:
        """Show the current crop in its field."""

    def sort_like_current(self) -> None:
        """Sort by likeness to the crop that the keyboard is on."""

    def search_cells(self) -> None:
        """Let the user write what to search for."""

    def back(self) -> None:
        """Leave what is shown for a while, else close."""


def gallery_commands(window: Window) -> Iterator[Command]:
    """Make the commands for the chosen crops, and for the list."""
    gallery, grid = window.gallery, window.grid

    def chosen(_session: Session) -> bool:
        return grid.has_chosen

    def pending(_session: Session) -> bool:
        return grid.has_pending

    def reject(reason: RejectionReason) -> Callable[[], None]:
        return lambda: gallery.reject(grid.chosen(), reason)

    def value(number: int) -> Callable[[], None]:
        return lambda: window.set_value_number(number)

    def step(by: int) -> Callable[[], None]:
        return lambda: window.classes.step(by)

    def cluster(by: int) -> Callable[[], None]:
        return lambda: window.clusters.step(by)

    def sort_by(order: GalleryOrder) -> Callable[[], None]:
        return lambda: gallery.sort_by(order)

    def in_clusters(_session: Session) -> bool:
        return bool(gallery.clusters)

    for number in range(1, 10):
        title, run = later("Value of the attribute"), value(number)
        yield Command(f"value.{number}", title, run, (str(number),), "Describe", chosen)
    yield Command("value.unsure", "Unsure", lambda: window.set_word(UNSURE), ("Q",), "Describe", chosen)
    yield Command(
        "value.clear",
        "Clear value",
        lambda: window.set_word(None),
        ("Backspace",),
        "Describe",
        chosen,
    )
    yield Command(
        "suggestion.accept",
        "Accept",
        lambda: gallery.accept(grid.chosen(), grid.model_.seen),
        ("A",),
        "Suggestions",
        pending,
        "Accept the selected suggestions unchanged. Those that were never on the screen "
        "are skipped, unless the model is reliable enough.",
    )
    for command_id, title, reason, key, help_ in (
        (
            "suggestion.not_a_cell",
            later("Not a cell"),
            RejectionReason.NOT_A_CELL,
            "X",
            later("Reject; the model learns that this is background."),
        ),
        (
            "suggestion.duplicate",
            later("Duplicate"),
            RejectionReason.DUPLICATE,
            "D",
            later("Reject: the cell already has a box."),
        ),
        (
            "suggestion.bad_box",
            later("Bad box"),
            RejectionReason.BAD_BOX,
            "F",
            later("Reject: a cell, but badly framed."),
        ),
    ):
        yield Command(command_id, title, reject(reason), (key,), "Suggestions", pending, help_)
    yield Command(
        "edit.undo",
        "Undo",
        gallery.undo,
        ("Ctrl+Z",),
        "General",
        lambda _session: gallery.undoable,
        "Undo the last action of the gallery, on all fields at once.",
    )
    yield Command(
        "gallery.go",
        "Show in its field",
        window.go,
        ("Return",),
        "General",
        lambda _session: grid.current() is not None,
    )
    for command_id, title, by, key in (
        ("gallery.next_class", later("List the next class"), 1, "Alt+Down"),
        ("gallery.previous_class", later("List the previous class"), -1, "Alt+Up"),
    ):
        yield Command(command_id, title, step(by), (key,), "General", has_project)
    yield Command(
        "gallery.sort",
        "Sort again",
        gallery.sort_again,
        ("F5",),
        "General",
        has_project,
        "The order is out of date: crops that were edited or predicted again have kept their place.",
    )
    yield Command(
        "gallery.search",
        "Search for cells",
        window.search_cells,
        ("Ctrl+F",),
        "General",
        has_project,
        "By class, value, reader, flag, comment, certainty and origin.",
    )
    for command_id, title, order, key, help_ in (
        (
            "gallery.clusters",
            later("Group similar cells"),
            GalleryOrder.CLUSTERS,
            "Alt+C",
            later("Show similar cells together, the largest group first: label a whole group at once."),
        ),
        (
            "gallery.outliers",
            later("Outliers of a class"),
            GalleryOrder.OUTLIERS,
            "Alt+O",
            later("Show the cells least similar to the others of their class first."),
        ),
        (
            "gallery.duplicates",
            later("Near-duplicates"),
            GalleryOrder.DUPLICATES,
            "Alt+D",
            later("Show pairs of crops that may show the same cell twice."),
        ),
    ):
        yield Command(command_id, title, sort_by(order), (key,), "General", has_project, help_)
    yield Command(
        "gallery.similar",
        "Similar cells",
        window.sort_like_current,
        ("Alt+G",),
        "General",
        lambda _session: grid.current() is not None,
        "Show the cells most similar to this one first, in the gallery.",
    )
    for command_id, title, by, keys in (
        ("gallery.next_cluster", later("Select the next group"), 1, ("N", "Alt+Right")),
        ("gallery.previous_cluster", later("Select the previous group"), -1, ("P", "Alt+Left")),
    ):
        yield Command(command_id, title, cluster(by), keys, "General", in_clusters)
    yield Command("gallery.close", "Back, or close", window.back, ("Esc",), "General", has_project)


def class_commands(window: Window) -> Iterator[Command]:
    """Make a command for each class of the schema."""
    gallery, grid = window.gallery, window.grid
    schema = window.session.schema
    if schema is None:
        return
    keys = class_keys(schema)

    def choose(name: str | None) -> Callable[[], None]:
        return lambda: gallery.set_class(grid.chosen(), name)

    def chosen(_session: Session) -> bool:
        return grid.has_chosen

    for item in class_like(schema):
        class_key = (keys[item.name],) if item.name in keys else ()
        yield Command(f"class.{item.name}", item.title, choose(item.name), class_key, "Class", chosen)
    yield Command("class.unsure", "Class unsure", choose(UNSURE), ("Shift+Q",), "Class", chosen)
    yield Command("class.missing", "Class missing", choose(None), ("Shift+Backspace",), "Class", chosen)

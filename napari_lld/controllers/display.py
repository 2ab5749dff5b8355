"""The desk's commands for seeing right: zoom view, stains, ruler, ring, and how the field is shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from napari_lld.commands.registry import Command, has_field, has_project
from napari_lld.i18n.translate import later, tr
from napari_lld.imaging.display import DisplaySettings
from napari_lld.session.session import Session
from napari_lld.session.tool import Tool
from napari_lld.tasks import actions
from napari_lld.tasks.import_preview import ProjectPlace

if TYPE_CHECKING:
    from napari_lld.widgets.base.context import DeskContext


def display_commands(desk: DeskContext) -> Iterator[Command]:
    """Make the commands of what is seen; none of them changes a pixel."""
    session = desk.session
    sight = session.display

    def switch(name: str) -> Callable[[], None]:
        return lambda: sight.switch(name)

    def tool(selected: Tool) -> Callable[[], None]:
        def choose() -> None:
            session.tool = Tool.SELECT if session.tool is selected else selected

        return choose

    def reset() -> None:
        sight.look = DisplaySettings()

    def changed(session: Session) -> bool:
        return session.fields.current_id is not None and not session.display.look.plain

    yield Command(
        "sight.panel",
        "Zoom view",
        switch("panel"),
        ("Y",),
        "View",
        has_project,
        "Show or hide the enlarged current cell, with ruler and picture controls beside it.",
    )
    for name, title, steps, key in (
        ("sight.closer", later("Cell larger in the zoom view"), 1, "Alt+Y"),
        ("sight.further", later("Cell smaller in the zoom view"), -1, "Alt+Shift+Y"),
    ):
        yield Command(name, title, lambda steps=steps: sight.come_closer(steps), (key,), "View", has_field)  # type: ignore[misc]
    yield Command(
        "sight.stains",
        "Stains",
        switch("stains"),
        ("U",),
        "View",
        has_project,
        "The current cell as if the film had the blue stain only, and the pink one only.",
    )
    yield Command(
        "sight.smooth",
        "Smooth",
        switch("smooth"),
        (),
        "View",
        has_project,
        "Smooth the pixels of the zoom view, or show each as a square.",
    )
    yield Command(
        "tool.ruler",
        "Ruler",
        tool(Tool.RULER),
        ("K",),
        "View",
        has_field,
        "Drag to measure; nothing is stored. Esc removes it.",
    )
    yield Command(
        "tool.ring",
        "Red cell",
        tool(Tool.RING),
        ("J",),
        "View",
        has_field,
        "Click to place a ring of 7.5 µm, the width of a red cell. Drag it across a red cell from edge "
        "to edge to measure the pixel size.",
    )
    yield Command(
        "sight.scale_bar",
        "Scale bar",
        switch("scale_bar"),
        (),
        "View",
        has_project,
        "Show or hide the scale bar in the corner of the field.",
    )
    yield Command(
        "look.auto",
        "White balance",
        lambda: _balance(desk),
        (),
        "View",
        has_field,
        "Show the lightest background as neutral light grey. The stored pixels stay.",
    )
    yield Command(
        "tool.white",
        "Pick",
        tool(Tool.WHITE),
        (),
        "View",
        has_field,
        "Click on an empty place: it is shown as neutral light grey. The stored pixels stay.",
    )
    yield Command(
        "look.reset",
        "Reset",
        reset,
        (),
        "View",
        changed,
        "Show the field as it is.",
    )


def _balance(desk: DeskContext) -> None:
    """Show the background of the field as neutral."""
    from napari_lld.widgets.display.display_panel import background_of_field

    white = background_of_field(desk)
    if white is not None:
        sight = desk.session.display
        sight.look = replace(sight.look, white=white)


def take_ring(desk: DeskContext) -> None:
    """Set the pixel size from the fitted ring (a red cell of 7.5 µm), here or on all alike."""
    from napari_lld.widgets.dialogs.dialogs import ask_pixel_size

    session = desk.session
    project, size = session.project, session.display.fitted_pixel_size
    if project is None or size is None:
        return
    others = session.display.alike()
    answer = ask_pixel_size(size, session.display.pixel_size_um, len(others), desk.window)
    if answer is None or session.project is not project or not session.display.set_pixel_size(size):
        return
    session.tool = Tool.SELECT
    message = tr("A pixel is {size:.3f} µm here. [edit.undo] undoes this.", size=size)
    if answer == "all" and others:
        place = ProjectPlace.of_project(project)
        changes: dict[int, dict[str, Any]] = {field_id: {"pixel_size_um": size} for field_id in others}

        def on_done(edits: list[int]) -> None:
            session.refresh()
            session.notify(
                "info",
                tr("A pixel is {size:.3f} µm on this field and {count} others.", size=size, count=len(edits)),
            )

        desk.jobs.start(
            tr("Pixel size of fields"),
            lambda on_progress: actions.describe_fields(place, changes, on_progress),
            on_done,
            lambda sentence: session.notify("error", sentence),
        )
    else:
        session.notify("hint", message)

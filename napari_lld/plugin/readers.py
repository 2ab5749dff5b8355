"""Readers: a project, a COCO file with its images, GeoJSON or a YOLO folder, opened in any napari window.

Asked whether a path is theirs, they answer within milliseconds; what takes longer to import is imported when
they read. A project opens in the dock where there is a window, for there its changes are kept; else, as all
other kinds do, as layers.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_lld.plugin.kinds import Kind, coco_in, kind_of

if TYPE_CHECKING:
    from napari_lld.layers.cell_layers import LayerData

Paths = str | list[str]
Reader = Callable[[Paths], "list[LayerData] | list[tuple[None]]"]

NOTHING: list[tuple[None]] = [(None,)]
"""What npe2 takes for "opened, and there are no layers"."""


def get_reader(path: Paths) -> Reader | None:
    """Return what reads a path; ``None`` if it is not ours (npe2's contract)."""
    if isinstance(path, list):
        if len(path) != 1:
            return None
        path = path[0]
    kind = kind_of(path)
    return None if kind is None else lambda paths: _read(kind, paths[0] if isinstance(paths, list) else paths)


def _read(kind: Kind, path: str) -> Any:
    """Read a path of a known kind; in a window, one sentence says why it cannot be opened.

    napari's message on what a reader raises begins with a text of its own, and shows no more of it.

    Raises
    ------
    LLDError
        It cannot be opened, and there is no window.
    """
    from annotation_store.errors import LLDError
    from napari_lld.plugin.dock import window_of

    try:
        return _opened(kind, Path(path))
    except LLDError as error:
        if window_of() is None:
            raise
        from napari.utils.notifications import show_error

        show_error(str(error))
        return NOTHING


def _opened(kind: Kind, place: Path) -> Any:
    from annotation_store.errors import FormatError
    from napari_lld.plugin import opening

    if kind == "empty":
        raise FormatError(
            f"The folder {place.name} is empty: choose a folder with images and their annotations, or a "
            "project. A new project is made in Plugins → Annotate (LLD)."
        )
    if kind == "project":
        folder = place if place.is_dir() else place.parent
        return opening.open_project(folder) or NOTHING
    if kind == "coco" and place.is_dir():
        place = coco_in(place, [entry.name for entry in place.iterdir()]) or place
    return opening.open_as_layers(kind, place)

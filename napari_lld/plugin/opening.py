"""Projects and annotation files as layers of a plain napari: the images as one stack, with boxes on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from annotation_store import Project
from annotation_store.errors import ProjectError
from annotation_store.files.layout import BACKUPS, DATABASE, PIXELS, inside
from annotation_store.formats import AnnotatedImage, Contents, Marked, read_standalone
from annotation_store.images import read_image, read_pixels
from annotation_store.records import Shape
from annotation_store.schema import Schema
from napari_lld.i18n.translate import tr
from napari_lld.layers import cell_layers
from napari_lld.layers.cell_layers import IGNORED, METADATA, REGIONS, LayerData, OnField
from napari_lld.plugin.dock import dock_of

if TYPE_CHECKING:
    from annotation_store.formats.standalone import Kind

Pixels = npt.NDArray[np.uint8]


def open_as_layers(kind: Kind, path: Path) -> list[LayerData]:
    """Read annotations and the images they belong to as layers.

    Raises
    ------
    LLDError
        They cannot be read, or none of the images was found.
    """
    contents = read_standalone(kind, path)
    for note in contents.notes:
        _tell(note)
    name = (path if path.is_dir() else path.parent if kind == "yolo" else path).stem
    return as_layers(contents, _image_of, name=name, source=str(path))


def open_project(folder: Path) -> list[LayerData]:
    """Open a project in the dock of the current window, which takes no layers; without one, as layers.

    Raises
    ------
    LLDError
        It cannot be opened.
    """
    _refuse_half(folder)
    dock = dock_of()
    if dock is not None:
        dock.desk.fields.drop([folder])
        return []
    with Project.open(folder, read_only=True) as project:
        fields = [field for field in project.fields.all() if not field.is_slide]
        slides = len(project.fields.all()) - len(fields)
        if not fields:
            raise ProjectError(
                f"The project {folder} has no images to show as layers"
                + (f" ({slides} whole slides)" if slides else "")
                + f": open it with napari-lld {folder}."
            )
        schema = project.schema
        regions = _by_field(project.regions.all())
        ignored = _by_field(project.ignore_areas.all())
        cells = marked_cells(project, [field.id for field in fields])
    pictures = [
        AnnotatedImage(
            field.name,
            inside(folder, PIXELS, str(field.id)),
            (field.width, field.height),
            tuple(cells.get(field.id, ())),
            tuple(region.shape for region in regions.get(field.id, ()) if region.finished),
            tuple(area.shape for area in ignored.get(field.id, ())),
        )
        for field in fields
    ]
    _tell(
        tr(
            "The layers are a copy: changes in them are not saved to the project. To annotate, open it with "
            "napari-lld {folder}, or with Plugins → Annotate (LLD).",
            folder=folder,
        )
    )
    contents = Contents(tuple(pictures), schema)
    return as_layers(contents, _kept_pixels, name=folder.stem, source=str(folder))


def _refuse_half(folder: Path) -> None:
    if not (folder / DATABASE).is_file() and not any((folder / BACKUPS).glob("*.db")):
        raise ProjectError(
            f"The folder {folder.name} holds images of a project, but not its database ({DATABASE}): copy "
            "the whole project folder again from where it came from."
        )


def _by_field(marks: Sequence[Any]) -> dict[int, list[Any]]:
    by_field: dict[int, list[Any]] = {}
    for mark in marks:
        by_field.setdefault(mark.field_id, []).append(mark)
    return by_field


def marked_cells(project: Project, field_ids: Sequence[int]) -> dict[int, list[Marked]]:
    """Return the cells of fields with how certain a model was of each, by field."""
    by_field: dict[int, list[Marked]] = {}
    for entry in project.bulk_edits.entries(field_ids, states=()):
        proposal = entry.proposal
        by_field.setdefault(entry.field_id, []).append(
            Marked(
                entry.box,
                entry.cell_class or "",
                entry.attributes,
                None if proposal is None else proposal.probability,
                entry.artefact_kind or "",
                entry.comment,
                entry.id,
            )
        )
    return by_field


def as_layers(
    contents: Contents, read: Callable[[AnnotatedImage], Pixels], *, name: str, source: str
) -> list[LayerData]:
    """Make layers of pictures: one image, or a stack that reads each when it is shown; boxes; areas.

    Parameters
    ----------
    read
        Reads the pixels of a picture, ``(height, width, 3)``.
    """
    pictures = contents.pictures
    stacked = len(pictures) > 1
    names = [picture.name for picture in pictures] if stacked else []
    cells = [
        OnField(cell, place if stacked else None)
        for place, picture in enumerate(pictures)
        for cell in picture.cells
    ]
    layers: list[LayerData] = []
    if pictures[0].image is not None:
        pixels = _stack(pictures, read) if stacked else read(pictures[0])
        title = name if stacked else pictures[0].name
        layers.append((pixels, {"name": title, "rgb": True, "translate": cell_layers.HALF}, "image"))
    for areas, title, colour, role in (
        ([p.regions for p in pictures], tr("finished regions"), "cyan", REGIONS),
        ([p.ignore_areas for p in pictures], tr("ignore areas"), "gray", IGNORED),
    ):
        layer = cell_layers.areas_layer(
            _placed(areas, stacked=stacked), name=title, colour=colour, stacked=stacked
        )
        if layer is not None:
            layer[1]["metadata"] = {METADATA: {"role": role}}
            layers.append(layer)
    layers.append(_cells_layer(cells, contents.schema, names))
    field_names = [picture.name for picture in pictures]
    for _, arguments, _ in layers:
        metadata = arguments.setdefault("metadata", {}).setdefault(METADATA, {})
        metadata |= {"source": source, "fields": field_names}
    return layers


def _cells_layer(cells: Sequence[OnField], schema: Schema, names: Sequence[str]) -> LayerData:
    if len(cells) <= cell_layers.MOST_SHAPES:
        return cell_layers.boxes_layer(cells, schema, name=tr("white cells"), names=names)
    _tell(
        tr(
            "{count} cells are shown as points, with width and height among their features: napari draws so "
            "many boxes too slowly.",
            count=len(cells),
        )
    )
    return cell_layers.points_layer(cells, schema, name=tr("white cells"), names=names)


def _placed(areas: Sequence[Sequence[Shape]], *, stacked: bool) -> list[tuple[Shape, int | None]]:
    return [(shape, place if stacked else None) for place, shapes in enumerate(areas) for shape in shapes]


def _place_of(picture: AnnotatedImage) -> Path:
    assert picture.image is not None
    return picture.image


def _kept_pixels(picture: AnnotatedImage) -> Pixels:
    """Read the pixels that a project keeps; it need not be open."""
    return read_pixels(_place_of(picture))


def _image_of(picture: AnnotatedImage) -> Pixels:
    return read_image(_place_of(picture))


def _stack(pictures: Sequence[AnnotatedImage], read: Callable[[AnnotatedImage], Pixels]) -> Any:
    """Stack pictures, each in the upper left corner of the largest size; one is read when it is shown."""
    import dask.array as da

    width = max(picture.size[0] for picture in pictures if picture.size)
    height = max(picture.size[1] for picture in pictures if picture.size)

    def block(block_info: Any = None) -> Pixels:
        place = block_info[None]["array-location"][0][0]
        canvas = np.zeros((1, height, width, 3), np.uint8)
        pixels = read(pictures[place])[:height, :width]
        canvas[0, : pixels.shape[0], : pixels.shape[1]] = pixels
        return canvas

    chunks = ((1,) * len(pictures), (height,), (width,), (3,))
    return da.map_blocks(block, chunks=chunks, dtype=np.uint8, meta=np.empty((0, 0, 0, 0), np.uint8))


def _tell(sentence: str) -> None:
    from napari.utils.notifications import show_info

    show_info(sentence)

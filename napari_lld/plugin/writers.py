"""Writers: boxes and points of any napari layers as COCO JSON, boxes on one image as GeoJSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from annotation_store.formats import AnnotatedImage, Marked, write_standalone
from annotation_store.records import Shape
from napari_lld.imaging.click_box import usual_side
from napari_lld.layers import cell_layers
from napari_lld.layers.cell_layers import IGNORED, METADATA, REGIONS, LayerData


def write_coco(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write layers as COCO JSON (npe2's contract); class, attributes and certainty come from the features."""
    return _write("coco", path, layers)


def write_geojson(path: str, layers: Sequence[LayerData]) -> list[str]:
    """Write the layers of one image as GeoJSON for QuPath (npe2's contract)."""
    return _write("geojson", path, layers)


def _write(kind: Literal["coco", "geojson"], path: str, layers: Sequence[LayerData]) -> list[str]:
    write_standalone(kind, Path(path), pictures_of(layers, Path(path).stem))
    return [path]


def pictures_of(layers: Sequence[LayerData], name: str) -> list[AnnotatedImage]:
    """Bring the marks of layers together by image.

    Parameters
    ----------
    name
        Of the image, where no layer names it.
    """
    from annotation_store.errors import FormatError

    size, names = _images(layers, name)
    cells: dict[int, list[Marked]] = {}
    regions: dict[int, list[Shape]] = {}
    ignored: dict[int, list[Shape]] = {}
    for layer in layers:
        if layer[2] not in ("shapes", "points"):
            continue
        role = _own(layer[1]).get("role")
        try:
            parts = cell_layers.by_place(layer)
        except ValueError as error:
            raise FormatError(
                f"The layer {layer[1].get('name')} has more than three dimensions: boxes have two, and those "
                "on a stack of images three."
            ) from error
        for place, part in parts.items():
            if role in (REGIONS, IGNORED):
                (regions if role == REGIONS else ignored).setdefault(place, []).extend(
                    cell_layers.shapes_of(part)
                )
            else:
                side = usual_side([], *(size or (1000, 1000)))
                cells.setdefault(place, []).extend(cell_layers.cells_of(part, side))
    places = sorted({*cells, *regions, *ignored}) if len(names) < 2 else range(len(names))
    return [
        AnnotatedImage(
            names[place] if 0 <= place < len(names) else f"{name}_{place}",
            None,
            size,
            tuple(cells.get(place, ())),
            tuple(regions.get(place, ())),
            tuple(ignored.get(place, ())),
        )
        for place in places
    ]


def _images(layers: Sequence[LayerData], name: str) -> tuple[tuple[int, int] | None, list[str]]:
    """Return width and height of the images, if known, and their names."""
    size: tuple[int, int] | None = None
    names: list[str] = []
    for data, arguments, kind in layers:
        names = names or [str(field_name) for field_name in _own(arguments).get("fields", ())]
        if kind == "image":
            whole = data[0] if arguments.get("multiscale") else data
            shape = whole.shape[:-1] if arguments.get("rgb") else whole.shape
            size = size or (int(shape[-1]), int(shape[-2]))
    if not names:
        images = [str(arguments.get("name") or name) for _, arguments, kind in layers if kind == "image"]
        names = images[:1] or [name]
    return size, names


def _own(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    metadata = (arguments.get("metadata") or {}).get(METADATA)
    return metadata if isinstance(metadata, Mapping) else {}

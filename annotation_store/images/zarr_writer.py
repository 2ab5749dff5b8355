"""Pixels as OME-Zarr 0.5: one image group a field, ``fields.zarr/ID``, readable by any OME-Zarr reader."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation_store.errors import ImageError, ProjectError
from annotation_store.files.layout import inside, refuse_links_below
from annotation_store.images.colour import ColourError
from annotation_store.images.own_shards import SHARD, read_own
from annotation_store.images.read import MAX_PIXELS
from annotation_store.images.slide import SlideOptions
from annotation_store.images.zarr_reader import array_facts, folder_reader

MAX_SINGLE_LEVEL = 2048
"""Fields up to this many pixels a side are one level in one shard; larger ones are pyramids."""

OVERVIEW_SIDE = 1024
"""Longer side of what the project itself keeps of a slide."""

_OVERVIEW = "overview"
_READ = "napari_lld_slide"
"""Attribute of a slide's group: `SlideOptions`."""
_CHUNK = 512
Pixels = npt.NDArray[np.uint8]


def create_root(folder: Path) -> None:
    """Make the group that holds the fields; what lies in the folder stays."""
    import zarr  # half a second, not needed to list cells

    zarr.create_group(store=str(folder), overwrite=False)


def is_root(folder: Path) -> bool:
    """Return whether a folder is the Zarr group of the fields."""
    try:
        return bool(json.loads((folder / "zarr.json").read_bytes())["node_type"] == "group")
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return False


def write_pixels(folder: Path, pixels: Pixels, *, name: str, pixel_size_um: float | None = None) -> None:
    """Write ``(height, width, 3)`` pixels as an OME-Zarr image at `folder`."""
    import zarr  # half a second, not needed to list cells

    levels = [pixels]
    while _has_coarser(*levels[-1].shape[:2]):
        levels.append(_halve(levels[-1]))
    size = pixel_size_um or 1.0
    datasets = {str(index): size * 2**index for index in range(len(levels))}
    group = zarr.create_group(
        store=str(folder), attributes={"ome": _metadata(name, datasets, pixel_size_um)}, overwrite=True
    )
    for index, level in enumerate(levels):
        _write_level(group, str(index), level)


def write_overview(
    folder: Path,
    overview: Pixels,
    *,
    name: str,
    scale: float,
    pixel_size_um: float | None = None,
    options: SlideOptions | None = None,
) -> None:
    """Write what the project keeps of a slide: an OME-Zarr image of its coarse view, at its true scale.

    With it is kept how the slide is read, since a slide's pixels must stay what they are.
    """
    import zarr  # half a second, not needed to list cells

    datasets = {_OVERVIEW: (pixel_size_um or 1.0) * scale}
    attributes: dict[str, Any] = {"ome": _metadata(name, datasets, pixel_size_um)}
    if options is not None:
        attributes[_READ] = asdict(options)
    group = zarr.create_group(store=str(folder), attributes=attributes, overwrite=True)
    _write_level(group, _OVERVIEW, overview)


def slide_options(folder: Path) -> SlideOptions:
    """Return how a slide is read; of slides added by earlier versions, as those did."""
    try:
        stored = json.loads((folder / "zarr.json").read_bytes())["attributes"][_READ]
        plane = stored["plane"]
        return SlideOptions(
            stored["colour_profile"] is True, plane if type(plane) is int and plane >= 0 else None
        )
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return SlideOptions()


def _write_level(group: Any, path: str, level: Pixels) -> None:
    from zarr.codecs import ZstdCodec

    # OME-Zarr puts channels before space
    planes = np.ascontiguousarray(level.transpose(2, 0, 1))
    height, width = planes.shape[1:]
    # chunks of nearly equal size: a shard is whole chunks, and what it holds beyond the image costs
    rows, columns = -(-height // _CHUNK), -(-width // _CHUNK)
    chunk = (3, -(-height // rows), -(-width // columns))
    shard = (3, chunk[1] * rows, chunk[2] * columns)
    array = group.create_array(
        path,
        shape=planes.shape,
        dtype=planes.dtype,
        chunks=chunk,
        shards=shard if shard != chunk else None,
        compressors=ZstdCodec(level=0, checksum=True),  # without it a flipped bit goes unseen
        dimension_names=("c", "y", "x"),
        config={"write_empty_chunks": True},  # a black image has a file too: one without is damaged
    )
    array[...] = planes


def write_windows(folder: Path, size: tuple[int, int], parts: Iterable[tuple[int, int, Pixels]]) -> None:
    """Write an OME-Zarr image of one level of which only parts have pixels; the rest takes no space.

    Parameters
    ----------
    size
        Its width and height.
    parts
        x and y of each part, and its ``(height, width, 3)`` pixels.
    """
    import zarr  # half a second, not needed to list cells
    from zarr.codecs import ZstdCodec

    folder.parent.mkdir(parents=True, exist_ok=True)
    group = zarr.create_group(
        store=str(folder), attributes={"ome": _metadata(folder.stem, {"0": 1.0}, None)}, overwrite=True
    )
    array = group.create_array(
        "0",
        shape=(3, size[1], size[0]),
        dtype=np.uint8,
        chunks=(3, _CHUNK, _CHUNK),
        compressors=ZstdCodec(level=0, checksum=True),
        dimension_names=("c", "y", "x"),
    )
    for x, y, pixels in parts:
        height, width = pixels.shape[:2]
        array[:, y : y + height, x : x + width] = pixels.transpose(2, 0, 1)


def nameless(metadata: bytes) -> bytes:
    """Return the metadata of an OME-Zarr image (``zarr.json``) without the name that it gives of itself.

    Raises
    ------
    ImageError
        It is damaged.
    """
    try:
        content = json.loads(metadata)
        for image in content.get("attributes", {}).get("ome", {}).get("multiscales", []):
            image.pop("name", None)
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise ImageError("The description of a stored image is damaged: run napari-lld check.") from error
    return json.dumps(content).encode()


def read_pixels(folder: Path) -> Pixels:
    """Read the full-resolution pixels ``(height, width, 3)`` back; needs no database, any thread may.

    Raises
    ------
    ImageError
        The field is a slide.
    ProjectError
        The pixels are missing or damaged.
    """
    if is_slide(folder):
        raise ImageError(
            f"The field {_name(folder)} is a whole slide, too large to be read whole: "
            "create fields from areas of it (Project.fields.add_area)."
        )
    return _read(folder, "0")


def stamps(folder: Path) -> tuple[tuple[int, int], ...]:
    """Return when the files that `read_pixels` reads were last modified, in nanoseconds, and their sizes.

    Raises
    ------
    OSError
        A file is missing.
    """
    level = folder / "0"
    files = [path.stat() for path in (level / "zarr.json", level.joinpath(*SHARD))]
    return tuple((file.st_mtime_ns, file.st_size) for file in files)


def read_every_level(folder: Path) -> Pixels:
    """Read all levels of an image, and so every chunk and its checksum; gives the finest."""
    finest = read_pixels(folder)
    for index in range(1, len(level_sizes(finest.shape[1], finest.shape[0]))):
        _read(folder, str(index))
    return finest


def read_overview(folder: Path) -> Pixels:
    """Read what the project keeps of a slide."""
    return _read(folder, _OVERVIEW)


def read_window(folder: Path, x0: int, y0: int, x1: int, y1: int, *, level: int = 0) -> Pixels:
    """Read a part of a level of an image, in that level's pixels."""
    return _read(folder, str(level), (slice(None), slice(y0, y1), slice(x0, x1)))


def level_sizes(width: int, height: int) -> list[tuple[int, int]]:
    """List width and height of the levels of an image of that size, finest first."""
    sizes = [(width, height)]
    while _has_coarser(*sizes[-1]):
        sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
    return sizes


def _has_coarser(width: int, height: int) -> bool:
    """Return whether an image of that size has a level of half its size."""
    return max(width, height) > MAX_SINGLE_LEVEL and min(width, height) > 1


def is_slide(folder: Path) -> bool:
    """Return whether the pixels of a slide, of which the project has an overview only, are asked for."""
    return (folder / _OVERVIEW).is_dir()


def _name(folder: Path) -> str:
    try:
        stored = json.loads((folder / "zarr.json").read_bytes())
        return str(stored["attributes"]["ome"]["multiscales"][0]["name"])
    except (OSError, ValueError, LookupError, TypeError):
        return folder.name


def _read(folder: Path, path: str, window: Any = ...) -> Pixels:
    try:
        _judge(folder, path)
        if window is ... and (own := read_own(folder / path)) is not None:
            return own
        import zarr  # half a second, not needed to list cells

        array: Any = zarr.open_array(store=str(folder / path), mode="r")[window]
    # codecs raise errors of their own on damaged chunks
    except (ColourError, OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise ProjectError(
            f"The pixels of the field {_name(folder)} are missing or damaged: "
            f"run napari-lld check {folder.parents[1]} --repair."
        ) from error
    return np.ascontiguousarray(np.asarray(array, dtype=np.uint8).transpose(1, 2, 0))


def _judge(folder: Path, path: str) -> None:
    """Check an array before a library opens it: projects are as untrusted as images."""
    refuse_links_below(inside(folder, path))
    shape, kind = array_facts(folder_reader(folder), path)
    if len(shape) != 3 or shape[0] != 3 or kind != "uint8" or shape[1] * shape[2] > MAX_PIXELS:
        raise ColourError("is not an array that this program writes")
    if not folder.joinpath(path, *SHARD).is_file():  # which zarr would read as black
        raise ColourError("has no pixels")


def _halve(pixels: Pixels) -> Pixels:
    height, width = (n - n % 2 for n in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    means: Pixels = ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    return means


def _metadata(name: str, datasets: Mapping[str, float], pixel_size_um: float | None) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if pixel_size_um else {}
    channels = (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    return {
        "version": "0.5",
        "multiscales": [
            {
                "name": name,
                "axes": [
                    {"name": "c", "type": "channel"},
                    {"name": "y", "type": "space", **unit},
                    {"name": "x", "type": "space", **unit},
                ],
                "datasets": [
                    {
                        "path": path,
                        "coordinateTransformations": [{"type": "scale", "scale": [1.0, scale, scale]}],
                    }
                    for path, scale in datasets.items()
                ],
            }
        ],
        "omero": {
            "channels": [
                {
                    "label": label,
                    "color": colour,
                    "active": True,
                    "window": {"min": 0, "max": 255, "start": 0, "end": 255},
                }
                for label, colour in channels
            ]
        },
    }

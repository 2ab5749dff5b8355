"""Pixels as OME-Zarr 0.5: one image group a field, ``fields.zarr/ID``, readable by any OME-Zarr reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from annotation_store.errors import ProjectError

MAX_SINGLE_LEVEL = 2048
"""Fields up to this many pixels a side are one level in one shard; larger ones are pyramids."""

_CHUNK = 512

Pixels = npt.NDArray[np.uint8]


def create_root(folder: Path) -> None:
    """Make the group that holds the fields."""
    import zarr  # half a second, not needed to list cells

    zarr.create_group(store=str(folder), overwrite=True)


def write_pixels(folder: Path, pixels: Pixels, *, name: str, pixel_size_um: float | None = None) -> None:
    """Write ``(height, width, 3)`` pixels as an OME-Zarr image at `folder`."""
    import zarr  # half a second, not needed to list cells

    levels = [pixels]
    while max(levels[-1].shape[:2]) > MAX_SINGLE_LEVEL:
        levels.append(_halved(levels[-1]))
    group = zarr.create_group(
        store=str(folder), attributes={"ome": _metadata(name, levels, pixel_size_um)}, overwrite=True
    )
    for index, level in enumerate(levels):
        # OME-Zarr puts channels before space
        planes = np.ascontiguousarray(level.transpose(2, 0, 1))
        height, width = planes.shape[1:]
        # chunks of nearly equal size: a shard is whole chunks, and what it holds beyond the image costs
        rows, columns = -(-height // _CHUNK), -(-width // _CHUNK)
        chunk = (3, -(-height // rows), -(-width // columns))
        shard = (3, chunk[1] * rows, chunk[2] * columns)
        array = group.create_array(
            str(index),
            shape=planes.shape,
            dtype=planes.dtype,
            chunks=chunk,
            shards=shard if shard != chunk else None,
            dimension_names=("c", "y", "x"),
        )
        array[...] = planes


def read_pixels(folder: Path) -> Pixels:
    """Read the full-resolution pixels ``(height, width, 3)`` back; needs no database, any thread may."""
    import zarr  # half a second, not needed to list cells

    try:
        array: Any = zarr.open_array(store=str(folder / "0"), mode="r")[...]
    except (OSError, ValueError, KeyError) as error:
        raise ProjectError(f"The pixels in {folder} are missing or damaged: run napari-lld check.") from error
    return np.ascontiguousarray(np.asarray(array, dtype=np.uint8).transpose(1, 2, 0))


def _halved(pixels: Pixels) -> Pixels:
    height, width = (n - n % 2 for n in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).astype(np.uint16)
    means: Pixels = ((blocks.sum(axis=(1, 3)) + 2) // 4).astype(np.uint8)
    return means


def _metadata(name: str, levels: list[Pixels], pixel_size_um: float | None) -> dict[str, Any]:
    unit = {"unit": "micrometer"} if pixel_size_um else {}
    size = pixel_size_um or 1.0
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
                        "path": str(index),
                        "coordinateTransformations": [
                            {"type": "scale", "scale": [1.0, size * 2**index, size * 2**index]}
                        ],
                    }
                    for index in range(len(levels))
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

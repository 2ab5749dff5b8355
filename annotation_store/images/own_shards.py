"""Pixels as this program writes them, decoded in the thread that asks.

Zarr decodes in threads of its own, and hands the work from one to the next: for an image of 640 × 480 this
takes more than half of the time, and more where all cores are busy. What is written otherwise, or is damaged,
is left to it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

SHARD = ("c", "0", "0", "0")
"""The one file of a level, in the array's folder."""

_CODECS = ["bytes", "zstd"]
_CHECKSUM = 4
"""Bytes of the checksum behind the places of the chunks."""

Pixels = npt.NDArray[np.uint8]


def read_own(level: Path) -> Pixels | None:
    """Read the ``(height, width, 3)`` pixels of a level that consists of one file.

    Returns
    -------
    array, optional
        ``None`` if it was written otherwise, or a checksum does not match.
    """
    try:
        about = json.loads((level / "zarr.json").read_bytes())
        (_, height, width), shard = about["shape"], about["chunk_grid"]["configuration"]["chunk_shape"]
        if shard[1] < height or shard[2] < width or about["data_type"] != "uint8":
            return None
        stored = level.joinpath(*SHARD).read_bytes()
        names, outer = [codec["name"] for codec in about["codecs"]], about["codecs"][0]
        if names == _CODECS:
            chunk, parts = shard, [stored]
        elif names == ["sharding_indexed"] and _is_own(outer["configuration"]):
            chunk = outer["configuration"]["chunk_shape"]
            parts = _parts(stored, (shard[1] // chunk[1]) * (shard[2] // chunk[2]))
        else:
            return None
        return _joined(parts, (3, chunk[1], chunk[2]), (height, width))
    except (ImportError, OSError, LookupError, TypeError, ValueError, RuntimeError, RecursionError):
        return None


def _is_own(configuration: dict[str, Any]) -> bool:
    return (
        [codec["name"] for codec in configuration["codecs"]] == _CODECS
        and [codec["name"] for codec in configuration["index_codecs"]] == ["bytes", "crc32c"]
        and configuration["index_location"] == "end"
    )


def _parts(stored: bytes, count: int) -> list[bytes]:
    """Cut a shard into its chunks; their places are at its end, with a checksum."""
    from google_crc32c import value as crc32c

    end = len(stored) - _CHECKSUM
    index = stored[end - 16 * count : end]
    if crc32c(index) != int.from_bytes(stored[end:], "little"):
        raise ValueError("The checksum does not match.")
    places = np.frombuffer(index, "<u8").reshape(count, 2).tolist()
    return [stored[first : first + length] for first, length in places]


def _joined(parts: list[bytes], chunk: tuple[int, int, int], size: tuple[int, int]) -> Pixels:
    """Decode chunks, each with three planes, and put them beside each other."""
    from numcodecs.zstd import Zstd

    height, width = size
    columns = -(-width // chunk[2])
    pixels = np.empty((height, width, 3), np.uint8)
    planes = np.empty(chunk, np.uint8)
    for number, part in enumerate(parts):
        Zstd().decode(part, planes)  # checks the length, and the checksum in each chunk
        top, left = number // columns * chunk[1], number % columns * chunk[2]
        place = pixels[top : top + chunk[1], left : left + chunk[2]]
        for channel, plane in enumerate(planes):  # a transposed copy takes three times as long
            place[:, :, channel] = plane[: place.shape[0], : place.shape[1]]
    return pixels

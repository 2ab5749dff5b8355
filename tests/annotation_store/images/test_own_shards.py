"""Pixels as this program writes them are decoded without Zarr, and what is damaged never passes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from annotation_store import ProjectError
from annotation_store.images import own_shards
from annotation_store.images.zarr_writer import level_sizes, read_every_level, read_pixels, write_pixels


def drawn(height: int, width: int) -> own_shards.Pixels:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("size", [(1, 1), (96, 96), (480, 640), (513, 512), (700, 1100), (2100, 2050)])
def test_what_is_written_is_read_without_zarr_and_as_zarr_reads_it(
    tmp_path: Path, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = drawn(*size)
    write_pixels(tmp_path / "field", pixels, name="a")
    for level in range(len(level_sizes(size[1], size[0]))):
        folder = tmp_path / "field" / str(level)
        by_zarr = np.asarray(zarr.open_array(str(folder), mode="r")[...]).transpose(1, 2, 0)
        own = own_shards.read_own(folder)
        assert own is not None
        assert np.array_equal(own, by_zarr)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("Zarr was asked.")

    monkeypatch.setattr(zarr, "open_array", refuse)
    assert np.array_equal(read_pixels(tmp_path / "field"), pixels)


@pytest.mark.parametrize("size", [(96, 96), (480, 640)])
def test_no_flipped_bit_and_no_missing_byte_gives_other_pixels(tmp_path: Path, size: tuple[int, int]) -> None:
    pixels = drawn(*size)
    write_pixels(tmp_path / "field", pixels, name="a")
    file = (tmp_path / "field" / "0").joinpath(*own_shards.SHARD)
    stored = file.read_bytes()
    for place in [*range(0, len(stored), len(stored) // 50), *range(len(stored) - 40, len(stored))]:
        flipped = bytearray(stored)
        flipped[place] ^= 1 << place % 8
        file.write_bytes(flipped)
        own = own_shards.read_own(tmp_path / "field" / "0")
        assert own is None or np.array_equal(own, pixels)
    file.write_bytes(stored[: len(stored) // 2])
    with pytest.raises(ProjectError, match="missing or damaged"):
        read_every_level(tmp_path / "field")


def test_what_another_program_compressed_is_left_to_zarr(tmp_path: Path) -> None:
    pixels = drawn(64, 80)
    write_pixels(tmp_path / "field", pixels, name="a")
    zarr.create_array(
        store=str(tmp_path / "field" / "0"),
        data=np.ascontiguousarray(pixels.transpose(2, 0, 1)),
        compressors=zarr.codecs.GzipCodec(),
        overwrite=True,
    )
    assert own_shards.read_own(tmp_path / "field" / "0") is None
    assert np.array_equal(read_pixels(tmp_path / "field"), pixels)

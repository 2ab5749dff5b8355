"""Image files become RGB by one rule, and what cannot be read is a sentence that names file and cure."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import ImageError
from annotation_store.images import read_image, read_pixels, write_pixels

RNG = np.random.default_rng(1)
RGB = RNG.integers(0, 255, (20, 30, 3), dtype=np.uint8)


def save(path: Path, array: Any, **options: Any) -> Path:
    Image.fromarray(array).save(path, **options)
    return path


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif"])
def test_rgb_comes_back_as_it_was(tmp_path: Path, suffix: str) -> None:
    assert np.array_equal(read_image(save(tmp_path / f"a{suffix}", RGB)), RGB)


def test_jpeg_is_read(tmp_path: Path) -> None:
    smooth = np.full((20, 30, 3), (200, 150, 160), np.uint8)
    assert np.abs(read_image(save(tmp_path / "a.jpg", smooth, quality=95)).astype(int) - smooth).max() < 5


def test_compressed_tiff_is_read(tmp_path: Path) -> None:
    for compression in ("tiff_lzw", "tiff_deflate", "packbits"):
        assert np.array_equal(read_image(save(tmp_path / "a.tif", RGB, compression=compression)), RGB)


def test_grey_is_repeated_in_three_channels(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    for name in ("a.png", "a.tif"):
        pixels = read_image(save(tmp_path / name, grey))
        assert pixels.shape == (20, 30, 3)
        assert all(np.array_equal(pixels[..., c], grey) for c in range(3))


def test_alpha_is_laid_over_white(tmp_path: Path) -> None:
    rgba = np.dstack([RGB, np.full((20, 30), 255, np.uint8)])
    rgba[0, 0] = (10, 20, 30, 0)
    for name in ("a.png", "a.tif"):
        pixels = read_image(save(tmp_path / name, rgba))
        assert tuple(pixels[0, 0]) == (255, 255, 255)
        assert np.array_equal(pixels[1:], RGB[1:])
    grey_alpha = np.dstack([RGB[..., 0], np.zeros((20, 30), np.uint8)])
    Image.fromarray(grey_alpha, "LA").save(tmp_path / "la.png")
    assert (read_image(tmp_path / "la.png") == 255).all()


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    image = Image.fromarray(RGB).quantize(16)
    image.save(tmp_path / "p.png")
    assert np.array_equal(read_image(tmp_path / "p.png"), np.asarray(image.convert("RGB")))


def test_cmyk_is_converted(tmp_path: Path) -> None:
    white = Image.new("CMYK", (30, 20), (0, 0, 0, 0))
    white.save(tmp_path / "c.tif")
    white.save(tmp_path / "c.jpg")
    for name in ("c.tif", "c.jpg"):
        assert read_image(tmp_path / name).min() >= 250


@pytest.mark.parametrize(("largest", "white"), [(65_535, 65_535), (4_095, 4_095), (1_000, 1_023), (255, 255)])
def test_16_bits_are_scaled_from_the_depth_that_holds_the_largest_value(
    tmp_path: Path, largest: int, white: int
) -> None:
    array = np.linspace(0, largest, 600).reshape(20, 30).astype(np.uint16)
    expected = np.rint(array * 255.0 / white).astype(np.uint8)
    save(tmp_path / "a.png", array)
    tifffile.imwrite(tmp_path / "a.tif", array)
    tifffile.imwrite(tmp_path / "rgb.tif", np.dstack([array] * 3), photometric="rgb")
    for name in ("a.png", "a.tif", "rgb.tif"):
        pixels = read_image(tmp_path / name)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels[..., 1], expected)


def test_planar_tiff_and_floats_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "p.tif", RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_image(tmp_path / "p.tif"), RGB)
    tifffile.imwrite(tmp_path / "f.tif", RGB[..., 0].astype(np.float32) / 255)
    assert np.abs(read_image(tmp_path / "f.tif")[..., 0].astype(int) - RGB[..., 0]).max() <= 1
    tifffile.imwrite(tmp_path / "white.tif", RGB[..., 0], photometric="miniswhite")
    assert read_image(tmp_path / "white.tif").shape == (20, 30, 3)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_field_stands_as_a_viewer_shows_it(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(RGB).save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_image(tmp_path / "a.png"), expected)
    deep = RGB.astype(np.uint16) * 257
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    assert np.array_equal(read_image(tmp_path / "a.tif"), expected)


def test_a_stack_of_planes_is_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "z.tif", np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
    with pytest.raises(ImageError, match=r"z\.tif is a stack of 5 planes"):
        read_image(tmp_path / "z.tif")


def png_bomb() -> bytes:
    """A PNG of a few bytes whose header says 60,000 x 60,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))


def tiff_bomb() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((16, 16), np.uint8), compression="zlib")
    data = bytearray(buffer.getvalue())
    for tag in (256, 257):  # width and height, type LONG or SHORT
        at = data.find(struct.pack("<H", tag), 8)
        data[at : at + 12] = struct.pack("<HHII", tag, 4, 1, 60_000)
    return bytes(data)


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG")
    return buffer.getvalue()


def tiny() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB[:3, :3]).save(buffer, "PNG")
    return buffer.getvalue()


BAD = {
    "empty.png": b"",
    "text.png": b"this is not an image",
    "cut.jpg": jpeg()[: len(jpeg()) // 2],
    "head.jpg": jpeg()[:20],
    "bomb.png": png_bomb(),
    "bomb.tif": tiff_bomb(),
    "cut.tif": b"II*\0" + b"\x08\0\0\0",
    "noise.tif": b"II*\0" + bytes(range(256)) * 4,
    "tiny.png": tiny(),
    "page.gif": b"GIF89a" + b"\0" * 50,
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_a_sentence_that_names_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(BAD[name])
    with pytest.raises(ImageError, match=name.replace(".", r"\.")) as raised:
        read_image(path)
    assert "\n" not in str(raised.value)


def test_a_missing_file_and_a_folder_are_sentences(tmp_path: Path) -> None:
    for path in (tmp_path / "no.png", tmp_path):
        with pytest.raises(ImageError, match=str(path)):
            read_image(path)


@pytest.mark.parametrize("shape", [(8, 8), (600, 800), (512, 513), (2500, 2100)])
def test_pixels_come_back_exactly_and_ome_zarr_py_reads_them(tmp_path: Path, shape: tuple[int, int]) -> None:
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    pixels = RNG.integers(0, 255, (*shape, 3), dtype=np.uint8)
    write_pixels(tmp_path / "1", pixels, name="a", pixel_size_um=0.25)
    assert np.array_equal(read_pixels(tmp_path / "1"), pixels)
    location = parse_url(str(tmp_path / "1"))
    assert location is not None
    node = next(iter(Reader(location)()))
    assert len(node.data) == (2 if max(shape) > 2048 else 1)
    assert np.array_equal(np.asarray(node.data[0]).transpose(1, 2, 0), pixels)
    assert [axis["name"] for axis in node.metadata["axes"]] == ["c", "y", "x"]

"""Every kind of values to RGB by the one rule of docs/images.md, compared with Pillow where it has one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, ImageOps

from annotation_store import ImageError
from annotation_store.images import read_image

RGB = np.random.default_rng(5).integers(0, 255, (40, 50, 3), np.uint8)
CMYK = Image.fromarray(RGB).convert("CMYK")


def tiff(folder: Path, array: Any, **options: Any) -> Path:
    tifffile.imwrite(folder / "a.tif", array, **options)
    return folder / "a.tif"


@pytest.mark.parametrize(
    ("mode", "compression"),
    [
        (mode, compression)
        for mode in ("P", "1", "L", "CMYK", "YCbCr")
        for compression in (None, "tiff_lzw", "tiff_deflate", "packbits")
        if (mode, compression) != ("YCbCr", None)  # Pillow writes it, and cannot read it back
    ],
)
def test_every_mode_of_tiff_reads_as_pillow_has_it(
    tmp_path: Path, mode: str, compression: str | None
) -> None:
    image = Image.fromarray(RGB).quantize(16) if mode == "P" else Image.fromarray(RGB).convert(mode)
    image.save(tmp_path / "a.tif", compression=compression)
    with Image.open(tmp_path / "a.tif") as again:
        assert np.array_equal(read_image(tmp_path / "a.tif"), np.asarray(again.convert("RGB")))


@pytest.mark.parametrize("compression", ["group3", "group4"])
def test_faxed_black_and_white(tmp_path: Path, compression: str) -> None:
    image = Image.fromarray(RGB).convert("1")
    image.save(tmp_path / "a.tif", compression=compression)
    assert np.array_equal(read_image(tmp_path / "a.tif"), np.asarray(image.convert("RGB")))


def test_cmyk_of_eight_and_sixteen_bits_and_in_jpeg(tmp_path: Path) -> None:
    expected = np.asarray(CMYK.convert("RGB"))
    ink = np.asarray(CMYK)
    assert np.array_equal(read_image(tiff(tmp_path, ink, photometric="separated")), expected)
    words = ink.astype(np.uint16) * 257
    assert np.array_equal(read_image(tiff(tmp_path, words, photometric="separated")), expected)
    CMYK.save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.jpg") as again:
        assert np.array_equal(read_image(tmp_path / "a.jpg"), np.asarray(again.convert("RGB")))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_field_stands_as_a_viewer_shows_it(tmp_path: Path, suffix: str, orientation: int) -> None:
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tiff(tmp_path, RGB, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(RGB).save(path, exif=exif)
    with Image.open(path) as image:
        image.load()
        assert np.array_equal(read_image(path), np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_counts_only_where_the_file_calls_it_so(tmp_path: Path, dtype: Any) -> None:
    full = np.iinfo(dtype).max
    values = np.full((20, 20, 4), full // 4, dtype)
    values[..., 3] = full // 2
    values[0, 0] = full
    expected = {
        "unassalpha": round(63.75 * 0.5 + 255 * 0.5),
        "assocalpha": round(63.75 + 255 * 0.5),
        "unspecified": 64,
    }
    for kind, value in expected.items():
        pixels = read_image(tiff(tmp_path, values, photometric="rgb", extrasamples=[kind]))
        assert abs(int(pixels[5, 5, 0]) - value) <= 1, kind
        assert tuple(pixels[0, 0]) == (255, 255, 255)


def test_planes_and_inverted_grey(tmp_path: Path) -> None:
    planar = tiff(tmp_path, RGB.transpose(2, 0, 1), photometric="rgb", planarconfig="separate")
    assert np.array_equal(read_image(planar), RGB)
    inverted = read_image(tiff(tmp_path, RGB[..., 0], photometric="miniswhite"))
    assert np.array_equal(inverted[..., 0], 255 - RGB[..., 0])
    channels = {"axes": "CYX"}
    ome = tiff(tmp_path, RGB.transpose(2, 0, 1), photometric="minisblack", ome=True, metadata=channels)
    assert np.array_equal(read_image(ome), RGB)


@pytest.mark.parametrize(("bits", "top"), [(10, 1000), (12, 4000), (14, 16_000), (16, 65_000)])
def test_the_depth_of_the_camera_is_found(tmp_path: Path, bits: int, top: int) -> None:
    values = np.linspace(0, top, 400).reshape(20, 20).astype(np.uint16)
    pixels = read_image(tiff(tmp_path, values, photometric="minisblack"))
    assert np.abs(pixels[..., 0] - values * (255 / (2**bits - 1))).max() <= 0.5


@pytest.mark.parametrize(
    ("array", "options", "words"),
    [
        (np.zeros((3, 20, 20), np.uint8), {"metadata": {"axes": "ZYX"}, "ome": True}, "3 focus planes"),
        (np.zeros((4, 20, 20), np.uint8), {"metadata": {"axes": "TYX"}, "ome": True}, "4 times"),
        (np.zeros((5, 20, 20), np.uint8), {"metadata": {"axes": "CYX"}, "ome": True}, "5 channels"),
        (np.zeros((6, 20, 20), np.uint8), {}, "6 planes"),
        (np.full((20, 20), -5, np.int16), {}, "values from -5"),
        (np.full((20, 20), 70_000, np.uint32), {}, "8 or 16 bits"),
        (np.full((20, 20), 300.0, np.float32), {}, "8 or 16 bits"),
        (np.full((20, 20), np.nan, np.float32), {}, "not numbers"),
        (np.zeros((20, 20), np.complex64), {}, "complex"),
        (np.zeros((4, 4), np.uint8), {}, "at least 8"),
    ],
)
def test_what_no_rule_could_decide_is_refused(
    tmp_path: Path, array: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ImageError, match=rf"a\.tif .*{words}"):
        read_image(tiff(tmp_path, array, photometric="minisblack", **options))


def test_cielab_is_refused(tmp_path: Path) -> None:
    profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
    ImageCms.profileToProfile(Image.fromarray(RGB), *profiles, outputMode="LAB").save(tmp_path / "a.tif")
    with pytest.raises(ImageError, match="CIELAB"):
        read_image(tmp_path / "a.tif")


def test_decoders_print_nothing_of_their_own(tmp_path: Path) -> None:
    """A refusal is one line: libraries in C and logging would add theirs."""
    for kind in ("tiff_lzw", "jpeg", "tiff_deflate"):
        Image.fromarray(RGB).save(tmp_path / f"{kind}.tif", compression=kind)
        data = bytearray((tmp_path / f"{kind}.tif").read_bytes())
        data[40:60] = b"\xff" * 20
        (tmp_path / f"{kind}.tif").write_bytes(data[:-300])
    tifffile.imwrite(tmp_path / "rgb.tif", RGB, photometric="rgb")
    (tmp_path / "rgb.tif").write_bytes((tmp_path / "rgb.tif").read_bytes()[:-500])
    code = (
        "import sys\nfrom pathlib import Path\nfrom annotation_store import ImageError, Project\n"
        f"with Project.create(Path({str(tmp_path / 'p')!r})) as project:\n"
        "    try:\n        project.fields.add([Path(sys.argv[1])])\n        print('added')\n"
        "    except ImageError:\n        print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert done.stdout.strip() in ("refused", "added")
    assert done.stderr == ""

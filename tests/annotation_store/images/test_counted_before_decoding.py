"""What a file claims is counted before a decoder believes it; one bad image keeps no good one out."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import ImageError, Project
from annotation_store.images import check_image, decode
from annotation_store.images.bounds import judge, judge_jpeg
from annotation_store.images.colour import ColourError
from annotation_store.images.zarr_writer import level_sizes, read_pixels, write_pixels

from .conftest import RGB, by_pillow


def by_tifffile(array: Any = RGB, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **{"photometric": "rgb", **options})
    return buffer.getvalue()


def pages(number: int, *, big: bool) -> bytes:
    """A TIFF whose directories link to one another, each with one tag and no pixels."""
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0" + struct.pack("<I", 8)
    size = 8 + 20 + 8 if big else 2 + 12 + 4
    body = bytearray()
    for page in range(number):
        following = 0 if page == number - 1 else len(head) + (page + 1) * size
        if big:
            body += struct.pack("<QHHQQQ", 1, 256, 4, 1, 32, following)
        else:
            body += struct.pack("<HHHIII", 1, 256, 4, 1, 32, following)
    return head + bytes(body)


def scans(number: int) -> bytes:
    """A progressive JPEG whose last scan stands there again and again."""
    data = by_pillow("JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * number + data[-2:]


def segments(number: int) -> bytes:
    data = by_pillow("JPEG")
    return data[:2] + b"\xff\xfe\0\x03a" * number + data[2:]


def png_chunks(number: int, kind: bytes = b"tEXt") -> bytes:
    data = by_pillow("PNG")
    one = struct.pack(">I", 3) + kind + b"a\0b" + struct.pack(">I", zlib.crc32(kind + b"a\0b"))
    return data[:33] + one * number + data[33:]


def ome(pixels: str = 'SizeX="32" SizeY="24" SizeZ="1" SizeC="3" SizeT="1"', inside: str = "") -> str:
    return (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" {pixels}>'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0"/></Pixels></Image>{inside}</OME>'
    )


def described(text: str) -> bytes:
    return by_tifffile(description=text.encode(), metadata=None)


def zarr_zip(
    shape: list[int], chunks: list[int], *, inner: list[int] | None = None, levels: int = 1
) -> bytes:
    codecs: list[Any] = [{"name": "bytes"}]
    if inner:
        settings = {"chunk_shape": inner, "codecs": codecs, "index_codecs": codecs}
        codecs = [{"name": "sharding_indexed", "configuration": settings}]
    array = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": shape,
        "data_type": "uint8",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": codecs,
    }
    one = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    scale = {"axes": axes, "datasets": [one] * levels}
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": {"ome": {"version": "0.5", "multiscales": [scale]}},
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("zarr.json", json.dumps(group))
        archive.writestr("0/zarr.json", json.dumps(array))
    return buffer.getvalue()


ABSURD: dict[str, tuple[Callable[[], bytes], str]] = {
    "TIFF of 5,000 pages": (lambda: pages(5_000, big=False), "more than 1,000 pages"),
    "BigTIFF of 5,000 pages": (lambda: pages(5_000, big=True), "more than 1,000 pages"),
    "OME-TIFF of 10^9 planes": (
        lambda: described(ome('SizeX="32" SizeY="24" SizeZ="1000000000" SizeC="3" SizeT="1"')),
        "declares planes",
    ),
    "OME-TIFF of planes whose product is absurd": (
        lambda: described(ome('SizeX="32" SizeY="24" SizeZ="9999" SizeC="9999" SizeT="9999"')),
        "declares planes",
    ),
    "OME-XML that nests": (
        lambda: described(ome(inside="<A>" * 100_000 + "</A>" * 100_000)),
        "nested or repeated",
    ),
    "OME-XML that repeats": (lambda: described(ome(inside="<A/>" * 300_000)), "nested or repeated"),
    "OME-XML with entities": (
        lambda: described('<!DOCTYPE OME [<!ENTITY a "aaaa">]>' + ome().partition("?>")[2]),
        "defines entities",
    ),
    "JPEG of 20,000 scans": (lambda: scans(20_000), "number of scans"),
    "JPEG of 10^6 comments": (lambda: segments(1_000_000), "number of scans or segments"),
    "PNG of 50,000 texts": (lambda: png_chunks(50_000), "number of chunks"),
    "zarr of a million chunks": (
        lambda: zarr_zip([3, 1_000, 1_000], [3, 1, 1]),
        "chunks of only a few pixels",
    ),
    "zarr of a million chunks in a shard": (
        lambda: zarr_zip([3, 1_000, 1_000], [3, 1_000, 1_000], inner=[3, 1, 1]),
        "chunks of only a few pixels",
    ),
    "zarr of 10^12 pixels": (lambda: zarr_zip([3, 10**6, 10**6], [3, 512, 512]), "more than 89 million"),
    "zarr of 10,000 levels": (lambda: zarr_zip([3, 9, 9], [3, 9, 9], levels=10_000), "number of levels"),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize("what", ABSURD)
def test_absurd_claims_are_refused_in_a_sentence_and_at_once(tmp_path: Path, what: str) -> None:
    make, words = ABSURD[what]
    file = tmp_path / "claims.tif"
    file.write_bytes(make())
    with pytest.raises(ImageError, match=words) as caught:
        check_image(file)
    assert "claims.tif" in str(caught.value)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "description",
    [
        "ImageJ=1.53\nimages=1000000000\nslices=1000000000\n",
        '{"shape": [1000000000, 24, 32, 3]}',
        '{"shape": [1000000000000000000, 1000000000]}',
        "<MetaData>" + "<a>" * 100_000,
        ome().replace("Image:0", "I" * 100_000),
    ],
)
def test_other_claims_of_a_description_end_quickly(tmp_path: Path, description: str) -> None:
    file = tmp_path / "claims.tif"
    file.write_bytes(described(description))
    with suppress(ImageError):
        check_image(file)


@pytest.mark.parametrize(
    "data",
    [
        lambda: by_pillow("JPEG", progressive=True),
        lambda: by_pillow("JPEG", np.zeros((2_000, 3_000, 3), np.uint8), restart_marker_blocks=1),
        lambda: segments(50),
        lambda: png_chunks(50),
        lambda: by_tifffile(),
        lambda: by_tifffile(bigtiff=True, byteorder=">", tile=(16, 16)),
        lambda: by_tifffile(ome=True),
        lambda: by_tifffile(rowsperstrip=1),
    ],
)
def test_what_programs_write_passes(data: Callable[[], bytes], tmp_path: Path) -> None:
    judge(data())
    assert decode(data(), tmp_path / "a.tif").shape[2] == 3


def test_rubbish_never_breaks_the_count() -> None:
    random = np.random.default_rng(4)
    for kind, options in (("JPEG", {"progressive": True}), ("PNG", {}), ("TIFF", {})):
        whole = by_pillow(kind, **options)
        for length in range(0, len(whole), 37):
            judge(whole[:length])
        for _ in range(200):
            data = bytearray(whole)
            for at in random.integers(0, len(data), 5):
                data[at] = random.integers(0, 256)
            with suppress(ColourError):
                judge(bytes(data))
    judge_jpeg(b"\xff\xd8" + b"\xff" * 1_000)


@pytest.mark.parametrize("size", [(20_000, 8), (8, 20_000), (2_049, 8), (5_001, 9)])
def test_a_very_wide_or_high_image_is_a_field_with_a_thumbnail(
    empty: Project, tmp_path: Path, size: tuple[int, int]
) -> None:
    width, height = size
    pixels = np.random.default_rng(1).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    empty.fields.add([tmp_path / "wide.png"])
    (field,) = empty.fields.all()
    np.testing.assert_array_equal(empty.pixels.read(field.id), pixels)
    assert max(empty.pixels.thumbnail(field.id).shape) == 96
    levels = sorted(int(p.name) for p in (empty.path / "fields.zarr" / str(field.id)).iterdir() if p.is_dir())
    assert len(levels) == len(level_sizes(width, height))
    assert empty.check() == []


def test_an_image_that_nobody_foresaw_keeps_no_other_out(
    empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("a", "b", "c"):
        Image.fromarray(RGB * (ord(name) % 5)).save(folder / f"{name}.png")

    def write(place: Path, pixels: Any, *, name: str, **more: Any) -> None:
        if name == "b.png":
            raise ZeroDivisionError("integer division or modulo by zero")
        write_pixels(place, pixels, name=name, **more)

    monkeypatch.setattr("annotation_store._collections.ingest.write_pixels", write)
    report = empty.fields.add([folder])
    assert [field.name for field in empty.fields.all()] == ["a.png", "c.png"]
    ((path, why),) = report.skipped
    assert path.name == "b.png"
    assert "cannot be kept (ZeroDivisionError" in why
    assert read_pixels(empty.path / "fields.zarr" / "1").shape == RGB.shape
    assert empty.check() == []

"""Files made to hurt: pixels or one plain sentence, quickly, and never anything else."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ome_zarr.format import FormatV05
from ome_zarr.writer import write_multiscale
from PIL import Image

from annotation_store import ImageError, Project
from annotation_store.images import decode
from annotation_store.images.slide import find_slide
from annotation_store.images.zarr_reader import files_of, pack

from .conftest import RGB, by_pillow


def by_tifffile(array: Any = RGB, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def png(width: int, height: int, data: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def claiming(tag_values: dict[int, int], **options: Any) -> bytes:
    """Make a TIFF whose tags claim other numbers than its pixels have."""
    data = bytearray(by_tifffile(photometric="rgb", bigtiff=True, **options))
    with tifffile.TiffFile(io.BytesIO(data)) as tiff:
        for tag in tiff.pages[0].tags.values():
            if tag.code in tag_values:
                # type LONG, count 1
                data[tag.offset + 2 : tag.offset + 4] = struct.pack("<H", 4)
                data[tag.offset + 12 : tag.offset + 16] = struct.pack("<I", tag_values[tag.code])
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "PNG of 10^5 x 10^5": lambda: png(100_000, 100_000, zlib.compress(b"\0" * 10_000)),
    "PNG of 2^31 x 2^31": lambda: png(2**31 - 1, 2**31 - 1),
    "PNG without pixels": lambda: png(30, 20),
    "BMP of 10^6 x 10^6": lambda: (
        b"BM"
        + struct.pack("<IHHI", 70, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, 10**6, 10**6, 1, 24, 0, 0, 0, 0, 0, 0)
    ),
    "TIFF of 10^9 x 10^9": lambda: claiming({256: 10**9, 257: 10**9}),
    "tiled TIFF of 10^9 x 10^9": lambda: claiming({256: 10**9, 257: 10**9}, tile=(16, 16)),
    "TIFF with tiles of 10^9": lambda: claiming({322: 10**9, 323: 10**9}, tile=(16, 16)),
    "TIFF with 60,000 samples": lambda: claiming({277: 60_000}),
    "TIFF of 0 x 0": lambda: claiming({256: 0, 257: 0}),
    "TIFF head": lambda: b"II*\0\x08\0\0\0",
    "TIFF whose pages go round": lambda: b"II*\0\x08\0\0\0" + struct.pack("<HI", 0, 8) + b"\0" * 20,
    "wrong ending": lambda: b"GIF89a" + b"\0" * 100,
    "text": lambda: b"not an image",
    "HTML": lambda: b"<html><script>alert(1)</script></html>",
    "zip without an image": lambda: b"PK\x03\x04" + b"\0" * 100,
    "EPS": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(r) file\n",
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("what", BOMBS)
def test_bombs_and_lies_are_refused_without_filling_the_memory(
    empty: Project, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(BOMBS[what]())
    tracemalloc.start()
    try:
        with pytest.raises(ImageError, match=r"bomb\.png") as caught:
            empty.fields.add([path])
        assert tracemalloc.get_traced_memory()[1] < 200_000_000
    finally:
        tracemalloc.stop()
    assert str(caught.value).isprintable()
    assert empty.fields.all() == []
    assert empty.check() == []
    assert list((empty.path / "originals").iterdir()) == []


def test_a_zip_bomb_in_an_ozx_is_refused(
    empty: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.images.zarr_reader.MAX_UNPACKED", 10_000_000)
    with zipfile.ZipFile(tmp_path / "bomb.ozx", "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(12):
            archive.writestr(f"{n}", b"\0" * 1_000_000)
    with pytest.raises(ImageError, match=r"bomb\.ozx unpacks to more than 1 GB"):
        empty.fields.add([tmp_path / "bomb.ozx"])


def test_text_in_a_png_is_limited(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("comment", "a" * 80_000_000, zip=True)
    with pytest.raises(ImageError):
        decode(by_pillow("PNG", pnginfo=text), tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_truncated_files_are_refused_wherever_they_end(kind: str) -> None:
    data = by_pillow(kind)
    for end in range(1, len(data) - 40, max(1, len(data) // 40)):
        with pytest.raises(ImageError, match=r"cut\.img") as caught:
            decode(data[:end], Path("cut.img"))
        assert str(caught.value).isprintable()


def zarr_zip(folder: Path) -> bytes:
    group = zarr.open_group(folder, mode="w", zarr_format=3)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    write_multiscale([RGB.transpose(2, 0, 1)], group, fmt=FormatV05(), axes=axes)
    sink = io.BytesIO()
    pack(files_of(folder), sink)
    return sink.getvalue()


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Small valid files of every kind."""
    words = RGB.astype(np.uint16) * 257
    ome = {"axes": "YXS", "PhysicalSizeX": 0.1, "PhysicalSizeY": 0.1}
    return [
        by_pillow("PNG"),
        by_pillow("PNG", RGB[..., 0]),
        by_pillow("JPEG"),
        by_pillow("JPEG", exif=Image.Exif()),
        by_pillow("BMP"),
        by_pillow("TIFF", compression="tiff_lzw"),
        by_pillow("TIFF", compression="jpeg"),
        by_tifffile(photometric="rgb", compression="zlib"),
        by_tifffile(words, photometric="rgb", tile=(16, 16)),
        by_tifffile(photometric="rgb", compression="jpeg", tile=(16, 16)),
        by_tifffile(photometric="rgb", compression="jpeg2000", tile=(16, 16)),
        by_tifffile(RGB[..., 0], photometric="minisblack", imagej=True, metadata={"unit": "um"}),
        by_tifffile(photometric="rgb", ome=True, metadata=ome),
        zarr_zip(tmp_path_factory.mktemp("zarr") / "a.zarr"),
    ]


mutations = st.lists(
    st.tuples(st.floats(0, 1), st.one_of(st.binary(min_size=1, max_size=8), st.just(b"\xff" * 4))),
    min_size=1,
    max_size=6,
)


@pytest.mark.timeout(120)
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, 13), changes=mutations, end=st.floats(0.1, 1), head=st.booleans())
def test_mutated_files_give_pixels_or_a_sentence(
    seeds: list[bytes],
    tmp_path_factory: pytest.TempPathFactory,
    which: int,
    changes: list[tuple[float, bytes]],
    end: float,
    head: bool,
) -> None:
    data = bytearray(seeds[which])
    for at, new in changes:
        # heads and directories are where the lies are
        reach = min(len(data), 400) if head else len(data)
        start = int(at * (reach - 1))
        data[start : start + len(new)] = new
    if end < 0.3:
        del data[int(len(data) * end * 3) :]
    path = tmp_path_factory.getbasetemp() / "fuzz.tif"
    pixels, problem = None, ""
    try:
        pixels = decode(bytes(data), path)
    except ImageError as error:
        problem = str(error)
    if pixels is None:
        assert problem.isprintable()
        assert "fuzz.tif" in problem
    else:
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3
        assert pixels.shape[2] == 3
    path.write_bytes(data)
    with suppress(ImageError):
        slide = find_slide(path)
        if slide is not None:
            slide.close()

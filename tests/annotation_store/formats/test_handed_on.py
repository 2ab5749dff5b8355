"""What an export hands on shows in other programs what it shows here: plain bytes, else a PNG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import Project, formats

Save = Callable[[Path, np.ndarray], object]


def _turned(path: Path, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(path, exif=exif)


def _coloured_palette(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).quantize(16).save(path, transparency=0)


def _two(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, save_all=True, append_images=[Image.fromarray(255 - pixels)])


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 1]


def _tiff(**options: object) -> Save:
    return lambda path, pixels: tifffile.imwrite(path, pixels, photometric="rgb", **options)


PLAIN: dict[str, Save] = {
    "a.png": lambda p, x: Image.fromarray(x).save(p),
    "b.png": lambda p, x: Image.fromarray(_grey(x)).save(p),
    "c.jpg": lambda p, x: Image.fromarray(x).save(p, quality=90),
    "d.jpeg": lambda p, x: Image.fromarray(_grey(x)).save(p, quality=90, progressive=True),
    "e.bmp": lambda p, x: Image.fromarray(x).save(p),
    "f.tif": _tiff(),
    "g.tiff": lambda p, x: Image.fromarray(_grey(x)).save(p, compression="tiff_lzw"),
    "h.tif": _tiff(compression="deflate", predictor=True),
}
OTHERS: dict[str, Save] = {
    "camera12.tif": lambda p, x: tifffile.imwrite(p, _grey(x).astype(np.uint16) * 16),
    "camera12g.png": lambda p, x: Image.fromarray(_grey(x).astype(np.uint16) * 16).save(p),
    "colour12.tif": lambda p, x: tifffile.imwrite(p, x.astype(np.uint16) * 16, photometric="rgb"),
    "colour16.png": lambda p, x: cv2.imwrite(str(p), x[..., ::-1].astype(np.uint16) * 257),
    "float.tif": lambda p, x: tifffile.imwrite(p, _grey(x).astype(np.float32) / 255),
    "zstd.tif": _tiff(compression="zstd"),
    "lzma.tif": _tiff(compression="lzma"),
    "j2k.tif": _tiff(compression="jpeg2000"),
    "jpeg.tif": _tiff(compression="jpeg"),
    "planes.tif": lambda p, x: tifffile.imwrite(p, np.moveaxis(x, -1, 0), photometric="rgb", planarconfig=2),
    "big.tif": _tiff(bigtiff=True),
    "inverted.tif": lambda p, x: tifffile.imwrite(p, _grey(x), photometric="miniswhite"),
    "cmyk.jpg": lambda p, x: Image.fromarray(x).convert("CMYK").save(p, quality=95),
    "alpha.png": lambda p, x: Image.fromarray(np.dstack([x, _grey(x)])).save(p),
    "palette.png": _coloured_palette,
    "white.png": lambda p, x: Image.fromarray(x).save(p, transparency=tuple(map(int, x[0, 0]))),
    "bits.png": lambda p, x: Image.fromarray(_grey(x) > 100).save(p),
    "turned.jpg": _turned,
    "upside.png": _turned,
    "two.png": _two,
}


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One project of all of them, each a film of its own, bright as blood films are."""
    folder = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(5)
    for index, (name, save) in enumerate((PLAIN | OTHERS).items()):
        small = rng.integers(120, 250, (6, 8, 3), dtype=np.uint8)
        pixels = cv2.resize(small, (32, 24), interpolation=cv2.INTER_LINEAR)
        pixels[0, 0] = index
        save(folder / name, pixels)
    with Project.create(folder / "project", annotator="Eve") as project:
        added = project.fields.add(sorted(folder.glob("*.*")))
        assert added.skipped == []
        for field in project.fields.all():
            project.regions.add_whole_field(field.id)
            project.cells.add(field.id, (4, 4, 9, 9), cell_class="Monocyte")
    return folder


@pytest.fixture(scope="module")
def exported(films: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("exported") / "set"
    with Project.open(films / "project", read_only=True) as project:
        formats.write("yolo", project, out, options={"val": "0"})
    return {path.stem: path for path in out.rglob("images/train/*")}


@pytest.mark.parametrize("name", [*PLAIN, *OTHERS])
def test_other_readers_see_what_the_project_shows(films: Path, exported: dict[str, Path], name: str) -> None:
    path = exported[Path(name).stem]
    with Project.open(films / "project", read_only=True) as project:
        field = project.fields.named(name)
        assert field is not None
        shown = project.pixels.read(field.id).astype(int)
    with Image.open(path) as image:
        assert np.abs(np.asarray(image.convert("RGB")) - shown).max() <= 3
    seen = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(seen[..., ::-1] - shown).max() <= 3


def test_plain_originals_are_handed_on_as_they_are(films: Path, exported: dict[str, Path]) -> None:
    own = {(films / name).read_bytes() for name in PLAIN}
    assert own <= {path.read_bytes() for path in exported.values()}


@pytest.mark.parametrize("name", ["voc", "lld"])
def test_every_format_with_images_writes_pixels_where_bytes_mislead(
    films: Path, tmp_path: Path, name: str
) -> None:
    with Project.open(films / "project", read_only=True) as project:
        formats.write(name, project, tmp_path / "set")
    others = {(films / other).read_bytes() for other in OTHERS}
    images = [p for p in (tmp_path / "set").rglob("*") if p.parent.name in ("JPEGImages", "train", "test")]
    assert len(images) >= len(OTHERS)
    assert not others & {path.read_bytes() for path in images}


def test_an_original_is_named_after_what_it_is(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "film.jpg", "PNG")
    with Project.create(tmp_path / "project") as project:
        project.fields.add([tmp_path / "film.jpg"])
        project.regions.add_whole_field(1)
        formats.write("yolo", project, tmp_path / "set")
    (path,) = (tmp_path / "set" / "images").rglob("film*")
    assert path.suffix == ".png"
    assert path.read_bytes() == (tmp_path / "film.jpg").read_bytes()


def test_ultralytics_accepts_every_image_of_an_export(exported: dict[str, Path]) -> None:
    check = pytest.importorskip("ultralytics.data.utils").verify_image_label
    root = next(iter(exported.values())).parents[2]
    for path in exported.values():
        label = root / "labels" / "train" / f"{path.stem}.txt"
        found = check((str(path), str(label), "", False, 99, 0, 0, False))
        assert found[0] == str(path), found[-1]
        assert found[-1] == "", "nothing was corrupt or had to be repaired"

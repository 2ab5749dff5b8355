"""With `--anonymise` no name, comment or metadata leaves; without it, originals leave untouched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, PngImagePlugin

from annotation_store import Project, formats

SECRET = "Mueller1953"
WRITERS = [
    (n, ".json" if n in ("coco", "labelstudio") else ".csv" if n == "csv" else "")
    for n in formats.names(writing=True)
]


@pytest.fixture
def telling(tmp_path: Path) -> Project:
    """Three fields whose names, patients, comments and pixel metadata all tell the patient's name."""
    folder = tmp_path / SECRET
    folder.mkdir()
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x010E] = SECRET
    Image.fromarray(pixels).save(folder / f"{SECRET}_1.jpg", exif=exif, comment=SECRET)
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", SECRET)
    Image.fromarray(pixels[::-1].copy()).save(folder / f"{SECRET}_2.png", pnginfo=text)
    tifffile.imwrite(
        folder / f"{SECRET}_3.tif", pixels[:, ::-1].copy(), description=SECRET, photometric="rgb"
    )
    project = Project.create(tmp_path / "project", annotator=SECRET)
    project.fields.add([folder], patient_from="(.*)_")
    for field in project.fields.all():
        project.fields.update(field.id, slide=f"slide {SECRET}", note=SECRET)
        project.cells.add(field.id, (5, 5, 20, 20), cell_class="Myeloblast", comment=f"ask {SECRET}")
        project.regions.add_whole_field(field.id)
    return project


def everything(out: Path) -> list[tuple[str, bytes]]:
    """Names and bytes of all that an export wrote."""
    files = [out, out.with_name(f"{out.stem}_config.xml")] if out.is_file() else list(out.rglob("*"))
    return [(p.name, p.read_bytes() if p.is_file() else b"") for p in files if p.exists()]


@pytest.mark.parametrize(("name", "suffix"), WRITERS)
def test_nothing_tells_who_it_was(telling: Project, tmp_path: Path, name: str, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"
    with telling:
        formats.write(name, telling, out, anonymise=True)
        found = everything(out)
        assert found
        for file, data in found:
            assert SECRET not in file
            for encoding in ("utf-8", "latin-1", "utf-16-le"):
                assert SECRET.encode(encoding) not in data, file
        for path in out.rglob("*.png") if out.is_dir() else ():
            with Image.open(path) as image:
                assert not image.info
                assert not image.getexif()


@pytest.mark.parametrize("name", ["yolo", "lld", "voc"])
def test_anonymous_images_show_the_same_pixels(telling: Project, tmp_path: Path, name: str) -> None:
    with telling:
        formats.write(name, telling, tmp_path / "out", anonymise=True)
        shown = sorted(np.asarray(Image.open(p)).tobytes() for p in (tmp_path / "out").rglob("*.png"))
        assert shown == sorted(telling.pixels.read(f.id).tobytes() for f in telling.fields.all())


@pytest.mark.parametrize("name", ["yolo", "lld", "voc"])
def test_originals_are_handed_on_byte_for_byte(telling: Project, tmp_path: Path, name: str) -> None:
    with telling:
        formats.write(name, telling, tmp_path / "out")
        written = {
            p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.suffix in (".jpg", ".png", ".tif")
        }
        assert written == {telling.pixels.original(f.id).read_bytes() for f in telling.fields.all()}


def test_one_name_has_one_hash_in_every_format(telling: Project, tmp_path: Path) -> None:
    with telling:
        formats.write("csv", telling, tmp_path / "a.csv", anonymise=True)
        formats.write("yolo", telling, tmp_path / "yolo", anonymise=True)
        table = (tmp_path / "a.csv").read_text("utf-8-sig")
        stems = {p.stem for p in (tmp_path / "yolo").rglob("*.png")}
        assert len(stems) == 3
        assert all(stem in table for stem in stems)
        with Project.create(tmp_path / "other") as other:
            other.fields.add([telling.pixels.original(f.id) for f in telling.fields.all()])
            other.cells.add(1, (5, 5, 20, 20))
            formats.write("csv", other, tmp_path / "b.csv", anonymise=True)
        assert not any(stem in (tmp_path / "b.csv").read_text("utf-8-sig") for stem in stems)

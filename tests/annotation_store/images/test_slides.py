"""Whole slides stay where they are and are read by areas, never whole."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr.format import FormatV04
from ome_zarr.writer import write_multiscale

from annotation_store import FieldKind, ImageError, Project, ProjectError, formats
from annotation_store.images import open_slide, read_image

MakeSlide = Callable[..., tuple[Path, np.ndarray]]
SVS = "Aperio Image Library v12.0\r\n1024x768 (128x128) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"


def bytes_of(folder: Path) -> int:
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "jpeg", "jpeg2000"])
def test_areas_are_read_at_every_level(make_slide: MakeSlide, compression: str | None) -> None:
    options = {"compression": compression} if compression else {}
    if compression == "jpeg":
        options["compressionargs"] = {"level": 95}
    path, pixels = make_slide(**options)
    near = 0 if compression != "jpeg" else 20
    with open_slide(path) as slide:
        assert (slide.width, slide.height, len(slide.levels)) == (1024, 768, 3)
        area = slide.read((100, 200, 300, 50))
        assert np.abs(area.astype(int) - pixels[200:250, 100:400]).max() <= near
        coarse = slide.read((100, 200, 300, 52), level=2)
        assert np.abs(coarse.astype(int) - pixels[::4, ::4][50:63, 25:100]).max() <= near
        assert slide.read((-50, 700, 100, 500)).shape == (68, 50, 3), "what passes the edge is cut off"
        assert slide.overview(256).shape == (192, 256, 3)


def test_a_level_is_an_array_that_is_read_when_sliced(make_slide: MakeSlide) -> None:
    path, pixels = make_slide()
    with open_slide(path) as slide:
        level = slide.levels[1]
        half = pixels[::2, ::2]
        assert (level.shape, level.dtype, level.ndim) == (half.shape, np.uint8, 3)
        assert np.array_equal(level[10:20, 5:90], half[10:20, 5:90])
        assert np.array_equal(level[10:20:3, 7, 0], half[10:20:3, 7, 0])
        assert np.array_equal(level[..., 1], half[..., 1])
        assert np.array_equal(level[-1], half[-1])
        assert np.array_equal(np.asarray(level), half)


def test_napari_shows_the_levels_as_they_are(make_slide: MakeSlide) -> None:
    from napari.layers import Image

    path, pixels = make_slide()
    with open_slide(path) as slide:
        layer = Image(list(slide.levels), rgb=True, multiscale=True)
        assert layer.multiscale
        assert layer.extent.data[1].tolist() == [767, 1023]
        assert np.array_equal(np.asarray(layer.data[2]), pixels[::4, ::4])


def test_an_svs_says_pixel_size_and_magnification(make_slide: MakeSlide, empty: Project) -> None:
    path, _ = make_slide("scan.svs", description=SVS, compression="jpeg")
    empty.fields.add([path])
    field = empty.fields.get(1)
    assert (field.kind, field.pixel_size_um, field.magnification) == (FieldKind.SLIDE, 0.499, 20)


def test_a_slide_is_referenced_and_only_its_overview_kept(make_slide: MakeSlide, empty: Project) -> None:
    path, pixels = make_slide(resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    (field_id,) = empty.fields.add([path.parent]).added
    field = empty.fields.get(field_id)
    assert field.is_slide
    assert (field.width, field.height, field.pixel_size_um) == (1024, 768, 0.25)
    assert empty.pixels.original(field_id) == path
    assert list((empty.path / "originals").iterdir()) == []
    assert np.array_equal(empty.pixels.read_area(field_id, (500, 300, 64, 32)), pixels[300:332, 500:564])
    assert empty.pixels.thumbnail(field_id).shape == (72, 96, 3)
    assert empty.check() == []
    assert empty.fields.add([path]).skipped[0][1] == "already in the project"


def test_nothing_reads_a_slide_whole(make_slide: MakeSlide, empty: Project) -> None:
    path, _ = make_slide()
    (field_id,) = empty.fields.add([path]).added
    with pytest.raises(ImageError, match=r"slide\.tif is a whole slide"):
        empty.pixels.read(field_id)
    with pytest.raises(ImageError, match="whole slide of 1,024 x 768 pixels"):
        read_image(path)


def test_an_area_becomes_a_field_of_its_own(make_slide: MakeSlide, empty: Project) -> None:
    path, pixels = make_slide(resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    (slide_id,) = empty.fields.add([path], patient_from="slide").added
    field_id = empty.fields.add_area(slide_id, (96.5, 128, 640, 320))
    field = empty.fields.get(field_id)
    assert np.array_equal(empty.pixels.read(field_id), pixels[128:448, 96:737])
    assert (field.patient, field.pixel_size_um, field.is_slide) == ("slide", 0.25, False)
    assert field.name == "slide (96, 128, 641, 320).png"
    assert field.source_path.rpartition("/")[2] == path.name
    assert empty.fields.add_area(slide_id, (96.5, 128, 640, 320)) == field_id, (
        "the same area is the same field"
    )
    assert empty.check() == []
    with pytest.raises(ImageError, match="outside"):
        empty.fields.add_area(slide_id, (5000, 0, 10, 10))
    assert list((empty.path / ".staging").iterdir()) == []


@pytest.mark.parametrize("box", [(0, 0, 0, 0), (2000, 0, 5, 5), (float("nan"), 0, 5, 5), (-9, -9, 5, 5)])
def test_an_area_outside_is_a_sentence(
    make_slide: MakeSlide, empty: Project, box: tuple[float, float, float, float]
) -> None:
    path, _ = make_slide()
    (field_id,) = empty.fields.add([path]).added
    with pytest.raises(ImageError):
        empty.pixels.read_area(field_id, box)
    with pytest.raises(ImageError, match="levels"):
        empty.pixels.read_area(field_id, (0, 0, 9, 9), level=3)


def test_areas_too_large_to_be_read_at_once_are_refused(
    make_slide: MakeSlide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("annotation_store.images.slide.MAX_READ_PIXELS", 300 * 300)
    path, _ = make_slide(levels=2)
    with open_slide(path) as slide:
        with pytest.raises(ImageError, match="too large to be read at once"):
            slide.read((0, 0, 400, 400))
        with pytest.raises(ImageError, match="no overview level"):
            slide.overview(64)


def test_areas_of_images_are_read_too(project: Project) -> None:
    pixels = project.pixels.read(1)
    assert np.array_equal(project.pixels.read_area(1, (10, 20, 30, 40)), pixels[20:60, 10:40])
    with pytest.raises(ImageError, match="no level 1"):
        project.pixels.read_area(1, (0, 0, 9, 9), level=1)
    with pytest.raises(ImageError, match="not a whole slide"):
        project.slides.open(1)


def test_other_threads_read_an_open_slide(make_slide: MakeSlide, empty: Project) -> None:
    path, pixels = make_slide()
    slide = empty.slides.open(empty.fields.add([path]).added[0])
    wrong: list[int] = []

    def look(seed: int) -> None:
        for x, y in np.random.default_rng(seed).integers(0, 700, (20, 2)):
            if not np.array_equal(slide.read((x, y, 50, 40)), pixels[y : y + 40, x : x + 50]):
                wrong.append(seed)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_moved_slide_is_told_and_found_again_by_its_content(make_slide: MakeSlide, empty: Project) -> None:
    path, pixels = make_slide()
    other, _ = make_slide("other.tif", seed=1)
    first, _ = empty.fields.add([path, other]).added
    archive = path.parent / "archive" / "2026"
    archive.mkdir(parents=True)
    shutil.copy(other, archive / "decoy.tif")
    shutil.move(path, archive / "renamed.bin")
    with pytest.raises(ImageError, match=r"no longer at .*slide\.tif.*--slides"):
        empty.pixels.read_area(first, (0, 0, 10, 10))
    assert "no longer at" in empty.check()[0]
    assert [field.id for field in empty.slides.missing()] == [first]
    assert empty.slides.relocate(empty.path).missing == [first]
    assert empty.slides.relocate(path.parent).found == [first]
    assert np.array_equal(empty.pixels.read_area(first, (0, 0, 10, 10)), pixels[:10, :10])
    assert empty.check() == []
    assert empty.history.rows(first)[-1].command == "Find slide again"
    assert empty.undoable(first) is None, "finding a file is no annotator's edit"
    with pytest.raises(ProjectError, match="no folder"):
        empty.slides.relocate(path.parent / "nowhere")


def test_a_project_that_moves_with_its_slides_finds_them(make_slide: MakeSlide, tmp_path: Path) -> None:
    path, _ = make_slide(folder=tmp_path / "disk")
    with Project.create(tmp_path / "disk" / "project", annotator="Ada") as project:
        project.fields.add([path])
    (tmp_path / "disk").rename(tmp_path / "other disk")
    with Project.open(tmp_path / "other disk" / "project", annotator="Ada") as project:
        assert project.slides.relocate().found == [1]
        assert project.check() == []


def test_a_truncated_slide_is_found_by_check(make_slide: MakeSlide, empty: Project) -> None:
    path, _ = make_slide()
    (field_id,) = empty.fields.add([path]).added
    path.write_bytes(path.read_bytes()[:-500])
    for problems in (empty.check(quick=True), empty.check(), empty.repair().left):
        (problem,) = problems
        assert "slide.tif is another file than the one that was added" in problem
        assert "check PROJECT --slides FOLDER" in problem
    make_slide(height=640)
    with pytest.raises(ImageError, match="is another slide"):
        empty.pixels.read_area(field_id, (0, 0, 10, 10))


def test_a_slide_replaced_by_another_of_its_size_is_found_by_check_and_the_first_found_again(
    make_slide: MakeSlide, empty: Project
) -> None:
    path, pixels = make_slide()
    (field_id,) = empty.fields.add([path]).added
    original = path.read_bytes()
    archive = path.parent / "archive"
    archive.mkdir()
    (archive / "kept.tif").write_bytes(original)
    path.write_bytes(original[:-1] + bytes([original[-1] ^ 255]))
    assert empty.check(quick=True) == [], "reads no slide through"
    (problem,) = empty.check()
    assert "another file than the one that was added" in problem
    shutil.rmtree(empty.path / "fields.zarr" / str(field_id))
    report = empty.repair()
    assert report.mended == [], "no overview is made of another file"
    assert len(report.left) == 2
    assert empty.slides.relocate(path.parent, quick=True).found == []
    assert empty.slides.relocate(path.parent).found == [field_id]
    assert empty.repair().left == []
    assert np.array_equal(empty.pixels.read_area(field_id, (0, 0, 10, 10)), pixels[:10, :10])


def test_a_damaged_tile_is_a_sentence(make_slide: MakeSlide) -> None:
    path, _ = make_slide(compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        at = tiff.pages[0].dataoffsets[0]
    with path.open("r+b") as file:
        file.seek(at)
        file.write(b"\xff" * 60)
    with open_slide(path) as slide, pytest.raises(ImageError, match=r"slide\.tif cannot be read at"):
        slide.read((0, 0, 50, 50))


@pytest.mark.parametrize(
    ("what", "words"),
    [("16 bits", "8 bits"), ("opacity", "alpha channel"), ("CMYK", "SEPARATED"), ("turned", "upright")],
)
def test_slides_of_other_kinds_are_refused_in_a_sentence(
    tmp_path: Path, small_slides: None, empty: Project, what: str, words: str
) -> None:
    values = np.zeros((512, 512, 4), np.uint16 if what == "16 bits" else np.uint8)
    options = {"photometric": "separated" if what == "CMYK" else "rgb", "tile": (128, 128)}
    if what == "opacity":
        options["extrasamples"] = ["unassalpha"]
    if what in ("turned", "16 bits"):
        values = values[..., :3]
    if what == "turned":
        options["extratags"] = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "odd.tif", values, **options)
    with pytest.raises(ImageError, match=rf"odd\.tif .*{words}"):
        empty.fields.add([tmp_path / "odd.tif"])
    assert empty.fields.all() == []


def test_a_large_ome_zarr_is_a_slide(tmp_path: Path, small_slides: None, empty: Project) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 512, 640), np.uint8)
    path = tmp_path / "big.ome.zarr"
    group = zarr.open_group(path, mode="w", zarr_format=2)
    axes = [
        {"name": "c", "type": "channel"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    scales = [[{"type": "scale", "scale": [1.0, 0.5 * k, 0.5 * k]}] for k in (1, 2)]
    write_multiscale(
        [pixels, pixels[:, ::2, ::2]],
        group,
        fmt=FormatV04(),
        axes=axes,
        coordinate_transformations=scales,
        storage_options={"chunks": (3, 128, 128)},
    )
    (field_id,) = empty.fields.add([path]).added
    field = empty.fields.get(field_id)
    assert (field.is_slide, field.width, field.height, field.pixel_size_um) == (True, 640, 512, 0.5)
    area = empty.pixels.read_area(field_id, (100, 50, 40, 30))
    assert np.array_equal(area, pixels[:, 50:80, 100:140].transpose(1, 2, 0))
    assert empty.check() == []
    path.rename(tmp_path / "elsewhere.zarr")
    assert empty.slides.relocate(tmp_path).found == [field_id]


@pytest.mark.parametrize("name", ["yolo", "voc", "lld"])
def test_exports_with_pictures_leave_slides_out_and_say_so(
    make_slide: MakeSlide, empty: Project, tmp_path: Path, name: str
) -> None:
    (slide_id,) = empty.fields.add([make_slide()[0]]).added
    field_id = empty.fields.add_area(slide_id, (0, 0, 400, 300))
    for one in (slide_id, field_id):
        empty.cells.add(one, (10, 10, 40, 40), cell_class="Monocyte")
    empty.regions.add_whole_field(field_id)
    report = formats.write(name, empty, tmp_path / "out")
    assert (report.fields, report.cells) == (1, 1)
    assert any("1 whole slide" in reason for reason in report.skipped), report.skipped


def test_crops_of_cells_on_a_slide_are_cut_from_its_tiles(
    make_slide: MakeSlide, empty: Project, tmp_path: Path
) -> None:
    path, pixels = make_slide()
    (slide_id,) = empty.fields.add([path]).added
    empty.cells.add(slide_id, (600, 500, 40, 30), cell_class="Monocyte")
    formats.write("crops", empty, tmp_path / "out")
    (crop,) = (tmp_path / "out").rglob("*.png")
    assert np.array_equal(read_image(crop), pixels[500:530, 600:640])


def test_the_original_of_an_ome_zarr_is_exported_as_png(empty: Project, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 255, (3, 60, 80), np.uint8)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space"} for a in "yx")]
    write_multiscale([values], group, fmt=FormatV04(), axes=axes)
    (field_id,) = empty.fields.add([tmp_path / "a.zarr"]).added
    empty.regions.add_whole_field(field_id)
    formats.write("yolo", empty, tmp_path / "out")
    (picture,) = (p for p in (tmp_path / "out").rglob("*.png"))
    assert np.array_equal(read_image(picture), values.transpose(1, 2, 0))

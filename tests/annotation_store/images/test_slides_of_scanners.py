"""Slides of scanners are read through OpenSlide, by areas; labels that name patients are never seen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from annotation_store import ImageError, Project
from annotation_store.images import SlideOptions, find_images, open_slide
from annotation_store.images.slide_files import fingerprint, size_on_disk
from tests.annotation_store.images.conftest import smooth
from tests.annotation_store.images.scanners import (
    turning,
    write_dicom,
    write_series,
    write_svs,
    write_svs_33003,
)

PIXELS = smooth(600, 700)
MAGENTA = (255, 0, 255)


def magenta(pixels: np.ndarray) -> int:
    return int((np.abs(pixels.astype(int) - MAGENTA).max(-1) < 40).sum())


def test_a_dicom_series_is_one_slide_read_at_every_level(tmp_path: Path) -> None:
    path = write_series(tmp_path / "dicom", PIXELS)
    with open_slide(path) as slide:
        assert [level.shape for level in slide.levels] == [(600, 700, 3), (300, 350, 3)]
        assert (slide.facts.pixel_size_um, slide.facts.magnification) == (0.25, 40)
        area = slide.read((90, 200, 300, 50))
        assert np.abs(area.astype(int) - PIXELS[200:250, 90:390]).mean() < 2
        coarse = slide.read((100, 200, 300, 50), level=1)
        assert np.abs(coarse.astype(int) - PIXELS[::2, ::2][100:125, 50:200]).mean() < 2
        assert slide.overview(256).shape == (219, 256, 3)
        assert magenta(slide.overview(600)) == 0, "the label is no part of the slide"
    assert find_images([path.parent]) == [path], "one file of a series, and not its label"


def test_a_dicom_slide_is_known_by_its_levels_whatever_they_are_called(
    tmp_path: Path, empty: Project
) -> None:
    path = write_series(tmp_path / "dicom", PIXELS)
    (field_id,) = empty.fields.add([path.parent]).added
    field = empty.fields.get(field_id)
    assert (field.is_slide, field.width, field.height, field.pixel_size_um) == (True, 700, 600, 0.25)
    stored = b"".join(p.read_bytes() for p in empty.path.rglob("*") if p.is_file())
    assert b"Doe" not in stored
    assert b"Jane" not in stored
    size = size_on_disk(path)
    (path.parent / "0label.dcm").unlink()
    assert empty.check() == [], "without its label it is the same slide"
    assert size_on_disk(path) == size
    assert fingerprint(path.parent / "1.dcm") == fingerprint(path)
    moved = tmp_path / "archive" / "renamed"
    moved.mkdir(parents=True)
    for number, part in enumerate(path.parent.iterdir()):
        shutil.move(part, moved / f"IM{number}.dcm")
    assert empty.slides.missing() == [field]
    assert empty.slides.relocate(tmp_path).found == [field_id]
    assert empty.check() == []


def test_a_label_cannot_be_added(tmp_path: Path, empty: Project) -> None:
    path = write_series(tmp_path / "dicom", PIXELS)
    with pytest.raises(ImageError, match=r"0label\.dcm shows the label"):
        empty.fields.add([path.with_name("0label.dcm")])


def test_label_and_macro_of_an_svs_are_never_read(tmp_path: Path, small_slides: None, empty: Project) -> None:
    write_svs(tmp_path / "a.svs", PIXELS)
    (field_id,) = empty.fields.add([tmp_path / "a.svs"]).added
    slide = empty.slides.open(field_id)
    assert [level.shape[:2] for level in slide.levels] == [(600, 700), (300, 350)]
    assert np.array_equal(slide.read((0, 0, 700, 600)), PIXELS)
    assert magenta(empty.pixels.thumbnail(field_id)) == magenta(slide.overview(1024)) == 0
    level = slide.levels[1].read(0, 0, 350, 300)
    with tifffile.TiffFile(tmp_path / "a.svs") as tiff:
        assert np.array_equal(level, tiff.series[0].levels[1].asarray())


def test_aperio_jpeg_2000_in_ycbcr_has_its_colours(tmp_path: Path, empty: Project) -> None:
    write_svs_33003(tmp_path / "j2k.svs", PIXELS)
    with open_slide(tmp_path / "j2k.svs") as slide:
        area = slide.read((100, 150, 400, 300))
        assert slide.facts.pixel_size_um == 0.25
    assert np.abs(area.astype(int) - PIXELS[150:450, 100:500]).max() <= 4


@pytest.mark.parametrize("kind", ["svs", "dicom"])
def test_a_colour_profile_is_applied_or_not_and_that_is_kept(
    tmp_path: Path, small_slides: None, empty: Project, kind: str
) -> None:
    if kind == "svs":
        path = tmp_path / "a.svs"
        write_svs(path, PIXELS, profile=turning())
    else:
        path = write_series(tmp_path / "dicom", PIXELS, profile=turning())
    with open_slide(path) as plain, open_slide(path, SlideOptions(colour_profile=True)) as turned:
        without, applied = plain.read((0, 0, 300, 300)), turned.read((0, 0, 300, 300))
    assert not plain.options.colour_profile
    assert turned.options.colour_profile
    assert np.abs(applied.astype(int) - without[..., ::-1]).mean() < 12, "red and blue change places"
    assert np.abs(applied.astype(int) - without).mean() > 20
    (field_id,) = empty.fields.add([path]).added
    assert np.array_equal(empty.pixels.read_area(field_id, (0, 0, 300, 300)), applied)
    with Project.create(tmp_path / "second", annotator="Ada") as other:
        (field_id,) = other.fields.add([path], colour_profile=False).added
    with Project.open(tmp_path / "second", annotator="Ada") as other:
        assert np.array_equal(other.pixels.read_area(field_id, (0, 0, 300, 300)), without)


def test_an_unusable_profile_is_as_none(tmp_path: Path, small_slides: None) -> None:
    write_svs(tmp_path / "a.svs", PIXELS, profile=b"not a profile" * 20)
    with open_slide(tmp_path / "a.svs", SlideOptions(colour_profile=True)) as slide:
        assert not slide.options.colour_profile
        assert np.array_equal(slide.read((0, 0, 50, 50)), PIXELS[:50, :50])


def test_of_a_focus_stack_the_middle_plane_is_read_or_the_one_chosen(
    tmp_path: Path, small_slides: None, empty: Project
) -> None:
    stack = np.stack([smooth(512, 640, seed) for seed in range(3)])
    path = tmp_path / "stack.ome.tif"
    tifffile.imwrite(
        path, stack, tile=(128, 128), photometric="rgb", compression="zlib", metadata={"axes": "ZYXS"}
    )
    with open_slide(path) as slide:
        assert (slide.planes, slide.options.plane) == (3, 1)
        assert np.array_equal(slide.read((0, 0, 640, 512)), stack[1])
    (field_id,) = empty.fields.add([path], plane=2).added
    assert np.array_equal(empty.pixels.read_area(field_id, (10, 20, 100, 90)), stack[2, 20:110, 10:110])
    with pytest.raises(ImageError, match=r"stack\.ome\.tif has 3 focus planes: choose one from 1 to 3"):
        open_slide(path, SlideOptions(plane=3))


def test_an_mrxs_without_its_folder_says_which(tmp_path: Path, empty: Project) -> None:
    (tmp_path / "film.mrxs").write_bytes(b"\xff\xd8\xff\xd9")
    with pytest.raises(ImageError, match=r"film\.mrxs lacks its folder: copy the folder film beside it"):
        empty.fields.add([tmp_path / "film.mrxs"])


def test_an_mrxs_is_known_by_the_files_of_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "film"
    folder.mkdir()
    (folder / "Slidedat.ini").write_text("[GENERAL]\n")
    (folder / "Data0000.dat").write_bytes(b"pixels")
    path = tmp_path / "film.mrxs"
    path.write_bytes(b"\xff\xd8 the label")
    before = fingerprint(path)
    path.write_bytes(b"\xff\xd8")
    assert fingerprint(path) == before, "the label is no part of it"
    assert before[1] == size_on_disk(path) == 16
    (folder / "Data0000.dat").write_bytes(b"others")
    assert fingerprint(path)[0] != before[0]
    with pytest.raises(ImageError, match=r"film\.mrxs cannot be opened .*copy it again"):
        open_slide(path)


def test_a_series_of_two_studies_is_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path / "dicom", PIXELS, label=False)
    from annotation_store.images.slide_files import instance

    own = instance(path)
    assert own is not None
    write_dicom(path.with_name("z.dcm"), PIXELS[::4, ::4], series=own.series, study="1.2.4")
    with pytest.raises(ImageError, match=r"2\.dcm lies beside instances of another study"):
        open_slide(path)


def test_other_dicom_and_czi_are_refused_in_a_sentence(tmp_path: Path, empty: Project) -> None:
    write_dicom(tmp_path / "ct.dcm", PIXELS, series="1.5", SOPClassUID="1.2.840.10008.5.1.4.1.1.2")
    with pytest.raises(ImageError, match=r"ct\.dcm is a DICOM file, but not a readable whole-slide image"):
        empty.fields.add([tmp_path / "ct.dcm"])
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" + bytes(500))
    with pytest.raises(ImageError, match=r"a\.czi is a CZI of ZEISS, .*export it as OME-TIFF or DICOM"):
        empty.fields.add([tmp_path / "a.czi"])


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ({"TotalPixelMatrixColumns": 2**31, "TotalPixelMatrixRows": 2**31}, "implausible size"),
        ({"planes": 5}, "stack of focus planes"),
        ({"NumberOfFrames": 2**30}, "cannot be opened|cannot be read"),
        ({"Columns": 60_000, "Rows": 60_000}, "cannot be opened|cannot be read|too large"),
    ],
)
def test_hostile_heads_are_refused_in_a_sentence(tmp_path: Path, stated: dict, words: str) -> None:
    write_dicom(tmp_path / "a.dcm", PIXELS, series="1.7", **stated)
    with pytest.raises(ImageError, match=rf"a\.dcm .*({words})"), open_slide(tmp_path / "a.dcm") as slide:
        slide.read((0, 0, 100, 100))


def test_a_damaged_tile_leaves_the_rest_readable(tmp_path: Path) -> None:
    path = write_series(tmp_path / "dicom", PIXELS, levels=1, label=False)
    data = bytearray(path.read_bytes())
    first = data.index(b"\xff\xd8\xff")
    data[first : first + 600] = b"\x00" * 600
    path.write_bytes(data)
    with open_slide(path) as slide:
        with pytest.raises(ImageError, match=r"1\.dcm cannot be read at \(0, 0\)"):
            slide.read((0, 0, 50, 50))
        assert np.abs(slide.read((300, 300, 50, 50)).astype(int) - PIXELS[300:350, 300:350]).mean() < 3


FUZZ = """
import random, sys
from pathlib import Path
from annotation_store.errors import ImageError
from annotation_store.images.slide import find_slide

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
for source in sorted(folder.glob("*.whole")):
    whole = source.read_bytes()
    variants = [whole[: int(len(whole) * share)] for share in (0.01, 0.1, 0.5, 0.9, 0.999)]
    for _ in range(25):
        data = bytearray(whole)
        for _ in range(rng.choice((1, 4, 30))):
            data[rng.randrange(min(len(data), 3000))] = rng.randrange(256)
        variants.append(bytes(data))
    for number, data in enumerate(variants):
        place = folder / f"{source.stem}-{number}"
        place.mkdir()
        path = place / source.stem
        path.write_bytes(data)
        try:
            slide = find_slide(path)
            if slide is not None:
                with slide:
                    slide.read((0, 0, 200, 200))
                    slide.overview(64)
        except ImageError as error:
            assert "\\n" not in str(error) and source.stem in str(error), error
print("lived")
"""


def test_mutated_slides_end_in_a_sentence_and_never_end_the_process(tmp_path: Path) -> None:
    write_series(tmp_path / "dicom", PIXELS[:256, :256], levels=1, label=False)
    write_svs_33003(tmp_path / "j.svs", PIXELS[:256, :256])
    shutil.move(tmp_path / "dicom" / "1.dcm", tmp_path / "a.dcm.whole")
    shutil.move(tmp_path / "j.svs", tmp_path / "j.svs.whole")
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(tmp_path), "1"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "lived" in done.stdout


@pytest.mark.parametrize("share", [0.3, 0.7, 0.98])
def test_a_truncated_slide_is_not_added(tmp_path: Path, empty: Project, share: float) -> None:
    path = write_series(tmp_path / "dicom", PIXELS, levels=1, label=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ImageError, match=r"1\.dcm cannot be (opened|read)"):
        empty.fields.add([path])
    assert empty.fields.all() == []

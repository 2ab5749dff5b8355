"""Which image a name in a file of annotations stands for: one rule for all formats."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats._exchange.image_places import SearchPlace
from annotation_store.formats._exchange.images import Images
from annotation_store.records import Field
from napari_lld.tasks.coco_check import problems

Blank = Callable[[], Project]
DECOMPOSED = unicodedata.normalize("NFD", "Müller/ä.png")


def tree(top: Path, *files: str) -> Path:
    for file in files:
        (top / file).parent.mkdir(parents=True, exist_ok=True)
        (top / file).write_bytes(b"")
    return top


def field(name: str, source: str = "") -> Field:
    return Field(1, name, 10, 10, "", source)


@pytest.mark.parametrize(
    ("files", "name", "found"),
    [
        (["P1/f.png", "P2/f.png"], "P2/f.png", "P2/f.png"),
        (["P1/f.png", "P2/f.png"], "P2\\f.png", "P2/f.png"),
        (["x/P1/f.png"], "P1/f.png", "x/P1/f.png"),
        (["P1/images/f.png"], "P1/f.png", "P1/images/f.png"),
        (["default/f.png"], "f.png", "default/f.png"),
        (["f.png", "copies/f.png"], "f.png", "f.png"),
        (["f.png"], "images/f.png", "f.png"),
        (["f.png"], "f.tif", "f.png"),
        (["f.png"], "f", "f.png"),
        (["p1/F.JPG"], "P1/f.jpg", "p1/F.JPG"),
        (["F.JPG", "f.png"], "f.jpg", "F.JPG"),
        (["F.JPEG"], "f.jpg", "F.JPEG"),
        (["roi1.a.png", "roi1.b.png"], "roi1.b", "roi1.b.png"),
        ([DECOMPOSED], unicodedata.normalize("NFC", DECOMPOSED), DECOMPOSED),
        # what is not found
        (["P1/f.png"], "P2/f.png", None),
        (["f.png"], "P2/f.png", None),
        (["masks/f.png"], "images/f.png", None),
        (["siteB/P1/f.png"], "siteA/P1/f.png", None),
        (["P1/f.png", "P2/f.png"], "f.png", None),
        (["f.png", "f.jpg"], "f.tif", None),
        (["roi1.png"], "roi1.b", None),
        ([".hidden/f.png"], "f.png", None),
        (["f.png"], "../f.png", None),
        (["f.png"], "", None),
        (["f.png"], "\ud800.png", None),
        (["f.png"], "\x00.png", None),
        (["f.png"], "f" * 5000 + ".png", None),
    ],
)  # fmt: skip
def test_a_name_and_the_files_of_a_folder(
    tmp_path: Path, files: list[str], name: str, found: str | None
) -> None:
    top = tree(tmp_path / "films", *files)
    match = Images([SearchPlace(top)]).find(name)
    assert match.path == (None if found is None else top / found)


@pytest.mark.parametrize(
    ("place", "name", "found"),
    [
        ("films", "/home/x/films/P1/f.png", "films/P1/f.png"),
        ("films", "C:\\x\\films\\P1\\f.png", "films/P1/f.png"),
        ("films", "C:\\x\\P1\\f.png", "films/P1/f.png"),
        ("films", "\\\\server\\share\\P2\\F.PNG", "films/P2/f.png"),
        ("films", "https://h/x/P1/f.png?tok=1", "films/P1/f.png"),
        ("films", "s3://bucket/P2/f.png", "films/P2/f.png"),
        ("films", "/x/P1/100x/g.png", "films/P1/100x/g.png"),
        ("films/P1", "/home/x/films/P1/f.png", "films/P1/f.png"),
        ("films/P1", "C:\\x\\P1\\f.png", "films/P1/f.png"),
        ("films/P1", "/x/P1/100x/g.png", "films/P1/100x/g.png"),
        # what is not found
        ("films/P1", "/home/x/films/P2/f.png", None),
        ("films/P2", "/x/P1/100x/g.png", None),
        ("films/P2/100x", "/x/P1/100x/g.png", None),
        ("films", "/x/P3/f.png", None),
        ("films", "/x/P3/100x/g.png", None),
        ("films", "/f.png", None),
        ("films", "/x/f.png", None),
        ("films", "/x/../P1/f.png", None),
    ],
)
def test_an_absolute_name_or_an_address_is_of_an_unknown_machine(
    tmp_path: Path, place: str, name: str, found: str | None
) -> None:
    tree(tmp_path, "films/P1/f.png", "films/P2/f.png", "films/P1/100x/g.png", "films/P2/100x/g.png")
    match = Images([SearchPlace(tmp_path / place)]).find(name)
    assert match.path == (None if found is None else tmp_path / found)
    known = Images(fields=[field("f.png", "/films/P1/f.png")]).field_named(name)
    assert (known is not None) is (found == "films/P1/f.png")


@pytest.mark.parametrize(
    ("known", "name", "found"),
    [
        (("f.png", ""), "f.png", True),
        (("P1/f.png", ""), "P1\\f.png", True),
        (("f.png", "/films/P1/f.png"), "P1/f.png", True),
        (("P1/f.png", "/films/P1/f.png"), "films/P1/f.png", True),
        (("f.png", ""), "F.PNG", True),
        (("f.png", "C:\\films\\P1\\f.png"), "P1/f.jpg", True),
        (("f.png", "/films/P1/f.png"), "P2/f.png", False),
        (("P1/f.png", ""), "P2/f.png", False),
        (("P1/f.png", "/films/P1/f.png"), "other/P1/f.png", False),
    ],
)
def test_a_name_and_a_field_of_the_project(known: tuple[str, str], name: str, found: bool) -> None:
    images = Images(fields=[field(*known)])
    assert images.find(name).found is found
    assert (images.field_named(name) is not None) is found
    assert found or known[0] in images.missing(name, images.find(name))


def test_the_folder_that_is_named_is_a_statement_too(tmp_path: Path) -> None:
    top = tree(tmp_path, "films/P1/f.png", "P2/f.png", "labels.json")
    images = Images.for_file(top / "labels.json", top / "films" / "P1")
    assert images.find("P1/f.png").path == top / "films/P1/f.png"
    assert not images.find("P2/f.png").found, "neither P1's, nor what lies where nobody looks"


def test_an_exact_field_goes_before_a_file_that_is_only_alike(tmp_path: Path) -> None:
    top = tree(tmp_path, "F.jpg")
    match = Images([SearchPlace(top)], [field("f.png")]).find("f.png")
    assert match.path is None
    assert match.field is not None


def test_several_that_fit_are_named_and_none_is_taken(tmp_path: Path) -> None:
    top = tree(tmp_path, "P1/f.png", "P2/f.png")
    images = Images([SearchPlace(top)])
    match = images.find("f.png")
    assert not match.found
    assert all(str(top / name) in images.missing("f.png", match) for name in ("P1/f.png", "P2/f.png"))


def test_a_records_own_folder_goes_first_and_its_stem_last(tmp_path: Path) -> None:
    top = tree(tmp_path, "P1/f.png", "P2/F.png", "P2/g.png")
    images = Images([SearchPlace(top)])
    assert images.find("f.png", beside=top / "P1").path == top / "P1/f.png"
    assert images.find("f.png", beside=top / "P2").path == top / "P1/f.png", "exact goes before near"
    assert images.find("F.jpg", beside=top / "P2").path == top / "P2/F.png"
    assert images.find("renamed.png", beside=top / "P2", stem="g").path == top / "P2/g.png"
    assert images.find("", beside=top / "P2", stem="g").path == top / "P2/g.png"


@pytest.mark.parametrize(
    ("image", "file"),
    [
        ("f.png", "labels.json"),
        ("images/f.png", "labels.json"),
        ("images/default/f.png", "annotations/instances_default.json"),
        ("images/f.png", "annotations/instances_default.json"),
        ("train2017/f.png", "annotations/instances_train2017.json"),
        ("JPEGImages/f.png", "Annotations/f.xml"),
        ("Images/train/f.png", "Annotations/train.json"),
        ("train/f.png", "train/_annotations.coco.json"),
    ],
)
def test_the_usual_folders(tmp_path: Path, image: str, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    top = tree(tmp_path, image, file)
    monkeypatch.chdir((top / file).parent)
    for given in (top / file, Path(file).relative_to(Path(file).parent)):
        found = Images.for_file(given, None).find("f.png").path
        assert found is not None
        assert found.samefile(top / image)


def test_subsets_of_the_same_names_stay_apart(tmp_path: Path) -> None:
    top = tree(tmp_path, "images/train/f.png", "images/val/f.png", "annotations/instances_val.json")
    for images in (None, top / "images"):
        found = Images.for_file(top / "annotations/instances_val.json", images).find("f.png").path
        assert found == top / "images/val/f.png"


def test_a_folder_beside_that_of_a_download_is_not_searched(tmp_path: Path) -> None:
    top = tree(tmp_path, "images/f.png", "downloads/labels.json")
    assert not Images.for_file(top / "downloads/labels.json", None).find("f.png").found


@pytest.mark.parametrize("name", ["f.png", "sub/f.png", "F.png"])
def test_links_out_of_the_folder_are_not_followed(tmp_path: Path, name: str) -> None:
    tree(tmp_path, "secret/f.png")
    top = tree(tmp_path / "set", "x.png")
    (top / "f.png").symlink_to(tmp_path / "secret" / "f.png")
    (top / "sub").symlink_to(tmp_path / "secret")
    for deep in (True, False):
        assert Images([SearchPlace(top, deep)]).find(name).path is None


# -- in an import --------------------------------------------------------------------------------


def coco(path: Path, *names: str) -> Path:
    document: dict[str, Any] = {
        "images": [{"id": i, "file_name": name} for i, name in enumerate(names)],
        "categories": [{"id": 1, "name": "Monocyte"}],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [9 * i + 1, 5, 8, 8]}
            for i in range(len(names))
        ],
    }
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def films(tmp_path: Path) -> Path:
    for patient in (1, 2):
        (tmp_path / "films" / f"P{patient}").mkdir(parents=True)
        pixels = np.full((40, 60, 3), 40 * patient, np.uint8)
        Image.fromarray(pixels).save(tmp_path / "films" / f"P{patient}" / "f.png")
    return tmp_path / "films"


def test_labels_of_one_patient_never_land_on_another(blank: Blank, tmp_path: Path, films: Path) -> None:
    file = coco(tmp_path / "labels.json", "P1/f.png", "P2/f.png")
    with blank() as project:
        assert len(problems(project, file, films / "P1")) == 1
        report = formats.read("coco", project, file, images=films / "P1")
        assert [c.box[0] for c in project.cells.all()] == [1]
        assert [f.name for f in project.fields.all()] == ["P1/f.png"]
        assert any(line.startswith("P2/f.png: the image was not found;") for line in report.skipped)
    with blank() as project:
        project.fields.add([films / "P1" / "f.png"])
        formats.read("coco", project, file)
        assert [c.box[0] for c in project.cells.all()] == [1], "nor on a field that was here before"


def test_an_absolute_name_becomes_that_below_the_folder_of_the_images(
    blank: Blank, tmp_path: Path, films: Path
) -> None:
    file = coco(tmp_path / "a.json", "/home/x/films/P1/f.png", "C:\\x\\films\\P2\\f.png")
    with blank() as project:
        report = formats.read("coco", project, file, images=films)
        assert {f.name: c.box[0] for f, c in zip(project.fields.all(), project.cells.all(), strict=True)} == {
            "P1/f.png": 1,
            "P2/f.png": 10,
        }
        assert report.skipped == []


def test_two_names_are_not_merged_onto_one_image(blank: Blank, tmp_path: Path, films: Path) -> None:
    shutil.copyfile(films / "P1" / "f.png", films / "g.png")
    with blank() as project:
        report = formats.read(
            "coco", project, coco(tmp_path / "a.json", "g.png", "images/g.png"), images=films
        )
        assert len(project.cells.all()) == 1, "the name that fits exactly has it"
        assert any("images/g.png: left out; for" in line for line in report.skipped)
    with blank() as project, pytest.raises(FormatError, match="there is one image"):
        formats.read("coco", project, coco(tmp_path / "b.json", "g.tif", "g.bmp"), images=films)
    with blank() as project:
        report = formats.read("coco", project, coco(tmp_path / "c.json", "g.png", "G.PNG"), images=films)
        assert len(project.cells.all()) == 2, "capitals apart it is the same name"


def test_an_image_in_doubt_is_left_out_and_nothing_else(blank: Blank, tmp_path: Path, films: Path) -> None:
    (films / "P1" / "f.png").rename(films / "P1" / "h.png")
    shutil.copyfile(films / "P1" / "h.png", films / "P2" / "h.png")
    with blank() as project:
        report = formats.read("coco", project, coco(tmp_path / "a.json", "f.png", "h.png"), images=films)
        assert (report.fields, report.cells) == (1, 1)
        assert any(line.startswith("h.png: the image may be") for line in report.skipped)
    with blank() as project, pytest.raises(FormatError, match="may be"):
        formats.read("coco", project, coco(tmp_path / "b.json", "h.png"), images=films)


@pytest.mark.parametrize(("stated", "found"), [("P1/f.png", True), ("p1/F.PNG", True), ("P2/f.png", False)])
def test_a_field_is_known_by_the_folder_it_came_from_though_no_path_is_kept(
    stated: str, found: bool, tmp_path: Path
) -> None:
    folder = tmp_path / "films" / "P1"
    folder.mkdir(parents=True)
    Image.new("RGB", (40, 30)).save(folder / "f.png")
    with Project.create(tmp_path / "p") as project:
        project.fields.add([folder / "f.png"])
        assert "P1" not in project.fields.all()[0].source_path
        images = Images.for_file(tmp_path / "labels.json", None, project)
        assert (images.field_named(stated) is not None) is found
        assert (images.find("f.png").field is not None) is True


@pytest.mark.parametrize(
    ("files", "names", "found"),
    [
        (["a.png", "b.png"], ["train/a.png", "val/b.png"], {"a.png": 1, "b.png": 10}),
        (["a.png", "b.png"], ["data\\train\\a.png", "b.png"], {"a.png": 1, "b.png": 10}),
        (["A.PNG"], ["train/a.png"], {"A.PNG": 1}),
        (["a.png"], ["train/a.png", "train\\a.png"], {"a.png": 1}),
        # in doubt, or contradicted
        (["a.png", "b.png"], ["train/a.png", "val/a.png", "val/b.png"], {"b.png": 19}),
        (["a.png", "b.png"], ["a.png", "train/a.png"], {"a.png": 1}),
        (["a.png", "old/a.png", "b.png"], ["train/a.png", "b.png"], {"b.png": 10}),
        (["P1/a.png", "b.png"], ["P1/a.png", "P2/b.png"], {"P1/a.png": 1}),
        (["old/a.png", "b.png"], ["train/a.png", "b.png"], {"b.png": 10}),
        (["a.png", "b.png"], ["films2/a.png", "b.png"], {"b.png": 10}),
        (["a.jpg", "b.png"], ["train/a.png", "b.png"], {"b.png": 10}),
        (["a.png", "b.png"], ["/home/x/train/a.png", "b.png"], {"b.png": 10}),
    ],
)
def test_images_in_one_folder_are_found_without_the_folders_that_a_file_states(
    blank: Blank, tmp_path: Path, files: list[str], names: list[str], found: dict[str, int]
) -> None:
    folder = tmp_path / "films1"
    for number, name in enumerate(files):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 60, 3), 40 * number, np.uint8)).save(folder / name)
    with blank() as project:
        file = coco(tmp_path / "a.json", *names)
        missing = len({name.replace("\\", "/") for name in names}) - len(found)
        assert len(problems(project, file, folder)) == missing
        report = formats.read("coco", project, file, images=folder)
        ids = {field.id: field.name for field in project.fields.all()}
        cells = {ids[cell.field_id]: cell.box[0] for cell in reversed(project.cells.all())}
        assert cells == found
        assert len([line for line in report.skipped if "image" in line]) == missing


@pytest.mark.parametrize("name", ["../f.png", "x/../../f.png", "..\\f.png", "x/f.png"])
def test_nothing_outside_the_folder_is_found_by_its_name_alone(tmp_path: Path, name: str) -> None:
    tree(tmp_path, "f.png")
    top = tree(tmp_path / "set", "g.png")
    (top / "f.png").symlink_to(tmp_path / "f.png")
    for deep in (True, False):
        assert not Images([SearchPlace(top, deep)]).find_by_name_alone(name).found

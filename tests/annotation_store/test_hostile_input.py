"""Files from strangers: one plain sentence that names the file, and nothing half-written."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation_store import FormatError, LLDError, Project, ProjectError, formats, load_schema
from annotation_store.formats.coco.coco import from_coco

IMAGE = {"id": 1, "file_name": "a.png"}
BOX = {"image_id": 1, "category_id": 10, "bbox": [1, 1, 20, 20]}
CATEGORIES = [{"id": 10, "name": "Monocyte"}]


def coco(**changes: Any) -> str:
    return json.dumps({"images": [IMAGE], "annotations": [BOX], "categories": CATEGORIES} | changes)


def with_name(name: Any) -> str:
    return coco(images=[{"id": 1, "file_name": name}])


def with_annotation(**changes: Any) -> str:
    return coco(annotations=[BOX | changes])


BAD = {
    "empty file": "",
    "no JSON": "images: none",
    "half": coco()[:-20],
    "a list": "[]",
    "a number": "3",
    "nested lists": "[" * 10_000 + "]" * 10_000,
    "nested objects": '{"a":' * 10_000 + "1" + "}" * 10_000,
    "no images": json.dumps({"annotations": []}),
    "images no list": coco(images={}),
    "image no object": coco(images=[3]),
    "image without id": coco(images=[{"file_name": "a.png"}]),
    "categories no list": coco(categories=3),
    "annotations no list": coco(annotations=3),
    "annotation no object": coco(annotations=[3]),
    "no bbox": coco(annotations=[{"image_id": 1}]),
    "bbox of text": with_annotation(bbox=["a", 1, 2, 3]),
    "bbox of three": with_annotation(bbox=[1, 2, 3]),
    "NaN": coco().replace("20", "NaN"),
    "Infinity": coco().replace("20", "-Infinity"),
    "1e999": coco().replace("20", "1e999"),
    "huge integer": coco().replace("20", "9" * 400),
    "endless integer": coco().replace("20", "9" * 5000),
    "climbing name": with_name("../../etc/passwd.png"),
    "climbing in the middle": with_name("x/../../a.png"),
    "absolute name": with_name("/etc/a.png"),
    "windows name": with_name("C:\\a.png"),
    "windows climbing": with_name("..\\a.png"),
    "zero byte": with_name("a\x00.png"),
    "empty name": with_name(""),
    "name no text": with_name(3),
    "images nowhere": with_name("elsewhere.png"),
    "only unknown classes": coco(categories=[{"id": 10, "name": "Martian"}]),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_coco_file_is_one_sentence_that_names_it_and_changes_nothing(
    project: Project, image_folder: Path, tmp_path: Path, what: str
) -> None:
    path = tmp_path / "given.json"
    path.write_text(BAD[what])
    with pytest.raises(FormatError, match=r"given\.json") as raised:
        formats.read("coco", project, path, images=image_folder)
    assert "\n" not in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert len(project.fields.all()) == 2
    assert (project.cells.all(), project.regions.all(), project.history.rows()) == ([], [], [])


def test_a_missing_file_or_folder_and_a_binary_file_are_sentences(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "good.json").write_text(coco())
    for path, images in (
        (tmp_path / "no.json", image_folder),
        (tmp_path, image_folder),
        (tmp_path / "binary.json", image_folder),
        (tmp_path / "good.json", tmp_path / "nowhere"),
    ):
        with pytest.raises(FormatError, match=str(tmp_path)):
            formats.read("coco", project, path, images=images)


def test_a_corrupt_image_named_by_a_file_is_told_and_the_rest_comes_in(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"nonsense")
    (tmp_path / "a.png").write_bytes((image_folder / "a.png").read_bytes())
    path = tmp_path / "given.json"
    path.write_text(coco(images=[IMAGE, {"id": 2, "file_name": "bad.png"}]))
    report = formats.read("coco", project, path)
    assert report.cells == 1
    assert "bad.png" in report.skipped[0]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
image_like = st.fixed_dictionaries(
    {"id": st.integers(1, 3) | anything, "file_name": st.just("a.png") | anything},
    optional=dict.fromkeys(
        ("width", "height", "annotated_regions", "ignore_areas", "pixel_size_um"), anything
    ),
)
annotation_like = st.fixed_dictionaries(
    {
        "image_id": st.integers(1, 3) | anything,
        "bbox": st.lists(st.floats(-50, 150), min_size=4, max_size=4) | anything,
    },
    optional={
        "category_id": st.just(10) | anything,
        "attributes": anything,
        "unsure": anything,
        "score": st.floats(0, 1) | anything,
        "class_probabilities": anything,
        "attribute_probabilities": anything,
        "comment": anything,
        "kind": anything,
        "cut": anything,
        "class_group": anything,
        "extra thing": anything,
    },
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(images=st.lists(image_like, max_size=3), annotations=st.lists(annotation_like, max_size=4))
def test_whatever_the_objects_are_the_parser_gives_a_document_or_a_sentence(
    images: list[Any], annotations: list[Any]
) -> None:
    document = {"images": images, "annotations": annotations, "categories": CATEGORIES}
    with contextlib.suppress(LLDError):
        from_coco(document, load_schema("lld"))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(annotations=st.lists(annotation_like, max_size=4))
def test_whatever_comes_in_the_project_stays_sound(
    fresh: Callable[[], Project], image_folder: Path, tmp_path: Path, annotations: list[Any]
) -> None:
    path = tmp_path / "given.json"
    path.write_text(json.dumps({"images": [IMAGE], "annotations": annotations, "categories": CATEGORIES}))
    with fresh() as project:
        try:
            formats.read("coco", project, path, images=image_folder)
        except LLDError:
            assert project.cells.all() == []
        assert project.check() == []
        formats.write("coco", project, tmp_path / "out.json", overwrite=True)


def test_a_folder_that_is_no_project_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text/project.db").write_text("no database")
    (tmp_path / "zero").mkdir()
    (tmp_path / "zero/project.db").write_bytes(b"")
    for name in ("nowhere", "file", "empty", "text", "zero"):
        with pytest.raises(ProjectError, match=name):
            Project.open(tmp_path / name)


def test_another_programs_database_is_a_sentence(tmp_path: Path) -> None:
    import sqlite3

    other = sqlite3.connect(tmp_path / "project.db")
    other.execute("CREATE TABLE songs (id INTEGER)")
    other.commit()
    other.close()
    with pytest.raises(ProjectError, match="not a napari-lld project"):
        Project.open(tmp_path)


def test_a_damaged_database_is_a_sentence(folder: Path) -> None:
    database = folder / "project.db"
    for leftover in folder.glob("project.db-*"):
        leftover.unlink()
    data = bytearray(database.read_bytes())
    data[100:] = b"\xff" * (len(data) - 100)
    database.write_bytes(data)
    with pytest.raises(ProjectError, match="damaged"):
        Project.open(folder)


def test_create_refuses_an_occupied_folder_and_leaves_it_alone(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "full", tmp_path / "file", folder):
        with pytest.raises(ProjectError, match=path.name):
            Project.create(path)
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["letter.txt"]


def test_create_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("annotation_store.maintenance.create._fill", fail)
    with pytest.raises(ProjectError, match="No space left"):
        Project.create(tmp_path / "new/project")
    assert not (tmp_path / "new/project").exists()
    (tmp_path / "empty").mkdir()
    with pytest.raises(ProjectError):
        Project.create(tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_create_goes_on_after_a_creation_that_was_cut_short(tmp_path: Path) -> None:
    (tmp_path / "p/originals").mkdir(parents=True)
    (tmp_path / "p/project.db.abc.new").write_bytes(b"half")
    with Project.create(tmp_path / "p") as project:
        assert project.check() == []


def test_create_never_wipes_pixels_of_a_project_whose_database_was_lost(folder: Path) -> None:
    for file in folder.glob("project.db*"):
        file.unlink()
    with pytest.raises(ProjectError, match="not empty"):
        Project.create(folder)
    assert (folder / "fields.zarr/1/0/zarr.json").is_file()


def test_a_closed_project_says_so(project: Project) -> None:
    project.close()
    project.close()
    with pytest.raises(ProjectError, match="closed"):
        project.cells.all()

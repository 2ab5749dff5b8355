"""What is dropped on a plain napari opens as layers; what cannot be opened is said in one sentence."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.layers import Image
from npe2 import PluginManager

from annotation_store import Project, formats
from annotation_store.errors import LLDError
from napari_lld import sample
from napari_lld.layers import cell_layers
from napari_lld.plugin.kinds import kind_of

FIELDS = ("pbc_00.jpg", "txl_03.jpg")


@pytest.fixture(scope="module", autouse=True)
def _discovered() -> None:
    PluginManager.instance().discover()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Give two annotated fields in each kind that can be dropped."""
    folder = tmp_path_factory.mktemp("dropped")
    coco = folder / "coco"
    (coco / "images").mkdir(parents=True)
    truth = json.loads(sample.truth().read_text(encoding="utf-8"))
    truth["images"] = [image for image in truth["images"] if image["file_name"] in FIELDS]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in ids]
    truth["images"][0]["annotated_regions"] = [[0, 0, 200, 200]]
    for path in sample.fields():
        if path.name in FIELDS:
            shutil.copy(path, coco / "images" / path.name)
    (coco / "labels.json").write_text(json.dumps(truth), encoding="utf-8")
    with Project.create(folder / "project") as project:
        formats.read("coco", project, coco / "labels.json")
        formats.write("yolo", project, folder / "yolo")
        formats.write("geojson", project, folder / "geojson")
    shutil.copytree(coco / "images", folder / "geojson" / "images")
    (alone,) = folder.glob("geojson/pbc_00*.geojson")
    (folder / "elsewhere").mkdir()
    return {
        "project": folder / "project",
        "project.db": folder / "project" / "project.db",
        "coco": coco / "labels.json",
        "coco folder": coco,
        "yolo": folder / "yolo",
        "data.yaml": folder / "yolo" / "data.yaml",
        "geojson": folder / "geojson",
        "geojson of one image": alone,
        "geojson without its image": Path(shutil.copy(alone, folder / "elsewhere")),
    }


KINDS = (
    *("project", "project.db", "coco", "coco folder", "yolo", "data.yaml", "geojson"),
    *("geojson of one image", "geojson without its image"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_opens_in_a_plain_napari(kinds: dict[str, Path], kind: str) -> None:
    viewer = ViewerModel()
    viewer.open(kinds[kind], plugin="napari-lld")
    by_name = {layer.name: layer for layer in viewer.layers}
    cells = by_name["white cells"]
    images = [layer for layer in viewer.layers if isinstance(layer, Image)]
    assert "finished regions" in by_name
    if "one" in kind or "without" in kind:
        assert [layer.data.ndim for layer in images] == [3] * (kind != "geojson without its image")
        assert len(cells.data) == 12
        assert all(box.shape == (4, 2) for box in cells.data)
    else:
        (image,) = images
        assert image.data.shape[0] == 2
        assert set(cells.features["field"]) == set(FIELDS)
        first = cells.features["field"].tolist().index("pbc_00.jpg")
        on = int(cells.data[first][0, 0])
        viewer.dims.set_point(0, on)
        assert image.data[on].compute().any()
    words = set(cells.features["class"])
    assert "Neutrophil" in words
    if "yolo" not in str(kinds[kind]):
        assert set(cells.features["nuclear_shape"]) >= {"regular", "irregular"}
    assert cells.features["certainty"].isna().all()


def test_a_box_lies_on_the_pixels_it_was_drawn_on(kinds: dict[str, Path]) -> None:
    viewer = ViewerModel()
    viewer.open(kinds["geojson of one image"], plugin="napari-lld")
    image, cells = viewer.layers[0], viewer.layers["white cells"]
    truth = json.loads(kinds["coco"].read_text(encoding="utf-8"))
    number = next(one["id"] for one in truth["images"] if one["file_name"] == "pbc_00.jpg")
    x, y, w, h = next(one["bbox"] for one in truth["annotations"] if one["image_id"] == number)
    drawn = [(*box.min(axis=0), *box.max(axis=0)) for box in cells.data]
    assert any(box == pytest.approx((y, x, y + h, x + w)) for box in drawn)
    assert image.data_to_world((0, 0)) == (0.5, 0.5)  # the centre of the first pixel: its corner is (0, 0)


def test_every_class_of_a_file_is_shown_and_what_a_machine_found_with_its_certainty(tmp_path: Path) -> None:
    shutil.copy(sample.fields()[0], tmp_path / "a.jpg")
    document = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "categories": [{"id": 1, "name": "Blast-like"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40], "attributes": {"rods": "few"}},
            {"id": 2, "image_id": 1, "category_id": 1, "bbox": [50, 2, 30, 40], "score": 0.75},
        ],
    }
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    viewer = ViewerModel()
    viewer.open(tmp_path / "a.json", plugin="napari-lld")
    table = viewer.layers["white cells"].features
    assert table["class"].tolist() == ["Blast-like", "Blast-like"]
    assert table["rods"].tolist() == ["few", ""]
    assert table["certainty"].tolist()[1] == 0.75


@pytest.mark.parametrize("most", [2000, -1])
def test_a_file_without_cells_gives_a_layer_to_draw_them_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(cell_layers, "MOST_SHAPES", most)  # below 0: a layer of points
    (tmp_path / "a.geojson").write_text('{"type": "FeatureCollection", "features": []}', encoding="utf-8")
    viewer = ViewerModel()
    (cells,) = viewer.open(tmp_path / "a.geojson", plugin="napari-lld")
    cells.add([[1, 2], [3, 4]])
    assert cells.features["class"].tolist()[0] == ""
    assert cells.features["certainty"].isna().all()


def test_a_class_that_the_list_of_classes_lacks_is_shown_by_what_the_file_says(tmp_path: Path) -> None:
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    shutil.copy(sample.fields()[0], tmp_path / "images" / "a.jpg")
    (tmp_path / "labels" / "a.txt").write_text("9 .5 .5 .1 .1\n0 .2 .2 .1 .1\n", encoding="utf-8")
    (tmp_path / "data.yaml").write_text("names: {0: Blast}\ntrain: images\n", encoding="utf-8")
    viewer = ViewerModel()
    viewer.open(tmp_path, plugin="napari-lld")
    assert sorted(viewer.layers["white cells"].features["class"]) == ["9", "Blast"]


def test_many_cells_are_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kinds: dict[str, Path]
) -> None:
    monkeypatch.setattr(cell_layers, "MOST_SHAPES", 5)
    viewer = ViewerModel()
    viewer.open(kinds["coco"], plugin="napari-lld")
    cells = viewer.layers["white cells"]
    assert cells.data.shape[1] == 3
    assert (cells.features["width"] > 0).all()


def _without_images(folder: Path, kinds: dict[str, Path]) -> Path:
    return Path(shutil.copy(kinds["coco"], folder))


def _half_project(folder: Path, kinds: dict[str, Path]) -> Path:
    shutil.copytree(kinds["project"] / "fields.zarr", folder / "half" / "fields.zarr")
    return folder / "half"


def _empty(folder: Path, kinds: dict[str, Path]) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def _huge(folder: Path, kinds: dict[str, Path]) -> Path:
    path = folder / "huge.json"
    with path.open("wb") as opened:
        opened.write(b'{"images": [], "annotations": [')
        opened.truncate(150_000_000)
    return path


def _deep(folder: Path, kinds: dict[str, Path]) -> Path:
    path = folder / "deep.json"
    path.write_text('{"images": ' + "[" * 200_000 + ', "annotations": []', encoding="utf-8")
    return path


def _wrong(folder: Path, kinds: dict[str, Path]) -> Path:
    path = folder / "wrong.json"
    path.write_text('{"images": {"a": 1}, "annotations": 7}', encoding="utf-8")
    return path


def _bare(folder: Path, kinds: dict[str, Path]) -> Path:
    path = folder / "bare.json"
    path.write_text('{"images": [], "annotations": []}', encoding="utf-8")
    return path


def _no_names(folder: Path, kinds: dict[str, Path]) -> Path:
    shutil.copytree(kinds["yolo"] / "labels", folder / "set" / "labels")
    return folder / "set"


def _broken_geojson(folder: Path, kinds: dict[str, Path]) -> Path:
    path = folder / "map.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [', encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (_without_images, r"labels\.json holds annotations, but no images.*put the images beside it"),
        (_half_project, r"half holds images of a project, but not its database.*copy the whole"),
        (_empty, r"empty is empty: choose a folder"),
        (_huge, r"huge\.json is larger than 100 MB.*napari-lld new"),
        (_deep, r"deep\.json"),
        (_wrong, r"not a COCO file: .*Export it again"),
        (_bare, r"names no images.*export it again"),
        (_no_names, r"has no data\.yaml.*Copy the data\.yaml"),
        (_broken_geojson, r"map\.geojson is not valid JSON.*export it again"),
    ],
)
def test_bad_input_is_one_sentence_with_the_cure(
    tmp_path: Path, kinds: dict[str, Path], make: Any, sentence: str
) -> None:
    with pytest.raises(LLDError, match=sentence) as raised:
        ViewerModel().open(make(tmp_path, kinds), plugin="napari-lld")
    assert "\n" not in str(raised.value)


def test_what_is_not_ours_is_left_to_others_at_once_and_nothing_heavy_is_imported(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for number in range(300):
        (tmp_path / "pictures" / f"{number}.tif").touch()
    (tmp_path / "settings.json").write_text(json.dumps({"images": 3, "theme": "dark"}), encoding="utf-8")
    (tmp_path / "map.json").write_text("[1, 2]", encoding="utf-8")
    foreign = [*map(str, sorted(tmp_path.iterdir())), ["a", "b"], "/none"]
    code = (
        "import sys, time\n"
        "from napari_lld.plugin.readers import get_reader\n"
        "begun = time.process_time()\n"
        f"print([get_reader(path) for path in {foreign!r}])\n"
        "print((time.process_time() - begun) < 0.05)\n"
        "print([m for m in ('numpy', 'pydantic', 'torch', 'pandas', 'napari', 'qtpy') if m in sys.modules])\n"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == ["[None, None, None, None, None]", "True", "[]"]


def test_a_folder_is_known_by_what_lies_in_it(tmp_path: Path) -> None:
    assert kind_of(str(tmp_path)) == "empty"
    (tmp_path / "one.json").write_text('{"images": [], "annotations": []}', encoding="utf-8")
    assert kind_of(str(tmp_path)) == "coco"
    (tmp_path / "two.json").write_text('{"images": [], "annotations": []}', encoding="utf-8")
    assert kind_of(str(tmp_path)) is None  # which of them is meant nobody knows
    (tmp_path / "labels").mkdir()
    assert kind_of(str(tmp_path)) == "yolo"
    (tmp_path / "project.db").touch()
    assert kind_of(str(tmp_path)) == "project"

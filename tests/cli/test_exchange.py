"""Annotations in and out through the command: what fits comes in, what does not is refused in one line."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from faster_coco_eval import COCO

from annotation_store import Project, formats
from napari_lld import sample
from napari_lld.options import ExportOptions, ImportOptions, options_of

TXL = [path for path in sample.fields() if path.name.startswith("txl_")]
FOLDER = TXL[0].parent


@pytest.fixture
def good() -> dict[str, Any]:
    """A small file that fits: two images, one cell each."""
    return {
        "categories": [{"id": 3, "name": "Neutrophil"}],
        "images": [
            {"id": 1, "file_name": "txl_00.jpg", "width": 360, "height": 363, "annotated_regions": []},
            {"id": 2, "file_name": "txl_01.jpg", "width": 416, "height": 416, "annotated_regions": []},
        ],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 50, 50]},
            {
                "id": 2,
                "image_id": 2,
                "category_id": None,
                "bbox": [20, 20, 50, 50],
                "attributes": {"cell_size": "large"},
            },
        ],
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    def to_file(document: Any) -> Path:
        file = tmp_path / "annotations.json"
        file.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
        return file

    return to_file


def test_what_fits_comes_in_once_with_its_images(cli, project: Path, good, write) -> None:
    words = ("import", project, write(good), "--format", "coco", "--images", FOLDER)
    answer = cli(*words, "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["fields"], answer.json["cells"], answer.json["skipped"]) == (2, 2, [])
    again = cli(*words, "--json")
    assert again.code == 0
    assert again.json["cells"] == 0, "merges, never doubles"
    assert again.json["skipped"], "and says that they are there already"
    assert cli("info", project, "--json").json["cells"]["classes"] == {"Neutrophil": 1, "missing": 1}
    told = cli(*words).out
    assert "Skipped or changed:\n  2 cells are in the project already" in told


def change_class(document: dict[str, Any]) -> None:
    document["categories"][0]["name"] = "Martian"


def change_value(document: dict[str, Any]) -> None:
    document["annotations"][1]["attributes"]["cell_size"] = "enormous"


def change_attribute(document: dict[str, Any]) -> None:
    document["annotations"][1]["attributes"]["flavour"] = "sweet"


def move_box(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"] = [5000, 10, 50, 50]


def lose_image(document: dict[str, Any]) -> None:
    document["images"][1]["file_name"] = "lost.jpg"


BAD = [
    (change_class, "Martian"),
    (change_value, "enormous"),
    (lose_image, "lost.jpg"),
]


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=lambda part: getattr(part, "__name__", ""))
def test_a_file_that_does_not_fit_is_refused_whole_and_names_the_cure(
    cli, project: Path, good, write, state, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    spoil(good)
    before = state(project)
    answer = cli("import", project, write(good), "--format", "coco", "--images", FOLDER)
    answer.refuses("annotations.json", said, "--skip-unknown")
    assert state(project) == before


@pytest.mark.parametrize(("spoil", "said"), BAD, ids=lambda part: getattr(part, "__name__", ""))
def test_with_skip_unknown_the_rest_comes_in_and_the_reasons_are_told(
    cli, project: Path, good, write, spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    spoil(good)
    answer = cli(
        "import", project, write(good), "--format", "coco", "--images", FOLDER, "--skip-unknown", "--json"
    )
    assert answer.code == 0, answer.err
    assert answer.json["cells"] in (1, 2)
    assert any(said in reason for reason in answer.json["skipped"]), answer.json["skipped"]


def drop_images(document: dict[str, Any]) -> Any:
    del document["images"]
    return document


@pytest.mark.parametrize(
    "make",
    [
        lambda _: "",
        lambda _: "{",
        lambda _: "[]",
        lambda _: "null",
        lambda _: "[" * 100_000,
        drop_images,
        lambda d: d | {"annotations": [1, None]},
        lambda d: d | {"annotations": [{"id": 1, "image_id": [], "category_id": {}, "bbox": None}]},
    ],
    ids=["empty", "broken", "list", "null", "deep", "no images", "no objects", "odd ids"],
)
def test_a_file_that_is_no_coco_is_refused(cli, project: Path, good, write, state, make) -> None:
    before = state(project)
    answer = cli("import", project, write(make(good)), "--format", "coco", "--images", FOLDER)
    answer.refuses("annotations.json")
    assert state(project) == before


def odd_box(document: dict[str, Any]) -> None:
    document["annotations"][0]["bbox"] = [1, 2, "three", 4]


def odd_size(document: dict[str, Any]) -> None:
    document["images"][0]["width"] = float("nan")


@pytest.mark.parametrize(
    ("spoil", "cells", "said"),
    [
        (change_attribute, 2, "flavour"),
        (move_box, 1, "outside"),
        (odd_box, 1, "neither a usable box"),
        (odd_size, 2, ""),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_an_odd_record_is_left_out_and_told_and_refuses_nothing(
    cli, project: Path, good, write, spoil: Callable[[dict[str, Any]], None], cells: int, said: str
) -> None:
    spoil(good)
    answer = cli("import", project, write(good), "--format", "coco", "--images", FOLDER, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["cells"] == cells
    assert not said or any(said in reason for reason in answer.json["skipped"]), answer.json["skipped"]


def test_missing_files_and_folders_are_named(cli, project: Path, good, write, tmp_path: Path) -> None:
    cli("import", project, tmp_path / "no.json", "--format", "coco").refuses("no.json")
    cli("import", project, tmp_path, "--format", "coco").refuses(str(tmp_path))
    cli("import", project, write(good), "--format", "coco", "--images", tmp_path / "no").refuses("no")


@pytest.mark.parametrize(("regions", "finished"), [("file", 0), ("none", 0), ("full", 2)])
def test_regions_are_taken_as_asked(cli, project: Path, good, write, regions: str, finished: int) -> None:
    file = write(good)
    cli("import", project, file, "--format", "coco", "--images", FOLDER, "--regions", regions)
    assert cli("info", project, "--json").json["regions"]["finished"] == finished


def test_a_field_of_which_the_file_states_no_region_is_annotated_whole(
    cli, project: Path, good, write
) -> None:
    del good["images"][0]["annotated_regions"]
    cli("import", project, write(good), "--format", "coco", "--images", FOLDER)
    told = cli("info", project, "--json").json
    assert told["regions"]["finished"] == 1
    assert told["fields"]["states"]["reviewed"] == 1


def test_an_export_is_a_coco_file_that_comes_back_in(cli, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    answer = cli("export", annotated, out, "--format", "coco", "--json")
    assert answer.code == 0
    assert (answer.json["fields"], answer.json["cells"]) == (6, 6)
    coco = COCO(str(out))
    assert len(coco.imgs) == 6
    assert len(coco.anns) == 6
    assert all(len(image["annotated_regions"]) == 1 for image in coco.imgs.values())
    other = tmp_path / "other"
    cli("new", other)
    assert cli("import", other, out, "--format", "coco", "--images", FOLDER).code == 0
    second = tmp_path / "second.json"
    cli("export", other, second, "--format", "coco")
    assert simple(second) == simple(out)


def simple(file: Path) -> list[Any]:
    document = json.loads(file.read_text("utf-8"))
    names = {image["id"]: image["file_name"] for image in document["images"]}
    return sorted(
        [names[one["image_id"]], one["category_id"], one["bbox"], sorted(one["attributes"].items(), key=str)]
        for one in copy.deepcopy(document["annotations"])
    )


def test_an_anonymised_export_names_no_file(cli, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert cli("export", annotated, out, "--format", "coco", "--anonymise").code == 0
    assert "txl_" not in out.read_text("utf-8")


def test_an_export_that_names_patients_says_how_many_and_what_replaces_the_names(
    cli, annotated: Path, tmp_path: Path
) -> None:
    with Project.open(annotated) as project:
        for field in project.fields.all():
            project.fields.update(field.id, patient="Meyer")
    told = cli("export", annotated, tmp_path / "out.csv", "--format", "csv", "--json")
    assert told.json["patients_named"] == 1
    assert "names 1 patient: --anonymise" in told.err
    told = cli("export", annotated, tmp_path / "nameless.csv", "--format", "csv", "--json", "--anonymise")
    assert (told.json["patients_named"], told.err) == (0, "")


def test_an_export_that_cannot_be_written_is_refused(cli, annotated: Path, tmp_path: Path) -> None:
    cli("export", annotated, tmp_path, "--format", "coco").refuses(str(tmp_path))
    cli("export", annotated, tmp_path / "no" / "out.json", "--format", "coco").refuses("no")
    assert not (tmp_path / "no").exists()


def test_suggestions_are_exported_with_nothing_waiting_as_none(cli, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert cli("export", annotated, out, "--format", "coco", "--what", "suggestions").code == 0
    assert json.loads(out.read_text("utf-8"))["annotations"] == []


def test_the_formats_of_the_command_are_those_of_the_store() -> None:
    of = {action: next(options_of(action)).about.choices for action in (ImportOptions, ExportOptions)}
    assert [*of[ImportOptions]] == formats.names(reading=True)
    assert [*of[ExportOptions]] == formats.names(writing=True)


def test_a_data_set_folder_goes_out_and_comes_in(cli, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "yolo"
    answer = cli("export", annotated, out, "--format", "yolo", "--option", "val=0.3", "--json")
    assert answer.code == 0, answer.err
    assert (out / "data.yaml").is_file()
    other = tmp_path / "other"
    cli("new", other)
    back = cli("import", other, out, "--format", "yolo", "--json")
    assert back.code == 0, back.err
    assert back.json["fields"] > 0


def test_options_of_a_format_are_checked(cli, annotated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    cli("export", annotated, out, "--format", "yolo", "--option", "val").refuses("NAME=VALUE")
    cli("export", annotated, out, "--format", "yolo", "--option", "colour=red").refuses("colour", "val")
    cli("export", annotated, tmp_path / "o.json", "--format", "coco", "--option", "a=b").refuses("'a'")
    cli("import", annotated, tmp_path / "none", "--format", "yolo").refuses("none")
    assert not out.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no /dev/null")
@pytest.mark.parametrize("form", ["coco", "geojson", "voc"])
def test_a_device_is_not_said_to_be_missing(cli: Any, project: Path, form: str) -> None:
    cli("import", project, "/dev/null", "--format", form).refuses("/dev/null is a device or a pipe")

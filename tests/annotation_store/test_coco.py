"""COCO: what a project says goes out and comes back, and an import merges without overwriting."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from annotation_store import (
    FormatError,
    OutputError,
    Project,
    Proposal,
    RegionState,
    Shape,
    SuggestionState,
    formats,
    load_schema,
    schema_from_coco,
)
from annotation_store.formats.coco import coco
from annotation_store.geometry import iou
from tests.database import engine

SAMPLE = Path(__file__).parents[2] / "napari_lld" / "sample"
LLD = load_schema("lld")


def comparable(project: Project) -> dict[str, Any]:
    """What a COCO file carries of a project, free of numbers that are counted anew."""
    told: dict[str, Any] = {}
    for field in project.fields.all():
        cells = sorted(
            (
                c.box,
                str((c.cell_class, sorted(c.attributes.items()), c.kind)),
                (c.cut, c.bookmark, c.second_opinion, c.comment),
            )
            for c in project.cells.all(field.id)
        )
        regions = sorted(
            r.shape.coords for r in project.regions.all(field.id) if r.state == RegionState.FINISHED
        )
        ignored = sorted(a.shape.coords for a in project.ignore_areas.all(field.id))
        told[field.name] = (cells, regions, ignored, field.patient, field.pixel_size_um)
    return told


numbers = st.floats(0, 60, width=32).map(lambda v: round(v, 3))
boxes = st.tuples(numbers, numbers, st.floats(1, 39).map(float), st.floats(1, 19).map(float))
classes = st.sampled_from([None, "unsure", "blast", *LLD.class_names])
attributes = st.fixed_dictionaries(
    {}, optional={a.name: st.sampled_from([None, "unsure", *a.value_names]) for a in LLD.attributes}
)
cells = st.fixed_dictionaries(
    {"box": boxes, "cell_class": classes, "attributes": attributes},
    optional={
        "cut": st.booleans(),
        "comment": st.text(max_size=20),
        "bookmark": st.booleans(),
        "second_opinion": st.booleans(),
    },
)
triangles = st.tuples(numbers, numbers).map(
    lambda p: Shape.polygon([(p[0], p[1]), (p[0] + 30, p[1]), (p[0], p[1] + 15.5)])
)
shapes = st.one_of(boxes.map(Shape), triangles)


def are_apart(some: list[dict[str, Any]]) -> bool:
    """Whether no two boxes are one cell: of such an import takes one."""
    return all(iou(a["box"], b["box"]) < 0.9 for a, b in combinations(some, 2))


marks = st.tuples(
    st.lists(cells, max_size=6).filter(are_apart),
    st.lists(shapes, max_size=3),
    st.lists(shapes, max_size=2),
    st.booleans(),
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(on_fields=st.tuples(marks, marks))
def test_what_is_exported_comes_back_the_same(
    fresh: Callable[[], Project], image_folder: Path, tmp_path: Path, on_fields: Any
) -> None:
    with fresh() as first, fresh() as second:
        for field_id, (given_cells, regions, ignored, whole) in enumerate(on_fields, 1):
            for cell in given_cells:
                first.cells.add(field_id, **cell)
            for shape in regions:
                first.regions.add(field_id, shape)
            for shape in ignored:
                first.ignore_areas.add(field_id, shape)
            if whole:
                first.regions.add_whole_field(field_id)
        out = tmp_path / "out.json"
        report = formats.write("coco", first, out, overwrite=True)
        assert (report.fields, report.cells) == (2, len(first.cells.all()))
        came = formats.read("coco", second, out, images=image_folder)
        assert (came.fields, came.cells, came.skipped) == (0, len(first.cells.all()), [])
        assert comparable(second) == comparable(first)
        formats.write("coco", second, tmp_path / "again.json", overwrite=True)
        assert json.loads((tmp_path / "again.json").read_text()) == json.loads(out.read_text())
        again = formats.read("coco", second, out, images=image_folder)
        assert (again.cells, again.regions) == (0, 0), "the same file again adds nothing"
        assert comparable(second) == comparable(first)


@pytest.mark.parametrize("file", ["truth.json", "sparse.json"])
def test_the_bundled_sample_comes_in_and_goes_out_identical(tmp_path: Path, file: str) -> None:
    given_data = json.loads((SAMPLE / file).read_text())
    with Project.create(tmp_path / "p", "lld") as project:
        report = formats.read("coco", project, SAMPLE / file, images=SAMPLE / "fields")
        assert (report.fields, report.cells) == (18, len(given_data["annotations"]))
        assert report.skipped == []
        assert project.check() == []
        formats.write("coco", project, tmp_path / "out.json")
    out = json.loads((tmp_path / "out.json").read_text())
    listed = {c["id"]: c["name"] for c in out["categories"]}
    assert out["categories"][: len(given_data["categories"])] == given_data["categories"]
    for mine, theirs in zip(out["annotations"], given_data["annotations"], strict=True):
        theirs.setdefault("attributes", {})
        if theirs["category_id"] is None:  # of an old export; what has no class has a category of its own
            assert listed[mine["category_id"]] == theirs.get("class_group", "unclassified")
            theirs["category_id"] = mine["category_id"]
        mine["attributes"] = {k: v for k, v in mine["attributes"].items() if v is not None}
        assert {k: v for k, v in mine.items() if k != "id"} == {k: v for k, v in theirs.items() if k != "id"}
    whole = [[0, 0, image["width"], image["height"]] for image in given_data["images"]]
    for image, area in zip(given_data["images"], whole, strict=True):
        image.setdefault("annotated_regions", [area])
    assert out["images"] == given_data["images"]


def a_file(folder: Path, *annotations: dict[str, Any], **image: Any) -> Path:
    document = {
        "categories": [{"id": i, "name": c.name} for i, c in enumerate(LLD.classes)]
        + [{"id": 99, "name": "RBC"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80, **image}],
        "annotations": [
            {"id": i, "image_id": 1, "category_id": 10, "bbox": [10, 10, 20, 20], **annotation}
            for i, annotation in enumerate(annotations, 1)
        ],
    }
    path = folder / "given.json"
    path.write_text(json.dumps(document))
    return path


def read(project: Project, path: Path, images: Path, **options: Any) -> Any:
    return formats.read("coco", project, path, images=images, **options)


def test_regions_absent_mean_the_whole_field_and_an_empty_list_means_nothing(
    fresh: Callable[[], Project], image_folder: Path, tmp_path: Path
) -> None:
    rectangle, polygon = [5, 5, 50, 40], [0, 0, 50, 0, 0, 50]
    whole = [0, 0, 100, 80]
    for image, mode, expected in (
        ({}, "file", [whole]),
        ({"annotated_regions": []}, "file", []),
        ({"annotated_regions": [rectangle, polygon]}, "file", [rectangle, polygon]),
        ({}, "none", []),
        ({"annotated_regions": [rectangle]}, "none", []),
        ({"annotated_regions": [rectangle]}, "full", [whole]),
    ):
        with fresh() as project:
            read(project, a_file(tmp_path, {}, **image), image_folder, regions=mode)
            assert [list(r.shape.coords) for r in project.regions.all(1)] == expected
            assert project.regions.all(2) == []
            assert len(project.cells.all(1)) == 1


def test_missing_unsure_and_groups_are_kept_apart(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    path = a_file(
        tmp_path,
        {"bbox": [0, 0, 9, 9], "category_id": None},
        {"bbox": [10, 0, 9, 9], "category_id": None, "unsure": ["class", "nucleolus"]},
        {"bbox": [20, 0, 9, 9], "category_id": None, "class_group": "blast"},
        {"bbox": [30, 0, 9, 9], "attributes": {"nuclear_chromatio": "open", "cytoplasm": None}},
    )
    assert read(project, path, image_folder).skipped == []
    assert [(c.cell_class, dict(c.attributes)) for c in project.cells.all(1)] == [
        (None, {}),
        ("unsure", {"nucleolus": "unsure"}),
        ("blast", {}),
        ("Monocyte", {"nuclear_chromatin": "open"}),
    ]


def test_what_the_schema_does_not_know_is_skipped_with_a_reason_and_never_guessed(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    path = a_file(
        tmp_path,
        {"bbox": [0, 0, 9, 9], "category_id": 99},
        {"bbox": [10, 0, 9, 9], "category_id": 1234},
        {
            "bbox": [20, 0, 9, 9],
            "attributes": {"wings": "two", "cell_size": "gigantic", "cytoplasm": "scanty"},
        },
        {"bbox": [30, 0, 9, 9], "image_id": 77},
        {"bbox": [40, 0, 9, 9], "category_id": None, "class_group": "herd", "unsure": ["wings"]},
        {"bbox": [500, 0, 9, 9]},
        {"bbox": [50, 0, -9, 9]},
        {"bbox": [60, 0, 9, 9], "category_id": 0, "kind": "comet"},
    )
    report = read(project, path, image_folder)
    assert report.cells == 4
    assert dict(project.cells.all(1)[0].attributes) == {"cytoplasm": "scanty"}
    text = "\n".join(report.skipped)
    for word in ("RBC", "1234", "wings", "gigantic", "no image", "herd", "outside", "negative", "comet"):
        assert word in text


def test_a_white_cell_without_class_and_a_crowd_are_understood(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    path = a_file(tmp_path, {}, {"bbox": [50, 0, 20, 20], "iscrowd": 1})
    document = json.loads(path.read_text())
    document["categories"][10]["name"] = "WBC"
    path.write_text(json.dumps(document))
    read(project, path, image_folder)
    assert [c.cell_class for c in project.cells.all(1)] == [None]
    assert [a.shape.coords for a in project.ignore_areas.all(1)] == [(50, 0, 20, 20)]


def test_an_import_merges_lists_conflicts_and_overwrites_nothing(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    mine = project.cells.add(1, (10, 10, 20, 20), cell_class="Lymphocyte", attributes={"cell_size": "small"})
    before = project.cells.get(mine)
    path = a_file(
        tmp_path,
        {"bbox": [10.3, 10, 20, 20], "attributes": {"cell_size": "large"}},
        {"bbox": [50, 10, 20, 20]},
        annotated_regions=[[0, 0, 90, 70]],
    )
    report = read(project, path, image_folder)
    assert report.cells == 1
    assert project.cells.get(mine) == before
    assert any("Lymphocyte here, Monocyte in the file" in line for line in report.skipped)
    assert any("small here, large in the file" in line for line in report.skipped)
    assert project.undoable(1) == "Import given.json"
    project.undo(1)
    assert project.cells.all(1) == [before]
    assert project.regions.all(1) == []


def test_fields_come_in_with_the_file_and_are_matched_by_content_or_by_name(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    document = {
        "categories": [],
        "images": [
            {"id": "x", "file_name": "images/c.jpg", "patient": "P9", "pixel_size_um": 0.2},
            {"id": 2, "file_name": "b.png", "annotated_regions": []},
            {"id": 3, "file_name": "nowhere.png"},
        ],
        "annotations": [
            {"image_id": "x", "category_id": None, "bbox": [1, 1, 20, 20]},
            {"image_id": 2, "category_id": None, "bbox": [1, 1, 20, 20]},
        ],
    }
    (tmp_path / "images").mkdir()
    (tmp_path / "images/c.jpg").write_bytes((image_folder / "c.jpg").read_bytes())
    path = tmp_path / "given.json"
    path.write_text(json.dumps(document))
    report = formats.read("coco", project, path)
    assert (report.fields, report.cells, report.regions) == (1, 2, 1)
    assert report.skipped == ["nowhere.png: the image was not found."]
    field = project.fields.named("images/c.jpg")
    assert field is not None
    assert (field.patient, field.pixel_size_um) == ("P9", 0.2)
    assert len(project.cells.all(2)) == 1


def test_an_image_of_another_size_keeps_its_annotations_out(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    report = read(project, a_file(tmp_path, {}, width=200), image_folder)
    assert report.cells == 0
    assert "200 x 80" in report.skipped[0]


def test_suggestions_go_out_and_come_back_as_suggestions(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    proposal = Proposal(
        (10, 10, 20, 20),
        0.75,
        {"Monocyte": 0.625, "Neutrophil": 0.375},
        {"cell_size": {"small": 0.25, "large": 0.75}},
    )
    project.suggestions.replace(1, [proposal], model_id=None)
    formats.write("coco", project, tmp_path / "s.json", what="suggestions")
    document = json.loads((tmp_path / "s.json").read_text())
    (annotation,) = document["annotations"]
    assert annotation["score"] == 0.75
    assert annotation["category_id"] == 10
    assert annotation["class_probabilities"] == {"Monocyte": 0.625, "Neutrophil": 0.375}
    assert annotation["attributes"]["cell_size"] == "large"
    assert [image["annotated_regions"] for image in document["images"]] == [[], []]
    assert read(project, tmp_path / "s.json", image_folder).suggestions == 0, "it is there already"
    project.suggestions.reject(project.suggestions.find(1)[0].id)
    report = read(project, tmp_path / "s.json", image_folder)
    assert (report.cells, report.suggestions) == (0, 1)
    assert project.cells.all() == []
    (back,) = project.suggestions.find(1)
    assert (back.proposal, back.state) == (proposal, SuggestionState.PENDING)


def test_keys_that_the_store_has_no_word_for_are_handed_on(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    read(project, a_file(tmp_path, {"source_image": "BA_1.jpg", "area": 397.5}), image_folder)
    formats.write("coco", project, tmp_path / "out.json")
    (annotation,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert (annotation["source_image"], annotation["area"]) == ("BA_1.jpg", 397.5)
    project.cells.change(project.cells.all()[0].id, box=(10, 10, 30, 20))
    formats.write("coco", project, tmp_path / "out.json", overwrite=True)
    (annotation,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert annotation["area"] == 600


def test_an_anonymous_export_names_nobody_and_the_same_patient_alike(
    project: Project, image_folder: Path, tmp_path: Path
) -> None:
    for field_id in (1, 2):
        project.fields.update(field_id, patient="Jane Doe", slide="S-77")
    read(project, a_file(tmp_path, {"source_image": "Jane.jpg", "comment": "Jane again"}), image_folder)
    formats.write("coco", project, tmp_path / "out.json", anonymise=True)
    text = (tmp_path / "out.json").read_text()
    for word in ("Jane", "Doe", "S-77", '"a.png"', '"b.png"', str(image_folder)):
        assert word not in text
    first, second = json.loads(text)["images"]
    assert first["patient"] == second["patient"]
    assert first["file_name"] != second["file_name"]
    assert first["file_name"].endswith(".png")


def test_an_exported_file_carries_its_schema(project: Project, tmp_path: Path) -> None:
    formats.write("coco", project, tmp_path / "out.json")
    assert load_schema(tmp_path / "out.json") == LLD
    assert schema_from_coco(json.loads((tmp_path / "out.json").read_text())).digest() == LLD.digest()


def test_an_export_that_cannot_be_written_leaves_the_old_file(project: Project, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    for target in (tmp_path / "file" / "out.json", tmp_path):
        with pytest.raises(OutputError, match=str(tmp_path)):
            formats.write("coco", project, target)
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "project"]


def test_the_registry_knows_its_formats(project: Project, tmp_path: Path) -> None:
    assert "coco" in formats.names(reading=True)
    assert "coco" in formats.names(writing=True)
    with pytest.raises(FormatError, match="coco"):
        formats.read("papyrus", project, tmp_path)
    with pytest.raises(FormatError):
        formats.write("coco", project, tmp_path / "x.json", what="everything")
    with pytest.raises(FormatError):
        formats.read("coco", project, tmp_path / "x.json", regions="some")


def test_many_cells_come_in_with_few_statements(project: Project, image_folder: Path, tmp_path: Path) -> None:
    import sqlalchemy as sa

    boxes = [[x, y, 1.5, 1.5] for x in range(0, 96, 2) for y in range(0, 76, 2)]
    path = a_file(tmp_path, *({"bbox": box, "attributes": {"cell_size": "small"}} for box in boxes))
    count = [0]
    sa.event.listen(engine(project), "before_cursor_execute", lambda *_: count.__setitem__(0, count[0] + 1))
    assert read(project, path, image_folder).cells == len(boxes) == 1824
    assert count[0] < 25


def test_pure_parts_need_no_project() -> None:
    document = coco.from_coco(
        {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [], "categories": []}, LLD
    )
    assert [f.name for f in document.fields] == ["a.png"]
    assert coco.to_coco(LLD, [])["annotations"] == []

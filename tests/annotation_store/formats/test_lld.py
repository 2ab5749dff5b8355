"""LLD's files: columns, missing codes, the order of the patch, spellings, names and folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats.lld import lines as _lld_text
from annotation_store.formats.lld.codes import Codes, from_text, lld, origin, text_codes
from annotation_store.records import Shape
from annotation_store.schema import load_schema

VALUES = dict(
    zip(
        lld().attribute_names,
        ("medium", "coarse", "irregular", "prominent", "scanty", "slight", "absent"),
        strict=True,
    )
)
TWELVE = "7 0.25 0.5 0.2 0.25 1 1 1 1 0 0 0"


def data_set(
    folder: Path, image: Path, lines: str, name: str = "4_15_1000_ALL.png", part: str = "train"
) -> Path:
    for kind in ("images", "labels"):
        (folder / kind / part).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image, folder / "images" / part / name)
    (folder / "labels" / part / name).with_suffix(".txt").write_text(lines)
    return folder


def sixteen(patch: str, line: str = TWELVE) -> str:
    words = line.split()
    return " ".join([*words[:5], patch, *words[5:]])


def test_twelve_columns(blank: Callable[[], Project], tmp_path: Path, image_folder: Path) -> None:
    folder = data_set(tmp_path / "H_100x_C2", image_folder / "a.png", TWELVE + "\n")
    with blank() as project:
        report = formats.read("lld", project, folder)
        (cell,) = project.cells.all()
        (field,) = project.fields.all()
        assert (report.fields, report.cells, report.regions, report.skipped) == (1, 1, 1, [])
        assert (cell.cell_class, cell.attributes, cell.box) == ("Lymphocyte", VALUES, (15, 30, 20, 20))
        assert (field.patient, field.domain, field.note) == ("4", "H_100x_C2", "Diagnosis: ALL")
        assert project.regions.all()[0].shape.coords == (0, 0, 100, 80), "no patch: the whole field is known"


def test_a_given_expression_names_the_patient(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path
) -> None:
    folder = data_set(tmp_path / "set", image_folder / "a.png", TWELVE)
    with blank() as project:
        formats.read("lld", project, folder, patient_from=r"_(\d+)_1000")
        assert project.fields.all()[0].patient == "15"


@pytest.mark.parametrize(
    ("codes", "missing"),
    [
        ("2 2 2 2 2 2 2", set(VALUES) - {"cell_size"}),
        ("4 4 4 4 4 4 4", set(VALUES)),
        ("0 2 1 1 1 1 1", {"nuclear_chromatin"}),
    ],
)
def test_missing_codes(codes: str, missing: set[str]) -> None:
    (row,) = _lld_text.parse(f"7 0.5 0.5 0.1 0.1 {codes}".encode(), "a.txt")
    values = Codes(load_schema("lld")).values(from_text(row.codes, artefact=False))
    assert set(VALUES) - set(values) == missing
    if codes.startswith("2"):
        assert values == {"cell_size": "large"}, "2 is a size, not a missing one"


def test_an_artefact_has_no_size() -> None:
    assert from_text([2] * 7, artefact=True) == [None] * 7
    assert from_text([1, 2, 2, 2, 2, 2, 2], artefact=True)[0] == 1


@given(st.lists(st.sampled_from([0, 1, 4]), min_size=7, max_size=7))
def test_lines_never_stop_the_published_code(numbers: list[int]) -> None:
    codes, _ = text_codes(numbers)
    binary = codes[1:]
    assert 2 in binary[1:] or binary[0] != 2
    assert all(code in (0, 1, 2) for code in binary)
    read = from_text(codes, artefact=False)
    assert all(r is None or r == n for r, n in zip(read, numbers, strict=True))


# -- the patch -----------------------------------------------------------------------------------

# cells around (160, 320) of the canvas: a patch 100..300 x 200..500
XYXY, XXYY = "100 200 300 500", "100 300 200 500"


@pytest.mark.parametrize("patch", [XYXY, XXYY])
def test_the_order_of_the_patch_is_found(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path, patch: str
) -> None:
    lines = [
        sixteen(patch, "7 0.25 0.5 0.2 0.25 1 1 1 1 0 0 0"),
        sixteen(patch, "7 0.4 0.6 0.2 0.25 1 1 1 1 0 0 0"),
        sixteen(patch, "7 0.3 0.8 0.1 0.1 1 1 1 1 0 0 0"),
    ]
    folder = data_set(tmp_path / "set", image_folder / "a.png", "\n".join(lines))
    with blank() as project:
        formats.read("lld", project, folder)
        (region,) = project.regions.all()
        # 100 x 80 pixels on a canvas of 640: scale 6.4, 64 above and below
        assert region.shape.coords == pytest.approx((15.625, 21.25, 31.25, 46.875))


def test_both_orders_fit_and_nothing_is_guessed(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path
) -> None:
    folder = data_set(
        tmp_path / "set",
        image_folder / "a.png",
        sixteen("100 200 300 500", "7 0.25 0.5 0.1 0.1 1 1 1 1 0 0 0").replace("100 200", "100 120"),
    )
    with blank() as project:
        with pytest.raises(FormatError, match="patch_order=xyxy or patch_order=xxyy"):
            formats.read(
                "lld",
                project,
                data_set(tmp_path / "open", image_folder / "a.png", sixteen("100 180 200 500")),
            )
        assert project.fields.all() == []
    for order, left in (("xyxy", 180), ("xxyy", 200)):
        with blank() as project:
            formats.read("lld", project, tmp_path / "open", options={"patch_order": order})
            (region,) = project.regions.all()
            top = (left - 64) / 6.4
            assert region.shape.coords[1] == pytest.approx(top, abs=0.01)
    with blank() as project, pytest.raises(FormatError, match="give xyxy or xxyy"):
        formats.read("lld", project, folder, options={"patch_order": "yxyx"})


def test_neither_order_fits(blank: Callable[[], Project], tmp_path: Path, image_folder: Path) -> None:
    folder = data_set(tmp_path / "set", image_folder / "a.png", sixteen("600 600 610 610"))
    with blank() as project, pytest.raises(FormatError, match="neither order"):
        formats.read("lld", project, folder)


rectangles = st.tuples(st.integers(0, 80), st.integers(0, 60), st.integers(5, 20), st.integers(5, 20))


@given(rectangles, st.sampled_from([(100, 80), (640, 640), (1000, 400), (333, 777)]))
def test_a_patch_comes_back_as_the_region_it_was(rectangle: tuple[int, ...], size: tuple[int, int]) -> None:
    x, y, w, h = rectangle
    words = _lld_text.patch_words((x, y, w, h), size)
    patch = tuple(float(word) for word in words)
    assert _lld_text.region(patch, "xyxy", size) == pytest.approx((x, y, w, h), abs=0.001)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 79)), min_size=3, max_size=7))
def test_the_rectangle_in_a_polygon_lies_inside(points: list[tuple[int, int]]) -> None:
    shape = Shape.polygon(points)
    if not shape.geometry.is_valid or shape.geometry.area < 1:
        return
    found = _lld_text.inner_rectangle(shape)
    if found is not None:
        assert shape.geometry.buffer(1e-6).covers(Shape(found).geometry)


# -- JSON ----------------------------------------------------------------------------------------


def published(**flat: object) -> dict[str, object]:
    box = {"id": 1, "image_id": 1, "category_id": 3, "bbox": [10, 10, 20, 20], "area": 400, "iscrowd": 0}
    return {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 3, "name": "atypical lymphocyte"}],
        "annotations": [{**box, **flat}],
    }


SPELLINGS = ["nucleolus", "Nucleus", "Nucleous"]


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("chromatin", ["nuclear_chromatio", "nuclear_chromatin"])
def test_every_published_spelling(
    project: Project, tmp_path: Path, image_folder: Path, spelling: str, chromatin: str
) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(published(**{spelling: 1, chromatin: 0, "cell_size": 2, "cytoplasm": 4})))
    report = formats.read("lld", project, path, images=image_folder)
    (cell,) = project.cells.all()
    assert report.skipped == []
    assert cell.cell_class == "Atypical lymphocyte"
    assert cell.attributes == {"nucleolus": "prominent", "nuclear_chromatin": "open", "cell_size": "large"}


def test_codes_that_mean_nothing_are_told(project: Project, tmp_path: Path, image_folder: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps(published(nucleolus=7, cytoplasm="abundant", cell_size=None)))
    report = formats.read("lld", project, path, images=image_folder)
    assert report.skipped == ["value 7 of nucleolus is not among LLD's: left out (1 cells)."]
    assert project.cells.all()[0].attributes == {"cytoplasm": "abundant"}


def test_the_published_layout_of_folders(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path
) -> None:
    folder = tmp_path / "L_40x_C1"
    for part in ("train", "test"):
        (folder / "Images" / part).mkdir(parents=True)
        (folder / "Annotations").mkdir(exist_ok=True)
        shutil.copyfile(
            image_folder / f"{'a' if part == 'train' else 'b'}.png",
            folder / "Images" / part / "9_1_1000_CML.png",
        )
        document = published(cell_size=0)
        document["images"][0]["file_name"] = "9_1_1000_CML.png"  # type: ignore[index]
        (folder / "Annotations" / f"{part}.json").write_text(json.dumps(document))
    with blank() as project:
        report = formats.read("lld", project, folder)
        assert (report.fields, report.cells) == (2, 2)
        assert {(f.patient, f.domain, f.note) for f in project.fields.all()} == {
            ("9", "L_40x_C1", "Diagnosis: CML")
        }


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("H_100x_C1/images/train/4_15_1000_ALL.png", ("4", "ALL", "H_100x_C1")),
        ("LLD/L/10X/C2/12_3_400_APML.png", ("12", "APML", "L_10x_C2")),
        ("HCM_40x_c1/p1_f2_400_Normal.jpg", ("p1", "Normal", "H_40x_C1")),
        ("4_15_1000_ALL_r2.png", ("4", "ALL", None)),
        ("scan.png", (None, None, None)),
        ("a/b_c.png", (None, None, None)),
    ],
)
def test_names_and_folders(path: str, expected: tuple[str | None, ...]) -> None:
    found = origin(path)
    assert (found.patient, found.diagnosis, found.domain) == expected


def test_other_schemas_keep_what_lld_has_a_word_for(tmp_path: Path, image_folder: Path) -> None:
    with Project.create(tmp_path / "project", schema="wbcatt") as project:
        project.fields.add([image_folder / "a.png"])
        project.regions.add_whole_field(1)
        project.cells.add(
            1, (5, 5, 20, 20), cell_class="Eosinophil", attributes={"cell_size": "big", "granularity": "yes"}
        )
        report = formats.write("lld", project, tmp_path / "x.json")
        (found,) = json.loads((tmp_path / "x.json").read_text("utf-8"))["annotations"]
        assert (found["category_id"], found["cell_size"], found["nucleolus"]) == (12, 2, 4)
        assert report.skipped == ["attributes that LLD lacks were left out (1 cells)."]
        formats.read("lld", project, tmp_path / "x.json")
        assert len(project.cells.all()) == 1


def test_yolo_labels_are_not_taken_for_lld(project: Project, tmp_path: Path, image_folder: Path) -> None:
    folder = data_set(tmp_path / "set", image_folder / "a.png", "0 0.5 0.5 0.1 0.1")
    with pytest.raises(FormatError, match="Read it as yolo"):
        formats.read("lld", project, folder)


def test_the_yaml_of_a_data_set_says_which_class_a_number_is(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path
) -> None:
    folder = data_set(tmp_path / "set", image_folder / "a.png", TWELVE + "\n")
    (folder / "films.yaml").write_text("names: {7: Monocyte, 10: Lymphocyte, 3: unheard of}")
    (folder / "other.yaml").write_text("names: {7: Basophil}")
    for name, found in (("films.yaml", "Monocyte"), ("other.yaml", "Basophil")):
        with blank() as project:
            formats.read("lld", project, folder / name)
            assert [cell.cell_class for cell in project.cells.all()] == [found]
    with blank() as project, pytest.raises(FormatError, match="list different classes"):
        formats.read("lld", project, folder)


@pytest.mark.parametrize(
    ("line", "finished"),
    [
        ("7 0.5 0.5 0.1 0.1 2 1 1 1 1 1 x", True),
        ("x 0.5 0.5 0.1 0.1 2 1 1 1 1 1 1", True),
        ("7 1.5 0.5 0.1 0.1 2 1 1 1 1 1 1", False),
        ("7 0.5 0.5 0.1 0.1 2 1", False),
        ("7 nan 0.5 0.1 0.1 2 1 1 1 1 1 1", False),
    ],
)
def test_a_line_that_is_no_label_is_told_and_no_background(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path, line: str, finished: bool
) -> None:
    folder = data_set(tmp_path / "set", image_folder / "a.png", f"{TWELVE}\n{line}\n")
    with blank() as project:
        report = formats.read("lld", project, folder)
        assert report.cells == 1
        assert any("line 2" in sentence for sentence in report.skipped)
        assert len(project.regions.all()) == finished
        inside = [a for a in project.ignore_areas.all() if a.shape.contains_centre((45, 36, 10, 8))]
        assert len(inside) == (finished and "1.5" not in line)


def test_one_odd_json_or_code_keeps_no_other_out(
    blank: Callable[[], Project], tmp_path: Path, image_folder: Path
) -> None:
    folder = tmp_path / "set"
    (folder / "Annotations").mkdir(parents=True)
    (folder / "Images" / "train").mkdir(parents=True)
    (folder / "Images" / "train" / "a.png").write_bytes((image_folder / "a.png").read_bytes())
    marked = {"image_id": 1, "category_id": 10, "bbox": [10, 10, 20, 20], "id": 1}
    document = {
        "images": [{"id": 1, "file_name": "a.png", "width": 100, "height": 80}],
        "categories": [{"id": 10, "name": "Monocyte"}],
        "annotations": [marked | {"cell_size": 0.5, "nucleolus": 1}],
    }
    (folder / "Annotations" / "train.json").write_text(json.dumps(document))
    (folder / "Annotations" / "test.json").write_text("[")
    with blank() as project:
        report = formats.read("lld", project, folder)
        (cell,) = project.cells.all()
        assert (cell.cell_class, set(cell.attributes)) == ("Monocyte", {"nucleolus"})
        assert len(report.skipped) == 2


@pytest.mark.parametrize("name", ["lld", "yolo", "voc", "geojson"])
def test_a_folder_that_is_not_there_is_one_sentence(project: Project, tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match="folder"):
        formats.read(name, project, tmp_path / "nowhere")

"""YOLO data sets as people keep them: YAML files of any name, quoted numbers, lines that are not labels."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.files.yaml_reader import BadYamlError, load_words, load_yaml
from annotation_store.formats._exchange.document import Document
from annotation_store.formats._exchange.images import Images
from annotation_store.formats.yolo.names import data_set_of, parse_names
from annotation_store.formats.yolo.yolo import from_folder
from annotation_store.schema import load_schema

MakeSet = Callable[..., Path]
LABELS = "0 0.25 0.5 0.2 0.25\n1 0.7 0.5 0.2 0.25\n"


@pytest.fixture
def make_set(tmp_path: Path, image_folder: Path) -> MakeSet:
    """Make a data set of one image, with files by name and text."""

    def make(labels: str = LABELS, home: str = "set", **files: str) -> Path:
        folder = tmp_path / home
        for name, text in {"labels/a.txt": labels, **files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, "utf-8")
        (folder / "images").mkdir()
        shutil.copyfile(image_folder / "a.png", folder / "images" / "a.png")
        return folder

    return make


def read(path: Path) -> Document:
    data_set = data_set_of(path)
    return from_folder(data_set, load_schema("lld"), Images.for_file(data_set.root, None))


def classes(document: Document) -> list[str | None]:
    return [cell.cell_class for field in document.fields for cell in field.cells]


# -- which YAML ----------------------------------------------------------------------------------


def test_the_yaml_that_is_named_is_the_one_that_is_read(make_set: MakeSet) -> None:
    folder = make_set(
        **{"data.yaml": "names: [Monocyte, Basophil]", "films2024.yml": "names: [Neutrophil, Lymphocyte]"}
    )
    assert classes(read(folder / "films2024.yml")) == ["Neutrophil", "Lymphocyte"]
    assert classes(read(folder)) == ["Monocyte", "Basophil"], "data.yaml is the usual name"
    (folder / "data.yaml").unlink()
    assert classes(read(folder)) == ["Neutrophil", "Lymphocyte"], "the only one there"


def test_a_named_list_of_classes_is_read(make_set: MakeSet) -> None:
    folder = make_set(**{"data.yaml": "names: [Monocyte, Basophil]", "obj.names": "Neutrophil\nLymphocyte\n"})
    assert classes(read(folder / "obj.names")) == ["Neutrophil", "Lymphocyte"]


def test_an_empty_line_in_a_list_of_classes_shifts_no_number(make_set: MakeSet) -> None:
    assert classes(read(make_set(**{"classes.txt": "Neutrophil\n\nMonocyte\n\n"}))) == ["Neutrophil"]


def test_files_that_name_different_classes_are_refused(make_set: MakeSet) -> None:
    folder = make_set(**{"1.yaml": "names: [Monocyte]", "2.yaml": "names: [Basophil]", "args.yaml": "lr: 1"})
    with pytest.raises(FormatError, match=r"'1\.yaml' and '2\.yaml' list different"):
        read(folder)


@pytest.mark.parametrize("place", ["sets/films.yaml", "cfg/films.yaml"])
def test_a_yaml_beside_the_data_says_where_they_are(make_set: MakeSet, tmp_path: Path, place: str) -> None:
    make_set(home="sets/films")
    make_set(home="sets/others", labels="1 0.5 0.5 0.1 0.1\n")
    path = tmp_path / place
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        f"path: {'films' if place.startswith('sets') else '../sets/films'}\nnames: [Monocyte, Basophil]\n"
    )
    assert classes(read(path)) == ["Monocyte", "Basophil"]


def test_a_yaml_does_not_lead_elsewhere(make_set: MakeSet, tmp_path: Path) -> None:
    make_set(home="private")
    path = tmp_path / "given" / "deep" / "data.yaml"
    path.parent.mkdir(parents=True)
    for stated in ("../../private", str(tmp_path / "private"), "\\x00", "~"):
        path.write_text(f'path: "{stated}"\nnames: [Monocyte]\n', "utf-8")
        assert data_set_of(path).root == path.parent


# -- what it says --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "names: {'0': Neutrophil, \"1\": Lymphocyte}",
        "# films/*.png\nnames:\n  0: Neutrophil\n  1: Lymphocyte\n  2: Clump & debris\n  3: 'R&D: *'\n",
        "names: &all [Neutrophil, Lymphocyte]\n",
        '{"names": ["Neutrophil", "Lymphocyte"]}',
        "\ufeffnc: 2\nnames:\n- Neutrophil\n- Lymphocyte\n",
    ],
)
def test_names_are_read_by_what_the_yaml_means(text: str) -> None:
    names = parse_names(text.encode(), "data.yaml")
    assert (names[0], names[1]) == ("Neutrophil", "Lymphocyte")


@pytest.mark.parametrize("text", ["[Monocyte, null]", "[Monocyte, ~]", "{0: Monocyte, 1: }"])
def test_a_number_whose_name_is_null_has_no_class(make_set: MakeSet, text: str) -> None:
    document = read(make_set(**{"data.yaml": f"names: {text}\n"}))
    assert classes(document) == ["Monocyte"]
    assert [label for label, _ in document.fields[0].unknown_boxes] == ["1"]
    assert "class number 1 has no name in the data set: 1 boxes skipped." in document.skipped.sentences()
    assert parse_names(b"names: [None, 'None']", "data.yaml") == {0: "None", 1: "None"}


def test_names_are_the_words_that_stand_there() -> None:
    text = "names: [No, 1e5, 2024-01-02, 007, 'null', null, None, 0x1F, 'a: b']"
    assert list(parse_names(text.encode(), "x").values()) == [
        "No", "1e5", "2024-01-02", "007", "null", "None", "0x1F", "a: b",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("names: [&a x, *a]", "aliases"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nnames: *b\n", "aliases"),
        ("names: {0: x, '0': y}", "0 twice"),
        ("names: {x: 0}", "whole numbers"),
        ("names: {0: [x]}", "whole numbers"),
        ("names: {-1: x}", "whole numbers"),
        ("names: 3", "no names"),
        ("[" * 100_000, "nest"),
        ("names: [x", "cannot be read as YAML"),
    ],
)
def test_what_is_no_list_of_names_is_refused(text: str, reason: str) -> None:
    with pytest.raises(FormatError, match=reason):
        parse_names(text.encode(), "data.yaml")


def test_one_guard_judges_all_yaml_by_its_structure() -> None:
    assert load_yaml("a: 'x & y' # *z: *") == {"a": "x & y"}
    for load in (load_yaml, load_words):
        with pytest.raises(BadYamlError, match="aliases"):
            load("a: &a 1\nb:\n    - *a\n")


# -- lines ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "box"),
    [
        ("x 0.5 0.5 0.1 0.1", (45, 36, 10, 8)),
        ("-1 0.5 0.5 0.1 0.1", (45, 36, 10, 8)),
        ("1.5 0.5 0.5 0.1 0.1", (45, 36, 10, 8)),
        ("9 0.5 0.5 0.1 0.1", (45, 36, 10, 8)),
        ("0 1.2 0.5 0.5 0.1", None),
        ("0 0.5 0.5 -0.1 0.1", None),
        ("0 0.5 0.5 0.1", None),
        ("0 0.5 0.5 nan 0.1", None),
        ("0 0,5 0,5 0,1 0,1", None),
        ("\u0660 0.5 0.5 0.1 0.1", (45, 36, 10, 8)),
    ],
)
def test_a_line_that_is_no_label_is_told_and_never_background(
    make_set: MakeSet, line: str, box: tuple[float, ...] | None
) -> None:
    document = read(make_set(f"{LABELS}{line}\n", **{"data.yaml": "names: [Monocyte, Basophil]"}))
    (field,) = document.fields
    assert classes(document) == ["Monocyte", "Basophil"]
    assert len(document.skipped.sentences()) == 1
    if box is None:
        assert field.lost == [None], "nobody knows where it lies, so the field is not finished"
    else:
        assert [*(found for _, found in field.unknown_boxes), *field.lost] == [box]


def test_a_label_file_that_is_no_text_keeps_no_other_out(make_set: MakeSet, image_folder: Path) -> None:
    folder = make_set(**{"data.yaml": "names: [Monocyte, Basophil]"})
    (folder / "labels" / "b.txt").write_bytes(b"\x00\xff\x00")
    shutil.copyfile(image_folder / "b.png", folder / "images" / "b.png")
    document = read(folder)
    assert classes(document) == ["Monocyte", "Basophil"]
    assert [field.lost for field in document.fields] == [[], [None]]
    assert "b.txt" in document.skipped.sentences()[0]


def test_a_folder_of_lines_that_are_no_labels_is_refused(make_set: MakeSet, project: Project) -> None:
    folder = make_set("0 10 20 30 40\n", **{"data.yaml": "names: [Monocyte]"})
    with pytest.raises(FormatError, match="shares of the image's width and height"):
        formats.read("yolo", project, folder)


def test_key_points_after_a_box_are_passed_over(make_set: MakeSet) -> None:
    line = "0 0.25 0.5 0.2 0.25 0.1 0.2 0.3 0.4\n"
    folder = make_set(line, **{"data.yaml": "names: [Monocyte]\nkpt_shape: [2, 2]\n"})
    (cell,) = read(folder).fields[0].cells
    assert cell.box == (15, 30, 20, 20)


def test_a_confidence_that_is_no_number_is_still_a_machines(make_set: MakeSet) -> None:
    document = read(make_set("0 0.25 0.5 0.2 0.25 nan\n", **{"data.yaml": "names: [Monocyte]"}))
    (field,) = document.fields
    assert field.cells == []
    assert field.proposals[0][1].confidence == 0


def test_labels_without_a_folder_of_their_own_find_images_elsewhere(
    tmp_path: Path, image_folder: Path, project: Project
) -> None:
    folder = tmp_path / "labels_only"
    folder.mkdir()
    (folder / "a.txt").write_text(LABELS)
    (folder / "notes.txt").write_text("nothing")
    (folder / "classes.txt").write_text("Monocyte\nBasophil\n")
    report = formats.read("yolo", project, folder, images=image_folder)
    assert report.cells == 2

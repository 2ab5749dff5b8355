"""Tables as spreadsheets, pandas and R write and read them."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats import cells_csv
from annotation_store.formats._exchange.document import Document
from annotation_store.formats._io.tables import escaped, unescaped
from annotation_store.records import Proposal
from annotation_store.schema import Schema, load_schema

LLD = load_schema("lld")
ODD_WORDS = (
    "NA", "null", "nan", "None", "n/a", "NULL", "TRUE", "false", "1", "007", "1e5", "-3", "3/4", "2024-01-02",
    "MAR1", "inf", "=1+1", "'quoted", "#N/A", "12:30",
)  # fmt: skip


def parsed(text: str, schema: Schema = LLD) -> Document:
    return cells_csv.parse(text.encode(), schema, "cells.csv")


def boxes(document: Document) -> list[tuple[float, ...]]:
    return [cell.box for field in document.fields for cell in field.cells]


# -- delimiters and numbers ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "field;x;y;w;h\na.png;14,5;14,25;20;20\n",
        "\ufefffield;x;y;w;h\r\na.png;14,5;14,25;20;20\r\n",
        'field\tx\ty\tw\th\na.png\t"14,5"\t14,25\t20\t20\n',
        'field,x,y,w,h\na.png,"14,5","14,25",20,20\n',
        "field|x|y|w|h\na.png|14.5|14.25|20|20\n",
        "sep=;\nfield;x;y;w;h\na.png;14,5;14,25;20;20\n",
        "SEP=,\nfield,x,y,w,h\na.png,14.5,14.25,20,20\n",
        '"sep=;";;;;\nfield;x;y;w;h\na.png;14,5;14,25;20;20\n',
        '"field, of view",field;x,"y","w","h"\n'.replace("field;x", "field,x") + "z,a.png,14.5,14.25,20,20\n",
        'x;y;w;h;"a,b,c,d,e,f";field\n14,5;14,25;20;20;z;a.png\n',
        "field;x;y;w;h\na.png;14,5;14,25;20,000;20\n",
    ],
)
def test_a_table_is_read_by_the_convention_that_it_follows(text: str) -> None:
    assert boxes(parsed(text)) == [(14.5, 14.25, 20, 20)]


def test_a_table_in_utf_16_with_decimal_commas_is_read() -> None:
    data = "field;x;y;w;h\na.png;14,5;14,25;20;20\n".encode("utf-16")
    assert boxes(cells_csv.parse(data, LLD, "cells.csv")) == [(14.5, 14.25, 20, 20)]


@pytest.mark.parametrize(
    "numbers",
    ["14,5;14.25;20;20", "1.234,5;10;20;20", "1,234.5;10;20;20", "14,5;1.234;20;20"],
)
def test_commas_that_may_be_either_sign_are_refused(numbers: str) -> None:
    with pytest.raises(FormatError, match=r"are ambiguous .*one decimal separator"):
        parsed(f"field;x;y;w;h\na.png;{numbers}\n")


def test_a_table_in_windows_1252_is_read_and_told() -> None:
    data = "field;patient;x;y;w;h\nPrä.png;Müller – 2;1,5;2;3;4\n".encode("cp1252")
    document = cells_csv.parse(data, LLD, "t.csv")
    (field,) = document.fields
    assert (field.name, field.patient, field.cells[0].box) == ("Prä.png", "Müller – 2", (1.5, 2, 3, 4))
    assert any("Windows-1252" in line for line in document.skipped.sentences())
    with pytest.raises(FormatError, match="UTF-8"):
        cells_csv.parse(b"\x89PNG\r\n\x1a\n\x00", LLD, "t.csv")


def test_thousands_in_a_table_with_commas_are_refused() -> None:
    with pytest.raises(FormatError, match="thousands"):
        parsed('field,x,y,w,h\na.png,"1,234",10,20,20\n')
    with pytest.raises(FormatError, match="thousands"):
        parsed("field\tx\ty\tw\th\na.png\t1,234\t10\t20\t20\n")


# -- rows that cannot be read --------------------------------------------------------------------


@pytest.mark.parametrize(
    "row",
    [
        "a.png,14. Mai,5,6,7",
        "a.png,,5,6,7",
        "a.png,nan,5,6,7",
        "a.png,1 234,5,6,7",
        "a.png,1,2,3,4,5,6",
        "a.png,1,2",
        ",1,2,3,4",
        "../a.png,1,2,3,4",
    ],
)
def test_a_row_that_cannot_be_read_is_left_out_and_told(row: str) -> None:
    document = parsed(f"field,x,y,w,h\nb.png,1,2,30,40\n{row}\nb.png,5,6,7,8\n")
    assert boxes(document) == [(1, 2, 30, 40), (5, 6, 7, 8)]
    (sentence,) = document.skipped.sentences()
    assert "line 3" in sentence
    assert sentence.endswith("The row was left out.")


def test_empty_cells_after_the_last_column_are_nothing() -> None:
    document = parsed("field,x,y,w,h\na.png,1,2,3,4,,\n,,,,\n")
    assert boxes(document) == [(1, 2, 3, 4)]
    assert not document.skipped


def test_a_negative_width_is_a_box_drawn_from_the_other_corner() -> None:
    assert boxes(parsed("field,x,y,w,h\na.png,30,40,-20,-10\n")) == [(10, 30, 20, 10)]


def test_a_pixel_size_that_is_no_number_costs_no_cell() -> None:
    document = parsed("field,x,y,w,h,pixel_size_um\na.png,1,2,3,4,small\n")
    assert boxes(document) == [(1, 2, 3, 4)]
    assert "pixel_size_um 'small'" in document.skipped.sentences()[0]


# -- machines' rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["", "nan", "NA", "null"])
@pytest.mark.parametrize("column", ["confidence", "Score", "conf"])
def test_a_row_without_confidence_in_a_machines_table_is_a_suggestion(word: str, column: str) -> None:
    document = parsed(f"field,x,y,w,h,class,{column}\na.png,1,2,3,4,Monocyte,{word}\na.png,9,9,3,4,,0.5\n")
    assert boxes(document) == []
    (field,) = document.fields
    assert [proposal.confidence for _, proposal in field.proposals] == [0, 0.5]
    assert "confidence 0" in document.skipped.sentences()[0]


# -- words ---------------------------------------------------------------------------------------


def odd_schema() -> Schema:
    kept = [word for word in ODD_WORDS if word.lower() not in ("null", "1")]
    distinct = {"".join(c for c in word.casefold() if c.isalnum()): word for word in kept}
    words = [word for spelled, word in distinct.items() if spelled]
    return Schema.model_validate(
        {
            "name": "odd",
            "classes": [
                {
                    "id": n,
                    "name": word,
                    "colour": f"#8080{n:02x}",
                    "letter": chr(65 + n),
                    **({"title": f"Class {n}!"} if n % 2 else {}),
                }
                for n, word in enumerate(words)
            ],
            "attributes": [{"name": "grade", "values": [{"name": word} for word in words]}],
        }
    )


def told(project: Project) -> set[tuple[object, ...]]:
    cells = project.cells.all()
    return {(c.field_id, c.box, c.cell_class, c.attributes.get("grade"), c.comment) for c in cells}


def test_words_that_mean_nothing_or_numbers_to_others_are_kept_apart(
    image_folder: Path, tmp_path: Path
) -> None:
    schema = odd_schema()
    out = tmp_path / "cells.csv"
    with Project.create(tmp_path / "project", schema) as project:
        project.fields.add([image_folder / "a.png", image_folder / "b.png"])
        project.fields.update(1, patient="NA", slide="none", domain="n/a")
        project.fields.update(2, patient="007")
        for n, name in enumerate(schema.class_names):
            project.cells.add(
                1, (n, 2 * n, 9, 9), cell_class=name, attributes={"grade": name}, comment=ODD_WORDS[n]
            )
        project.cells.add(1, (60, 60, 9, 9))
        project.cells.add(2, (60, 60, 9, 9))
        formats.write("csv", project, out)
        before = {
            (c.field_id, c.box, c.cell_class, c.attributes.get("grade"), c.comment)
            for c in project.cells.all()
        }
    table = pd.read_csv(out)
    assert table["class"].isna().sum() == 2, "the cells whose class is missing, and no others"
    assert table["class"].nunique() == len(schema.classes)
    assert table["grade"].nunique() == len(schema.classes)
    assert set(table["patient"].astype(str)) == {"'NA", "7"} or set(table["patient"]) == {"'NA", "007"}
    assert table["comment"].notna().sum() == len(schema.classes)
    with Project.create(tmp_path / "again", schema) as project:
        report = formats.read("csv", project, out, images=image_folder)
        assert report.skipped == []
        after = {
            (c.field_id, c.box, c.cell_class, c.attributes.get("grade"), c.comment)
            for c in project.cells.all()
        }
        assert after == before
        assert [(f.patient, f.slide, f.domain) for f in project.fields.all()] == [
            ("NA", "none", "n/a"),
            ("007", None, None),
        ]


def test_an_artefact_is_told_from_a_missing_class(project: Project, tmp_path: Path) -> None:
    project.cells.add(1, (1, 2, 30, 40), cell_class="None")
    project.cells.add(1, (50, 2, 30, 40))
    project.suggestions.replace(2, [Proposal((5, 5, 9, 9), 0.5, {"None": 1.0}, {})], model_id=None)
    for what, count in (("cells", 2), ("suggestions", 1)):
        formats.write("csv", project, tmp_path / f"{what}.csv", what=what)
        table = pd.read_csv(tmp_path / f"{what}.csv")
        assert len(table) == count
        assert table["class"][0] == "Artefact"
        again = cells_csv.parse((tmp_path / f"{what}.csv").read_bytes(), project.schema, "x.csv")
        found = [c.cell_class for f in again.fields for c in f.cells]
        found += [p.best_class for f in again.fields for _, p in f.proposals]
        assert found[0] == "None"


def test_the_table_of_crops_tells_artefacts_from_missing_classes_too(
    project: Project, tmp_path: Path
) -> None:
    project.cells.add(1, (1, 2, 30, 40), cell_class="None", cut=True)
    project.cells.add(1, (50, 2, 30, 40))
    formats.write("crops", project, tmp_path / "crops")
    table = pd.read_csv(tmp_path / "crops" / "crops.csv")
    assert table["class"].isna().tolist() == [False, True]
    assert table["cut"][0] == "yes", "no name, and read as it is"
    assert table["crop_x"].tolist() == [1, 50]
    assert len(parsed((tmp_path / "crops" / "crops.csv").read_text("utf-8-sig")).fields[0].cells) == 2


def test_words_for_nothing_are_nothing_unless_the_schema_knows_them() -> None:
    text = "field,x,y,w,h,class,patient,cell_size\na.png,1,2,3,4,NA,NA,nan\na.png,9,9,3,4,None,NA,large\n"
    document = parsed(text)
    (field,) = document.fields
    assert [cell.cell_class for cell in field.cells] == [None, "None"]
    assert [dict(cell.attributes) for cell in field.cells] == [{}, {"cell_size": "large"}]
    assert field.patient is None
    assert not document.skipped


@pytest.mark.parametrize(
    ("word", "cut"),
    [("wahr", True), ("JA", True), ("1.0", True), ("x", True), ("FALSCH", False), ("0.0", False)],
)
def test_booleans_of_other_languages_and_programs_are_read(word: str, cut: bool) -> None:
    (cell,) = parsed(f"field,x,y,w,h,cut\na.png,1,2,3,4,{word}\n").fields[0].cells
    assert bool(cell.flags.get("cut")) is cut


@given(st.text(max_size=6), st.booleans())
def test_what_is_escaped_comes_back(text: str, typed: bool) -> None:
    assert unescaped(escaped(text, typed=typed)) == text


def test_what_is_escaped_is_a_text_to_pandas() -> None:
    written = [escaped(word, typed=True) for word in ODD_WORDS]
    assert [unescaped(word) for word in written] == [*ODD_WORDS]
    for word in written:
        assert pd.read_csv(io.StringIO(f'a\n"{word}"\n'))["a"].tolist() == [word]


def test_each_class_has_a_folder_of_its_own_among_the_crops(image_folder: Path, tmp_path: Path) -> None:
    words = ["con", "Blast", "blAst ", "a/b", "a:b", "nul"]
    classes = [
        {"id": n, "name": word.strip(), "colour": f"#8080{n:02x}", "letter": chr(65 + n)}
        for n, word in enumerate(words)
        if word != "blAst "
    ]
    schema = Schema.model_validate({"name": "odd", "classes": classes})
    with Project.create(tmp_path / "project", schema) as project:
        project.fields.add([image_folder / "a.png"])
        for n, name in enumerate(schema.class_names):
            project.cells.add(1, (9 * n, 5, 8, 8), cell_class=name)
        report = formats.write("crops", project, tmp_path / "crops")
    folders = [p.name for p in (tmp_path / "crops").iterdir() if p.is_dir()]
    assert sorted(folders) == ["Blast", "_con", "_nul", "a_b", "a_b_2"]
    assert "The crops of 'con' are in the folder _con." in report.skipped


def test_fields_without_a_row_are_named_by_what_the_table_holds(project: Project, tmp_path: Path) -> None:
    first, second = project.fields.all()[:2]
    for field in project.fields.all():
        for cell in project.cells.all(field.id):
            project.cells.delete(cell.id)
        for region in project.regions.all(field.id):
            project.regions.delete(region.id)
    project.cells.add(first.id, (5, 5, 20, 20))
    for field in (first, second):
        project.regions.add_whole_field(field.id)
    project.suggestions.replace(second.id, [Proposal((5, 5, 20, 20), 0.9)], model_id=None)
    for what in ("cells", "suggestions"):
        told = formats.write("csv", project, tmp_path / f"{what}.csv", what=what).skipped
        without = f"Fields without a {what[:-1]}, which have no row in a table of {what}: 1."
        assert without in told
        assert not any("no cell" in sentence for sentence in told)

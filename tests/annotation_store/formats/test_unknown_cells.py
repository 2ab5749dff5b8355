"""No format writes the candidate class of an unknown cell as its class; those that can keep the p-value."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project, Proposal, formats, load_schema
from annotation_store.formats import cells_csv, geojson
from annotation_store.formats._exchange.document import Document, Skipped
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats.coco.reader import from_coco

CLASSES = {"Monocyte": 0.9, "Neutrophil": 0.1}
VALUES = {"cell_size": {"small": 0.1, "large": 0.9}}
UNKNOWN = Proposal((10, 10, 20, 20), 0.8, CLASSES, VALUES, novelty=0.01)
KNOWN = Proposal((50, 10, 20, 20), 0.7, CLASSES, VALUES, novelty=0.6)
LLD = load_schema("lld")


@pytest.fixture
def project(small_project: Path) -> Iterator[Project]:
    with Project.open(small_project, annotator="Ada") as opened:
        opened.suggestions.replace(opened.fields.all()[0].id, [UNKNOWN, KNOWN], model_id=None)
        yield opened


@pytest.mark.parametrize(
    ("form", "suffix", "keeps"),
    [
        ("coco", ".json", "all"),
        ("geojson", "", "all"),
        ("csv", ".csv", "p-value"),
        ("labelstudio", ".json", "nothing"),
        ("yolo", "", "nothing"),
    ],
)
def test_there_and_back_an_unknown_cell_states_no_class(
    form: str, suffix: str, keeps: str, project: Project, tmp_path: Path
) -> None:
    formats.write(form, project, tmp_path / f"out{suffix}", what="suggestions")
    project.suggestions.replace(project.fields.all()[0].id, [], model_id=None)
    formats.read(form, project, tmp_path / f"out{suffix}")
    unknown, known = sorted((s.proposal for s in project.suggestions.find()), key=lambda p: p.box[0])
    assert (unknown.stated_class, known.stated_class) == (None, "Monocyte")
    assert unknown.probability == pytest.approx(0.8, abs=1e-4)
    assert unknown.class_probabilities == (CLASSES if keeps == "all" else {})
    assert (unknown.novelty, known.novelty) == ((0.01, 0.6) if keeps != "nothing" else (None, None))


def test_coco_marks_each_suggestion_of_a_model_that_can_tell(project: Project, tmp_path: Path) -> None:
    project.suggestions.replace(
        project.fields.all()[1].id, [Proposal((1, 1, 20, 20), 0.5, CLASSES)], model_id=None
    )
    formats.write("coco", project, tmp_path / "out.json", what="suggestions")
    content = json.loads((tmp_path / "out.json").read_text())
    names = {c["id"]: c["name"] for c in content["categories"]}
    found = [
        (names[a["category_id"]], a.get("unknown"), a.get("novelty"), a["class_probabilities"] == CLASSES)
        for a in content["annotations"]
    ]
    assert found == [
        ("unclassified", True, 0.01, True),
        ("Monocyte", False, 0.6, True),
        ("Monocyte", None, None, True),
    ]


@pytest.mark.parametrize(("form", "name"), [("csv", "out.csv"), ("crops", "out")])
def test_tables_have_columns_for_it(form: str, name: str, project: Project, tmp_path: Path) -> None:
    formats.write(form, project, tmp_path / name, what="suggestions")
    file = tmp_path / name / "crops.csv" if form == "crops" else tmp_path / name
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(r["class"], r["novelty"], r["unknown"]) for r in rows] == [
        ("", "0.01", "yes"),
        ("Monocyte", "0.6", ""),
    ]
    if form == "crops":
        assert sorted(p.name for p in (tmp_path / name).iterdir() if p.is_dir()) == [
            "Monocyte",
            "unclassified",
        ]


def test_an_accepted_cell_is_a_persons_word(project: Project, tmp_path: Path) -> None:
    project.suggestions.accept(project.suggestions.find()[0].id)
    formats.write("coco", project, tmp_path / "out.json")
    (cell,) = json.loads((tmp_path / "out.json").read_text())["annotations"]
    assert {"novelty", "unknown", "score"}.isdisjoint(cell)


def of_coco(novelty: Any) -> Document:
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "novelty": novelty}
    image = {"id": 1, "file_name": "a.png", "width": 100, "height": 80}
    names = [{"id": 1, "name": "Monocyte"}]
    return from_coco({"images": [image], "categories": names, "annotations": [one]}, LLD)


def of_table(novelty: Any) -> Document:
    word = "" if novelty is None else novelty
    text = f"field,x,y,w,h,class,confidence,novelty\na.png,1,2,3,4,Monocyte,0.5,{word}\n"
    return cells_csv.parse(text.encode(), LLD, "t")


def of_geojson(novelty: Any) -> Document:
    document = Document("a.geojson", [], Skipped())
    ring = [[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "Monocyte"},
            "measurements": {"Confidence": 0.5, "Novelty": novelty},
        },
    }
    file = Path("a.geojson")
    geojson.parse(feature, file, LLD, document, Pairing.for_files(Images(), file, [file]))
    return document


@pytest.mark.parametrize("read", [of_coco, of_table, of_geojson])
@pytest.mark.parametrize("novelty", ["low", -0.1, 7, 1e400, "0.5.5", None, 0.02])
def test_novelty_that_is_no_probability_is_left_out_and_told(
    read: Callable[[Any], Document], novelty: Any
) -> None:
    document = read(novelty)
    (proposal,) = (p for field in document.fields for _, p in field.proposals)
    assert (proposal.confidence, proposal.class_probabilities) == (0.5, {"Monocyte": 1.0})
    assert proposal.novelty == (0.02 if novelty == 0.02 else None)
    assert ("novelty" in str(document.skipped.sentences())) == (novelty not in (None, 0.02))

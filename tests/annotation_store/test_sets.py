"""Sets of values, and suggestions of films where nothing was checked, are kept and written as they are."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from annotation_store import EditError, Embedding, Project, Proposal, formats, load_schema
from annotation_store.formats import cells_csv, geojson
from annotation_store.formats._exchange.document import Document, Skipped
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats.coco.reader import from_coco
from annotation_store.schema import Schema
from tests.annotation_store.older import take_back

CLASSES = {"Monocyte": 0.5, "Neutrophil": 0.4, "Lymphocyte": 0.1}
VALUES = {"cell_size": {"small": 0.1, "large": 0.9}}
SETS = {"class": ("Monocyte", "Neutrophil"), "cell_size": ("large",)}
WITH_SETS = Proposal((10, 10, 20, 20), 0.8, CLASSES, VALUES, novelty=0.6, sets=SETS)
UNCHECKED = Proposal((50, 10, 20, 20), 0.7, CLASSES, VALUES, unchecked=True)
LLD = load_schema("lld")


def test_the_store_gives_both_back(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(1, [WITH_SETS, UNCHECKED], model_id=None)
        project.embeddings.save("1", {1: Embedding(np.ones(4, np.float32), (WITH_SETS, UNCHECKED))})
    with Project.open(folder, annotator="Ada") as project:
        assert [s.proposal for s in project.suggestions.find()] == [WITH_SETS, UNCHECKED]
        assert [entry.proposal for entry in project.bulk_edits.entries()] == [WITH_SETS, UNCHECKED]
        assert project.embeddings.of("1", predictions=True)[1].predictions == (WITH_SETS, UNCHECKED)
        assert project.check() == []


@pytest.mark.parametrize(
    "sets",
    [{"class": ()}, {"class": ("Platelet",)}, {"cell_size": ("round",)}, {"class": ("Monocyte",) * 2}],
)
def test_a_set_holds_values_of_the_schema_once_each(project: Project, sets: Any) -> None:
    with pytest.raises(EditError, match="set of"):
        project.suggestions.replace(
            1, [Proposal((10, 10, 20, 20), 0.8, CLASSES, VALUES, sets=sets)], model_id=None
        )
    assert project.suggestions.find() == []


def test_suggestions_from_before_claim_nothing(folder: Path) -> None:
    plain = Proposal((10, 10, 20, 20), 0.8, CLASSES, VALUES)
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.replace(1, [plain], model_id=None)
    take_back(folder, "0011")
    with Project.open(folder, annotator="Ada") as project:
        assert [s.proposal for s in project.suggestions.find()] == [plain]


def test_what_was_not_checked_is_never_accepted_among_many(project: Project) -> None:
    ids = project.suggestions.replace(1, [WITH_SETS, UNCHECKED], model_id=None)
    with pytest.raises(EditError, match="was not trained on"):
        project.suggestions.accept_many(ids)
    assert project.cells.all() == []
    assert len(project.suggestions.accept_many(ids[:1])) == 1
    assert project.cells.get(project.suggestions.accept(ids[1])).cell_class == "Monocyte"


def test_sets_are_withdrawn_on_some_fields(project: Project) -> None:
    for field in (1, 2):
        project.suggestions.replace(field, [WITH_SETS], model_id=None)
    project.suggestions.withdraw_sets([2])
    assert [s.proposal.sets for s in project.suggestions.find()] == [SETS, {}]


def test_a_changed_schema_claims_no_set_of_other_words(project: Project) -> None:
    project.suggestions.replace(1, [WITH_SETS], model_id=None)
    content = load_schema("lld").model_dump()
    project.schema_versions.change(Schema.model_validate(content | {"title": "As before"}), {})
    assert project.suggestions.find()[0].proposal.sets == SETS
    content["classes"] = [c for c in content["classes"] if c["name"] != "Neutrophil"]
    content["groups"] = []
    project.schema_versions.change(Schema.model_validate(content), {"Neutrophil": "Monocyte"})
    assert project.suggestions.find()[0].proposal.sets == {}


@pytest.mark.parametrize(("form", "name"), [("coco", "out.json"), ("geojson", "out"), ("csv", "out.csv")])
def test_there_and_back(form: str, name: str, project: Project, tmp_path: Path) -> None:
    project.suggestions.replace(1, [WITH_SETS, UNCHECKED], model_id=None)
    formats.write(form, project, tmp_path / name, what="suggestions")
    project.suggestions.replace(1, [], model_id=None)
    formats.read(form, project, tmp_path / name)
    one, other = sorted((s.proposal for s in project.suggestions.find()), key=lambda p: p.box[0])
    assert (one.unchecked, other.unchecked) == (False, True)
    assert (one.sets, other.sets) == (SETS, {})


def test_tables_have_a_column_for_what_was_not_checked(project: Project, tmp_path: Path) -> None:
    project.suggestions.replace(1, [WITH_SETS, UNCHECKED], model_id=None)
    formats.write("csv", project, tmp_path / "out.csv", what="suggestions")
    with (tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [row["unchecked"] for row in rows] == ["", "yes"]
    assert [row["sets"] for row in rows] == [json.dumps(SETS), ""]


@pytest.mark.parametrize("form", ["coco", "geojson", "csv", "labelstudio", "yolo", "crops"])
def test_what_a_format_cannot_keep_of_suggestions_is_told_before_and_after(
    form: str, project: Project, tmp_path: Path
) -> None:
    project.suggestions.replace(1, [WITH_SETS, UNCHECKED], model_id=None)
    report = formats.write(form, project, tmp_path / "out", what="suggestions")
    had = {"probabilities": 2, "novelty": 1, "unchecked": 1, "sets": 1}
    lost = formats.survey(project).lost(form, "suggestions")
    some = {"coco": [], "geojson": [], "csv": ["probabilities"], "crops": ["probabilities"]}
    kinds = some.get(form, list(had))
    assert {kind: n for kind, n in lost.items() if kind in had} == {kind: had[kind] for kind in kinds}
    told = [line for line in report.skipped if " suggestions " in line]
    assert [int(line.split()[0]) for line in told] == [had[kind] for kind in kinds]
    assert not {*had} & {*formats.survey(project).lost(form, "cells")}


@pytest.mark.parametrize(
    "sets",
    [
        {"class": ["Monocyte", "Platelet"]},
        {"class": []},
        {"class": "Monocyte"},
        {"class": [1]},
        {"nothing": ["a"]},
        {"class": None},
    ],
)
def test_sets_of_a_file_that_say_something_else_are_left_out_and_told(sets: Any) -> None:
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, "sets": sets}
    image = {"id": 1, "file_name": "a.png", "width": 100, "height": 80}
    names = [{"id": 1, "name": "Monocyte"}]
    told = from_coco({"images": [image], "categories": names, "annotations": [one]}, LLD)
    for document in (told, of_table(json.dumps(sets))):
        (proposal,) = (p for field in document.fields for _, p in field.proposals)
        assert proposal.sets == {}
        assert "sets of words" in str(document.skipped.sentences())


def of_table(sets: str) -> Document:
    text = io.StringIO()
    header = ["field", "x", "y", "w", "h", "class", "confidence", "sets"]
    csv.writer(text).writerows([header, ["a.png", 1, 2, 3, 4, "Monocyte", 0.5, sets]])
    return cells_csv.parse(text.getvalue().encode(), LLD, "t")


@pytest.mark.parametrize("sets", ["Monocyte", "{", "[1]", "[" * 100_000])
def test_a_column_of_sets_that_holds_something_else_is_told(sets: str) -> None:
    document = of_table(sets)
    (proposal,) = (p for field in document.fields for _, p in field.proposals)
    assert (proposal.class_probabilities, proposal.sets) == ({"Monocyte": 1.0}, {})
    assert "sets that cannot be read" in str(document.skipped.sentences())


def test_a_set_in_geojson_has_its_members_in_their_places(tmp_path: Path) -> None:
    places = {"Set: class: Neutrophil": 2, "Set: class: Monocyte": 1, "Set: class: Platelet": 3, "Set: x": 1}
    document = of_geojson(places)
    (proposal,) = (p for field in document.fields for _, p in field.proposals)
    assert proposal.sets == {}, "one of its members is not in the schema"
    assert "sets of words" in str(document.skipped.sentences())
    del places["Set: class: Platelet"]
    (proposal,) = (p for field in of_geojson(places).fields for _, p in field.proposals)
    assert proposal.sets == {"class": ("Monocyte", "Neutrophil")}


def of_geojson(measured: dict[str, float]) -> Document:
    ring = [[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]
    properties = {
        "objectType": "detection",
        "classification": {"name": "Monocyte"},
        "measurements": {"Confidence": 0.5, **measured},
    }
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": properties}
    document, file = Document("a.geojson", [], Skipped()), Path("a.geojson")
    geojson.parse(feature, file, LLD, document, Pairing.for_files(Images(), file, [file]))
    return document

"""The worker's tasks that compare a project's cells and write their vectors, on the sample's fields."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from annotation_store import Project
from annotation_store.errors import LLDError, NotWritableError, OutputError
from annotation_store.files.layout import PIXELS
from annotation_store.schema import Schema, load_schema
from training.models.folder import CARD, WEIGHTS
from training.models.model import read_model, starter_place, write_model
from training.protocol import (
    Done,
    EmbeddingsRequest,
    LikenessRequest,
    PredictRequest,
    parse_request,
    request_line,
)
from training.worker import likeness as module
from training.worker.embeddings import write_embeddings
from training.worker.likeness import likeness
from training.worker.predict import predict

from .conftest import Heard

CPU = torch.device("cpu")
Key = tuple[str, int]


def images(count: int) -> list[Path]:
    from napari_lld import sample

    return sorted(Path(sample.__file__).parent.rglob("*.jpg"))[:count]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a project of five sample fields with the starter's suggestions; the vectors are known already."""
    folder = tmp_path_factory.mktemp("likeness") / "project"
    with Project.create(folder, annotator="Ada") as project:
        assert project.fields.add(images(5)).added
    predict(PredictRequest(project=str(folder), annotator="Ada"), Heard(), CPU)  # type: ignore[arg-type]
    ask(folder, "outliers")
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    place = tmp_path / "project"
    shutil.copytree(template, place)
    return place


def ask(folder: Path, what: Any, **more: Any) -> dict[str, Any]:
    request = LikenessRequest(project=str(folder), what=what, annotator="Ada", **more)
    done = likeness(request, Heard(), CPU)  # type: ignore[arg-type]
    assert parse_request(request_line(request)) == request
    assert Done.model_validate_json(done.line()) == done or done.result  # it can be sent
    return done.result


def guesses(folder: Path) -> dict[Key, str | None]:
    with Project.open(folder, annotator="Ada") as project:
        entries = project.bulk_edits.entries()
        return {(e.kind, e.id): e.proposal.stated_class if e.proposal else None for e in entries}


def label(folder: Path, classes: dict[Key, str]) -> dict[Key, Key]:
    """Accept suggestions with a class; give the keys of the cells that they become."""
    became = {}
    with Project.open(folder, annotator="Ada") as project:
        for key, name in classes.items():
            project.bulk_edits.label((), [key[1]], cell_class=name)
            newest = max(project.cells.all(), key=lambda cell: cell.id)
            became[key] = ("cell", newest.id)
    return became


def test_before_the_first_label_cells_are_sorted_and_grouped_by_what_the_starter_sees(template: Path) -> None:
    predicted = guesses(template)
    first = next(key for key, name in predicted.items() if name)
    found = ask(template, "similar", of=first)
    assert found["keys"][0] == first
    assert set(found["keys"]) == set(predicted)
    assert found["likeness"][0] == 1.0
    assert sorted(found["likeness"], reverse=True) == found["likeness"]
    near = [predicted[key] for key in found["keys"][1:4]]
    assert near.count(predicted[first]) >= 2
    groups = ask(template, "clusters")["clusters"]
    assert sorted(key for one in groups for key in one["keys"]) == sorted(predicted)
    assert {(one["named"], one["purity"]) for one in groups} == {(0, None)}
    assert {one["name"] for one in groups} <= {*predicted.values()}
    assert ask(template, "references", of=first)["references"]["class"] == {}


def test_labels_name_clusters_and_are_references(folder: Path) -> None:
    predicted = guesses(folder)
    some = {key: name for key, name in list(predicted.items())[:12] if name}
    cells = label(folder, some)
    groups = ask(folder, "clusters", clusters=4)["clusters"]
    assert len(groups) <= 4
    assert sum(one["named"] for one in groups) == len(some)
    one = next(iter(some))
    found = ask(folder, "references", of=cells[one], most=2)["references"]
    assert set(found["class"]) <= set(some.values())
    for nearest in found["class"].values():
        assert len(nearest) <= 2
        assert all(tuple(key) in cells.values() and tuple(key) != cells[one] for key, _ in nearest)
    assert "nuclear_shape" in found


def test_a_cell_with_a_wrong_label_is_the_first_outlier(folder: Path) -> None:
    predicted = guesses(folder)
    names = [name for name in predicted.values() if name]
    common = max(set(names), key=names.count)
    wrong = next(key for key, name in predicted.items() if name and name != common)
    cells = label(folder, {wrong: common})
    found = ask(folder, "outliers", most=3)
    assert cells[wrong] in found["keys"]
    assert len(found["keys"]) == 3


def test_a_field_added_again_with_other_pixels_shows_its_cells_twice(folder: Path, tmp_path: Path) -> None:
    from PIL import Image

    assert ask(folder, "duplicates")["pairs"] == []
    with Project.open(folder, annotator="Ada") as project:
        field = project.fields.all()[0]
        pixels = np.asarray(project.pixels.read(field.id))
        boxes = [one.box for one in project.suggestions.find(field.id)][:3]
        image = tmp_path / "again.png"
        Image.fromarray((pixels * 0.98).astype(np.uint8)[2:, 3:]).save(image)  # moved a little, and darker
        again = project.fields.add([image]).added[0]
        for x, y, w, h in boxes:
            project.cells.add(again, (max(0, x - 3), max(0, y - 2), w, h))
        copies = {("cell", cell.id) for cell in project.cells.all(again)}
    pairs = ask(folder, "duplicates")["pairs"]
    assert len(pairs) >= 2
    for one, other, alike in pairs:
        assert {one[0], other[0]} == {"cell", "suggestion"}
        assert copies & {tuple(one), tuple(other)}
        assert 0.65 <= alike <= 1


def test_only_the_cells_of_the_named_fields_are_listed(template: Path) -> None:
    with Project.open(template, annotator="Ada") as project:
        on = {("suggestion", s.id): s.field_id for s in project.suggestions.find()}
    first = next(iter(on))
    other = next(field for field in on.values() if field != on[first])
    found = ask(template, "similar", of=first, fields=[other])["keys"]
    assert found[0] == first
    assert {on[key] for key in found[1:]} == {other}
    assert len(ask(template, "similar", of=first, most=2)["keys"]) == 2


def test_a_cell_that_is_gone_is_named_in_a_sentence(folder: Path) -> None:
    key = next(iter(guesses(folder)))
    with Project.open(folder, annotator="Ada") as project:
        project.suggestions.reject(key[1], "not_a_cell")
    with pytest.raises(LLDError, match=f"no suggestion {key[1]} to compare with"):
        ask(folder, "similar", of=key)
    with pytest.raises(LLDError, match="Name the cell"):
        ask(folder, "references")
    assert key not in ask(folder, "outliers")["keys"]


def test_an_empty_project_has_no_clusters_no_outliers_and_no_copies(tmp_path: Path) -> None:
    Project.create(tmp_path / "project", annotator="Ada").close()
    empty = {"damaged": []}
    assert ask(tmp_path / "project", "clusters") == {"clusters": [], **empty}
    assert ask(tmp_path / "project", "outliers") == {"keys": [], "distance": [], **empty}
    assert ask(tmp_path / "project", "duplicates") == {"pairs": [], **empty}


def test_the_cells_of_a_damaged_field_are_left_out_and_the_field_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add(images(2))
        for field in project.fields.all():
            project.cells.add(field.id, (50, 50, 60, 60), cell_class="Monocyte")
            project.cells.add(field.id, (150, 50, 60, 60), cell_class="Monocyte")
        name = project.fields.get(1).name
        hurt = {("cell", cell.id) for cell in project.cells.all(1)}
    shutil.rmtree(folder / PIXELS / "1")
    found = ask(folder, "outliers")
    assert found["damaged"] == [name]
    assert len(found["keys"]) == 2
    assert not hurt & set(found["keys"])
    with pytest.raises(LLDError, match=name):
        ask(folder, "similar", of=next(iter(hurt)))


def test_the_space_is_kept_while_the_project_is_much_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    real = module.EmbeddingSpace.from_memory
    monkeypatch.setattr(module.EmbeddingSpace, "from_memory", lambda *some: made.append(1) or real(*some))
    predicted = guesses(folder)
    ask(folder, "outliers")
    made.clear()
    ask(folder, "clusters")
    named = {key: name for key, name in predicted.items() if name}
    label(folder, dict(list(named.items())[:2]))
    ask(folder, "outliers")
    assert made == []
    label(folder, dict(list(named.items())[2:14]))
    ask(folder, "outliers")
    assert made == [1]


def test_an_unchanged_project_is_read_once_and_a_change_is_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    for file in folder.iterdir():
        if file.is_file():
            os.utime(file, (1e9, 1e9))  # nobody has written for long
    with Project.open(folder, annotator="Ada") as project:
        store = type(project.bulk_edits)
        real = store.entries
        monkeypatch.setattr(store, "entries", lambda *some, **more: reads.append(1) or real(*some, **more))
        key = ("suggestion", project.suggestions.find()[0].id)
        ask(folder, "similar", of=key)
        reads.clear()
        ask(folder, "similar", of=key)
        assert reads == []
        project.suggestions.reject(key[1], "not_a_cell")
        with pytest.raises(LLDError, match="to compare with"):
            ask(folder, "similar", of=key)
        assert key not in ask(folder, "clusters")["clusters"][0]["keys"]


def test_a_project_that_cannot_be_written_is_compared_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Project.open

    def open_it(*some: Any, **more: Any) -> Project:
        if not more.get("read_only"):
            raise NotWritableError("It cannot be written.")
        return real(*some, **more)

    monkeypatch.setattr(module.Project, "open", open_it)
    assert ask(folder, "clusters")["clusters"]


def write(folder: Path, out: Path, **more: Any) -> dict[str, Any]:
    request = EmbeddingsRequest(project=str(folder), out=str(out), annotator="Ada", **more)
    assert parse_request(request_line(request)) == request
    return write_embeddings(request, Heard(), CPU).result  # type: ignore[arg-type]


def labelled(folder: Path) -> tuple[str, int]:
    """Label a suggestion and name the patient of its field."""
    key = next(key for key, name in guesses(folder).items() if name)
    with Project.open(folder, annotator="Ada") as project:
        project.bulk_edits.label((), [key[1]], cell_class="Monocyte", attributes={"nucleolus": "prominent"})
        cell = project.cells.all()[0]
        project.fields.update(cell.field_id, patient="Erika Mustermann")
        return project.fields.get(cell.field_id).name, cell.id


def test_vectors_are_written_as_anndata_with_labels_and_predictions(folder: Path, tmp_path: Path) -> None:
    import anndata

    name, cell_id = labelled(folder)
    out = tmp_path / "cells.h5ad"
    told = write(folder, out, names=True)
    table = anndata.read_h5ad(out)
    assert table.shape == (told["cells"] + told["suggestions"], told["features"])
    assert np.isfinite(table.X).all()
    assert table.X.std() > 0
    row = table.obs.loc[f"cell-{cell_id}"]
    assert (row["kind"], row["id"], row["field"]) == ("cell", cell_id, name)
    assert (row["class"], row["nucleolus"], row["patient"]) == ("Monocyte", "prominent", "Erika Mustermann")
    rest = table.obs[table.obs["kind"] == "suggestion"]
    assert rest["class"].isna().all()
    assert rest["predicted"].notna().any()
    assert rest["probability"].between(0, 1).all()
    assert rest["novelty"].between(0, 1).all()
    about = table.uns["napari_lld"]
    assert about["model"] == "starter"
    assert json.loads(about["schema"])["classes"]


def test_parquet_has_the_same_as_columns(folder: Path, tmp_path: Path) -> None:
    import anndata
    import pandas as pd

    labelled(folder)
    write(folder, tmp_path / "cells.parquet")
    write(folder, tmp_path / "cells.h5ad")
    frame, table = pd.read_parquet(tmp_path / "cells.parquet"), anndata.read_h5ad(tmp_path / "cells.h5ad")
    features = [column for column in frame if column.startswith("feature_")]
    assert np.array_equal(frame[features].to_numpy(), table.X)
    assert list(frame.columns)[: -len(features)] == list(table.obs.columns)
    assert frame["class"].astype(object).equals(table.obs["class"].astype(object))
    assert frame.attrs["napari_lld"]["trunk"] == table.uns["napari_lld"]["trunk"]


@pytest.mark.parametrize("suffix", ["h5ad", "parquet"])
def test_without_names_nothing_in_the_file_names_a_patient_or_a_file(
    folder: Path, tmp_path: Path, suffix: str
) -> None:
    import anndata
    import pandas as pd

    name, cell_id = labelled(folder)
    out = tmp_path / f"cells.{suffix}"
    write(folder, out)
    content = out.read_bytes()
    assert b"Mustermann" not in content
    assert Path(name).stem.encode() not in content
    read = pd.read_parquet(out) if suffix == "parquet" else anndata.read_h5ad(out).obs
    assert isinstance(read.loc[f"cell-{cell_id}", "patient"], str)


def test_attributes_with_names_of_other_columns_are_kept_under_other_names(tmp_path: Path) -> None:
    import anndata

    content = load_schema("lld").model_dump(mode="json")
    names = ("field", "n/c ratio", "novelty")
    for attribute, name in zip(content["attributes"], names, strict=False):
        attribute["name"] = name
    schema = Schema.model_validate(content)
    first, second, third = (schema.attribute_named(name).values[0].name for name in names)
    folder, out = tmp_path / "project", tmp_path / "cells.h5ad"
    with Project.create(folder, schema, annotator="Ada") as project:
        project.fields.add(images(1))
        given = dict(zip(names, (first, second, third), strict=True))
        project.cells.add(1, (50, 50, 60, 60), cell_class="Monocyte", attributes=given)
    write(folder, out)
    row = anndata.read_h5ad(out).obs.iloc[0]
    columns = ("attribute field", "n_c ratio", "attribute novelty")
    assert tuple(row[column] for column in columns) == (first, second, third)
    assert np.isnan(row["novelty"])


def test_a_file_that_is_there_or_of_another_kind_is_not_written(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "cells.h5ad"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match="already exists"):
        write(folder, out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(LLDError, match=r"\.h5ad or \.parquet"):
        write(folder, tmp_path / "cells.csv")
    with pytest.raises(OutputError, match="inside the project"):
        write(folder, folder / "cells.h5ad")
    Project.create(tmp_path / "empty", annotator="Ada").close()
    with pytest.raises(LLDError, match="nothing to write"):
        write(tmp_path / "empty", tmp_path / "none.h5ad")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cells.h5ad", "empty", "project"]
    write(folder, out, overwrite=True)
    assert out.stat().st_size > 1000


# --- what changed between labelling and asking ------------------------------------------------------------


def of_each(folder: Path, of: Key) -> str:
    """Ask everything there is, and return all that was answered."""
    asked = [ask(folder, what) for what in ("clusters", "outliers", "duplicates")]
    asked += [ask(folder, what, of=of) for what in ("similar", "references")]
    return json.dumps(asked)


def changed(schema: Schema, **words: Any) -> Schema:
    content = schema.model_dump(mode="json")
    for kind, change in words.items():
        change(content[kind])
    return Schema.model_validate(content)


def test_a_class_and_a_value_that_came_later_are_compared_by_at_once(folder: Path) -> None:
    first, second, *more = (key for key, name in guesses(folder).items() if name)
    cells = label(folder, {first: "Monocyte", second: "Monocyte"})
    of_each(folder, cells[first])

    def grow(attributes: list[dict[str, Any]]) -> None:
        attributes[0]["values"].append({"name": "giant", "title": "Giant"})
        values = [{"name": "none", "title": "None"}, {"name": "many", "title": "Many"}]
        attributes.append({"name": "hairs", "title": "Hairs", "values": values})

    hairy = {"id": 99, "name": "Hairy cell", "letter": "hc", "colour": "#123456"}
    with Project.open(folder, annotator="Ada") as project:
        grown = changed(project.schema, classes=lambda classes: classes.append(hairy), attributes=grow)
        project.schema_versions.change(grown)
        size = grown.attributes[0].name
        values = {size: "giant", "hairs": "many"}
        project.bulk_edits.label((), [key[1] for key in more[:3]], cell_class="Hairy cell", attributes=values)
        new = {("cell", cell.id) for cell in project.cells.all() if cell.cell_class == "Hairy cell"}
    assert len(new) == 3
    found = ask(folder, "references", of=cells[first])["references"]
    for head, value in (("class", "Hairy cell"), (size, "giant"), ("hairs", "many")):
        assert {tuple(key) for key, _ in found[head][value]} == new
    assert "Hairy cell" in {one["name"] for one in ask(folder, "clusters", clusters=40)["clusters"]}
    assert new <= {tuple(key) for key in ask(folder, "outliers")["keys"]}


def test_a_class_of_another_name_or_none_is_not_answered_by_its_old_name(folder: Path) -> None:
    keys = [key for key, name in guesses(folder).items() if name]
    cells = label(folder, dict.fromkeys(keys[:3], "Monocyte") | dict.fromkeys(keys[3:6], "Basophil"))
    assert {"Monocyte", "Basophil"} <= set(
        json.loads(of_each(folder, cells[keys[0]]))[4]["references"]["class"]
    )

    def rename(classes: list[dict[str, Any]]) -> None:
        next(one for one in classes if one["name"] == "Monocyte")["name"] = "Mono"
        classes[:] = [one for one in classes if one["name"] != "Basophil"]

    with Project.open(folder, annotator="Ada") as project:
        content = changed(project.schema, classes=rename)
        project.schema_versions.change(content, {"Monocyte": "Mono", "Basophil": None})
    answered = of_each(folder, cells[keys[0]])
    assert '"Mono"' in answered
    assert "Monocyte" not in answered
    assert "Basophil" not in answered


def test_cells_that_were_deleted_meanwhile_are_answered_no_more(folder: Path) -> None:
    keys = [key for key, name in guesses(folder).items() if name]
    cells = label(folder, dict.fromkeys(keys[:4], "Monocyte"))
    of_each(folder, cells[keys[0]])
    gone = cells[keys[1]]
    with Project.open(folder, annotator="Ada") as project:
        project.cells.delete(gone[1])
    assert json.dumps(list(gone)) not in of_each(folder, cells[keys[0]])


def test_a_model_compares_by_what_it_sees_itself_and_is_forgotten_once_rolled_back(folder: Path) -> None:
    keys = [key for key, name in guesses(folder).items() if name]
    first = label(folder, dict.fromkeys(keys[:2], "Monocyte"))[keys[0]]
    model = read_model(starter_place())
    with torch.no_grad():
        for weight in model.describer.trunk.parameters():
            weight.mul_(1.3)
    with Project.open(folder, annotator="Ada") as project:
        number = project.models.reserve_id()
        place = project.models.folder(number)
        place.mkdir(parents=True)
        card = write_model(model, place / WEIGHTS, place / CARD)
        project.models.add(number, parent="starter", card=card, activate=True)
    answered = []
    for active in (number, None, number, None):
        with Project.open(folder, annotator="Ada") as project:
            project.models.activate(active)
        answered.append(ask(folder, "similar", of=first))
    assert answered[0] != answered[1]
    assert answered[:2] == answered[2:]

"""``napari-lld rank``."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from annotation_store import Embedding, Project, Proposal

from .conftest import Cli

CONTRACT = {"kind", "id", "field", "score", "seconds", "reasons"}


def test_a_project_without_any_model_is_ranked_by_stain_and_difference(cli: Cli, annotated: Path) -> None:
    told = cli("rank", annotated, "--json").json
    assert told
    assert all(set(one) == CONTRACT for one in told)
    assert all(one["kind"] == "field" and one["reasons"] and one["seconds"] > 0 for one in told)
    assert any(
        "possible cell" in reason or "likely cell" in reason for one in told for reason in one["reasons"]
    )
    with Project.open(annotated, read_only=True) as project:
        names = {field.name: field.id for field in project.fields.all()}
        assert {one["field"]: one["id"] for one in told}.items() <= names.items()
        assert list(project.embeddings.count_by_source()) == ["stain"]
    assert cli("rank", annotated, "--json").json == told
    assert len(cli("rank", annotated, "-n", "2", "--json").json) == 2


def test_regions_lie_off_what_is_finished(cli: Cli, annotated: Path) -> None:
    told = cli("rank", annotated, "--what", "regions", "-n", "4", "--json").json
    assert len(told) == 4
    assert len({one["field"] for one in told}) == 4
    with Project.open(annotated, read_only=True) as project:
        for one in told:
            assert set(one) == CONTRACT | {"box"}
            x, y, w, h = one["box"]
            for region in project.regions.all(one["id"]):
                assert not region.shape.contains(x + w / 2, y + h / 2)


def test_cells_in_two_queues_and_text_for_people(cli: Cli, annotated: Path) -> None:
    assert "No suggestions." in cli("rank", annotated, "--what", "cells").out
    with Project.open(annotated) as project:
        some = [
            Proposal((10, 10, 20, 20), 0.9, {"Monocyte": 0.9, "Lymphocyte": 0.1}),
            Proposal((50, 50, 20, 20), 0.6, {"Monocyte": 0.5, "Lymphocyte": 0.5}),
        ]
        sure, torn = project.suggestions.replace(1, some, model_id=None)
    teach = cli("rank", annotated, "--what", "cells", "--json").json
    assert [one["id"] for one in teach] == [torn, sure]
    fast = cli("rank", annotated, "--what", "cells", "--queue", "accept", "--json").json
    assert [one["id"] for one in fast] == [sure, torn]
    assert "Between Lymphocyte and Monocyte" in cli("rank", annotated, "--what", "cells").out
    assert "likely cell" in cli("rank", annotated).out


def test_the_order_that_the_window_shows_is_left_alone(cli: Cli, annotated: Path) -> None:
    from training import ranking

    with Project.open(annotated) as project:
        ranking.update(project)
        before = project.rankings.latest()
        project.suggestions.replace(3, [Proposal((10, 10, 20, 20), 0.9)], model_id=None)
    assert cli("rank", annotated).code == 0
    with Project.open(annotated) as project:
        assert project.rankings.latest() == before


def test_a_project_that_cannot_be_written_is_ranked_all_the_same(cli: Cli, unwritable: Path) -> None:
    kept = "is read-only: the ranking was not saved"
    told = cli("rank", unwritable)
    assert "likely cell" in told.out, "what the stain tells counts, although it is not kept"
    assert kept in told.out
    regions = cli("rank", unwritable, "--what", "regions", "-n", "2", "--json").json
    assert any("likely cell" in reason for one in regions for reason in one["reasons"])
    assert "No possible label errors" in cli("rank", unwritable, "--what", "label-errors").out
    assert "No suggestions." in cli("rank", unwritable, "--what", "cells").out


def test_commands_that_only_read_take_a_project_that_cannot_be_written(
    cli: Cli, unwritable: Path, tmp_path: Path
) -> None:
    for words in (["info"], ["models"], ["agreement"], ["check"], ["schema"], ["restore", "--list"]):
        assert cli(words[0], unwritable, *words[1:]).code == 0, words
    for words in (["train"], ["predict"], ["models", "--activate", "starter"]):  # before torch is loaded
        cli(words[0], unwritable, *words[1:]).refuses("cannot be written", "copy it")


def test_an_older_project_that_cannot_be_written_says_why_it_cannot_be_read(
    cli: Cli, unwritable: Path
) -> None:
    with closing(sqlite3.connect(unwritable / "project.db")) as raw, raw:
        raw.execute("UPDATE alembic_version SET version_num = '0001'")
    cli("info", unwritable).refuses("older version", "copy it")


def test_nothing_left_and_nothing_there_are_said(cli: Cli, annotated: Path) -> None:
    with Project.open(annotated) as opened:
        for field in opened.fields.all():
            opened.regions.add_whole_field(field.id)
    assert "Nothing to rank" in cli("rank", annotated).out
    assert cli("rank", annotated, "--json").json == []


def test_an_empty_project_is_refused_with_the_cure(cli: Cli, project: Path) -> None:
    cli("rank", project).refuses("no fields", "napari-lld add")
    cli("rank", project.parent / "nowhere").refuses("nowhere")
    cli("rank", project, "--what", "nonsense").refuses("nonsense")
    cli("rank", project, "-n", "0").refuses("-n")


@pytest.mark.parametrize("what", ["fields", "regions", "cells"])
def test_json_is_one_document(cli: Cli, annotated: Path, what: str) -> None:
    assert isinstance(json.loads(cli("rank", annotated, "--what", what, "--json").out), list)


def test_likely_label_errors_are_named(cli: Cli, annotated: Path) -> None:
    assert "No possible label errors" in cli("rank", annotated, "--what", "label-errors").out
    with Project.open(annotated) as project:
        cell = project.cells.all()[0]
        project.cells.change(cell.id, cell_class="Neutrophil")
        prediction = Proposal(cell.box, 0.99, {"Neutrophil": 0.01, "Basophil": 0.99})
        project.embeddings.save("starter", {cell.field_id: Embedding(np.ones(4), (prediction,))})
    told = cli("rank", annotated, "--what", "label-errors", "--json").json
    (one,) = [item for item in told if item["id"] == cell.id]
    assert set(one) == CONTRACT | {"box"}
    assert one["reasons"][0] == "Labelled Neutrophil, predicted Basophil at 99%"
    assert "Not yet checked against other cells" in cli("rank", annotated, "--what", "label-errors").out


def test_the_hint_to_predict_repeats_the_project_and_the_reading(cli: Cli, annotated: Path) -> None:
    told = cli("rank", annotated, "--what", "label-errors").out
    assert told.endswith(f"To predict: napari-lld predict {annotated}\n")
    assert f"with: napari-lld predict {annotated}\n" in cli("rank", annotated, "--what", "cells").out
    with Project.open(annotated) as project:
        name = project.reading.name
        cell = project.cells.all()[0]
        project.cells.change(cell.id, cell_class="Neutrophil")
        prediction = Proposal(cell.box, 0.99, {"Neutrophil": 0.99, "Basophil": 0.01})
        project.embeddings.save("starter", {cell.field_id: Embedding(np.ones(4), (prediction,))})
    told = cli("rank", annotated, "--what", "label-errors", "--reading", name).out
    first, second = told.splitlines()
    command = f'napari-lld predict {annotated} --reading "{name}"'
    assert first == f"No possible label errors, or the model has not predicted yet. To predict: {command}"
    assert second.startswith("Not yet checked against other cells")
    assert second.endswith(f"then: {command}).")


def test_a_blind_reading_is_the_reason_why_no_label_errors_are_listed(cli: Cli, annotated: Path) -> None:
    with Project.open(annotated) as project:
        project.readings.add("second", blind=True)
    told = cli("rank", annotated, "--what", "label-errors", "--reading", "second").out
    assert "'second' is blind: label errors are not computed" in told
    assert "napari-lld predict" not in told
    assert "is blind" in cli("rank", annotated, "--what", "cells", "--reading", "second").out

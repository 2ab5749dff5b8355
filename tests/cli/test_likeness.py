"""``napari-lld similar``, ``clusters`` and ``embeddings``; the worker's answers are given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotation_store import Project
from training.protocol import Done, EmbeddingsRequest, LikenessRequest


@pytest.fixture
def asked(annotated: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Answer requests with the project's own cells, and remember them."""
    requests: list[Any] = []
    with Project.open(annotated) as project:
        keys = [["cell", cell.id] for cell in project.cells.all()]

    def run_worker(request: Any, *, on_message: Any) -> Done:
        requests.append(request)
        result: dict[str, Any] = {"damaged": []}
        if isinstance(request, EmbeddingsRequest):
            result |= {"out": request.out, "cells": 3, "suggestions": 0, "features": 1153}
        elif request.what == "similar":
            near = [list(request.of), *[key for key in keys if key != list(request.of)]][: request.most]
            result |= {"keys": near, "likeness": [1 - i / 10 for i in range(len(near))]}
        else:
            groups = [("Monocyte", 2, 0.5, keys[:2]), ("Basophil", 0, None, [*keys[2:], ["cell", 99999]])]
            result["clusters"] = [
                dict(zip(("name", "named", "purity", "keys"), group, strict=True)) for group in groups
            ]
        return Done(task=request.task, result=result)

    monkeypatch.setattr("training.client.run_worker", run_worker)
    return requests


def cells(folder: Path) -> list[int]:
    with Project.open(folder) as project:
        return [cell.id for cell in project.cells.all()]


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip("─ ")]


def test_similar_lists_the_nearest_and_not_the_cell_itself(cli, annotated: Path, asked: list[Any]) -> None:
    first, second, *_ = cells(annotated)
    answer = cli("similar", annotated, first, "--most", 2)
    assert answer.code == 0
    assert isinstance(asked[0], LikenessRequest)
    assert (asked[0].of, asked[0].most, asked[0].reading) == (("cell", first), 3, 1)
    rows = table(answer.out)
    assert rows[0] == ["cell", "field", "class", "likeness"]
    assert rows[1][0] == str(second)
    assert rows[1][-1] == "0.900"
    assert str(first) not in [row[0] for row in rows]
    told = cli("similar", annotated, f"cell:{first}", "--json").json
    assert told["of"] == ["cell", first]
    assert told["similar"][0]["id"] == second
    assert set(told["similar"][0]) == {"kind", "id", "field", "class", "predicted", "likeness"}


@pytest.mark.parametrize("word", ["x", "suggestion:", "cell:x", "box:3", "-3", ":4"])
def test_similar_refuses_what_names_no_cell(cli, annotated: Path, asked: list[Any], word: str) -> None:
    cli("similar", annotated, "--", word).refuses("CELL", "suggestion:NUMBER")
    assert not asked


def test_similar_refuses_a_cell_that_the_project_lacks(cli, annotated: Path, asked: list[Any]) -> None:
    cli("similar", annotated, 98765).refuses("98765", "no such cell", "napari-lld find")
    cli("similar", annotated, "suggestion:7").refuses("no such suggestion")
    cli("similar", annotated, cells(annotated)[0], "--model", 7).refuses("no model 7")
    assert not asked


def test_clusters_are_listed_with_their_names_and_without_cells_that_are_gone(
    cli, annotated: Path, asked: list[Any]
) -> None:
    some = cells(annotated)
    answer = cli("clusters", annotated, "--count", 2)
    assert asked[0].clusters == 2
    rows = table(answer.out)
    assert rows[0][:4] == ["name", "cells", "labelled", "purity"]
    assert rows[1][:4] == ["Monocyte", "2", "2", "0.50"]
    assert rows[2][0] == "(Basophil)"
    assert "In parentheses" in answer.out
    told = cli("clusters", annotated, "--json").json["clusters"]
    assert [one["name"] for one in told] == ["Monocyte", "Basophil"]
    assert [one["id"] for group in told for one in group["cells"]] == some


def test_embeddings_are_asked_for_with_hashes_unless_names_are_wanted(
    cli, annotated: Path, asked: list[Any], tmp_path: Path
) -> None:
    out = tmp_path / "cells.h5ad"
    assert "3 cells and 0 suggestions" in cli("embeddings", annotated, out).out
    assert (asked[0].names, asked[0].out, asked[0].overwrite) == (False, str(out), False)
    told = cli("embeddings", annotated, out, "--names", "--json").json
    assert asked[1].names
    assert (told["features"], told["model"]) == (1153, "starter")


def test_embeddings_are_refused_where_they_cannot_be_written(
    cli, annotated: Path, asked: list[Any], tmp_path: Path
) -> None:
    cli("embeddings", annotated, tmp_path / "cells.csv").refuses(".h5ad or .parquet")
    (tmp_path / "there.parquet").write_bytes(b"mine")
    cli("embeddings", annotated, tmp_path / "there.parquet").refuses("already exists", "--overwrite")
    cli("embeddings", annotated, annotated / "cells.h5ad").refuses("inside the project")
    cli("embeddings", annotated, tmp_path / "none" / "cells.h5ad").refuses("does not exist")
    assert not asked

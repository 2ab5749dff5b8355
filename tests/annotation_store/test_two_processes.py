"""A window edits while a worker writes: nobody loses anything, each hears of the other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from annotation_store import Project, ProjectError, Proposal
from annotation_store._db import engine
from tests.database import writing

WORKER = """
import sys
from annotation_store import Project, Proposal
with Project.open(sys.argv[1], annotator="worker") as project:
    for step in range(40):
        project.suggestions.replace(1 + step % 2, [Proposal((step, 5, 20, 20), 0.5)] * 3, model_id=None)
        print(step, flush=True)
    number = project.models.reserve_id()
    project.models.folder(number).mkdir()
    (project.models.folder(number) / "weights").write_bytes(b"x")
    project.models.add(number, parent="starter", card={}, activate=True)
"""


def test_a_worker_writes_suggestions_while_the_window_edits(project: Project) -> None:
    heard: list[Any] = []
    project.events.suggestions_changed.connect(lambda fields: heard.append(("suggestions", sorted(fields))))
    project.events.models_changed.connect(lambda: heard.append("models"))
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(project.path)], stdout=subprocess.PIPE, text=True
    )
    assert worker.stdout is not None
    worker.stdout.readline()
    mine = [project.cells.add(1, (i % 60, 10, 20, 20)) for i in range(60)]
    for cell_id in mine[:20]:
        project.cells.change(cell_id, cell_class="Monocyte")
    output, _ = worker.communicate(timeout=60)
    assert worker.returncode == 0
    assert output.split()[-1] == "39"
    assert [cell.id for cell in project.cells.all(1)] == mine
    assert len(project.suggestions.find()) == 6
    assert project.refresh()
    assert ("suggestions", [1, 2]) in heard
    assert "models" in heard
    assert not project.refresh()
    assert project.check() == []


def test_refresh_tells_what_others_did_and_not_what_one_did_oneself(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), "purple").save(tmp_path / "new.png")
    with (
        Project.open(folder, annotator="Ada") as ada,
        Project.open(folder, annotator="Ben", reading=1) as ben,
    ):
        heard: list[Any] = []
        ada.events.edited.connect(
            lambda edit: heard.append((edit.command, edit.field_id, dict(edit.touched)))
        )
        ada.events.fields_added.connect(lambda ids: heard.append(("fields", ids)))
        ada.events.suggestions_changed.connect(lambda ids: heard.append(("suggestions", ids)))
        ada.cells.add(1, (1, 1, 20, 20))
        heard.clear()
        cell_id = ben.cells.add(2, (1, 1, 20, 20))
        mine = ada.cells.add(1, (30, 30, 20, 20))
        ben.suggestions.replace(2, [Proposal((50, 1, 20, 20), 0.5)], model_id=None)
        ben.fields.add([tmp_path / "new.png"])
        ben.fields.update(1, patient="P1")
        assert heard == [("Box cell", 1, {"cell": (mine,)})]
        heard.clear()
        assert ada.refresh()
        assert heard == [
            ("fields", [3]),
            ("Box cell", 2, {"cell": (cell_id,)}),
            ("Describe field", 1, {"field": (1,)}),
            ("suggestions", [2]),
        ]
        assert ada.fields.get(1).patient == "P1"
        heard.clear()
        assert not ada.refresh()
        ada.cells.add(1, (1, 30, 20, 20))
        assert not ada.refresh()


def test_a_writer_that_waits_too_long_gets_a_clear_answer_and_readers_go_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine.make_engine, "__kwdefaults__", {"read_only": False, "busy_timeout_ms": 50})
    with (
        Project.open(folder, annotator="Ada") as ada,
        Project.open(folder, annotator="Ben", reading=1) as ben,
    ):
        ben.cells.add(1, (1, 1, 20, 20))
        with writing(ada):
            with pytest.raises(ProjectError, match="being written by another program"):
                ben.cells.add(1, (1, 1, 20, 20))
            assert len(ben.cells.all()) == 1
        ben.cells.add(1, (1, 1, 20, 20))
        assert len(ada.cells.all()) == 2


def test_the_same_file_added_by_two_at_once_is_one_field(folder: Path, tmp_path: Path) -> None:
    Image.new("RGB", (30, 30), "purple").save(tmp_path / "new.png")
    with (
        Project.open(folder, annotator="Ada") as ada,
        Project.open(folder, annotator="Ben", reading=1) as ben,
    ):
        known = ada._ingest.known_hashes()
        ben.fields.add([tmp_path / "new.png"])
        ada._ingest.known_hashes = lambda: known  # type: ignore[method-assign]
        report = ada.fields.add([tmp_path / "new.png"])
        assert report.added == []
        assert len(ada.fields.all()) == 3
        assert ada.check() == []

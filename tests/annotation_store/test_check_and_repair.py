"""`check` finds what is wrong with a project; `repair` mends what can be mended and says what cannot."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save

from annotation_store import Project, ProjectError, Proposal, Shape
from annotation_store.copies.split import split
from annotation_store.errors import EditError
from annotation_store.files.outputs import place_beside
from annotation_store.maintenance.check import Check
from tests.database import run_sql


def original(project: Project, field_id: int = 1) -> Path:
    return project.pixels.original(field_id)


def without_triggers(project: Project) -> None:
    """Let anything be written, as a program that knows no rules could."""
    ask = partial(run_sql, project)
    for name in ask("SELECT name FROM sqlite_master WHERE type = 'trigger'").scalars().all():
        ask(f"DROP TRIGGER {name}")


def busy(project: Project) -> None:
    """A project in which something of every kind has happened."""
    cell = project.cells.add(1, (1, 1, 20, 20), cell_class="Monocyte", attributes={"cell_size": "small"})
    project.cells.change(cell, comment="look", cell_class="blast")
    project.cells.delete(cell)
    project.undo(1)
    project.regions.add(1, Shape.polygon([(0.1, 0.1), (50.7, 3), (40, 61.3)]))
    area = project.ignore_areas.add(1, Shape.rectangle(0, 0, 30, 30))
    project.ignore_areas.delete(area)
    ids = project.suggestions.replace(
        1, [Proposal((i, 1, 20, 20), 0.5, {"Monocyte": 1.0}) for i in range(6)], model_id=None
    )
    project.suggestions.accept_many(ids[:2])
    project.suggestions.reject(ids[2])
    project.undo(1)
    project.suggestions.replace(1, [Proposal((50, 1, 20, 20), 0.5)], model_id=None)
    project.fields.update(1, patient="P1", pixel_size_um=0.25)


def test_a_project_at_work_is_sound_and_its_history_says_what_it_says(project: Project) -> None:
    busy(project)
    assert project.check() == []
    report = project.repair()
    assert (report.mended, report.left) == ([], [])


@pytest.mark.parametrize("damage", ["gone", "one file", "shard", "garbage"])
def test_damaged_pixels_are_made_again_from_the_original(project: Project, damage: str) -> None:
    before = project.pixels.read(1)
    folder = project.path / "fields.zarr/1"
    shard = next(p for p in folder.rglob("*") if p.is_file() and p.name != "zarr.json")
    if damage == "gone":
        shutil.rmtree(folder)
    elif damage == "one file":
        (folder / "0/zarr.json").unlink()
    elif damage == "shard":
        shard.unlink()  # zarr would read it as black
    else:
        shard.write_bytes(b"\xff" * 50)
    with pytest.raises(ProjectError, match="missing or damaged"):
        project.pixels.read(1)
    (problem,) = project.check()
    assert "a.png" in problem
    report = project.repair()
    assert report.left == []
    assert any("created again" in line for line in report.mended)
    np.testing.assert_array_equal(project.pixels.read(1), before)


def test_a_black_field_is_no_damage(project: Project, tmp_path: Path) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "black.png")
    (field_id,) = project.fields.add([tmp_path / "black.png"]).added
    assert project.check() == []
    assert not project.pixels.read(field_id).any()
    # versions before 1.0.0rc1 wrote no shard of a black field
    (project.path / f"fields.zarr/{field_id}/0/c/0/0/0").unlink()
    assert project.repair().left == []
    assert project.check() == []
    assert not project.pixels.read(field_id).any()


def test_a_lost_original_is_taken_from_a_folder(project: Project, image_folder: Path) -> None:
    path = original(project)
    data = path.read_bytes()
    path.unlink()
    assert "original" in project.check()[0]
    assert project.repair(originals=image_folder).left == []
    assert path.read_bytes() == data


def test_an_altered_original_is_set_aside_and_found_again(project: Project, image_folder: Path) -> None:
    path = original(project)
    data = path.read_bytes()
    path.write_bytes(b"altered")
    assert project.repair(originals=image_folder).left == []
    assert path.read_bytes() == data
    assert (project.path / "lost+found" / path.name).read_bytes() == b"altered"


def test_a_renamed_original_is_known_by_its_content(project: Project, image_folder: Path) -> None:
    path = original(project)
    path.rename(path.with_name("copy of a.png"))
    assert project.repair().left == []
    assert path.is_file()


def test_what_cannot_be_mended_is_said_and_left_alone(project: Project) -> None:
    busy(project)
    path = original(project)
    path.unlink()
    shutil.rmtree(project.path / "fields.zarr/1")
    cells = project.cells.all()
    report = project.repair()
    assert report.mended == []
    assert len(report.left) == 2
    assert project.cells.all() == cells


def test_strays_move_to_lost_and_found(project: Project) -> None:
    (project.path / "originals/stray.png").write_bytes(b"somebody's")
    (project.path / "fields.zarr/note.txt").write_text("dear")
    report = project.repair()
    assert len(report.mended) == 2
    assert (project.path / "lost+found/stray.png").read_bytes() == b"somebody's"
    assert (project.path / "lost+found/note.txt").read_text() == "dear"


def test_a_damaged_thumbnail_and_a_lost_folder_are_made_again(project: Project) -> None:
    project.pixels.thumbnail(1)
    (thumbnail,) = (project.path / ".thumbnails").iterdir()
    thumbnail.write_bytes(b"nonsense")
    shutil.rmtree(project.path / "models")
    assert len(project.repair().mended) == 2
    assert project.pixels.thumbnail(1).shape[2] == 3
    assert (project.path / "models").is_dir()


def test_a_model_without_files_is_no_longer_active(project: Project) -> None:
    number = project.models.reserve_id()
    project.models.folder(number).mkdir()
    (project.models.folder(number) / "weights").write_bytes(b"x")
    project.models.add(number, parent="", card={}, activate=True)
    shutil.rmtree(project.models.folder(number))
    report = project.repair()
    assert project.models.active() is None
    assert any("Model 1" in line for line in report.mended)
    assert report.left == []


def test_a_model_without_its_files_is_retired_until_they_are_back(project: Project, tmp_path: Path) -> None:
    folder = a_model(project).parent
    a_model(project)
    folder.rename(tmp_path / "weights")
    (problem,) = project.check()
    assert problem.startswith("Model 1 cannot be used: its files are missing")
    (told,) = project.repair().mended
    assert "Model 1 cannot be used" in told
    assert "retired" in told
    assert project.check() == []
    assert [model.id for model in project.models.all()] == [1, 2]
    with pytest.raises(EditError, match="Model 1 was retired, since its files are missing"):
        project.models.activate(1)
    assert split(project.path, ["Ada"], tmp_path / "readers"), "it goes along without files"
    (tmp_path / "weights").rename(folder)
    assert project.repair().mended == ["The files of model 1 are whole again: it can be used."]
    project.models.activate(1)


def a_model(project: Project, *, active: bool = True, value: float = 1.0) -> Path:
    """Add a model as the worker leaves it; give its weights."""
    number = project.models.reserve_id()
    folder = project.models.folder(number)
    folder.mkdir()
    weights = folder / "model.safetensors"
    weights.write_bytes(save({"a": np.full((40, 40), value, np.float32)}))
    card = {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
    (folder / "model.json").write_text(json.dumps(card))
    project.models.add(number, parent="starter", card=card, activate=active)
    return weights


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 0x40
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [flip, Path.unlink, lambda p: p.with_name("model.json").write_text("{}")])
def test_a_damaged_model_is_told_and_the_sound_one_before_it_suggests(
    project: Project, damage: Callable[[Path], object]
) -> None:
    a_model(project)
    flip(a_model(project))
    damage(a_model(project))
    problems = project.check()
    assert [p.split(":")[0] for p in problems] == ["Model 2 cannot be used", "Model 3 cannot be used"]
    report = project.repair()
    active = project.models.active()
    assert active is not None
    assert active.id == 1
    assert any("Model 3" in line and "model 1 is now in use" in line for line in report.mended)
    assert len(list((project.path / "models").rglob("model.*"))) >= 5, "nothing is deleted"


def test_the_files_of_each_model_are_read_once_to_mend_and_once_to_check(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    judge = Check.model_damage

    def counted(self: Check, row: Any, **options: Any) -> str | None:
        read.append(row.id)
        return judge(self, row, **options)

    for _ in range(2):
        a_model(project)
    flip(a_model(project))
    monkeypatch.setattr(Check, "model_damage", counted)
    project.repair()
    assert read[:3] == [1, 2, 3]
    assert sorted(read[3:]) == [1, 2], "the check afterwards passes over the one that is retired"


def test_files_under_the_number_of_a_new_model_are_set_aside(project: Project) -> None:
    (project.path / "models/1").mkdir()
    (project.path / "models/1/model.safetensors").write_text("trained for a day")
    assert project.models.reserve_id() == 1
    assert not project.models.folder(1).exists()
    assert (project.path / "lost+found/1/model.safetensors").exists()


def test_weights_of_an_old_model_without_a_hash_are_read_through(project: Project) -> None:
    weights = a_model(project, value=float("nan"))
    weights.with_name("model.json").unlink()
    run_sql(project, "UPDATE models SET card = '{}'")
    (problem,) = project.check()
    assert "cannot be read" in problem
    project.repair()
    assert project.models.active() is None, "the starter"


def test_a_lost_root_of_the_pixels_is_written_again_and_pixels_without_an_original_stay(
    project: Project,
) -> None:
    before = project.pixels.read(1)
    run_sql(project, "UPDATE fields SET source_path = '/nowhere/a.png'")
    original(project).unlink()
    (project.path / "fields.zarr/zarr.json").unlink()
    assert len(project.check()) == 2
    report = project.repair()
    assert any("root" in line for line in report.mended)
    assert len(report.left) == 1
    np.testing.assert_array_equal(project.pixels.read(1), before)
    assert (project.path / "fields.zarr/zarr.json").is_file()


def test_a_damaged_root_is_set_aside_and_two_of_one_name_both_stay(project: Project) -> None:
    root = project.path / "fields.zarr/zarr.json"
    for text in ("{", "["):
        root.write_text(text)
        assert project.repair().left == []
    kept = sorted(p.read_text() for p in (project.path / "lost+found").iterdir())
    assert kept == ["[", "{"]


def test_what_is_no_thumbnail_and_models_that_nobody_knows_are_set_aside(project: Project) -> None:
    project.pixels.thumbnail(1)
    (project.path / ".thumbnails/notes.txt").write_text("dear")
    (project.path / "models/7").mkdir()
    (project.path / "models/7/model.safetensors").write_text("trained for a day")
    assert len(project.repair().mended) == 2
    lost = project.path / "lost+found"
    assert (lost / "notes.txt").read_text() == "dear"
    assert (lost / "7/model.safetensors").read_text() == "trained for a day"


def test_a_thumbnail_that_is_being_written_is_left_alone_and_one_of_a_killed_program_is_removed(
    project: Project,
) -> None:
    project.pixels.thumbnail(1)
    folder = project.path / ".thumbnails"
    killed = folder / ".1-64.jpg.napari-lld-0"
    killed.mkdir()
    (killed / ".lock").touch()
    (killed / "file").write_bytes(b"half")
    with place_beside(folder / "2-64.jpg") as living:
        assert project.repair().mended == []
        assert living.is_dir()
    assert not killed.exists()
    assert not (project.path / "lost+found").exists()


def test_a_flipped_bit_in_pixels_is_found_on_every_level(project: Project, tmp_path: Path) -> None:
    Image.fromarray(np.arange(40 * 2100 * 3, dtype=np.uint32).astype(np.uint8).reshape(40, 2100, 3)).save(
        tmp_path / "wide.png"
    )
    (field_id,) = project.fields.add([tmp_path / "wide.png"]).added
    for level in ("0", "1"):
        place = project.path / f"fields.zarr/{field_id}/{level}/c"
        shard = next(p for p in place.rglob("*") if p.is_file())
        data = shard.read_bytes()
        shard.write_bytes(data[:60] + bytes([data[60] ^ 1]) + data[61:])
        assert len(project.check()) == 1, level
        assert project.check(quick=True) == []
        shard.write_bytes(data)


def test_a_quick_check_looks_only_whether_files_are_there(project: Project) -> None:
    a_model(project).unlink()
    original(project).write_bytes(b"altered")
    shutil.rmtree(project.path / "fields.zarr/2")
    problems = project.check(quick=True)
    assert len(problems) == 2
    assert "b.png" in problems[0]
    assert "Model 1" in problems[1]
    assert len(project.check()) == 3


def test_a_row_changed_behind_the_store_s_back_is_found(project: Project) -> None:
    busy(project)
    ask = partial(run_sql, project)
    cell = project.cells.all()[0].id
    ask(f"UPDATE cells SET cell_class = 'Neutrophil' WHERE id = {cell}")
    ask("INSERT INTO cells (field_id, reading_id, x, y, w, h, attributes) VALUES (1, 1, 1, 1, 5, 5, '{}')")
    problems = project.check()
    assert any(f"Cell {cell}: its cell_class differs from its history" in p for p in problems)
    assert any("has no history" in p for p in problems)
    assert project.repair().left == problems


@pytest.mark.parametrize(
    ("statement", "read"),
    [
        ("UPDATE cells SET attributes = '{oops'", lambda p: p.cells.all()),
        ("UPDATE cells SET attributes = '[1]'", None),
        ("UPDATE regions SET shape = '\"x\"'", None),
        ("UPDATE cells SET x = 'left'", None),
        (f"UPDATE cells SET attributes = '{'[' * 3000}{']' * 3000}'", lambda p: p.cells.all()),
    ],
)
def test_columns_with_nonsense_are_found_and_never_a_traceback(
    project: Project, statement: str, read: Callable[[Project], object] | None
) -> None:
    busy(project)
    without_triggers(project)
    run_sql(project, statement)
    if read is not None:
        with pytest.raises(ProjectError, match="damaged"):
            read(project)
    problems = project.check()
    assert problems
    assert all("cannot be read" in problem for problem in problems)


def test_a_damaged_index_is_made_again_after_a_copy(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        busy(project)
        cells = project.cells.all()
    for left in folder.glob("project.db-*"):
        left.unlink()
    with sqlite3.connect(folder / "project.db") as raw:
        raw.execute("PRAGMA writable_schema = ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = 'CREATE INDEX ix_cells_field ON cells "
            "(deleted, reading_id, field_id)' WHERE name = 'ix_cells_field'"
        )
    raw.close()
    with Project.open(folder, annotator="Ada") as project:
        assert project.cells.all() != cells, "an index that lies hides cells"
        assert any("damaged" in problem for problem in project.check())
        report = project.repair()
        assert report.left == []
        assert project.cells.all() == cells
    assert len(list((folder / "backups").iterdir())) == 1


def test_a_reader_cannot_repair(folder: Path) -> None:
    with Project.open(folder, read_only=True) as project, pytest.raises(ProjectError, match="reading only"):
        project.repair()

"""Projects for several readers, and their work brought together, by the real commands."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, Shape
from annotation_store.copies import files
from annotation_store.copies.split import split
from annotation_store.errors import OutputError
from tests.cli.conftest import Cli


@pytest.fixture
def films(cli: Cli, project: Path, tmp_path: Path) -> Path:
    """A project with three fields of Meyer, and a cell."""
    rng = np.random.default_rng(0)
    for name in "abc":
        pixels = rng.integers(0, 255, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"Meyer_{name}.png")
    with Project.open(project, annotator="Ada") as opened:
        opened.fields.add(sorted(tmp_path.glob("*.png")), patient_from="(Meyer)_")
        opened.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte", comment="of Meyer")
    return project


def read(folder: Path, reader: str, cell_class: str) -> None:
    """Box one cell on each field, as a reader."""
    with Project.open(folder, annotator=reader) as opened:
        assert opened.reading.annotator == reader
        for field in opened.fields.all():
            opened.regions.add(field.id, Shape.rectangle(0, 0, 60, 60))
            opened.cells.add(field.id, (5, 5, 20, 20), cell_class=cell_class)


def test_blind_readers_get_projects_of_their_own_and_their_readings_come_back(
    cli: Cli, films: Path, tmp_path: Path
) -> None:
    out = tmp_path / "readers"
    made = cli("split", films, "--readers", "Anna,Bert", "--out", out, "--blind")
    assert made.code == 0, made.err
    for reader in ("Anna", "Bert"):
        with Project.open(out / reader, annotator=reader) as opened:
            assert opened.check() == []
            assert opened.reading.name == reader
            assert opened.reading.blind
            assert [one.name for one in opened.readings.all()] == [reader]
            assert opened.history.rows() == []
        for file in (out / reader).rglob("*"):
            assert "Meyer" not in str(file)
            assert file.is_dir() or b"Meyer" not in file.read_bytes(), file
    read(out / "Anna", "Anna", "Monocyte")
    read(out / "Bert", "Bert", "Lymphocyte")
    would = cli("merge", films, out / "Anna", out / "Bert", "--dry-run", "--json")
    assert [one["cells"] for one in would.json["brought"]] == [3, 3]
    unseen = "conflicts that they have with each other"
    assert unseen in cli("merge", films, out / "Anna", out / "Bert", "--dry-run").out
    assert unseen not in cli("merge", films, out / "Anna", "--dry-run").out
    done = cli("merge", films, out / "Anna", out / "Bert", "--json")
    assert done.code == 0, done.err
    assert Path(done.json["backup"]).is_file()
    assert done.json["open_conflicts"] == 0
    agree = cli("agreement", films, "--json")
    assert agree.code == 0, agree.err
    # the box is one cell that both found, and named differently
    assert {name for one in agree.json["differences"] for name in one["cells"]} == {"Anna", "Bert"}
    with Project.open(films, annotator="Ada") as opened:
        assert {field.patient for field in opened.fields.all()} == {"Meyer"}
        assert opened.check() == []
    again = cli("merge", films, out / "Bert", out / "Anna", films, "--json")
    assert again.json["backup"] is None
    undone = cli("restore", films, "--from", done.json["backup"])
    assert undone.code == 0, undone.err
    with Project.open(films, annotator="Ada") as opened:
        assert len(opened.readings.all()) == 1


def test_fields_are_dealt_out_with_some_for_everybody(cli: Cli, films: Path, tmp_path: Path) -> None:
    answer = cli(
        "split", films, "--readers", "A,B", "--out", tmp_path / "r", "--overlap", 1, "--names", "--json"
    )
    assert [one["fields"] for one in answer.json["copies"]] == [2, 2]
    with Project.open(tmp_path / "r" / "A", annotator="A") as a, Project.open(tmp_path / "r" / "B") as b:
        ours, theirs = ({field.name for field in one.fields.all()} for one in (a, b))
        assert len(ours & theirs) == 1
        assert len(ours | theirs) == 3
        assert a.check() == []


def test_what_cannot_be_split_or_merged_is_one_sentence(cli: Cli, films: Path, tmp_path: Path) -> None:
    (tmp_path / "full" / "A").mkdir(parents=True)
    cli("split", films, "--readers", "A,B", "--out", tmp_path / "full").refuses("already exists")
    assert not (tmp_path / "full" / "B").exists()
    cli("split", films, "--readers", "A,a", "--out", tmp_path / "r").refuses("Two readers")
    cli("split", films, "--readers", "../A", "--out", tmp_path / "r").refuses("folder")
    cli("split", films, "--readers", "A", "--out", films / "r").refuses("inside the project")
    cli("split", films, "--readers", "A", "--out", tmp_path / "r", "--overlap", 9).refuses("3 fields")
    cli("merge", films, tmp_path / "nothing").refuses("not a napari-lld project")


def test_a_split_for_which_there_is_no_room_leaves_no_folder(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files, "link", full)
    with pytest.raises(OutputError, match=r"readers.* cannot be written: the disk is full"):
        split(films, ["Anna", "Bert"], tmp_path / "new" / "readers")
    assert not (tmp_path / "new").exists()

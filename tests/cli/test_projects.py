"""Projects through the command line: made, told of, checked; what is not a project is refused in one line."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from napari_lld import sample


@pytest.mark.parametrize("schema", ["lld", "wbcatt"])
def test_a_new_project_is_sound_and_empty(cli, tmp_path: Path, schema: str) -> None:
    made = cli("new", tmp_path / "p", "--schema", schema, "--json")
    assert made.code == 0
    assert made.json["schema"] == schema
    assert made.json["classes"]
    told = cli("info", tmp_path / "p", "--json").json
    assert (told["fields"]["total"], told["cells"]["total"], told["models"]) == (0, 0, [])
    assert cli("check", tmp_path / "p").code == 0
    assert cli("info", tmp_path / "p").code == 0


def test_the_schema_is_taken_from_a_coco_file(cli, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    document = {
        "categories": [{"id": 1, "name": "Blast"}, {"id": 2, "name": "Other"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 9, "height": 9}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 3, 3], "attributes": {"rim": "thin"}}
        ],
    }
    file.write_text(json.dumps(document))
    made = cli("new", tmp_path / "p", "--schema", file, "--json")
    assert made.code == 0, made.err
    assert made.json["classes"] == ["Blast", "Other"]
    assert made.json["attributes"] == ["rim"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("no.yaml", None),
        ("empty.json", ""),
        ("broken.json", "{"),
        ("odd.yaml", "- 1"),
        ("no-such-preset", None),
    ],
)
def test_a_schema_that_cannot_be_read_is_refused_and_nothing_is_made(
    cli, tmp_path: Path, name: str, text: str | None
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    schema = name if name == "no-such-preset" else tmp_path / name
    cli("new", tmp_path / "p", "--schema", schema).refuses(name)
    assert not (tmp_path / "p").exists()


def test_a_folder_that_holds_something_is_not_made_a_project(cli, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    cli("new", tmp_path).refuses(str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


COMMANDS = [
    ("info",),
    ("models",),
    ("check",),
    ("train",),
    ("predict",),
    ("rank",),
    ("agreement",),
    ("evaluate",),
    ("add", sample.fields()[0]),
    ("import", sample.sparse(), "--format", "coco"),
    ("export", "out.json", "--format", "coco"),
    ("open",),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
@pytest.mark.parametrize("kind", ["missing", "empty folder", "photos", "newer", "damaged", "a file"])
def test_a_folder_that_is_no_project_of_ours_is_refused_and_left_alone(
    cli, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, words: tuple[object, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    match kind:
        case "empty folder":
            folder.mkdir()
        case "photos":
            folder.mkdir()
            (folder / "photo.jpg").write_text("mine")
        case "newer":
            folder = project
            make_newer(project)
        case "damaged":
            folder = project
            (project / "project.db").write_bytes(b"not a database" * 100)
        case "a file":
            folder.write_text("not a folder")
    before = contents(folder)
    command, *rest = words
    cli(command, folder, *rest).refuses(folder.name)
    assert contents(folder) == before
    assert not (tmp_path / "out.json").exists()


def make_newer(project: Path) -> None:
    """Mark a project as one that a later version has migrated."""
    database = sqlite3.connect(project / "project.db")
    with database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()


def contents(folder: Path) -> list[tuple[str, bytes]]:
    if not folder.exists():
        return []
    if folder.is_file():
        return [(folder.name, folder.read_bytes())]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # SQLite makes and empties its side files on reading
    return [(str(path), path.read_bytes()) for path in files if path.suffix not in (".db-wal", ".db-shm")]


def test_a_newer_project_says_that_napari_lld_must_be_updated(cli, project: Path) -> None:
    make_newer(project)
    cli("info", project).refuses("newer")


def test_a_damaged_project_is_told_by_check(cli, annotated: Path) -> None:
    assert cli("check", annotated, "--json").json == {
        "project": str(annotated),
        "sound": True,
        "problems": [],
    }
    original = next(path for path in annotated.rglob("*.jpg"))
    original.unlink()
    answer = cli("check", annotated, "--json")
    assert answer.code == 2
    assert answer.err.count("\n") == 1
    assert answer.json["problems"]


def test_info_counts_what_there_is(cli, annotated: Path) -> None:
    told = cli("info", annotated, "--json").json
    assert told["fields"]["total"] == 6
    assert told["regions"] == {"finished": 6, "draft": 0}
    assert told["cells"]["total"] == 6
    assert told["cells"]["classes"] == {"missing": 6}
    assert told["suggestions"]["pending"] == 0
    text = cli("info", annotated).out
    assert "6 fields" in text
    assert "6 finished regions" in text

"""`napari-lld restore`: a backup comes back, and the terminal says what it did."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project
from annotation_store._db import migrate


def test_a_damaged_project_is_restored_as_its_error_advises(cli, annotated: Path) -> None:
    with Project.open(annotated) as project:
        cells = len(project.cells.all())
        migrate.back_up(annotated / "project.db", annotated / "backups", "before-repair")
    listed = cli("restore", annotated, "--list")
    assert "sound" in listed.out
    for path in annotated.glob("project.db-*"):
        path.unlink()
    (annotated / "project.db").write_bytes(b"nonsense" * 1000)
    told = cli("info", annotated)
    assert told.code == 2
    assert f"napari-lld restore {annotated}" in told.err
    restored = cli("restore", annotated)
    assert restored.code == 0, restored.err
    assert "Later changes are not in it" in restored.out
    assert "lost+found" in restored.out
    assert cli("info", annotated, "--json").json["cells"]["total"] == cells
    again = cli("restore", annotated, "--json").json
    assert (again["unknown"], again["problems"]) == ([], [])


def test_a_project_without_a_backup_is_told_what_to_do(cli, annotated: Path) -> None:
    assert "no backups" in cli("restore", annotated, "--list").out
    refused = cli("restore", annotated)
    assert refused.code == 2
    assert "--from" in refused.err


def test_a_quick_check_is_quick_and_does_not_repair(cli, annotated: Path) -> None:
    original = next((annotated / "originals").iterdir())
    original.write_bytes(b"altered")
    assert cli("check", annotated, "--quick").code == 0
    assert cli("check", annotated).code == 2
    assert cli("check", annotated, "--quick", "--repair").code == 2

"""No command writes over a project's own files, nor over any file without ``--overwrite``."""

from __future__ import annotations

from pathlib import Path

import pytest

COMMANDS = {
    "export": lambda p, out: ("export", p, out, "--format", "csv"),
    "export-folder": lambda p, out: ("export", p, out, "--format", "yolo"),
    "report": lambda p, out: ("report", p, out),
    "predict": lambda p, out: ("predict", p, "--images", Path(__file__).parent, "--out", out),
    "demo": lambda p, out: ("demo", "--out", out),
}


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("inside", ["project.db", "originals/new.json", "new"])
def test_a_projects_own_files_are_refused_with_and_without_the_flag(
    cli, project: Path, name: str, inside: str
) -> None:
    before = (project / "project.db").read_bytes()
    words = COMMANDS[name](project, project / inside)
    cli(*words).refuses("inside the project")
    cli(*words, "--overwrite").refuses("inside the project")
    assert (project / "project.db").read_bytes() == before
    assert not (project / "new").exists()


def test_another_projects_files_are_refused(cli, project: Path, tmp_path: Path) -> None:
    assert cli("new", tmp_path / "other").code == 0
    cli("export", project, tmp_path / "other" / "x.csv", "--format", "csv").refuses("inside the project")


@pytest.mark.parametrize("name", ["export", "report", "predict"])
def test_a_file_that_exists_is_refused_before_any_work(cli, project: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine.html"
    out.write_text("mine")
    cli(*COMMANDS[name](project, out)).refuses("already exists", "--overwrite")
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", ["export", "report"])
def test_with_the_flag_it_is_replaced(cli, annotated: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "mine.html"
    out.write_text("mine")
    assert cli(*COMMANDS[name](annotated, out), "--overwrite").code == 0
    assert out.read_text("utf-8") != "mine"

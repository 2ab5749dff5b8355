"""Temporary folders go with the program that made them, killed or not."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from annotation_store.files import temporary


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run(place: Path, code: str) -> None:
    program = f"import os, tempfile; tempfile.tempdir = {str(place)!r}\n{code}"
    subprocess.run([sys.executable, "-c", program], check=False)


def test_what_a_killed_program_left_goes_when_the_next_folder_is_made(place: Path) -> None:
    run(place, "from annotation_store.files.temporary import *\nkeep_until_exit('a'); os._exit(9)")
    (left,) = place.iterdir()
    (place / "napari-lld-other").mkdir()  # nobody's, as far as its lock tells
    with temporary.temporary_folder("b") as folder:
        assert not left.exists()
        (folder / "deep").mkdir()
        with temporary.temporary_folder("c"):
            assert folder.is_dir(), "its program lives"
    assert [p.name for p in place.iterdir()] == ["napari-lld-other"]


def test_a_process_that_ends_at_once_cleans_up_first(place: Path) -> None:
    run(
        place, "from annotation_store.files.temporary import *\nkeep_until_exit('a'); clean_up(); os._exit(0)"
    )
    run(place, "from annotation_store.files.temporary import *\nkeep_until_exit('a')")
    assert list(place.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights of their own on Windows")
def test_links_among_temporary_folders_are_not_followed(place: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".lock").touch()
    (home / "dear").touch()
    (place / "napari-lld-x").symlink_to(home)
    (place / "napari-lld-y").mkdir()
    (place / "napari-lld-y/.lock").symlink_to(home / "dear")
    temporary.sweep(place, "napari-lld-")
    assert (home / "dear").exists()
    assert (place / "napari-lld-y").exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="owners are other things on Windows")
def test_folders_of_other_accounts_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "napari-lld-x").mkdir()
    (place / "napari-lld-x/.lock").touch()
    own = os.geteuid()
    with monkeypatch.context() as patched:
        patched.setattr(os, "geteuid", lambda: own + 1)
        temporary.sweep(place, "napari-lld-")
    assert (place / "napari-lld-x").exists()
    temporary.sweep(place, "napari-lld-")
    assert not (place / "napari-lld-x").exists()

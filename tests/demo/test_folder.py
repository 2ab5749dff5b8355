"""The demonstration replaces only what an earlier one wrote, and leaves nothing half-written."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store.errors import ProjectError
from napari_lld.demo.folder import MARKER, check_folder, fresh_folder


def fill(work: Path, text: str) -> None:
    (work / "project").mkdir()
    (work / "project" / "a").write_text(text)
    (work / "export.json").write_text(text)
    (work / "report.html").write_text(text)


def test_an_earlier_demo_is_replaced_where_asked_for_and_what_else_lies_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "demo"
    with fresh_folder(out) as work:
        fill(work, "one")
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ProjectError, match="--overwrite"), fresh_folder(out):
        pass
    with fresh_folder(out, overwrite=True) as work:
        assert (out / "export.json").read_text() == "one"
        fill(work, "two")
    assert (out / "export.json").read_text() == "two"
    assert (out / "project" / "a").read_text() == "two"
    assert sorted(path.name for path in out.iterdir()) == sorted(
        ["project", "export.json", "report.html", "notes.txt", MARKER]
    )


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("mine")
    with pytest.raises(ProjectError, match="not empty"):
        check_folder(tmp_path)
    with pytest.raises(ProjectError, match="is a file"):
        check_folder(tmp_path / "photo.jpg")


@pytest.mark.parametrize("earlier", [False, True])
def test_a_demo_that_fails_leaves_the_folder_as_it_was(tmp_path: Path, earlier: bool) -> None:
    out = tmp_path / "demo"
    if earlier:
        with fresh_folder(out) as work:
            fill(work, "one")

    def fail() -> None:
        with fresh_folder(out, overwrite=True) as work:
            fill(work, "two")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert out.exists() == earlier
    if earlier:
        assert (out / "export.json").read_text() == "one"
        assert not list(out.glob(".*"))

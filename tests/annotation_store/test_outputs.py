"""What the user names to be written never replaces a project's own files, nor any file unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store.errors import OutputError
from annotation_store.files.outputs import check_output, project_around, write_file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with Project.create(tmp_path / "p"):
        pass
    return tmp_path / "p"


@pytest.mark.parametrize("inside", ["", "project.db", "new.json", "originals/x.png", "a/b/c.json", "../p/x"])
def test_nothing_is_written_inside_a_project(folder: Path, inside: str) -> None:
    with pytest.raises(OutputError, match="inside the project"):
        check_output(folder / inside, overwrite=True)


def test_links_into_a_project_are_followed_and_links_that_lie_in_one_are_not_replaced(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "database").symlink_to(folder / "project.db")
    (tmp_path / "way").symlink_to(folder, target_is_directory=True)
    (folder / "out").symlink_to(tmp_path, target_is_directory=True)
    (folder / "file").symlink_to(tmp_path / "elsewhere.json")
    for place in (tmp_path / "database", tmp_path / "way" / "new.json", folder / "file"):
        with pytest.raises(OutputError, match="inside the project"):
            check_output(place, overwrite=True)
    assert project_around(folder / "out" / "x.json") is None  # a link out of the project leads out
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(OutputError):
        check_output(loop)


def test_no_project_is_made_inside_a_project(folder: Path) -> None:
    before = sorted(folder.rglob("*"))
    with pytest.raises(OutputError, match="inside the project"):
        Project.create(folder / "originals" / "another")
    assert sorted(folder.rglob("*")) == before


def test_a_project_without_pixels_is_still_a_project(folder: Path) -> None:
    (folder / "fields.zarr" / "zarr.json").unlink()
    (folder / "fields.zarr").rmdir()
    with pytest.raises(OutputError, match="inside the project"):
        check_output(folder / "x.json")


def test_a_file_that_exists_is_refused_unless_it_may_be_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    check_output(out)
    write_file(out, "one")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    for place in (out, tmp_path / "dangling"):
        with pytest.raises(OutputError, match=r"already exists.*--overwrite"):
            check_output(place)
        check_output(place, overwrite=True)


def test_a_write_that_fails_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    write_file(out, "one")

    def chunks():
        yield "tw"
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_file(out, chunks())
    assert out.read_text() == "one"
    assert list(tmp_path.iterdir()) == [out]
    write_file(out, b"bytes")
    assert out.read_bytes() == b"bytes"


def test_what_can_be_made_again_is_written_in_one_step_without_waiting_for_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []
    monkeypatch.setattr("annotation_store.files.outputs.os.fsync", waits.append)
    monkeypatch.setattr("annotation_store.files.disk.os.fsync", waits.append)
    write_file(tmp_path / "thumbnail.jpg", b"one", durable=False)
    assert waits == []
    assert [path.name for path in tmp_path.iterdir()] == ["thumbnail.jpg"]
    write_file(tmp_path / "weights", b"one")
    assert len(waits) == 2  # the file, and the folder that names it


def test_every_format_refuses_the_projects_own_files(folder: Path, tmp_path: Path) -> None:
    database = (folder / "project.db").stat()
    with Project.open(folder, read_only=True) as project:
        for name in formats.names(writing=True):
            for place in (folder / "project.db", folder / "out", folder / "originals" / "x.json"):
                with pytest.raises(OutputError, match="inside the project"):
                    formats.write(name, project, place, overwrite=True)
        # Label Studio's configuration, which is written beside the file that was named
        (tmp_path / "x_config.xml").write_text("mine")
        with pytest.raises(OutputError, match=r"x_config\.xml already exists"):
            formats.write("labelstudio", project, tmp_path / "x.json")
        assert (tmp_path / "x_config.xml").read_text() == "mine"
    assert (folder / "project.db").stat().st_size == database.st_size

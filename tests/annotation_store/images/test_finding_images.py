"""Which of the things in folders are images."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import zarr
from PIL import Image

from annotation_store import ImageError, Project
from annotation_store.images import find_images

needs_posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX files")
RGB = np.random.default_rng(3).integers(0, 255, (20, 24, 3), np.uint8)


def image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(path, format="PNG")
    return path


def names(paths: list[Path], root: Path) -> list[str]:
    return [p.relative_to(root).as_posix() for p in paths]


def test_folders_are_walked_and_a_zarr_folder_is_one_image(tmp_path: Path) -> None:
    image(tmp_path / "b.png")
    image(tmp_path / "deep/a.JPG")
    image(tmp_path / ".hidden/c.png")
    image(tmp_path / "deep/.d.png")
    (tmp_path / "notes.txt").write_text("no image")
    zarr.open_group(tmp_path / "deep/z.zarr", mode="w")
    image(tmp_path / "deep/z.zarr/inside.png")
    zarr.open_group(tmp_path / "unnamed", mode="w", zarr_format=2)
    found = find_images([tmp_path])
    assert names(found, tmp_path) == ["b.png", "deep/a.JPG", "deep/z.zarr", "unnamed"]
    assert find_images([tmp_path / "b.png", tmp_path]) == found, "each once"


def test_a_folder_that_is_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "trap.png").mkdir()
    with pytest.raises(ImageError, match=r"folder .*trap\.png holds no images"):
        find_images([tmp_path / "trap.png"])
    image(tmp_path / "trap.png/real.png")
    assert names(find_images([tmp_path]), tmp_path) == ["trap.png/real.png"]


@needs_posix
def test_loops_of_links_end(tmp_path: Path) -> None:
    image(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self.png").symlink_to(tmp_path / "self.png")
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    assert names(find_images([tmp_path]), tmp_path) == ["a.png"]


@needs_posix
@pytest.mark.timeout(20)
def test_pipes_and_devices_are_never_waited_for(empty: Project, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    image(tmp_path / "real/a.png")
    assert find_images([tmp_path]) == [tmp_path / "real/a.png"]
    for path in (tmp_path / "pipe.png", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ImageError, match=f"{path.name} is not a file"):
            empty.fields.add([path])
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    with pytest.raises(ImageError, match=r"zero\.png is not a file"):
        empty.fields.add([tmp_path / "zero.png"])


@needs_posix
@pytest.mark.parametrize("name", ["a\nb.png", "a\u202egnp.b.png", "a\x1b[31m.png", "x" * 200 + ".png"])
def test_strange_names_come_in_and_are_shown_on_one_line(empty: Project, tmp_path: Path, name: str) -> None:
    image(tmp_path / name)
    bad = tmp_path / f"bad{name}"
    bad.write_bytes(b"nonsense")
    report = empty.fields.add([tmp_path])
    assert len(report.added) == 1
    ((_, why),) = report.skipped
    assert why.isprintable(), why
    assert empty.fields.all()[0].name.isprintable()


@needs_posix
def test_a_name_that_is_no_text_comes_in(empty: Project, tmp_path: Path) -> None:
    source = image(tmp_path / "a.png")
    odd = os.fsencode(tmp_path) + b"/caf\xe9.png"
    os.rename(os.fsencode(source), odd)  # noqa: PTH104 - bytes are the point
    assert len(empty.fields.add([Path(os.fsdecode(odd))]).added) == 1
    assert empty.check() == []


@pytest.mark.parametrize("given", ["no.png", "a\0b.png", "x" * 5000])
def test_paths_that_are_not_there_are_a_sentence(tmp_path: Path, given: str) -> None:
    with pytest.raises(ImageError, match="no file or folder") as caught:
        find_images([tmp_path / given])
    assert str(caught.value).isprintable()


@needs_posix
def test_a_folder_that_may_not_be_read_is_a_sentence(
    tmp_path: Path, as_nobody: Callable[[Path], AbstractContextManager[None]]
) -> None:
    image(tmp_path / "locked/a.png")
    (tmp_path / "locked").chmod(0)
    try:
        with as_nobody(tmp_path), pytest.raises(ImageError, match="permissions"):
            find_images([tmp_path])
    finally:
        (tmp_path / "locked").chmod(0o755)


def test_a_project_is_not_taken_for_a_folder_of_images(tmp_path: Path) -> None:
    Project.create(tmp_path / "other").close()
    with pytest.raises(ImageError, match="is a napari-lld project"):
        find_images([tmp_path / "other"])

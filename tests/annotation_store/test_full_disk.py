"""A full disk is a sentence, nothing is half done, and the project goes on once there is space."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from annotation_store import LLDError, Project, Proposal, formats
from annotation_store._db import migrate

KILOBYTES = 3_000


@contextmanager
def small_disk(place: Path) -> Iterator[Path | None]:
    """Give a file system of 3 MB; nothing where this process may mount none."""
    place.mkdir()
    option = f"size={KILOBYTES}k"
    mounted = shutil.which("mount") is not None and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", option, "tmpfs", str(place)], capture_output=True, check=False
        ).returncode
        == 0
    )
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def nothing_more_may_be_written(disk: Path | None) -> Iterator[None]:
    """Fill the disk; or, where none could be mounted, refuse this process every byte of every file."""
    if disk is not None:
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            size = 1 << 16
            while size:
                try:
                    file.write(b"x" * size)
                except OSError:
                    size //= 2
        try:
            yield
        finally:
            filler.unlink()
        return
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def attempts(project: Project, images: Path, coco: Path) -> dict[str, Callable[[], object]]:
    (suggestion,) = project.suggestions.replace(2, [Proposal((1, 1, 20, 20), 0.5)], model_id=None)
    long = "x" * 9_000

    def edit() -> None:
        for _ in range(2_000):  # a journal that is open already has room for a few
            project.cells.add(1, (1, 1, 20, 20), comment=long)

    return {
        "edits": edit,
        "accept_many": lambda: (project.suggestions.accept_many([suggestion]), edit()),
        "add_fields": lambda: project.fields.add([images]),
        "import": lambda: formats.read("coco", project, coco, images=images),
        "export": lambda: formats.write("coco", project, project.path.parent / "out.json", overwrite=True),
        "backup": lambda: migrate.back_up(project.path / "project.db", project.path / "backups", "x"),
        "thumbnail": lambda: project.pixels.thumbnail(1),
        "create": lambda: Project.create(project.path.parent / "another"),
        "repair": lambda: project.repair(),
    }


@pytest.mark.skipif(sys.platform == "win32", reason="neither tmpfs nor limits of file sizes")
@pytest.mark.parametrize("mounting", [True, False])
def test_a_full_disk_is_a_sentence_and_loses_nothing(folder: Path, tmp_path: Path, mounting: bool) -> None:
    rng = np.random.default_rng(5)
    images = tmp_path / "more"
    images.mkdir()
    for i in range(4):
        pixels = rng.integers(0, 255, (300, 300, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{i}.png")
    coco = tmp_path / "given.json"
    with Project.open(folder, annotator="Ada") as project:
        for i in range(40):
            project.cells.add(1, (i, 2, 20, 20), cell_class="Monocyte", comment="x" * 2_000)
        formats.write("coco", project, coco)
    with small_disk(tmp_path / "disk") as disk:
        if not mounting:
            disk = None
        elif disk is None:
            assert os.geteuid() != 0 or shutil.which("mount"), "root can mount"
        place = disk or tmp_path / "here"
        place.mkdir(exist_ok=True)
        home = Path(shutil.copytree(folder, place / "project"))
        told: dict[str, str] = {}
        with Project.open(home, annotator="Ada") as project:
            known = project.cells.all()
            for name, attempt in attempts(project, images, coco).items():
                before = (project.path / "backups").exists() and set((project.path / "backups").iterdir())
                with nothing_more_may_be_written(disk):
                    try:
                        attempt()
                    except LLDError as error:
                        told[name] = str(error)
                    # readers go on while the disk is full
                    assert len(project.cells.all()) >= len(known), name
                assert project.check() == [], name
                assert not before or set((project.path / "backups").iterdir()) == before
                if name == "export":
                    assert not (home / "out.json").exists(), "no half file"
        assert {"edits", "add_fields", "export", "backup", "create"} <= set(told), told
        for name, sentence in told.items():
            assert "\n" not in sentence, name
            assert any(word in sentence for word in ("space", "full", "written", "another place")), sentence
        assert not (place / "another").exists()
        with Project.open(home, annotator="Ada") as project:
            assert {cell.id for cell in known} <= {cell.id for cell in project.cells.all()}
            assert len(project.fields.add([images]).added) + len(project.fields.all()) >= 6
            assert project.check() == []

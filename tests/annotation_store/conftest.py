"""Small images and projects for the tests of the store."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import pytest
from alembic import command
from alembic.config import Config
from PIL import Image

from annotation_store import Project, load_schema
from annotation_store._db.engine import make_engine

MakeImage = Callable[..., Path]


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three small images: a.png and b.png of 100 x 80 pixels, c.jpg of 64 x 64."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (80, 100)), ("b.png", (80, 100)), ("c.jpg", (64, 64))):
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, image_folder: Path) -> Path:
    """A project with the fields a.png (1) and b.png (2), to be copied."""
    folder = tmp_path_factory.mktemp("template") / "project"
    with Project.create(folder, annotator="Ada") as project:
        project.fields.add([image_folder / "a.png", image_folder / "b.png"])
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A project folder of the test's own."""
    return Path(shutil.copytree(template, tmp_path / "project"))


@pytest.fixture
def project(folder: Path) -> Iterator[Project]:
    """An open project of the test's own."""
    with Project.open(folder, annotator="Ada") as opened:
        yield opened


@pytest.fixture
def fresh(template: Path, tmp_path: Path) -> Callable[[], Project]:
    """Make as many projects as a test likes (hypothesis calls it once an example)."""
    count = 0

    def make() -> Project:
        nonlocal count
        count += 1
        copy = shutil.copytree(template, tmp_path / f"project{count}")
        return Project.open(copy, annotator="Ada")

    return make


@pytest.fixture
def old_project(folder: Path) -> Path:
    """A project as the version of revision 0002 would have left it: one labelled cell with its history."""
    for file in folder.glob("project.db*"):
        file.unlink()
    engine = make_engine(folder / "project.db")
    config = Config()
    config.set_main_option("script_location", "annotation_store:_db/migrations")
    config.set_main_option("path_separator", "os")
    (original,) = (p for p in (folder / "originals").iterdir() if p == min((folder / "originals").iterdir()))
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN")
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        connection.exec_driver_sql("COMMIT")
        say = connection.exec_driver_sql
        say(
            "INSERT INTO project (id, uid, created, secret, schema) VALUES (1, 'u', 'now', 'ab', ?)",
            (load_schema("lld").model_dump_json(),),
        )
        say("INSERT INTO annotators (name, active_seconds) VALUES ('Ada', 5)")
        say("INSERT INTO readings (name, annotator) VALUES ('Reading 1', 'Ada')")
        say(
            "INSERT INTO fields (name, width, height, content_hash, suffix, source_path, added) "
            "VALUES ('a.png', 100, 80, ?, '.png', '/a.png', 'now')",
            (original.stem,),
        )
        values = '{"cell_size":"small"}'
        say(
            "INSERT INTO cells (field_id, reading_id, x, y, w, h, cell_class, attributes) "
            "VALUES (1, 1, 1, 1, 20, 20, 'Monocyte', ?)",
            (values,),
        )
        say(
            "INSERT INTO edits (at, annotator, field_id, reading_id, command, kind) "
            "VALUES ('2026-01-01T00:00:00+00:00', 'Ada', 1, 1, 'Box cell', 'do')"
        )
        say(
            "INSERT INTO history (edit_id, entity, entity_id, action, after) VALUES (1, 'cell', 1, 'add', ?)",
            (
                '{"field_id":1,"reading_id":1,"x":1.0,"y":1.0,"w":20.0,"h":20.0,"cell_class":"Monocyte",'
                f'"attributes":{values}' + "}",
            ),
        )
    engine.dispose()
    return folder


AsNobody = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture
def as_nobody() -> AsNobody:
    """Give up root's rights for a while, so that permissions mean something; `folder` can be reached."""

    @contextmanager
    def enter(folder: Path) -> Iterator[None]:
        for parent in [folder, *folder.parents]:  # pytest's own folders are private
            if str(parent) not in ("/", "/tmp") and os.geteuid() == parent.stat().st_uid:
                parent.chmod(parent.stat().st_mode | 0o555)
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return enter

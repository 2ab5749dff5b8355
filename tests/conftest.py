"""Fixtures for all tests: no display needed, nothing of the user's touched, projects made quickly."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partialmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import sqlalchemy as sa
from pytestqt.qtbot import QtBot
from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    from annotation_store import Project


# Before Qt, napari and platformdirs are imported by anybody:
_HOME = Path(tempfile.mkdtemp(prefix="napari-lld-tests-"))
if sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
for _name in ("XDG_STATE_HOME", "XDG_DATA_HOME"):
    os.environ[_name] = str(_HOME / _name.lower())
os.environ.update(LC_ALL="C.UTF-8", LANGUAGE="en")  # the texts that tests look for are the English ones
# for the processes that tests start: other tests take the other cores, and threads would wait for each other
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["NAPARI_CONFIG"] = str(_HOME / "napari.yaml")
# The LLVM of Mesa's software GL (window tests) and that of triton (which torch imports where it can, and
# which we never use) cannot live in one process: the second to come crashes. The program never has both.
sys.modules["triton"] = None  # type: ignore[assignment]

# A slow machine fails no test.
hypothesis.settings.register_profile("ours", deadline=None)
hypothesis.settings.load_profile("ours")

_WINDOWS = "tests/e2e/"
"""The folder whose tests drive real windows."""

HAS_WINDOWS = os.environ.get("QT_QPA_PLATFORM") != "offscreen"


class _Shares(LoadScopeScheduling):  # type: ignore[misc]
    """A file's tests stay together, for their fixtures, and all real windows stay in one process.

    Two windows would take the focus from each other. Marks for loadgroup change nothing under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        return _WINDOWS if nodeid.startswith(_WINDOWS) else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Shares(config, log)


_SLOW = (
    "tests/cli/test_learning.py",
    "tests/training/test_worker.py",
    "tests/test_examples.py",
    "tests/demo/",
    "tests/training/test_worker_troubles.py",
    "tests/training/test_warm_worker.py",
    "tests/training/test_budget.py",
    "tests/training/test_stages.py",
    "tests/training/ranking/test_worker_looks.py",
    "tests/training/test_evaluate.py",
    "tests/training/test_predict.py",
    "tests/cli/",
)
"""Files of few tests that train or start processes: begun last, each would leave the other cores idle."""


def _when(item: pytest.Item) -> tuple[int, int]:
    """Return where a test's file comes in the run: real windows, then slow files, then the others."""
    if item.nodeid.startswith(_WINDOWS):
        return 0, 0
    slow = next((place for place, path in enumerate(_SLOW) if item.nodeid.startswith(path)), None)
    return (2, 0) if slow is None else (1, slow)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; skip window tests only where there is no X server to show a window."""
    items.sort(key=_when)
    if not HAS_WINDOWS:
        skip = pytest.mark.skip(reason="needs an X server (DISPLAY), such as xvfb-run gives")
        for item in items:
            if item.get_closest_marker("window"):  # not by keyword: a folder may be called so
                item.add_marker(skip)


_BEGAN_WITH_WINDOWS = pytest.StashKey[bool]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Where several processes run tests, leave the screen to the one that begins with the real windows."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        windows = item.nodeid.startswith(_WINDOWS)
        if not item.config.stash.setdefault(_BEGAN_WITH_WINDOWS, windows):
            os.environ["QT_QPA_PLATFORM"] = "offscreen"


@pytest.fixture(scope="session", autouse=True)
def _a_busy_machine_has_time() -> Iterator[None]:
    """Let what a test waits for take a minute: timings are not judged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(QtBot, "waitUntil", partialmethod(QtBot.waitUntil, timeout=60_000))
        yield


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh_state(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test see what another one remembered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture(scope="session")
def _sample_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from napari_lld.tasks.actions import make_sample_project

    folder = tmp_path_factory.mktemp("template") / "sample.lld"
    make_sample_project(folder, lambda _done, _total: None)
    return folder


@pytest.fixture
def sample_project(_sample_template: Path, tmp_path: Path) -> Path:
    """Give a project of the 18 sample fields with their sparse labels."""
    folder = tmp_path / "sample.lld"
    shutil.copytree(_sample_template, folder)
    return folder


@pytest.fixture(scope="session")
def _small_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np
    from PIL import Image

    from annotation_store import Project

    folder = tmp_path_factory.mktemp("template")
    for number in range(2):
        pixels = np.full((100, 120, 3), 220 - 30 * number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"field_{number}.png")
    with Project.create(folder / "small.lld", annotator="Ada") as project:
        project.fields.add([folder / "field_0.png", folder / "field_1.png"])
    return folder / "small.lld"


@pytest.fixture
def small_project(_small_template: Path, tmp_path: Path) -> Path:
    """Give a project of two plain fields of 120 × 100 pixels."""
    folder = tmp_path / "small.lld"
    shutil.copytree(_small_template, folder)
    return folder


@pytest.fixture
def more_fields() -> Callable[[Path, list[str]], None]:
    """Give a function that puts fields without pixels of their own into a project's database."""

    def put(folder: Path, names: list[str]) -> None:
        raw = sqlite3.connect(folder / "project.db")
        with raw:
            raw.executemany(
                "INSERT INTO fields (name, width, height, content_hash, suffix, source_path, added) "
                "SELECT ?, width, height, ?, suffix, source_path, added FROM fields WHERE id = 1",
                [(name, f"hash of {name}") for name in names],
            )
        raw.close()

    return put


@pytest.fixture
def suggest() -> Callable[[Path], list[int]]:
    """Give a function that puts three suggestions on the first field, as the worker would."""

    def put(folder: Path) -> list[int]:
        from annotation_store import Project, Proposal

        with Project.open(folder, annotator="model") as project:
            field = project.fields.all()[0].id
            schema = project.schema
            chances = {
                a.name: {
                    v.name: (0.8 if i == 0 else 0.2 / (len(a.values) - 1)) for i, v in enumerate(a.values)
                }
                for a in schema.attributes
            }
            boxes = [(10.0, 10.0, 20.0, 20.0), (50.0, 10.0, 20.0, 20.0), (80.0, 60.0, 20.0, 20.0)]
            proposals = [
                Proposal(box, confidence, {"Neutrophil": 0.9, "Monocyte": 0.1}, chances)
                for box, confidence in zip(boxes, (0.9, 0.7, 0.5), strict=True)
            ]
            return project.suggestions.replace(field, proposals, model_id=None)

    return put


@pytest.fixture
def no_warm_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no window start a process before somebody trains, nor for each label: it would import torch."""
    monkeypatch.setattr("napari_lld.tasks.training_process.TrainingProcess.warm_up", lambda _self: None)
    assistant = "napari_lld.tasks.assistant_process.AssistantProcess"
    monkeypatch.setattr(f"{assistant}.warm_up", lambda _self: None)
    monkeypatch.setattr(f"{assistant}.ask", lambda _self, *_given, **_named: None)


@pytest.fixture
def no_leaks(qapp: object) -> Iterator[None]:
    """Fail where a test leaves a visible window behind."""
    from qtpy.QtWidgets import QApplication

    before = {id(widget) for widget in QApplication.topLevelWidgets()}
    yield
    QApplication.processEvents()
    left = [w for w in QApplication.topLevelWidgets() if id(w) not in before and w.isVisible()]
    assert not left, f"left behind: {left}"


@pytest.fixture(scope="session")
def statements() -> Callable[[Project], AbstractContextManager[list[str]]]:
    """Count what a project asks of its database inside a `with`."""
    from tests.database import engine

    @contextmanager
    def counted(project: Project) -> Iterator[list[str]]:
        seen: list[str] = []

        def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
            seen.append(statement)

        sa.event.listen(engine(project), "before_cursor_execute", note)
        try:
            yield seen
        finally:
            sa.event.remove(engine(project), "before_cursor_execute", note)

    return counted

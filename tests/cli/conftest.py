"""The real command, run in this process: ``cli("info", project)`` gives exit code, output and errors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_lld import sample
from napari_lld.cli import run


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def refuses(self, *words: str) -> None:
        """One plain line on standard error that holds the words, exit code 2, nothing else."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.err.count("\n") == 1, self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err, (word, self.err)


Cli = Callable[..., Answer]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = run([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return call


@pytest.fixture
def project(cli: Cli, tmp_path: Path) -> Path:
    """An empty project."""
    folder = tmp_path / "project"
    assert cli("new", folder).code == 0
    return folder


@pytest.fixture(scope="session")
def _annotated_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = tmp_path_factory.mktemp("annotated") / "project"
    document = json.loads(sample.sparse().read_text("utf-8"))
    images = [image for image in document["images"] if image["file_name"].startswith("txl_")]
    ids = {image["id"] for image in images}
    document["images"] = images
    document["annotations"] = [one for one in document["annotations"] if one["image_id"] in ids]
    file = project.parent / "sparse.json"
    file.write_text(json.dumps(document), "utf-8")
    fields = [str(path) for path in sample.fields() if path.name.startswith("txl_")]
    assert run(["new", str(project)]) == 0
    assert run(["add", str(project), *fields]) == 0
    assert run(["import", str(project), str(file), "--format", "coco"]) == 0
    return project


@pytest.fixture
def annotated(_annotated_template: Path, tmp_path: Path) -> Path:
    """A project with the natural sample fields and one annotated region in each."""
    folder = tmp_path / "project"
    shutil.copytree(_annotated_template, folder)
    return folder


@pytest.fixture
def unwritable(annotated: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The annotated project, as if it lay in a folder where nobody may write."""
    monkeypatch.setattr("annotation_store.project._writable", lambda *_: False)
    return annotated


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small RGB image."""
    path = tmp_path / "images" / "small.png"
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


@pytest.fixture
def state(cli: Cli) -> Callable[[Path], Any]:
    """What a project holds: to show that a command that failed changed nothing."""
    return lambda folder: cli("info", folder, "--json").json

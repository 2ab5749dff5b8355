"""What the pages tell people to type works as it stands there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from annotation_store import Project, formats
from napari_lld import sample
from napari_lld.cli import run

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [*sorted((DOCS / "how-to").glob("*.md")), *sorted((DOCS / "api").glob("*.md"))]

Block = tuple[str, str, str]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, also those in a list: language, what stands behind it, text."""
    found = re.findall(
        r"^( *)```(\w+)([^\n]*)\n(.*?)\n\1```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL
    )
    return [
        (kind, more, re.sub(rf"^{indent}", "", text, flags=re.MULTILINE))
        for indent, kind, more, text in found
    ]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the pages speak of: films, labels of other programs, a project."""
    monkeypatch.chdir(tmp_path)
    some = sample.fields()[:3]
    for folder in ("films", "cvat/images"):
        Path(folder).mkdir(parents=True)
        for file in some:
            shutil.copy(file, folder)
    shutil.copy(some[0], "slide.tif")  # TIFF or not is told by the content
    names = {file.name for file in some}
    truth = json.loads(sample.truth().read_text("utf-8"))
    truth["images"] = [image for image in truth["images"] if image["file_name"] in names]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [one for one in truth["annotations"] if one["image_id"] in kept]
    Path("cvat/annotations").mkdir()
    for file in ("labels.json", "cvat/annotations/instances_default.json"):
        Path(file).write_text(json.dumps(truth), encoding="utf-8")
    with Project.create(tmp_path / "labelled", annotator="Ada") as project:
        project.fields.add(some)
        formats.read("coco", project, Path("labels.json"))
        formats.write("geojson", project, Path("qupath"))
    return tmp_path


def test_there_are_commands_to_run() -> None:
    assert sum(kind == "bash" for page in PAGES for kind, _, _ in blocks(page)) >= 8


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.parent.name}/{page.stem}")
def test_its_commands_and_programs_run(page: Path, desk: Path, capfd: pytest.CaptureFixture[str]) -> None:
    if "napari-lld new project " not in page.read_text("utf-8"):
        shutil.copytree(desk / "labelled", desk / "project")
    for kind, more, text in blocks(page):
        if kind == "yaml":
            (desk / more.split('"')[1]).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, str(page), "exec"), {"__name__": "page"})
        elif kind == "bash":
            for line in text.splitlines():
                program, *words = shlex.split(line, comments=True)
                assert program == "napari-lld", line
                assert run(words) == 0, f"{line}\n{capfd.readouterr()}"

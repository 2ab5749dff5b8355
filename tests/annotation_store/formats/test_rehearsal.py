"""An import can be rehearsed, is all or nothing with its images, and is recognised by what it holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError


def _everything(project: Project) -> dict[str, Any]:
    """Tell all that an import could change, files included."""
    kept = sorted(str(p.relative_to(project.path)) for p in (project.path / "originals").iterdir())
    return {
        "files": kept,
        "pixels": sorted(p.name for p in (project.path / "fields.zarr").iterdir()),
        "staging": sorted(p.name for p in (project.path / ".staging").glob("*")),
        "fields": [field.name for field in project.fields.all()],
        "cells": project.cells.all(),
        "regions": project.regions.all(),
        "suggestions": project.suggestions.find(),
        "conflicts": project.conflicts.all(),
        "history": len(project.history.rows()),
    }


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Twelve images, more than a batch, and a COCO file that states a region for one of them."""
    folder = tmp_path / "given"
    folder.mkdir()
    for number in range(12):
        pixels = np.full((60, 80, 3), 100 + number, dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    images: list[dict[str, Any]] = [{"id": n, "file_name": f"{n}.png"} for n in range(12)]
    images[0]["annotated_regions"] = [[0, 0, 40, 40]]
    names = ("Neutrophil", "Neutrophil", "Dragon cell")
    annotations = [
        {"id": i, "image_id": i // 3, "category_id": i % 3, "bbox": [5 + 20 * (i % 3), 5, 14, 14]}
        for i in range(36)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(names)]
    place = folder / "given.json"
    place.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return place


def test_a_rehearsal_says_what_the_import_says_and_changes_nothing(
    blank: Callable[[], Project], file: Path
) -> None:
    with blank() as project:
        before = _everything(project)
        told = formats.preview("coco", project, file)
        assert _everything(project) == before
        assert project.check() == []
        assert formats.read("coco", project, file) == told
        assert (told.fields, told.cells, told.named, told.unstated) == (12, 24, 12, 11)
        assert told.unknown == {"Dragon cell": 12}
        assert project.check() == []
        again = formats.preview("coco", project, file)
        assert (again.fields, again.cells, again.named) == (0, 0, 12)


class Enough(Exception):  # noqa: N818 - nothing is wrong
    """Raised by a progress that has seen enough."""


def test_an_import_stopped_at_any_step_leaves_nothing_behind(
    blank: Callable[[], Project], file: Path
) -> None:
    told: list[tuple[int, int]] = []
    with blank() as project:
        before = _everything(project)
        heard: list[object] = []
        project.events.fields_added.connect(heard.append)
        for instant in (1, 2, 3, 14):  # images of a batch, of all, a field written, all of them

            def stop(done: int, total: int, instant: int = instant) -> None:
                told.append((done, total))
                if len(told) == instant:
                    raise Enough

            told.clear()
            with pytest.raises(Enough):
                formats.read("coco", project, file, progress=stop)
            assert _everything(project) == before, instant
        assert told[-1] == (24, 24)
        assert heard == []
        assert project.check() == []
        assert formats.read("coco", project, file).cells == 24
        assert project.check() == []


def test_stated_regions_promise_nothing_where_the_file_says_nothing(
    blank: Callable[[], Project], file: Path
) -> None:
    with blank() as project:
        regions = {mode: formats.preview("coco", project, file, regions=mode).regions for mode in _MODES}
    assert regions == {"file": 12, "stated": 1, "none": 0, "full": 12}


_MODES = ("file", "stated", "none", "full")


@pytest.mark.parametrize("name", formats.names(reading=True))
def test_what_we_write_is_recognised(
    name: str, blank: Callable[[], Project], file: Path, room: Callable[..., Path]
) -> None:
    suffix = {"coco": ".json", "csv": ".csv", "labelstudio": ".json"}.get(name, "")
    with blank() as project:
        formats.read("coco", project, file)
        out = room(suffix)
        formats.write(name, project, out)
        assert formats.recognise(out) == name
        if name == "lld":
            formats.write("lld", project, room(".json"), options={"layout": "coco"}, card=False)
            published = max(out.parent.glob("export*.json"))
            assert formats.recognise(published) == "lld"


def test_what_is_no_annotation_is_not_recognised(tmp_path: Path) -> None:
    for name, text in {"a.json": "{", "b.json": "[]", "c.txt": "hello", "d.json": ""}.items():
        (tmp_path / name).write_text(text)
        assert formats.recognise(tmp_path / name) is None
    assert formats.recognise(tmp_path / "nowhere") is None
    assert formats.recognise(tmp_path) is None
    with pytest.raises(FormatError, match="stated"):
        formats.read("coco", None, tmp_path / "a.json", regions="some")  # type: ignore[arg-type]

"""Fields that people skipped get no suggestions; what stands on them still teaches."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from annotation_store import Project, Shape
from annotation_store.errors import ProjectError
from annotation_store.files.layout import PIXELS
from annotation_store.records import Proposal

Told = list[Any]


@pytest.fixture
def one_cell_each(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, Any, Told]:
    """Stand in for a model that finds one cell on each field it gets; with films, channel and messages."""
    from training.inference import predictor
    from training.worker import suggest

    def propose(_model: object, pixels: Any, **_: object) -> list[Any]:
        found = SimpleNamespace(vector=None, features=None, scores=np.array([0.9]))
        return [found for load in pixels if load() is not None]

    monkeypatch.setattr(suggest, "learn_from_labels", lambda *_: 0)
    monkeypatch.setattr(predictor, "seen_side", lambda *_: None)
    monkeypatch.setattr(predictor, "propose_raw", propose)
    monkeypatch.setattr(predictor, "Networks", lambda _model: None)
    monkeypatch.setattr(
        suggest, "calibrated", lambda *_args, **_more: [Proposal((5.0, 5.0, 20.0, 20.0), 0.9)]
    )
    model: Any = SimpleNamespace(
        calibration=SimpleNamespace(raw=lambda value: value, confidence=lambda scores: scores),
        trunk_digest=lambda: "trunk",
    )
    films: Any = SimpleNamespace(
        move=lambda _film: 0.0,
        note=lambda _film, _raw: None,
        unchecked=list,
        trust=lambda: {"unlike": [], "unchecked": []},
    )
    messages: Told = []
    channel: Any = SimpleNamespace(check=lambda: None, send=messages.append)
    return model, films, channel, messages


def test_a_skipped_field_is_not_searched_and_still_teaches(
    small_project: Path, one_cell_each: tuple[Any, Any, Any, Told]
) -> None:
    from training.worker import suggest
    from training.worker.annotated_fields import annotated_fields

    model, films, channel, _ = one_cell_each
    with Project.open(small_project, annotator="Ada") as project:
        cell = project.cells.add(1, (60, 60, 20, 20), cell_class="Monocyte")
        project.regions.add(1, Shape.rectangle(50, 50, 50, 50))
        project.fields.update(1, skipped=True)
        known = annotated_fields(project)
        assert [c.id for c in known[0].cells] == [cell]
        assert known[0].finished
        told = suggest.suggest_on(project, model, None, known, channel, films=films, min_confidence=0.1)
        assert told.count == 1
        assert [s.field_id for s in project.suggestions.find()] == [2]


def test_a_field_whose_image_is_damaged_is_named_and_the_others_get_suggestions(
    small_project: Path, one_cell_each: tuple[Any, Any, Any, Told]
) -> None:
    from training.worker import suggest
    from training.worker.annotated_fields import annotated_fields

    model, films, channel, messages = one_cell_each
    shutil.rmtree(small_project / PIXELS / "1")
    with Project.open(small_project, annotator="Ada") as project:
        name = project.fields.get(1).name
        done = suggest.suggest_on(
            project, model, None, annotated_fields(project), channel, films=films, min_confidence=0.1
        )
        assert done.field_ids == [2]
        assert [s.field_id for s in project.suggestions.find()] == [2]
    assert any(name in str(getattr(message, "reason", "")) for message in messages)


def test_an_annotated_field_whose_image_is_damaged_is_left_out_of_learning_by_its_name(
    small_project: Path,
) -> None:
    from training.worker.annotated_fields import annotated_fields, not_read, readable

    shutil.rmtree(small_project / PIXELS / "1" / "0")
    with Project.open(small_project, annotator="Ada") as project:
        for field in project.fields.all():
            project.cells.add(field.id, (60, 60, 20, 20), cell_class="Monocyte")
        known, lost = readable(project, annotated_fields(project))
        assert [one.field.id for one in known] == [2]
        (reason,) = not_read(project, lost)
        assert f"left out: {project.fields.get(1).name}. " in reason
        assert f"napari-lld check {small_project} --repair" in reason
        (small_project / PIXELS).rename(small_project / "gone")
        (small_project / "project.db").rename(small_project / "gone.db")
        with pytest.raises(ProjectError):
            readable(project, annotated_fields(project))


def test_a_field_is_read_to_check_it_once_until_its_file_changes(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.inference import sources

    reads: list[Path] = []
    real = sources.read_pixels
    monkeypatch.setattr(sources, "read_pixels", lambda folder: reads.append(folder) or real(folder))
    pixels = sources.StoredField(small_project, 1)
    shard = pixels.folder / "0/c/0/0/0"
    content = shard.read_bytes()
    assert [sources.is_readable(pixels) for _ in range(3)] == [True] * 3
    assert len(reads) == 1
    shard.write_bytes(content[:-9])
    assert not sources.is_readable(pixels)
    shard.unlink()
    assert not sources.is_readable(pixels), "a file that has gone"
    assert len(reads) == 2
    shard.write_bytes(content)
    assert sources.is_readable(pixels), "a repair"


def test_a_damaged_image_does_not_hide_the_scale_that_the_others_show(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from training.inference import predict

    def damaged() -> Any:
        raise ProjectError("damaged")

    searched: list[int] = []

    def in_memory(images: Any) -> list[Any]:
        searched.append(len(images))
        return []

    monkeypatch.setattr(predict, "in_memory", in_memory)
    model: Any = SimpleNamespace(sides=(0.1, 0.5))
    assert predict.seen_side(model, [damaged, lambda: np.zeros((9, 9, 3), np.uint8)]) is None
    assert searched == [1]

"""Fields that people skipped get no suggestions; what stands on them still teaches."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from annotation_store import Project, Shape
from annotation_store.records import Proposal


def test_a_skipped_field_is_not_searched_and_still_teaches(
    small_project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.worker import suggest
    from training.worker.annotated_fields import knowledge

    monkeypatch.setattr(suggest, "seen_side", lambda *_: None)
    monkeypatch.setattr(
        suggest, "propose_raw", lambda _model, pixels, **_: [SimpleNamespace(vector=None)] * len(pixels)
    )
    monkeypatch.setattr(
        suggest, "calibrated", lambda *_args, **_more: [Proposal((5.0, 5.0, 20.0, 20.0), 0.9)]
    )
    model: Any = SimpleNamespace(calibration=SimpleNamespace(raw=lambda value: value))
    films: Any = SimpleNamespace(
        move=lambda _film: 0.0,
        note=lambda _film, _raw: None,
        unchecked=list,
        trust=lambda: {"unlike": [], "unchecked": []},
    )
    channel: Any = SimpleNamespace(check=lambda: None, send=lambda _message: None)
    with Project.open(small_project, annotator="Ada") as project:
        cell = project.cells.add(1, (60, 60, 20, 20), cell_class="Monocyte")
        project.regions.add(1, Shape.rectangle(50, 50, 50, 50))
        project.fields.update(1, skipped=True)
        known = knowledge(project)
        assert [c.id for c in known[0].cells] == [cell]
        assert known[0].finished
        told = suggest.suggest_on(project, model, None, known, channel, films=films, min_confidence=0.1)
        assert told.count == 1
        assert [s.field_id for s in project.suggestions.find()] == [2]

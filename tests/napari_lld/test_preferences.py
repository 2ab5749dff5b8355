"""Preferences: napari's settings and the session's are the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from napari_lld.controllers.napari_preferences import bind
from napari_lld.session.preferences import Preferences
from napari_lld.session.session import Session


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Give napari's settings of the plugin, kept in a folder of the test."""
    from napari import settings

    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})
    return settings.get_plugin_settings("napari-lld", path_dir=tmp_path).desk


def test_every_preference_stands_in_the_manifest_with_the_same_default(kept: Any) -> None:
    ours = Preferences()
    assert {field.name for field in fields(ours)} == set(type(kept).model_fields)
    assert all(getattr(kept, field.name) == getattr(ours, field.name) for field in fields(ours))


def test_what_napari_kept_is_taken_and_changes_go_both_ways(kept: Any, tmp_path: Path) -> None:
    kept.automatic = 25
    preferences = Preferences()
    release = bind(preferences)
    assert preferences.automatic == 25
    preferences.annotator = "Ada"
    assert kept.annotator == "Ada"
    assert "annotator: Ada" in (tmp_path / "napari-lld.yaml").read_text()
    kept.device = "cpu"
    assert preferences.device == "cpu"
    release()
    kept.device = "auto"
    assert preferences.device == "cpu"


def test_who_annotated_last_and_the_threshold_hold_for_the_next_project(small_project: Path) -> None:
    session = Session()
    session.preferences.annotator = "Grace"
    session.preferences.threshold = 0.25
    session.open(small_project)
    assert session.project is not None
    assert session.project.annotator == "Grace"
    assert session.marks.threshold == 0.25
    session.change_annotator("Ada")
    assert session.preferences.annotator == "Ada"
    session.close()

"""A napari window without the dock: what is opened in it, by napari's own way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pytestqt.qtbot import QtBot

from annotation_store.errors import LLDError

pytestmark = pytest.mark.window


@pytest.fixture
def viewer(qtbot: QtBot, no_leaks: None) -> Iterator[Any]:
    import napari

    viewer = napari.Viewer(show=False)
    viewer.window.show()
    yield viewer
    viewer.close()
    qtbot.wait(50)


def test_a_project_opens_in_the_dock_and_what_cannot_be_opened_is_said_in_one_sentence(
    viewer: Any, small_project: Path, tmp_path: Path
) -> None:
    from napari.utils.notifications import notification_manager

    said: list[str] = []

    def hear(notification: Any) -> None:
        said.append(notification.message)

    document = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": []}
    (tmp_path / "labels.json").write_text(json.dumps(document), encoding="utf-8")
    notification_manager.notification_ready.connect(hear)
    try:
        assert viewer.open(tmp_path / "labels.json", plugin="napari-lld") == []
    finally:
        notification_manager.notification_ready.disconnect(hear)
    assert len(said) == 1
    assert said[0].startswith("labels.json holds annotations, but no images. The image it names was")
    assert viewer.open(small_project, plugin="napari-lld") == []
    assert viewer.title == f"{small_project.stem} – napari-lld"
    docks = len(viewer.window.dock_widgets)
    assert viewer.open(small_project, plugin="napari-lld") == []
    assert len(viewer.window.dock_widgets) == docks


def test_without_opengl_no_window_is_left_and_the_cure_is_named(
    monkeypatch: pytest.MonkeyPatch, no_leaks: None, qtbot: QtBot
) -> None:
    from napari_lld import window

    monkeypatch.setattr(window, "can_draw", lambda: False)
    with pytest.raises(LLDError, match=r"needs OpenGL.*libgl1-mesa-dri"):
        window.build_window()
    qtbot.wait(50)


def test_opengl_is_found_where_there_is_one(qtbot: QtBot) -> None:
    from napari_lld import window

    assert window.can_draw()

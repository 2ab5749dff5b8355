"""Cells go to napari's layers with all that is known of them, and come back in one step to undo."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Labels, Points, Shapes
from npe2 import PluginManager

from annotation_store import Proposal
from annotation_store.errors import LLDError
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.widgets.dialogs import class_meaning_dialog


@pytest.fixture
def desk(dock: AnnotateDock, small_project: Path) -> Any:
    """Give a desk on a field with three cells and one box that a model found."""
    desk = dock.desk
    desk.session.open(small_project)
    project, field_id = desk.session.project, desk.session.fields.current_id
    assert project is not None
    assert field_id is not None
    for cell in project.cells.all(field_id):
        project.cells.delete(cell.id)
    project.cells.add(
        field_id, (10.25, 20.5, 30, 40), cell_class="Neutrophil", attributes={"cell_size": "large"}
    )
    project.cells.add(field_id, (60, 20, 20, 20), cell_class="unsure", comment="twin")
    project.suggestions.replace(
        field_id, [Proposal((100, 60, 20, 30), 0.8, {"Monocyte": 1.0})], model_id=None
    )
    (suggestion,) = project.suggestions.find(field_id)
    project.suggestions.accept(suggestion.id)
    desk.session.refresh()
    return desk


def _cells(desk: Any) -> list[Any]:
    return desk.session.project.cells.all(desk.session.fields.current_id)


def _sent(desk: Any, kind: type) -> Any:
    desk.commands.run("layers.send")
    (layer,) = [one for one in desk.viewer.layers if isinstance(one, kind) and not desk.layers.owns(one)]
    return layer


def _take(desk: Any, layer: Any) -> str:
    told: list[str] = []
    desk.viewer.layers.selection.active = layer
    desk.hinted.connect(told.append)
    desk.commands.run("layers.take")
    desk.hinted.disconnect(told.append)
    return told[-1] if told else ""


@pytest.mark.parametrize("kind", [Shapes, Points, Labels])
def test_sent_layers_hold_class_attributes_and_certainty_and_come_back_unchanged(
    desk: Any, kind: type
) -> None:
    layer = _sent(desk, kind)
    table = layer.features if kind is not Labels else layer.features.iloc[1:]
    assert table["class"].tolist() == ["Neutrophil", "unsure", "Monocyte"]
    assert table["cell_size"].tolist() == ["large", "", ""]
    assert table["certainty"].tolist()[2] == pytest.approx(0.8)
    assert np.isnan(table["certainty"].tolist()[0])
    assert table["comment"].tolist() == ["", "twin", ""]
    before = _cells(desk)
    assert "3 here already" in _take(desk, layer)
    assert _cells(desk) == before


def test_what_is_changed_in_a_layer_is_changed_in_the_project_in_one_step(desk: Any) -> None:
    layer = _sent(desk, Shapes)
    before = _cells(desk)
    layer.add_rectangles(np.array([[70, 20], [70, 45], [95, 45], [95, 20]]))
    table = layer.features.copy()
    table.loc[3, "class"] = "Eosinophil"
    table.loc[1, "class"] = "Basophil"
    layer.features = table
    data = [np.array(one) for one in layer.data]
    data[0] = data[0] + 5
    layer.data = data
    assert "1 new cell, 2 changed, 1 here already" in _take(desk, layer)
    first, second, _, new = _cells(desk)
    assert first.box == pytest.approx((15.25, 25.5, 30, 40))
    assert first.cell_class == "Neutrophil"
    assert second.cell_class == "Basophil"
    assert new.cell_class == "Eosinophil"
    assert new.box == pytest.approx((20, 70, 25, 25))
    desk.commands.run("edit.undo")
    assert _cells(desk) == before


def test_labels_of_another_plugin_become_cells_once(desk: Any) -> None:
    labels = np.zeros((100, 120), np.int64)
    labels[75:95, 10:40] = 2**40 + 1
    labels[5:15, 60:90] = 7
    layer = desk.viewer.add_labels(labels, name="segmented", translate=(0.5, 0.5))
    assert "2 new cells" in _take(desk, layer)
    assert [cell.box for cell in _cells(desk)[3:]] == [(60, 5, 30, 10), (10, 75, 30, 20)]
    assert "2 here already" in _take(desk, layer)


def test_points_become_boxes_of_the_usual_size_and_what_lies_outside_is_said(desk: Any) -> None:
    layer = desk.viewer.add_points([[75, 60], [5000, 5000]], name="clicks")
    assert "1 new cell, 1 outside the field" in _take(desk, layer)
    x, y, w, h = _cells(desk)[-1].box
    assert (x + w / 2, y + h / 2) == pytest.approx((60, 75))
    assert 20 <= w <= 40


def test_a_turned_or_moved_layer_gives_cells_where_they_are_seen(desk: Any) -> None:
    mirrored = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1]])  # rows for columns
    corners = np.array([[20, 70], [20, 90], [50, 90], [50, 70]])
    turned = desk.viewer.add_shapes([corners], affine=mirrored, name="turned")
    assert "1 new cell" in _take(desk, turned)
    assert _cells(desk)[-1].box == pytest.approx((20, 70, 30, 20))
    labels = np.zeros((30, 20), int)
    labels[1:6, 0:10] = 1
    quarter = desk.viewer.add_labels(labels, rotate=90, translate=(60.5, 90.5), name="quarter")
    seen = np.array([quarter.data_to_world(p) for p in ((0.5, -0.5), (5.5, 9.5))])
    (top, left), (height, width) = seen.min(axis=0), np.ptp(seen, axis=0)
    assert "1 new cell" in _take(desk, quarter)
    assert _cells(desk)[-1].box == pytest.approx((left, top, width, height))


def test_nothing_is_zero_below_zero_too(desk: Any) -> None:
    labels = np.zeros((100, 120), np.int32)
    labels[75:95, 10:40] = -3
    assert "1 new cell" in _take(desk, desk.viewer.add_labels(labels, name="negative", translate=(0.5, 0.5)))
    assert _cells(desk)[-1].box == (10, 75, 30, 20)


def test_an_image_of_numbers_is_no_layer_of_cells(desk: Any) -> None:
    before = _cells(desk)
    numbers = np.arange(1, 150 * 150 + 1).reshape(150, 150)
    assert "22500 marks" in _take(desk, desk.viewer.add_labels(numbers, name="intensity"))
    assert _cells(desk) == before


@pytest.mark.parametrize(
    ("answer", "classes"),
    [
        ({"Neutro": "Neutrophil", "ghost": ""}, ["Neutrophil"]),
        ({"Neutro": None}, [None, None]),
        (None, []),
    ],
)
def test_classes_that_the_project_lacks_are_asked_about(
    desk: Any, monkeypatch: pytest.MonkeyPatch, answer: Any, classes: list[Any]
) -> None:
    asked: list[Any] = []

    def ask(unknown: Any, _schema: Any, _parent: Any) -> Any:
        asked.append(dict(unknown))
        return answer

    monkeypatch.setattr(class_meaning_dialog, "ask_meaning", ask)
    boxes = [np.array([[y, 20], [y, 40], [y + 20, 40], [y + 20, 20]]) for y in (70, 95)]
    features = {"class": ["Neutro", "ghost"], "cell_size": ["enormous", "large"]}
    layer = desk.viewer.add_shapes(boxes, shape_type="rectangle", features=features, name="theirs")
    sentence = _take(desk, layer)
    assert asked == [{"Neutro": 1, "ghost": 1}]
    assert [cell.cell_class for cell in _cells(desk)[3:]] == classes
    assert ("“enormous”" in sentence) is bool(classes)


def test_the_dialog_proposes_the_class_that_is_spelled_alike(desk: Any, qtbot: Any) -> None:
    from collections import Counter

    unknown = Counter({"Neutrophyl": 3, "ghost": 1})
    dialog = class_meaning_dialog.ClassMeaningDialog(unknown, desk.session.project.schema)
    qtbot.addWidget(dialog)
    assert dialog.meaning == {"Neutrophyl": "Neutrophil", "ghost": None}


def test_without_a_layer_to_take_from_a_sentence_says_what_to_choose(desk: Any) -> None:
    desk.viewer.layers.selection.active = None
    told: list[str] = []
    desk.hinted.connect(told.append)
    desk.commands.run("layers.take")
    assert told[-1].startswith("Select a layer of Shapes, Points or Labels")
    stack = desk.viewer.add_points(np.zeros((2, 4)), name="four")
    assert "choose a layer" in _take(desk, stack)


@pytest.mark.parametrize("suffix", [".json", ".geojson"])
def test_layers_are_saved_and_opened_again(desk: Any, tmp_path: Path, suffix: str) -> None:
    PluginManager.instance().discover()
    layer = _sent(desk, Shapes)
    out = tmp_path / f"saved{suffix}"
    assert layer.save(str(out), plugin="napari-lld") == [str(out)]
    viewer = ViewerModel()
    if suffix == ".json":
        project, field = desk.session.project, desk.session.fields.current
        (tmp_path / field.name).write_bytes(project.pixels.original(field.id).read_bytes())
    viewer.open(out, plugin="napari-lld")
    again = viewer.layers["white cells"]
    assert again.features["class"].tolist() == layer.features["class"].tolist()
    assert again.features["cell_size"].tolist() == ["large", "", ""]
    assert np.allclose(again.data[0], layer.data[0])


def test_an_empty_layer_is_not_saved(desk: Any, tmp_path: Path) -> None:
    PluginManager.instance().discover()
    empty = desk.viewer.add_shapes([], name="nothing")
    with pytest.raises(LLDError, match="nothing was written"):
        empty.save(str(tmp_path / "out.json"), plugin="napari-lld")
    assert not (tmp_path / "out.json").exists()

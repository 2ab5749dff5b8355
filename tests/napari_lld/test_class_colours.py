"""What a class or value is, and its colour: told in words, and never by colour alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QAbstractButton

from annotation_store import Project
from annotation_store.schema import load_schema
from napari_lld.commands.registry import class_like
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers.palette import class_colour, class_letter, display_colour
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.cell.cell_panel import _COLUMNS
from tests.napari_lld.colour_blind import SIMULATED, distances

PRESETS = ("lld", "wbcatt")


@pytest.mark.parametrize("kind", SIMULATED)
@pytest.mark.parametrize("name", PRESETS)
def test_neighbouring_classes_differ_to_colour_blind_eyes(name: str, kind: str) -> None:
    schema = load_schema(name)
    rgb = [display_colour(c.colour) for c in schema.classes]
    raw = [[int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)] for colour in rgb]
    rows = -(-(len(class_like(schema)) + 1) // _COLUMNS)
    apart = distances(np.array(raw, dtype=np.float64), SIMULATED[kind])
    for index in range(len(raw)):
        for other in (index + 1, index + rows):  # below it, and to its right
            if other < len(raw) and (other == index + rows or other % rows):
                assert apart[index, other] >= 8, (schema.classes[index].name, schema.classes[other].name)
    assert apart[~np.eye(len(raw), dtype=bool)].min() >= 5
    assert len(set(rgb)) == len(rgb), "drawn on the field, no two are the same"


@pytest.mark.parametrize("name", PRESETS)
def test_every_class_has_a_letter_of_its_own_beside_its_colour(name: str) -> None:
    schema = load_schema(name)
    letters = [class_letter(schema, item.name) for item in class_like(schema)]
    assert len(set(letters)) == len(letters)
    assert all(letter.strip() for letter in letters)


@pytest.fixture(params=PRESETS)
def dock(request: pytest.FixtureRequest, tmp_path: Path, qtbot: QtBot) -> Iterator[AnnotateDock]:
    Project.create(tmp_path / "p.lld", request.param).close()
    dock = AnnotateDock(ViewerModel())
    qtbot.addWidget(dock)
    dock.show()
    assert dock.desk.session.open(tmp_path / "p.lld")
    qtbot.wait(50)
    yield dock
    dock.release()


def test_what_a_class_and_a_value_mean_is_told_on_hover(dock: AnnotateDock) -> None:
    schema = dock.desk.session.schema
    assert schema is not None

    def tip(name: str) -> str:
        button = dock.findChild(QAbstractButton, f"lld_{name}")
        assert button is not None, name
        return str(button.toolTip())

    for item in class_like(schema):
        assert item.help
        assert item.help in tip(f"class_{item.name}")
    for attribute in schema.attributes:
        assert attribute.help
        for value in attribute.values:
            assert value.help, (attribute.name, value.name)
            assert value.help in tip(f"value_{attribute.name}_{value.name}")


def test_the_letter_is_drawn_on_every_class(dock: AnnotateDock) -> None:
    classes = [b for b in dock.findChildren(ChoiceButton) if b.objectName().startswith("lld_class_")]
    assert classes
    assert all(button.letter and button.swatch is not None for button in classes)


def test_button_and_box_of_a_class_have_one_colour(dock: AnnotateDock) -> None:
    schema = dock.desk.session.schema
    assert schema is not None
    for item in class_like(schema):
        button = dock.findChild(ChoiceButton, f"lld_class_{item.name}")
        assert button is not None
        assert button.swatch is not None
        assert button.swatch.name() == class_colour(schema, item.name)

"""The words on the buttons of classes and values: told apart and read, however little room there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from annotation_store import Project, Proposal
from annotation_store.schema import Schema
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.i18n.translate import use_language
from napari_lld.widgets.base.choice_button import ChoiceButton, shorter
from napari_lld.widgets.cell.cell_panel import AttributeRow


@pytest.fixture(params=["lld", "wbcatt"])
def project(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a project with one suggestion for each value of the attribute that has most."""
    Image.fromarray(np.full((100, 200, 3), 220, dtype=np.uint8)).save(tmp_path / "field.png")
    folder = tmp_path / f"{request.param}.lld"
    with Project.create(folder, request.param, annotator="Ada") as made:
        (field,) = made.fields.add([tmp_path / "field.png"]).added
        most = max(len(attribute.values) for attribute in made.schema.attributes)
        proposals = [_proposal(made.schema, place) for place in range(most)]
        made.suggestions.replace(field, proposals, model_id=None)
    return folder


def _proposal(schema: Schema, place: int) -> Proposal:
    """Return a proposal of the n-th value of each attribute."""
    shares = {}
    for attribute in schema.attributes:
        names = [value.name for value in attribute.values]
        chosen = names[place % len(names)]
        shares[attribute.name] = dict.fromkeys(names, 0.38 / (len(names) - 1)) | {chosen: 0.62}
    return Proposal((10.0 + 20 * place, 10.0, 15.0, 15.0), 0.9, {schema.class_names[0]: 1.0}, shares)


@pytest.fixture(params=["en", "de"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    yield str(request.param)
    use_language("en")


@pytest.mark.parametrize("width", [340, 420])
def test_no_two_values_look_alike_and_no_word_gives_way_to_its_probability(
    project: Path, dock: AnnotateDock, language: str, width: int, qtbot: QtBot
) -> None:
    session = dock.desk.session
    session.preferences.language = language
    dock.resize(width, 700)
    assert session.open(project, annotator="Ada")
    suggested = set()
    for suggestion in session.suggestions.shown:
        session.selection.select("suggestion", suggestion.id)
        qtbot.wait(20)
        for row in dock.findChildren(AttributeRow):
            buttons = [one for one in row.findChildren(ChoiceButton) if one.text() != "?"]
            words = [one.written[0] for one in buttons]
            assert len(set(words)) == len(words), f"{row.objectName()}: {words}"
            for one in buttons:
                word, aside = one.written
                suggested |= {one.objectName()} if one.suggested else set()
                if aside:
                    whole = {one.text(), *re.split(r"[-,\s]+", one.text())}
                    assert word.strip("…") in whole, f"{word} is cut beside {aside}"
    values = {one.objectName() for one in dock.findChildren(ChoiceButton) if one.beside}
    assert suggested == values, "each was looked at as the suggested one"


def test_a_text_is_cut_to_the_word_that_the_others_lack() -> None:
    nucleus = ["unsegmented-round", "unsegmented-band", "segmented-bilobed", "segmented-multilobed"]
    assert shorter("segmented-bilobed", nucleus) == ["…bilobed"]
    assert shorter("segmentiert, zweilappig", ["segmentiert, mehrlappig"]) == ["…zweilappig"]
    blues = ["light blue", "blue", "purple blue"]
    assert shorter("light blue", blues) == ["light…"], "“…blue” would be another value"
    assert shorter("blue", blues) == []


def test_a_probability_without_room_is_in_the_tooltip(qtbot: QtBot) -> None:
    button = ChoiceButton("Inconspicuous")
    qtbot.addWidget(button)
    button.setToolTip("Nucleolus: Inconspicuous")
    button.show()
    button.show_state(checked=False, suggested=True, probability=0.62)
    button.resize(200, ChoiceButton.HEIGHT)
    assert button.written == ("Inconspicuous", "62%")
    button.resize(70, ChoiceButton.HEIGHT)
    assert button.written[1] == ""
    place = QPoint(5, 5)
    QApplication.sendEvent(button, QHelpEvent(QEvent.Type.ToolTip, place, button.mapToGlobal(place)))
    assert QToolTip.text() == "Nucleolus: Inconspicuous\nSuggested, 62%"
    QToolTip.hideText()

"""Cells unlike anything taught, in the window: a mark, a word, a colour, and no class by reflex."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel

from annotation_store import Embedding, Entry, Project, Proposal
from annotation_store.schema import load_schema
from napari_lld.controllers.dock import AnnotateDock
from napari_lld.layers import outlines, palette
from napari_lld.layers.layer_set import CURRENT, SUGGESTION_LETTERS, SUGGESTIONS
from napari_lld.layers.model_texts import model_says
from napari_lld.session.differential import as_csv, differential
from napari_lld.session.gallery_items import Item
from napari_lld.session.gallery_order import GalleryOrder, Show
from napari_lld.session.predictions import disagreement, label_probability
from napari_lld.session.session import Session
from napari_lld.widgets.base.choice_button import ChoiceButton
from napari_lld.widgets.gallery.gallery_model import GalleryModel
from tests.napari_lld.colour_blind import SIMULATED, distances
from training.ranking.cells import Queue

from .conftest import suggest_by_a_model

LLD = load_schema("lld")
SIZES = {"cell_size": {"small": 0.1, "large": 0.9}}


def at(x: float, confidence: float, novelty: float | None, **classes: float) -> Proposal:
    return Proposal((x, 10.0, 20.0, 20.0), confidence, classes, SIZES, novelty)


UNKNOWN = at(5, 0.95, 0.001, Monocyte=0.9, Neutrophil=0.07, Basophil=0.03)
SURE = at(35, 0.9, 0.8, Monocyte=0.99, Neutrophil=0.01)
DOUBT = at(65, 0.8, None, Monocyte=0.5, Neutrophil=0.5)


@pytest.fixture
def folder(small_project: Path) -> Path:
    suggest_by_a_model(small_project, [UNKNOWN, SURE, DOUBT])
    return small_project


@pytest.fixture
def session(dock: AnnotateDock, folder: Path) -> Session:
    session = dock.desk.session
    session.open(folder, annotator="Ada")
    return session


def proposals(session: Session) -> list[Proposal]:
    return [s.proposal for s in session.suggestions.shown]


def test_fast_accept_ends_with_them_and_teach_me_begins_with_them_and_says_why(session: Session) -> None:
    assert proposals(session) == [SURE, DOUBT, UNKNOWN]
    session.suggestions.queue = Queue.TEACH
    assert proposals(session) == [UNKNOWN, DOUBT, SURE]
    session.review.next()
    assert session.suggestions.lesson == "Unlike its training cells"


def test_on_the_field_they_have_a_mark_a_word_and_a_colour_of_their_own(
    session: Session, dock: AnnotateDock
) -> None:
    layers = dock.desk.viewer.layers
    texts = list(layers[SUGGESTION_LETTERS].features["text"])
    slot = next(i for i, s in enumerate(session.marks.waiting) if s.is_unknown)
    assert texts[slot] == "unknown M?", "no number: none is that of a class"
    assert sorted(texts[:slot] + texts[slot + 1 :]) == ["M 40%", "M 89%"]
    own = slice(slot * outlines.BRACKET_SEGMENTS, (slot + 1) * outlines.BRACKET_SEGMENTS)
    drawn = layers[SUGGESTIONS]
    assert np.allclose(drawn.data[own], outlines.box_spikes([UNKNOWN.box]))
    assert np.allclose(drawn.edge_color[own], palette.rgba(palette.UNKNOWN), atol=0.01)
    others = np.delete(drawn.data, np.arange(own.start, own.stop), axis=0)
    assert np.allclose(
        others, outlines.box_brackets([s.box for s in session.marks.waiting if not s.is_unknown])
    )
    session.selection.select("suggestion", session.marks.waiting[slot].id)
    first = outlines.box_spikes([UNKNOWN.box])[0, 1]
    assert np.allclose(np.sign(layers[CURRENT].data[0, 1]), np.sign(first)), "the current one too"


def test_candidates_are_letters_with_a_question_mark_few_of_them() -> None:
    def word(**classes: float) -> str:
        return palette.proposal_word(LLD, at(5, 0.9, 0.0, **classes))

    assert word(Monocyte=0.5, Neutrophil=0.3, Basophil=0.2) == "unknown M? N?"
    assert word(Monocyte=0.34, Neutrophil=0.33, Basophil=0.33) == "unknown M? N?"
    assert word(Gone=1.0) == word() == "unknown"


@pytest.mark.parametrize("kind", SIMULATED)
@pytest.mark.parametrize("name", ["lld", "wbcatt"])
def test_their_colour_differs_from_every_other_to_colour_blind_eyes(name: str, kind: str) -> None:
    schema = load_schema(name)
    others = {palette.class_colour(schema, c) for c in (*schema.class_names, "unsure", None)}
    others |= {palette.REGION, palette.IGNORED, palette.CURRENT}
    shown = [palette.UNKNOWN, *sorted(others)]
    rgb = np.array([palette.rgba(colour)[:3] for colour in shown])
    # one in ten thousand sees as in tritanopia; cut corners and the word tell it too
    assert distances(rgb, SIMULATED[kind])[0, 1:].min() >= (6.5 if kind == "tritanopia" else 7)
    assert palette.contrast(palette.UNKNOWN, palette.CASING) >= 4.5


def test_of_a_suggestion_without_a_class_it_is_said_why_and_of_a_faint_one_which_is_likeliest(
    dock: AnnotateDock, small_project: Path, qtbot: QtBot
) -> None:
    session = dock.desk.session
    with Project.open(small_project, annotator="Ada") as project:
        boxes = [(x, 10.0, 20.0, 20.0) for x in (5.0, 35.0, 65.0)]
        said = [
            Proposal(boxes[0], 0.5),  # as the stain proposes
            Proposal(boxes[1], 0.97, {}, SIZES),
            Proposal(boxes[2], 0.02, {"Monocyte": 0.4, "Neutrophil": 0.3, "Basophil": 0.3}),
        ]
        project.suggestions.replace(project.fields.all()[0].id, said, model_id=None)
    session.open(small_project, annotator="Ada")
    session.marks.threshold = 0.0
    shown = {}
    for suggestion in session.marks.waiting:
        session.selection.select("suggestion", suggestion.id)
        qtbot.wait(50)
        (text,) = {t for one in dock.findChildren(QLabel) if (t := one.text()).startswith("White cell ")}
        shown[suggestion.box] = text.split("\n")[0]
        dashes = [one.aside for one in dock.findChildren(ChoiceButton) if one.untaught]
        assert bool(dashes) == (suggestion.box != boxes[0]), "of a box from the stain no model says anything"
    assert shown == {
        boxes[0]: "White cell 50% · no class: the box is from the stain alone",
        boxes[1]: "White cell 97% · no class predicted",
        boxes[2]: "White cell 2% · Monocyte 1%",
    }


def test_the_panels_call_its_classes_candidates(session: Session, dock: AnnotateDock, qtbot: QtBot) -> None:
    session.selection.select("suggestion", next(s.id for s in session.marks.waiting if s.is_unknown))
    qtbot.wait(50)
    labels = [label.text() for label in dock.findChildren(QLabel)]
    assert "Unknown · unlike all training cells" in labels
    assert (
        "White cell 95% · its class is unknown · only candidates: Monocyte 86%, Neutrophil 7%, Basophil 3%"
        in labels
    )

    def button(name: str) -> ChoiceButton:
        found = dock.findChild(ChoiceButton, f"lld_class_{name}")
        assert found is not None
        return found

    assert (button("Monocyte").aside, button("Monocyte").suggested) == ("86%?", False)
    assert button("Monocyte").accessibleDescription() == "Only a candidate: the cell is unknown."
    session.selection.select("suggestion", next(s.id for s in session.marks.waiting if not s.is_unknown))
    qtbot.wait(50)
    assert (button("Monocyte").aside, button("Monocyte").suggested) == ("89%", True)
    assert button("Monocyte").accessibleDescription() == "Suggested, 89%"


def test_accept_takes_the_box_without_a_class_and_waits_for_its_name(session: Session) -> None:
    told: list[str] = []
    session.notice.connect(lambda _level, text: told.append(text))
    session.selection.select("suggestion", next(s.id for s in session.marks.waiting if s.is_unknown))
    session.review.accept()
    assert session.selection.cell is not None, (
        "the letter that comes next names this cell, not the next suggestion"
    )
    assert (session.selection.cell.cell_class, session.selection.cell.attributes) == (
        None,
        {"cell_size": "large"},
    )
    assert told[-1] == "Accepted without a class: set it, or continue with [suggestion.next]."
    session.labels.set_class("Myeloblast")
    assert [c.cell_class for c in session.marks.cells] == ["Myeloblast"]
    session.history.undo()
    session.history.undo()
    assert (len(session.marks.cells), session.marks.pending) == (0, 3)


def test_a_class_key_names_it_at_once(session: Session) -> None:
    session.selection.select("suggestion", next(s.id for s in session.marks.waiting if s.is_unknown))
    session.labels.set_class("Myeloblast")
    assert [c.cell_class for c in session.marks.cells] == ["Myeloblast"]


def test_all_at_once_leaves_them_and_says_how_many(session: Session) -> None:
    session.marks.threshold = 0.3
    assert session.bulk_accept.choice == (
        "Accepts: Monocyte 2.\nSkips: unknown 1. 1 is unlike all training cells: review it and set its class."
    )
    assert len(session.bulk_accept.accept_all()) == 2
    assert proposals(session) == [UNKNOWN]
    assert session.bulk_accept.refusal == "1 is unlike all training cells: review it and set its class."
    assert session.bulk_accept.accept_all() == []


def items(dock: AnnotateDock) -> list[Item]:
    from napari_lld.session.gallery_items import read_items

    session = dock.desk.session
    assert session.project is not None
    return read_items(session.project, None)


def test_the_gallery_shows_filters_and_leaves_them(session: Session, dock: AnnotateDock) -> None:
    from napari_lld.session.gallery import Gallery

    gallery = Gallery(session)
    gallery.attach()
    gallery.take(None, items(dock))
    assert gallery.shown[0].unknown, "the most uncertain first"
    gallery.order = GalleryOrder.SUREST
    gallery.arrange()
    assert gallery.shown[-1].unknown
    model = GalleryModel(gallery)
    assert (model.title(gallery.shown[-1]), model.aside(gallery.shown[-1])) == ("unknown", "M?")
    assert "Unlike all training cells" in model.provenance(gallery.shown[-1])
    told: list[str] = []
    session.notice.connect(lambda _level, text: told.append(text))
    gallery.accept(gallery.shown, seen={item.key for item in gallery.shown})
    assert told[-1] == (
        "2 suggestions accepted. 1 is unlike all training cells: review it and set its class."
    )
    gallery.show = Show.UNKNOWN
    gallery.take([session.fields.current_id], items(dock))
    (left,) = gallery.shown
    gallery.accept([left], seen={left.key})
    assert told[-1] == "1 is unlike all training cells: review it and set its class."
    gallery.set_class([left], "Myeloblast")
    assert "Myeloblast" in [c.cell_class for c in session.marks.cells]
    gallery.detach()


def test_a_model_that_cannot_tell_the_cell_disagrees_with_no_class() -> None:
    said = {"Monocyte": 0.9, "Neutrophil": 0.1}
    cells = [
        Entry("cell", 1, 1, (0, 0, 9, 9), "Neutrophil", confidence=0.9, class_probabilities=said, novelty=p)
        for p in (0.5, 0.0)
    ]
    known, unknown = (disagreement(cell, LLD) for cell in cells)
    assert known is not None
    assert known.instead == "Monocyte"
    assert unknown is None
    assert [label_probability(cell, LLD, None) for cell in cells] == [pytest.approx(0.09), None]


def test_the_differential_counts_them_apart_and_under_no_class(session: Session) -> None:
    project = session.project
    assert project is not None
    assert (
        project.suggestions.count_unknown(),
        project.suggestions.count_unknown([session.fields.current_id or 0]),
    ) == (1, 1)
    assert project.suggestions.count_unknown([2]) == 0
    found = differential(project.cells.count_by_class(), LLD, unknown=project.suggestions.count_unknown())
    assert (found.counted, found.unclassified, found.unknown) == (0, 0, 1)
    assert '"Unknown, suggested and not counted",1,,,' in as_csv(found)


def test_a_blind_reading_hears_of_none(folder: Path) -> None:
    with Project.open(folder, annotator="Ada") as project:
        project.readings.use(project.readings.add("blind", blind=True).id)
        assert project.suggestions.count_unknown() == 0


def test_a_missed_cell_that_is_unknown_is_boxed_without_a_class_and_named_next(small_project: Path) -> None:
    unknown = Proposal((30, 30, 20, 20), 0.95, {"Monocyte": 1.0}, novelty=0.0)
    with Project.open(small_project, annotator="Ada") as project:
        field = project.fields.all()[0].id
        project.regions.add_whole_field(field)
        wrong = project.cells.add(field, (80, 60, 20, 20), cell_class="Neutrophil")
        strange = Proposal((80, 60, 20, 20), 0.95, {"Monocyte": 0.99, "Neutrophil": 0.01}, novelty=0.0)
        project.embeddings.save("starter", {field: Embedding(np.ones(4, np.float32), (unknown, strange))})
    session = Session()
    session.open(small_project, annotator="Ada")
    session.label_errors.toggle()
    (missed,) = session.label_errors.items
    assert missed.id is None, "an unknown cell contradicts no label"
    session.review.next()
    assert model_says(session) == "→ unknown M?"
    session.review.accept()
    assert session.selection.cell is not None
    assert (session.selection.cell.box, session.selection.cell.cell_class) == (unknown.box, None)
    session.labels.set_class("Myeloblast")
    assert {c.cell_class for c in session.marks.cells if c.id != wrong} == {"Myeloblast"}
    session.close()

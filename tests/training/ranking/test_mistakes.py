"""Labels that the model contradicts."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from annotation_store import Cell, Embedding, Project, Proposal, RejectionReason, Shape
from tests.database import writing
from training import ranking
from training.ranking import Ranked

from .conftest import says

VECTOR = np.ones(4, np.float32)


def label_errors(project: Project) -> list[Ranked]:
    return list(ranking.label_errors(project).items)


@pytest.fixture
def finished(project: Project) -> Project:
    project.regions.add(1, Shape.rectangle(0, 0, 120, 100))
    return project


def looked(project: Project, *predictions: Proposal, maker: str = "starter") -> None:
    project.embeddings.save(maker, {1: Embedding(VECTOR, predictions)})


def test_nothing_is_said_where_no_model_has_looked(finished: Project) -> None:
    finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    finished.embeddings.save("stain", {1: Embedding(VECTOR, ())})
    assert label_errors(finished) == []


def test_a_class_that_the_model_contradicts_is_named_with_both_words(finished: Project) -> None:
    wrong = finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    finished.cells.add(1, (50, 10, 20, 20), cell_class="Lymphocyte")  # the model agrees
    finished.cells.add(1, (90, 10, 20, 20), cell_class="Monocyte")  # the model is in doubt
    looked(
        finished,
        says(10, 11, Lymphocyte=0.97, Monocyte=0.02, Basophil=0.01),
        says(50, 11, Lymphocyte=0.97, Monocyte=0.03),
        says(90, 11, Lymphocyte=0.5, Monocyte=0.5),
    )
    (one,) = label_errors(finished)
    assert (one.kind, one.id, one.field_id, one.box) == ("label_error", wrong, 1, (10, 10, 20, 20))
    assert one.errors["class"] == pytest.approx(0.03 * 0.98 / (0.03 * 0.98 + 0.97 * 0.02), abs=1e-3)
    assert one.score >= one.errors["class"]
    assert one.reasons == (
        "Labelled Monocyte, predicted Lymphocyte at 97%",
        "The model did not learn from this very cell",
    )


def test_a_group_is_contradicted_only_by_what_lies_outside_it(finished: Project) -> None:
    finished.cells.add(1, (10, 10, 20, 20), cell_class="blast")
    looked(finished, says(10, 10, Myeloblast=0.95, Lymphocyte=0.05))
    assert label_errors(finished) == []
    looked(finished, says(10, 10, Myeloblast=0.02, Lymphocyte=0.98))
    assert len(label_errors(finished)) == 1


@pytest.mark.parametrize("label", [None, "unsure", "Basophil"])
def test_no_label_is_contradicted_that_says_nothing_or_that_nobody_taught(
    finished: Project, label: str | None
) -> None:
    finished.cells.add(1, (10, 10, 20, 20), cell_class=label)
    looked(finished, says(10, 10, Lymphocyte=0.99, Monocyte=0.01))
    assert label_errors(finished) == []


def test_an_attribute_weighs_as_much_as_the_class_and_a_missing_one_nothing(finished: Project) -> None:
    for x, values in ((10, {"cell_size": "small"}), (50, {}), (90, {"cell_size": "unsure"})):
        finished.cells.add(1, (x, 10, 20, 20), attributes=values)
    shares = {"cell_size": {"small": 0.0, "medium": 0.1, "large": 0.9}}
    looked(finished, *(Proposal((x, 10, 20, 20), 1.0, {}, shares) for x in (10, 50, 90)))
    (one,) = label_errors(finished)
    assert one.score == pytest.approx(1.0)
    assert "labelled small, predicted large at 90%" in one.reasons[0].lower()


def test_where_only_all_values_together_are_doubted_the_most_doubtful_is_named(finished: Project) -> None:
    labels = {"cell_size": "small", "nuclear_chromatin": "open", "cytoplasm": "scanty"}
    finished.cells.add(1, (10, 10, 20, 20), attributes=labels)
    shares = {
        "cell_size": {"small": 0.1, "large": 0.9},
        "nuclear_chromatin": {"open": 0.07, "coarse": 0.93},
        "cytoplasm": {"scanty": 0.1, "abundant": 0.9},
    }
    looked(finished, Proposal((10, 10, 20, 20), 1.0, {}, shares))
    (every,) = ranking.label_errors(finished, min_probability=0.0).items
    least = 0.99 * every.errors["value"]  # above what each of them has
    (one,) = ranking.label_errors(finished, min_probability=least).items
    assert len(one.reasons) == 2, "a value, and whether the model learnt from the cell"
    assert "labelled open, predicted coarse at 93%" in str(one.reasons[0]).lower()


def test_a_box_where_the_model_sees_nothing_and_a_cell_that_may_be_missed(finished: Project) -> None:
    lonely = finished.cells.add(1, (10, 10, 20, 20))
    shifted = finished.cells.add(1, (50, 10, 20, 20))
    looked(
        finished,
        says(62, 10),  # overlaps a quarter
        says(50, 50),  # a missed cell
        says(112, 50),  # centred outside the region
        says(107, 75),  # centred so near to its border that the truth may lie outside
        says(20, 70, 0.5),  # not sure
    )
    found = label_errors(finished)
    assert [one.id for one in found] == [shifted, None, lonely]
    assert found[0].reasons[0] == "The model draws the box elsewhere"
    assert found[0].prediction is not None
    assert found[0].prediction.box == (62, 10, 20, 20)
    assert found[1].box == (50, 50, 20, 20)
    assert "none is boxed" in found[1].reasons[0]
    assert found[2].reasons[0] == "The model sees no cell here"
    assert found[2].prediction is None
    finished.ignore_areas.add(1, Shape.rectangle(45, 45, 30, 30))
    assert [one.id for one in label_errors(finished)] == [shifted, lonely]


def test_what_a_person_decided_with_the_models_word_before_them_is_no_label_error(finished: Project) -> None:
    corrected, rejected = finished.suggestions.replace(
        1, [says(10, 10, Lymphocyte=0.99, Monocyte=0.01), says(60, 60)], model_id=None
    )
    looked(finished, says(60, 60))
    finished.suggestions.correct(corrected, cell_class="Monocyte")
    finished.suggestions.reject(rejected, RejectionReason.NOT_A_CELL)
    assert label_errors(finished) == []


def test_it_is_said_whether_the_model_learnt_from_the_very_cell(finished: Project) -> None:
    before = finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    after = finished.cells.add(1, (60, 10, 20, 20), cell_class="Monocyte")
    for parent, last in (("starter", before), ("1", 0)):
        number = finished.models.reserve_id()
        finished.models.folder(number).mkdir(parents=True)
        card = {"held_out": [], "last_cell": last, "metrics": {"held_out": {"recall": 0.9}}}
        finished.models.add(number, parent=parent, card=card, activate=True)
    predictions = [says(x, 10, Lymphocyte=0.99, Monocyte=0.01) for x in (10, 60)]
    looked(finished, *predictions, maker="2")
    told = {one.id: one.reasons[-1] for one in label_errors(finished)}
    assert told == {
        before: "The model learnt from this very cell",  # its parent did
        after: "The model did not learn from this very cell",
    }
    # held out by the whole line: nobody learnt from it
    with writing(finished) as connection:
        unit = f"field:{finished.fields.get(1).content_hash}"
        connection.exec_driver_sql(
            "UPDATE models SET card = json_set(card, '$.held_out', json_array(?))", (unit,)
        )
    assert {one.reasons[-1] for one in label_errors(finished)} == {
        "The model did not learn from this very cell"
    }


def test_a_blind_reading_hears_of_none_even_where_it_is_finished(finished: Project) -> None:
    finished.readings.use(finished.readings.add("second", blind=True).id)
    looked(finished, says(10, 10, Lymphocyte=0.99, Monocyte=0.01), says(60, 60))
    finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    finished.regions.add(1, Shape.rectangle(0, 0, 120, 100))
    assert label_errors(finished) == []


SIZES = {"cell_size": {"small": 0.0, "medium": 0.0, "large": 1.0}}


def test_what_was_kept_is_not_brought_up_again_by_later_models_until_it_says_something_else(
    finished: Project,
) -> None:
    cell = finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    lonely = finished.cells.add(1, (60, 60, 20, 20))
    said = Proposal((10, 10, 20, 20), 0.95, {"Lymphocyte": 0.99, "Monocyte": 0.0, "Neutrophil": 0.01}, SIZES)
    looked(finished, said)
    assert [one.id for one in label_errors(finished)] == [cell, lonely]
    finished.label_reviews.confirm(cell)
    finished.label_reviews.confirm(lonely)
    assert label_errors(finished) == []
    finished.embeddings.save("starter", {})
    finished.embeddings.save("7", {1: Embedding(VECTOR, (said,))})
    finished.embeddings.delete(keep=("7",))
    assert label_errors(finished) == []
    # what was not there to be kept is another matter …
    finished.cells.change(cell, attributes={"cell_size": "small"})
    (one,) = label_errors(finished)
    assert one.reasons[0] == "Cell size: labelled Small, predicted Large at 100%"
    # … and so is another label, and another box
    finished.cells.change(cell, cell_class="Neutrophil")
    finished.cells.change(lonely, box=(62, 60, 20, 20))
    assert [one.reasons[0] for one in label_errors(finished)] == [
        "Labelled Neutrophil, predicted Lymphocyte at 99%",
        "The model sees no cell here",
    ]
    finished.cells.change(cell, cell_class="Monocyte")
    assert [one.id for one in label_errors(finished)] == [cell, lonely]
    assert len(label_errors(finished)[0].reasons) == 2, "the size alone, and what it learnt"


def test_a_label_given_in_the_face_of_the_model_is_not_doubted_again(finished: Project) -> None:
    cell = finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    looked(finished, says(10, 10, Lymphocyte=0.98, Monocyte=0.01, Neutrophil=0.01))
    finished.cells.change(cell, cell_class="Neutrophil", confirm=True)
    assert label_errors(finished) == []
    finished.undo(1)
    assert [one.id for one in label_errors(finished)] == [cell]


def test_a_missed_cell_that_was_boxed_or_refused_does_not_come_again(finished: Project) -> None:
    looked(finished, says(10, 10, Lymphocyte=1.0), says(60, 60))
    boxed, refused = label_errors(finished)
    assert boxed.prediction is not None
    assert refused.prediction is not None
    finished.label_reviews.accept(1, boxed.prediction, model_id=None, cell_class="Monocyte")
    finished.label_reviews.reject(1, refused.prediction, model_id=None)
    assert label_errors(finished) == []
    looked(finished, says(11, 10, Monocyte=1.0), says(60, 61), maker="3")
    finished.embeddings.delete(keep=("3",))
    assert label_errors(finished) == [], "nor of a later model"
    finished.undo(1)
    assert [one.box for one in label_errors(finished)] == [(60, 61, 20, 20)]


def test_a_field_is_judged_again_by_what_its_cells_say_now(finished: Project) -> None:
    wrong = finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    lonely = finished.cells.add(1, (90, 10, 20, 20))
    looked(finished, says(10, 11, Lymphocyte=0.97, Monocyte=0.03), says(60, 60))
    found = ranking.label_errors(finished)
    assert found.source == "starter"
    assert found.now(finished, 1) == list(found.items)
    assert found.now(finished, 2) == []
    finished.cells.change(wrong, cell_class="Lymphocyte")
    finished.cells.delete(lonely)
    assert [one.box for one in found.now(finished, 1)] == [(60, 60, 20, 20)]
    finished.embeddings.delete(keep=())
    assert [one.box for one in found.now(finished, 1)] == [(60, 60, 20, 20)], "whoever has looked since"
    finished.undo(1)
    finished.undo(1)
    assert found.now(finished, 1) == list(found.items)


def test_a_field_is_judged_again_from_its_own_rows_alone(
    finished: Project, statements: list[str], record_property: Any
) -> None:
    rng = np.random.default_rng(0)
    names = finished.schema.class_names
    places = rng.uniform(0, [130, 90], (300, 2))
    finished.regions.add_whole_field(1)

    def said(x: float, y: float) -> Proposal:
        p = rng.dirichlet(np.full(len(names), 0.05))
        return Proposal((x, y, 8, 8), 0.9, dict(zip(names, map(float, p), strict=True)), SIZES)

    looked(finished, *(said(x, y) for x, y in places))
    for x, y in places[:100]:
        finished.cells.add(1, (x, y, 8, 8), cell_class="Monocyte")
    found = ranking.label_errors(finished)
    assert found.items
    statements.clear()
    begun = time.process_time()
    found.now(finished, 1)
    record_property("processor_ms", round(1000 * (time.process_time() - begun), 1))  # idle: under 50
    assert len(statements) <= 6, statements


def test_the_label_errors_of_many_fields_are_found_in_as_many_statements_as_those_of_one(
    finished: Project, statements: list[str]
) -> None:
    looked(finished, says(60, 60))
    del statements[:]
    ranking.label_errors(finished)
    one_field = len(statements)
    for number in range(2, 13):
        finished.regions.add_whole_field(number)
        finished.embeddings.save("starter", {number: Embedding(VECTOR, (says(60, 60),))})
    del statements[:]
    assert len(ranking.label_errors(finished).items) == 12
    assert len(statements) == one_field


def judged(cell: Cell, **classes: float) -> tuple[int, Proposal]:
    return cell.id, Proposal(cell.box, 1.0, classes)


def test_what_a_model_that_did_not_learn_from_a_cell_says_stands_for_what_the_other_repeats(
    finished: Project,
) -> None:
    for x in (10, 50):
        finished.cells.add(1, (x, 10, 20, 20), cell_class="Monocyte")
    wrong, right = finished.cells.all()
    agrees = [says(x, 10, Monocyte=0.99, Lymphocyte=0.01) for x in (10, 50)]
    of_cells = dict([judged(wrong, Lymphocyte=0.99, Monocyte=0.01), judged(right, Monocyte=1.0)])
    finished.embeddings.save("starter", {1: Embedding(VECTOR, tuple(agrees), of_cells)})
    assert ranking.label_errors(finished).unchecked == 0
    (one,) = label_errors(finished)
    assert (one.id, one.reasons[1]) == (wrong.id, "The model did not learn from this very cell")
    assert one.prediction is not None
    assert (one.prediction.best_class, one.prediction.box) == ("Lymphocyte", (10, 10, 20, 20))
    finished.cells.change(wrong.id, box=(30, 30, 20, 20))  # it was said of another place
    assert "class" not in {
        kind for item in label_errors(finished) for kind, p in item.errors.items() if p >= 0.5
    }


def test_where_models_doubt_most_labels_of_a_class_no_single_one_of_them_is_doubted(
    finished: Project,
) -> None:
    """As with the first cells of a new class, which the old ones outweigh."""
    places = [(10 + 25 * (i % 4), 5 + 25 * (i // 4), 20, 20) for i in range(8)]
    for i, place in enumerate(places):
        finished.cells.add(1, place, cell_class="Promonocyte" if i < 4 else "Monocyte")
    new, old = finished.cells.all()[:4], finished.cells.all()[4:]
    of_cells = dict(judged(cell, Promonocyte=0.02, Monocyte=0.98) for cell in new)
    of_cells |= dict(judged(cell, Monocyte=0.97, Promonocyte=0.03) for cell in old)
    seen = tuple(Proposal(place, 0.95) for place in places)
    finished.embeddings.save("starter", {1: Embedding(VECTOR, seen, of_cells)})
    assert label_errors(finished) == []
    of_cells |= dict([judged(old[0], Monocyte=0.01, Promonocyte=0.99)])
    finished.embeddings.save("starter", {1: Embedding(VECTOR, seen, of_cells)})
    assert [one.id for one in label_errors(finished)] == [old[0].id]


def test_a_box_is_doubted_by_how_far_boxes_usually_lie_from_what_the_model_draws(finished: Project) -> None:
    places = [(5 + 25 * (i % 4), 2 + 24 * (i // 4), 20, 20) for i in range(16)]
    for place in places:
        finished.cells.add(1, place)

    def off_by(usual: float, one: float) -> list[int | None]:
        drawn = [(x + (one if i == 5 else usual), y, w, h) for i, (x, y, w, h) in enumerate(places)]
        looked(finished, *(Proposal(box, 1.0) for box in drawn))
        return [item.id for item in label_errors(finished)]

    assert off_by(0, 5) == [finished.cells.all()[5].id]
    assert off_by(4, 5) == [], "the model draws them all so"


def test_all_that_can_be_judged_is_ordered_on_request(finished: Project) -> None:
    finished.cells.add(1, (10, 10, 20, 20), cell_class="Monocyte")
    looked(finished, says(10, 10, Monocyte=0.9, Lymphocyte=0.1))
    assert label_errors(finished) == []
    assert ranking.label_errors(finished).unchecked == 1
    (one,) = ranking.label_errors(finished, min_probability=0.0).items
    assert 0 < one.score < 0.5

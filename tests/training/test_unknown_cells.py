"""Cells unlike anything taught: asked for first, promised nothing of, and never taken for their candidate."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from annotation_store.records import Box, Proposal, Suggestion, SuggestionState
from annotation_store.schema import load_schema
from training.evaluation.bulk_accept import fit_bulk
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.metrics import acceptance_precision, acceptances
from training.evaluation.uncertainty import uncertainty
from training.ranking.cells import Queue, rank_cells
from training.ranking.cost import CostModel
from training.ranking.explanations import Words
from training.ranking.label_statistics import Contradiction, contradiction
from training.simulate import Action, judge
from training.worker.predict import OfImage, coco_object

BOX: Box = (10.0, 10.0, 20.0, 20.0)
SURE = Proposal(BOX, 0.9, {"Monocyte": 0.99, "Neutrophil": 0.01}, novelty=0.7)
UNKNOWN = replace(SURE, novelty=0.01)
UNTOLD = replace(SURE, novelty=None)
DOUBT = Proposal(BOX, 0.8, {"Monocyte": 0.5, "Neutrophil": 0.5}, {"cell_size": {"small": 0.5, "large": 0.5}})
LLD = load_schema("lld")


def waiting(*proposals: Proposal) -> list[Suggestion]:
    return [Suggestion(i, 1, 1, p, SuggestionState.PENDING) for i, p in enumerate(proposals, 1)]


def test_unknown_cells_head_the_queue_that_teaches_with_the_reason_and_end_the_other() -> None:
    some = waiting(SURE, DOUBT, UNKNOWN, UNTOLD)
    words = Words(LLD)
    teach = rank_cells(some, Queue.TEACH, words=words)
    assert [item.id for item in teach] == [3, 2, 1, 4]
    assert teach[0].reasons == ("Unlike its training cells",)
    accept = rank_cells(some, Queue.ACCEPT, words=words)
    assert [item.id for item in accept] == [1, 4, 2, 3]
    assert accept[-1].reasons == ("Unlike its training cells", "A cell at 90%"), "no class beside it"


def test_a_field_says_how_many_are_unlike_and_contends_over_none_of_them() -> None:
    unclear = replace(DOUBT, novelty=0.0)
    assert Words().candidates([unclear, UNKNOWN, SURE])[1] == "2 are unlike its training cells"
    assert "between" not in Words().candidates([unclear])[0]
    assert Words().candidates([SURE]) == ["1 likely cell"]


def test_a_candidate_that_is_sure_leaves_the_class_of_an_unknown_cell_in_doubt() -> None:
    assert uncertainty(UNKNOWN) == 1 > uncertainty(SURE) == uncertainty(UNTOLD)
    assert CostModel().candidate(UNKNOWN, 0) > CostModel().candidate(SURE, 0)


def test_an_unknown_cell_contradicts_no_label() -> None:
    from annotation_store.records import Cell

    cell = Cell(1, 1, 1, BOX, "Neutrophil")
    assert contradiction(cell, replace(SURE, confidence=0.95), LLD) == Contradiction("Monocyte")
    assert not contradiction(cell, replace(UNKNOWN, confidence=0.95), LLD)


def result(*pairs: tuple[TrueCell, Proposal], spurious: tuple[Proposal, ...] = ()) -> FieldResult:
    nothing = Ranking(np.ones(len(pairs)), np.ones(len(pairs), bool), len(pairs))
    return FieldResult(f"p{id(pairs)}", nothing, {"Monocyte": nothing}, list(pairs), list(spurious))


def test_what_may_be_accepted_at_once_is_judged_without_those_that_never_are() -> None:
    known, wrong = (TrueCell(BOX, "Monocyte"), SURE), (TrueCell(BOX, "Neutrophil"), UNKNOWN)
    results = [
        replace(result(*[known] * 30, *[wrong] * 30, spurious=(UNKNOWN,)), patient=f"p{i}") for i in range(20)
    ]
    assert len(list(acceptances(results))) == 600
    assert acceptance_precision(results, 0.5)["classes"] == {"Monocyte": [600, 600]}
    found = fit_bulk(results)
    assert (found.wrong, found.classes) == (0, {"Monocyte": [600, 600]})


def test_a_simulated_reviewer_names_an_unknown_cell_even_where_the_candidate_is_right() -> None:
    (verdict,) = judge([UNKNOWN], [TrueCell(BOX, "Monocyte")], [])
    assert (verdict.action, verdict.unsaid, verdict.wrong) == (Action.CORRECT, ("class",), ())
    (verdict,) = judge([SURE], [TrueCell(BOX, "Monocyte")], [])
    assert verdict.action is Action.ACCEPT


@pytest.mark.parametrize(("said", "marks"), [(UNKNOWN, True), (SURE, False), (UNTOLD, None)])
def test_predict_out_marks_each_annotation(said: Proposal, marks: bool | None) -> None:
    content = json.loads(json.dumps(coco_object(LLD, [OfImage(Path("a.png"), 100, 80, "film", [said])])))
    (one,) = content["annotations"]
    names = {c["id"]: c["name"] for c in content["categories"]}
    assert names[one["category_id"]] == ("unclassified" if marks else "Monocyte")
    assert (one.get("novelty"), one.get("unknown")) == (said.novelty, marks)
    assert one["class_probabilities"]["Monocyte"] == 0.99

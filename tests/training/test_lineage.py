"""Whether a model has learnt from cells that are held out now is read off its card and its parents'."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project
from annotation_store.errors import LLDError
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.patient_split import held_out, held_out_key
from training.models.lineage import Lineage
from training.worker import cautions, evaluate
from training.worker import comparison as comparing
from training.worker.annotated_fields import annotated_fields, fields_by_unit, held_before
from training.worker.models import resolve


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project of four patients, P0 to P3, with a field and a cell each."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(4):
        Image.fromarray(np.full((40, 40, 3), i, np.uint8)).save(images / f"f{i}.png")
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.fields.add([images])
        for i, field in enumerate(made.fields.all()):
            made.fields.update(field.id, patient=f"P{i}")
            made.regions.add_whole_field(field.id)
            made.cells.add(field.id, (5, 5, 10, 10))
        yield made


def add(project: Project, parent: str = "starter", **card: Any) -> int:
    number = project.models.reserve_id()
    project.models.folder(number).mkdir(parents=True)
    project.models.add(number, parent=parent, card=card, activate=True)
    return number


def seen(project: Project, model: int | str | None) -> str:
    lineage = Lineage.of(project, model)
    return " ".join(k.field.patient or "" for k in annotated_fields(project) if lineage.saw(k.field, k.cells))


def hashed(project: Project, *patients: str) -> list[str]:
    return [held_out_key(project, patient) for patient in patients]


def test_the_parents_teachers_are_the_childs(project: Project) -> None:
    ids = [field.id for field in project.fields.all()]
    first = add(project, learnt_fields=ids[:1], held_out=hashed(project, "P3"))
    second = add(project, str(first), learnt_fields=ids[1:2])
    assert seen(project, first) == "P0"
    assert seen(project, second) == "P0 P1"
    assert seen(project, None) == seen(project, "starter") == seen(project, "scratch") == ""


def test_a_card_that_lists_no_fields_is_read_by_whom_it_held_out_and_its_last_cell(project: Project) -> None:
    cells = [cell.id for cell in project.cells.all()]
    old = add(project, held_out=hashed(project, "P3"), last_cell=cells[1])
    assert seen(project, old) == "P0 P1", "P2 was annotated later"
    assert seen(project, add(project, held_out=["P3"])) == "P0 P1 P2", "the oldest cards name patients"
    assert seen(project, add(project)) == "P0 P1 P2 P3"


def test_a_field_that_goes_to_another_patient_was_learnt_from_all_the_same(project: Project) -> None:
    ids = [field.id for field in project.fields.all()]
    model = add(project, learnt_fields=ids[:1], held_out=hashed(project, "P3"))
    project.fields.update(ids[0], patient="P3")
    assert seen(project, model) == "P3"


def test_what_was_chosen_by_held_out_cells_is_known_of_all_that_goes_on_from_it(project: Project) -> None:
    chosen = add(project, held_out=hashed(project, "P3"), chosen=True)
    child = add(project, str(chosen), held_out=hashed(project, "P2", "P3"), chosen=False)
    known = annotated_fields(project)
    first_and_last = fields_by_unit([known[0], known[3]])
    assert Lineage.of(project, child).chosen_by(first_and_last)
    assert not Lineage.of(project, child).chosen_by(fields_by_unit([known[2]])), "by other cells"
    assert not Lineage.of(project, "starter").chosen_by(first_and_last)


def test_what_a_file_has_learnt_from_nobody_knows(project: Project) -> None:
    first = add(project, "file", learnt_fields=[])
    assert not Lineage.of(project, add(project, str(first))).known
    assert not Lineage.of(project, "yolo26n.pt").known
    assert not Lineage.of(project, "99").known, "a model that is no longer there"
    itself = add(project, "3", learnt_fields=[])
    assert not Lineage.of(project, itself).known, "a circle ends"
    assert Lineage.of(project, add(project, "scratch")).known


def test_nobody_is_held_out_whom_the_start_has_learnt_from() -> None:
    cells: dict[str, list[str | None]] = {f"p{i}": [None] * 10 for i in range(10)}
    first = held_out(cells, 0.2)
    learnt = set(cells) - first - {"p9"}
    assert held_out(cells, 0.5, already=first, learnt=learnt) <= first | {"p9"}
    assert held_out(cells, 0.2, already=first, learnt=cells) == set()


def test_held_out_patients_are_known_by_their_fields_after_another_name_and_counted_when_gone(
    project: Project,
) -> None:
    ids = [field.id for field in project.fields.all()]
    add(project, held_out=hashed(project, "P2", "P3"), held_fields=ids[2:], learnt_fields=ids[:2])

    def held() -> tuple[set[str], int]:
        units, lost = held_before(project, annotated_fields(project))
        return {unit.removeprefix("patient ") for unit in units}, lost

    assert held() == ({"P2", "P3"}, 0)
    project.fields.update(ids[2], patient="Q")
    assert held() == ({"Q", "P3"}, 0)
    for cell in project.cells.all(ids[3]):
        project.cells.delete(cell.id)
    assert held() == ({"Q", "P3"}, 1), "still never learnt from, but nothing to measure on"
    project.fields.update(ids[2], patient="P0")
    assert held()[0] == {"P3"}, "with a patient who was learnt from it is nobody's unseen field"


@pytest.mark.parametrize("listed", [None, 3, "x", ["1"], [None, 1.5], {"1": 1}])
def test_a_card_that_lists_nonsense_stops_nothing(project: Project, listed: Any) -> None:
    model = add(project, learnt_fields=listed, held_fields=listed, held_out=listed, last_cell=listed)
    seen(project, model)
    held_before(project, annotated_fields(project))


# --- the comparison of two models ------------------------------------------------------------------------


@pytest.fixture
def judged(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Compare a new model with the active one, which is wrong everywhere where it may be judged at all."""
    more = tmp_path / "more"
    more.mkdir()
    for i in range(4, 10):
        Image.fromarray(np.full((40, 40, 3), i, np.uint8)).save(more / f"f{i}.png")
    project.fields.add([more])
    for field in project.fields.all()[4:]:
        project.regions.add_whole_field(field.id)
        project.cells.add(field.id, (5, 5, 10, 10))

    def results(some: Any, hit: bool) -> list[FieldResult]:
        return [FieldResult(one.patient, Ranking(np.ones(1), np.array([hit]), 1), {}, [], []) for one in some]

    class Reference:
        def to(self, _device: Any) -> Reference:
            return self

    monkeypatch.setattr(comparing, "resolve", lambda *_: (Reference(), 1))
    monkeypatch.setattr(comparing, "starter_calibration", lambda: None)
    monkeypatch.setattr(comparing, "cross_validate", lambda _model, truths, *_, **__: results(truths, False))

    def compare(parent: int | str = "starter") -> tuple[Any, int]:
        testing = annotated_fields(project)
        comparison, old = comparing.compare_with_active(
            project,
            Lineage.of(project, parent),
            testing,
            results(testing, True),
            propose=lambda _model, some: [None] * len(some),  # type: ignore[list-item]
            attributes=(),
            device="cpu",  # type: ignore[arg-type]
        )
        return comparison, len(old)

    return compare


def test_a_damaged_model_in_use_is_replaced_without_a_comparison(
    project: Project, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(comparing, "resolve", resolve)
    add(project, learnt_fields=[])
    comparison, old = judged()
    assert (comparison.verdict, comparison.worse, old) == ("cannot_judge", False, 0)
    assert "missing or damaged" in comparison.reason


def test_a_model_is_never_compared_with_one_that_learnt_from_the_cells(project: Project, judged: Any) -> None:
    assert judged()[0].verdict == "not_worse", "the starter has learnt from none of them"
    ids = [field.id for field in project.fields.all()]
    add(project, learnt_fields=ids[:6])
    comparison, old = judged()
    assert (comparison.verdict, comparison.units, old) == ("cannot_judge", 4, 0)
    assert "now held out (of 4 patients and of 2 fields" in comparison.reason
    add(project, learnt_fields=ids[:3])
    comparison, old = judged()
    assert (comparison.verdict, comparison.units, old) == ("not_worse", 7, 7), "on those it has not seen"


def test_beside_a_file_nobody_knows_of_nothing_is_compared(project: Project, judged: Any) -> None:
    comparison, _ = judged("file")
    assert comparison.verdict == "cannot_judge"
    assert "started from a file" in comparison.reason
    add(project, "file", learnt_fields=[])
    assert judged()[0].verdict == "cannot_judge"


def test_no_model_is_measured_on_what_it_has_learnt_from(project: Project) -> None:
    ids = [field.id for field in project.fields.all()]
    early = add(project, learnt_fields=ids)
    middle = add(project, learnt_fields=ids[:3], held_out=hashed(project, "P2", "P3"), held_fields=ids[2:])

    def measured(model: int | None) -> list[str]:
        shown = evaluate._held_out(project, model, annotated_fields(project))
        return [one.truth.patient.split()[-1] for one in shown]

    assert measured(None) == ["P2", "P3"]
    assert measured(middle) == ["P3"]
    with pytest.raises(LLDError, match=f"Model {early} was trained on all"):
        measured(early)


def test_what_is_to_be_known_of_the_numbers_is_said_in_plain_sentences() -> None:
    assert cautions.cautions(known=True, lost=0, chosen=False, chosen_before=False) == ""
    told = cautions.cautions(known=False, lost=2, chosen=True, chosen_before=True)
    for part in ("started from a file", "held out before 2 can no longer be measured on", "too high"):
        assert part in told
    assert told.count("too high") == 1
    before = cautions.cautions(known=True, lost=0, chosen=False, chosen_before=True)
    assert "an earlier model" in before
    assert "holdout 0" in cautions.why_not_measured(99, 0, 0)
    assert "begins at 30 cells" in cautions.why_not_measured(29, 0.2, 0)
    gone = cautions.why_not_measured(99, 0.2, 3)
    assert "annotated next are held out" in gone
    assert "held out before 3" in gone


@pytest.mark.parametrize(("new", "in_use", "stays"), [(0.1, 0.9, True), (0.9, 0.9, False), (0.1, 0.1, False)])
def test_a_model_that_finds_nothing_does_not_replace_one_that_finds_cells(
    project: Project, monkeypatch: pytest.MonkeyPatch, new: float, in_use: float, stays: bool
) -> None:
    """However few cells are held out: those that were learnt from say it."""

    def results(some: Any, score: float) -> list[FieldResult]:
        found = Ranking(np.array([score]), np.array([True]), 1)
        return [FieldResult(one.patient, found, {}, [], []) for one in some]

    class Reference:
        def to(self, _device: Any) -> Reference:
            return self

    monkeypatch.setattr(comparing, "resolve", lambda *_: (Reference(), 1))
    monkeypatch.setattr(comparing, "evaluate", lambda _model, truths, _raw: results(truths, in_use))
    some = annotated_fields(project)
    reason = comparing.why_it_stays(
        project,
        some,
        results(some, new),
        propose=lambda _model, fields: [None] * len(fields),  # type: ignore[list-item]
        device="cpu",  # type: ignore[arg-type]
    )
    assert (reason is not None) == stays
    if reason is not None:
        assert "finds 4" in str(reason)

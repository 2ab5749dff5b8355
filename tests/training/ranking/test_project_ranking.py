"""The rankings of a project."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation_store import Embedding, Project, Proposal, RejectionReason, Shape
from tests.database import engine, writing
from training import ranking
from training.ranking.windows import best_windows

from .conftest import candidate


def test_before_anything_is_known_every_field_is_offered_in_a_stable_order(project: Project) -> None:
    assert [one.field_id for one in ranking.order(project)] == list(range(1, 13))
    ranked = ranking.update(project)
    assert sorted(one.field_id for one in ranked) == list(range(1, 13))
    assert ranking.update(project) == ranked
    assert ranking.order(project) == ranked


def test_the_order_stays_as_it_was_worked_out_and_drops_what_is_finished(project: Project) -> None:
    project.suggestions.replace(5, [candidate(40, 40, Monocyte=0.5, Lymphocyte=0.5)], model_id=None)
    before = ranking.update(project)
    assert before[0].field_id == 5
    project.suggestions.replace(
        7, [candidate(20 * i, 40, Monocyte=0.5, Lymphocyte=0.5) for i in range(1, 7)], model_id=None
    )
    project.regions.add_whole_field(5)
    assert ranking.order(project) == [one for one in before if one.field_id != 5]
    assert ranking.update(project)[0].field_id == 7


def test_a_ranking_that_is_interrupted_leaves_the_order_as_it_was(project: Project) -> None:
    def stop() -> None:
        raise InterruptedError

    before = ranking.update(project)
    project.suggestions.replace(before[-1].field_id, [], model_id=None)
    with pytest.raises(InterruptedError):
        ranking.update(project, on_field=stop)
    assert ranking.order(project) == before


def test_a_new_field_stands_at_the_end_until_the_next_round(project: Project, tmp_path: Path) -> None:
    from PIL import Image

    ranking.update(project)
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "new.png")
    (new,) = project.fields.add([tmp_path / "new.png"]).added
    assert ranking.order(project)[-1].field_id == new


def test_cells_rejected_and_finished_areas_are_no_candidates(project: Project) -> None:
    some = [candidate(x, 60, Monocyte=0.5, Lymphocyte=0.5) for x in (20, 60, 100, 140)]
    ids = project.suggestions.replace(1, some, model_id=None)
    assert ranking.regions(project, 1)[0].reasons[0].startswith(("1", "2", "3", "Drawn"))
    project.suggestions.reject(ids[0], RejectionReason.NOT_A_CELL)
    project.suggestions.accept(ids[1])
    project.suggestions.replace(1, some, model_id=None)
    project.regions.add(1, Shape.rectangle(90, 40, 30, 40))
    ranked = {one.field_id: one for one in ranking.update(project)}
    assert "1 likely cell" in ranked[1].reasons[-1]


def test_the_draw_is_remembered(project: Project, tmp_path: Path) -> None:
    ranking.update(project)
    drawn = project.random_sample.fields()
    assert len(drawn) == 2  # 15% of 12
    for field_id in drawn:
        project.regions.add_whole_field(field_id)
    ranking.update(project, seed=7)
    assert project.random_sample.fields() == drawn
    with Project.open(project.path, read_only=True) as other:
        assert other.random_sample.fields() == drawn
        assert ranking.update(other) == ranking.order(other)


def test_all_annotated_leaves_nothing(project: Project) -> None:
    for field in project.fields.all():
        project.regions.add_whole_field(field.id)
    assert ranking.update(project) == []
    assert ranking.order(project) == []
    assert ranking.regions(project, 1) == []
    assert ranking.cells(project) == []


def test_a_blind_reading_learns_nothing_of_what_the_model_saw(project: Project) -> None:
    project.suggestions.replace(5, [candidate(40, 40, Monocyte=0.5, Lymphocyte=0.5)], model_id=None)
    ranking.update(project)
    project.readings.use(project.readings.add("second", blind=True).id)
    assert all(one.reasons == () and one.score == 0 for one in ranking.order(project))
    assert all(one.reasons == () for one in ranking.update(project)), "nor that nothing was suggested"
    (place,) = ranking.regions(project, 5)
    assert all("at random" in reason for reason in place.reasons)
    ranking.update(project)
    project.readings.use(1)
    assert ranking.order(project)[0].reasons != ()


def test_statements_do_not_grow_with_the_fields(project: Project) -> None:
    for field in project.fields.all():
        project.suggestions.replace(
            field.id, [candidate(40, 40, Monocyte=0.5, Lymphocyte=0.5)], model_id=None
        )
        project.regions.add(field.id, Shape.rectangle(0, 0, 30, 30))
    ranking.update(project)
    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    sa.event.listen(engine(project), "before_cursor_execute", counted)
    ranking.update(project)
    assert count < 30
    count = 0
    ranking.order(project)
    assert count < 10
    count = 0
    ranking.regions(project, 3)
    assert count < 10


def test_a_region_is_proposed_around_most_of_the_candidates_and_off_what_is_known(project: Project) -> None:
    free = next(i for i in range(1, 13) if i not in project.random_sample.fields())
    dense = [candidate(110 + dx, 80 + dy, Monocyte=0.5, Lymphocyte=0.5) for dx in (0, 18) for dy in (0, 18)]
    project.suggestions.replace(
        free, [candidate(20, 20, Monocyte=0.5, Lymphocyte=0.5), *dense], model_id=None
    )
    (one,) = ranking.regions(project, free)
    assert one.box is not None
    assert all(Shape(one.box).contains_centre(p.box) for p in dense)
    assert one.reasons == ("4 likely cells, all between Lymphocyte and Monocyte",)
    assert one.box[2:] == pytest.approx((0.2**0.5 * 160, 4 * 16), abs=4)  # a fifth, but four cells high
    project.regions.add(free, Shape(one.box))
    (next_one,) = ranking.regions(project, free)
    assert next_one.box is not None
    assert Shape(one.box).geometry.intersection(Shape(next_one.box).geometry).area == pytest.approx(0)


def test_the_region_has_the_size_of_those_drawn_before(project: Project) -> None:
    for field_id in (1, 2, 3):
        project.regions.add(field_id, Shape.rectangle(0, 0, 80, 40))
    ranking.update(project)
    for field_id in range(4, 13):
        (one,) = ranking.regions(project, field_id)
        assert one.box is not None
        assert one.box[2:] == pytest.approx((80, 40), abs=4)


def test_a_region_is_the_same_whoever_gives_the_suggestions(project: Project, record_property: Any) -> None:
    rng = np.random.default_rng(0)
    names = project.schema.class_names
    some = []
    for x, y in rng.uniform(10, [150, 110], (300, 2)):
        p = rng.dirichlet(np.ones(len(names)))
        values = {
            a.name: dict(zip(a.value_names, map(float, rng.dirichlet(np.ones(len(a.values)))), strict=True))
            for a in project.schema.attributes
        }
        some.append(
            Proposal((x - 8, y - 8, 16, 16), 0.7, dict(zip(names, map(float, p), strict=True)), values)
        )
    project.suggestions.replace(1, some, model_id=None)
    ranking.update(project)
    waiting = project.suggestions.find(1)
    begun = time.process_time()
    found = ranking.regions(project, 1, suggestions=waiting)
    record_property("processor_ms", round(1000 * (time.process_time() - begun), 1))  # idle: under 10
    assert found == ranking.regions(project, 1)


def test_two_queues_of_cells(project: Project) -> None:
    sure = candidate(20, 20, confidence=0.99, Monocyte=0.98, Lymphocyte=0.02)
    torn = candidate(60, 60, confidence=0.6, Monocyte=0.5, Lymphocyte=0.5)
    ids = project.suggestions.replace(2, [torn, sure], model_id=None)
    fast, teach = (ranking.cells(project, 2, queue=q) for q in ("accept", "teach"))
    assert [one.id for one in fast] == [ids[1], ids[0]]
    assert [one.id for one in teach] == [ids[0], ids[1]]
    assert fast[0].reasons == ("A cell at 99%, Monocyte at 98%",)
    assert teach[0].reasons == ("Between Lymphocyte and Monocyte",)
    assert fast[0].seconds < teach[0].seconds * 3


def test_damaged_rows_are_as_if_they_were_not_there(project: Project) -> None:
    ranking.update(project)
    project.embeddings.save(
        "starter", {1: Embedding(np.ones(4, np.float32)), 2: Embedding(np.ones(4, np.float32))}
    )
    with writing(project) as connection:
        connection.exec_driver_sql("UPDATE rankings SET entries = '[{\"field\": []}, 3', about = '[]'")
        connection.exec_driver_sql("UPDATE looks SET vector = x'00', opinions = '{' WHERE field_id = 1")
    assert project.rankings.latest() is None
    assert list(project.embeddings.of("starter", predictions=True)) == [2]
    assert len(ranking.order(project)) == 12
    assert ranking.regions(project, 1)
    assert len(ranking.update(project)) == 12


shapes = st.one_of(
    st.tuples(st.floats(0, 90), st.floats(0, 60), st.floats(1, 100), st.floats(1, 70)).map(
        lambda t: Shape.rectangle(*t)
    ),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 70)), min_size=3, max_size=3, unique=True)
    .map(Shape.polygon)
    .filter(lambda s: s.geometry.area > 1),
)


@settings(max_examples=80, deadline=None)
@given(
    known=st.lists(shapes, max_size=3),
    points=st.lists(st.tuples(st.floats(0, 100), st.floats(0, 70)), max_size=12),
    window=st.tuples(st.floats(1, 200), st.floats(1, 200)),
    count=st.integers(1, 3),
)
def test_windows_lie_in_the_field_off_what_is_known_and_off_each_other(
    known: list[Shape], points: list[tuple[float, float]], window: tuple[float, float], count: int
) -> None:
    found = best_windows(
        (100, 70), window, np.array(points).reshape(-1, 2), np.ones(len(points)), known, count=count
    )
    boxes = [Shape(box) for box, _ in found]
    for i, one in enumerate(boxes):
        x, y, w, h = one.coords
        assert x >= 0
        assert y >= 0
        assert x + w <= 100 + 1e-6
        assert y + h <= 70 + 1e-6
        for other in [*known, *boxes[:i]]:
            assert one.geometry.intersection(other.geometry.buffer(0)).area < 1e-3


def test_regions_stand_in_the_order_of_their_fields(project: Project) -> None:
    for field_id, n in ((4, 1), (9, 5)):
        some = [candidate(25 * i, 40, Monocyte=0.5, Lymphocyte=0.5) for i in range(1, n + 1)]
        project.suggestions.replace(field_id, some, model_id=None)
    ranked = ranking.update(project)
    project.regions.add_whole_field(ranked[2].field_id)
    wanted = [one.field_id for one in [*ranked[:2], *ranked[3:]]][:5]
    assert [one.field_id for one in ranking.best_regions(project, ranked, 5)] == wanted

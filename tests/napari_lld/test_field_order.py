"""Which fields are listed, in which order, and what next and previous make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from annotation_store import Project, Shape
from annotation_store._collections.fields import Fields
from annotation_store.records import Proposal
from napari_lld.session.field_order import NO_FILTER, FieldFilter, FieldOrder, Standing, standing
from napari_lld.session.session import Session

Suggest = Callable[[Path], list[int]]
MoreFields = Callable[[Path, list[str]], None]


@pytest.fixture
def five(small_project: Path, suggest: Suggest, more_fields: MoreFields) -> Path:
    """Give a project of five fields in five states."""
    more_fields(small_project, ["field_10.png", "field_9.png", "other.png"])
    suggest(small_project)
    with Project.open(small_project, annotator="Ada") as project:
        project.regions.add_whole_field(2)
        project.regions.add(3, Shape.rectangle(0, 0, 50, 50))
        project.fields.update(3, patient="Ada L.", quality="thick", note="strange crystals")
        project.fields.update(5, skipped=True)
        project.cells.add(3, (5, 5, 20, 20), cell_class="blast")
        project.cells.delete(project.cells.add(1, (5, 5, 20, 20), cell_class="Monocyte"))
    return small_project


@pytest.fixture
def session(five: Path) -> Iterator[Session]:
    session = Session()
    assert session.open(five, annotator="Ada")
    yield session
    session.close()


def test_each_field_stands_somewhere(session: Session) -> None:
    assert [standing(s) for s in session.fields.summaries()] == [
        Standing.WAITING,
        Standing.REVIEWED,
        Standing.BEGUN,
        Standing.UNTOUCHED,
        Standing.SKIPPED,
    ]


@pytest.mark.parametrize(
    ("wanted", "left"),
    [
        (FieldFilter(frozenset({Standing.WAITING, Standing.SKIPPED})), [1, 5]),
        (FieldFilter(patient="Ada L."), [3]),
        (FieldFilter(patient=""), [1, 2, 4, 5]),
        (FieldFilter(quality="thick"), [3]),
        (FieldFilter(text="CRYSTALS field"), [3]),
        (FieldFilter(text="nothing like it"), []),
        (FieldFilter(classes=frozenset({"Monoblast", "blast"})), [3]),
        (FieldFilter(classes=frozenset({"Monocyte"})), []),
        (NO_FILTER, [1, 2, 3, 4, 5]),
    ],
)
def test_a_filter_leaves_what_it_names(session: Session, wanted: FieldFilter, left: list[int]) -> None:
    session.fields.filter = wanted
    assert list(session.fields.listed) == left


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3", [3]),
        ("field_1", [2, 3]),  # field_1.png, field_10.png
        ("field_1.png", [2]),
        ("ada", [3]),
        ("PNG oth", [5]),
        ("99999", []),
    ],
)
def test_a_field_is_found_by_number_and_by_words_of_its_name(
    session: Session, text: str, found: list[int]
) -> None:
    assert [field.id for field in session.fields.find(text)] == found


def test_names_are_sorted_as_people_count(session: Session) -> None:
    session.fields.order = FieldOrder.NAME
    assert list(session.fields.listed) == [1, 2, 4, 3, 5]  # field_0, field_1, field_9, field_10, other


def test_next_and_previous_follow_the_list_and_pass_over_what_is_skipped(session: Session) -> None:
    session.fields.order = FieldOrder.NAME
    seen = [session.fields.current_id]
    for _ in range(4):
        session.fields.next()
        seen.append(session.fields.current_id)
    assert seen == [1, 2, 4, 3, 3]
    session.fields.filter = FieldFilter(text="field_1")
    session.fields.previous()
    assert session.fields.current_id == 2
    session.fields.next()
    assert session.fields.current_id == 3


def test_a_list_without_fields_says_so(session: Session) -> None:
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    session.fields.filter = FieldFilter(text="nothing like it")
    session.fields.next()
    assert told == ["No field matches the filter of the list."]
    assert session.fields.current_id == 1


def test_the_list_is_never_reshuffled_under_the_hand(session: Session, five: Path) -> None:
    session.fields.order = FieldOrder.WAITING
    session.fields.filter = FieldFilter(frozenset({Standing.WAITING, Standing.UNTOUCHED}))
    assert list(session.fields.listed) == [1, 4]
    assert session.project is not None
    for suggestion in session.project.suggestions.find(1):
        session.project.suggestions.reject(suggestion.id)
    proposal = Proposal((1.0, 1.0, 10.0, 10.0), 0.9)
    session.project.suggestions.replace(4, [proposal, proposal], model_id=None)
    session.project.suggestions.replace(2, [proposal], model_id=None)
    assert list(session.fields.listed) == [1, 4]
    session.fields.arrange()
    assert list(session.fields.listed) == [4, 2, 1]


def rank(project: Project, ids: list[int]) -> None:
    """Store an order, as the worker does after a round."""
    project.rankings.store(
        "stain",
        [
            {"field": i, "score": 1.0, "seconds": 9.0, "reasons": [f"reason {i}"], "reserve": False}
            for i in ids
        ],
        about={},
    )


def test_the_rank_is_taken_when_it_is_asked_for(session: Session, five: Path) -> None:
    told: list[str] = []
    session.notice.connect(lambda _level, sentence: told.append(sentence))
    session.fields.order = FieldOrder.RANK
    assert told == ["Nothing is ranked yet: this comes with the first training."]
    assert session.project is not None
    rank(session.project, [3, 5, 1])
    assert told[-1].startswith("The fields have been ranked again")
    assert list(session.fields.listed) == [1, 3, 4, 2, 5]  # open ones, as they came; not under the hand
    count = len(told)
    rank(session.project, [3, 5, 1])  # as after each label: that is told once
    assert len(told) == count
    session.fields.arrange()
    assert list(session.fields.listed) == [3, 1, 4, 2, 5]  # 2 is reviewed and 5 is skipped: they come last
    assert session.fields.why_look(3) == "reason 3"
    rank(session.project, [4, 3])
    session.close()
    session.open(five)
    assert list(session.fields.listed) == [4, 3, 1, 2, 5]  # the order is remembered, the rank is today's


def test_new_fields_come_last(session: Session, tmp_path: Path) -> None:
    from PIL import Image

    session.fields.order = FieldOrder.NAME
    Image.new("RGB", (50, 50), "red").save(tmp_path / "a_first_name.png")
    assert session.project is not None
    session.project.fields.add([tmp_path / "a_first_name.png"])
    assert list(session.fields.listed) == [1, 2, 4, 3, 5, 6]


def test_a_skipped_field_keeps_its_work_and_undo_takes_the_skip_back(session: Session) -> None:
    session.fields.show(3)
    session.boxes.add((10, 10, 20, 20))
    cells = list(session.marks.cells)
    session.fields.skip()
    assert session.fields.current_id == 4
    session.fields.show(3)
    assert session.fields.current is not None
    assert session.fields.current.skipped
    assert list(session.marks.cells) == cells
    assert len(session.marks.regions) == 1
    session.history.undo()
    assert session.fields.current.skipped is False
    session.fields.skip()
    session.fields.show(3)
    session.fields.skip()
    assert session.fields.current.skipped is False


def test_undo_directly_after_skipping_takes_the_skip_back_not_an_edit_of_the_next_field(
    session: Session,
) -> None:
    session.fields.show(4)
    session.boxes.add((10, 10, 20, 20))
    session.fields.show(3)
    session.fields.skip()
    assert session.fields.current_id == 4
    assert session.history.undoable == "Describe field"
    session.history.undo()
    assert session.fields.current_id == 3
    assert session.fields.current is not None
    assert session.fields.current.skipped is False
    session.fields.skip()
    session.boxes.add((50, 10, 20, 20))
    session.history.undo()
    assert session.fields.current_id == 4, "the box was the last edit"
    assert len(session.marks.cells) == 1
    session.fields.show(2)
    session.fields.skip()
    session.fields.show(1)
    session.fields.show(4)
    session.history.undo()
    assert session.fields.current_id == 4, "another field was shown since"
    assert len(session.marks.cells) == 0


def test_an_edit_reads_one_summary_of_ten_thousand(
    small_project: Path, more_fields: MoreFields, monkeypatch: pytest.MonkeyPatch
) -> None:
    more_fields(small_project, [f"film_{n}.png" for n in range(9_998)])
    session = Session()
    session.open(small_project)
    assert len(session.fields.listed) == 10_000
    read: list[int] = []
    original = Fields.summaries

    def counted(self: Fields, field_ids: set[int] | None = None) -> object:
        read.append(10_000 if field_ids is None else len(field_ids))
        return original(self, field_ids)

    monkeypatch.setattr(Fields, "summaries", counted)
    session.boxes.add((10, 10, 20, 20))
    assert session.fields.by_id[1].cells == 1
    session.fields.next()
    assert read == [1]
    assert session.fields.current_id == 2
    session.close()

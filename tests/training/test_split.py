"""Held-out patients: whole, stable, never all."""

from __future__ import annotations

from training.evaluation.patient_split import MIN_CELLS_OF_CLASS, held_out


def of(**cells: int) -> dict[str, list[str | None]]:
    """Give patients so many cells of one class."""
    return {patient: ["Monocyte"] * n for patient, n in cells.items()}


def test_nothing_is_held_out_below_thirty_cells() -> None:
    assert held_out(of(a=10, b=19), 0.2) == set()
    assert held_out(of(**{f"p{i}": 3 for i in range(10)}), 0.2)


def test_the_share_is_reached_by_whole_patients() -> None:
    cells = of(**{f"p{i}": 5 for i in range(20)})
    chosen = held_out(cells, 0.2)
    assert len(chosen) == 4
    assert chosen == held_out(dict(reversed(cells.items())), 0.2)


def test_once_in_always_in() -> None:
    cells = of(**{f"p{i}": 5 for i in range(20)})
    before = held_out(cells, 0.2)
    cells.update(of(**{f"new{i}": 5 for i in range(20)}))
    after = held_out(cells, 0.2, already=before)
    assert before < after


def test_somebody_is_left_to_learn_from() -> None:
    assert held_out(of(only=100), 0.2) == set()
    assert len(held_out(of(a=50, b=50), 0.9)) == 1


def test_zero_holds_nothing_out() -> None:
    assert held_out(of(a=50, b=50), 0, already={"a"}) == set()


def test_a_class_of_few_cells_keeps_them_for_learning() -> None:
    cells: dict[str, list[str | None]] = {f"p{i}": ["Monocyte", None, None, None] for i in range(20)}
    rare = held_out(cells, 0.2)
    for patient in rare:
        cells[patient] = ["Basophil", None, None, None]  # four of a class: one may be held out
    assert len(rare) == MIN_CELLS_OF_CLASS + 1
    chosen = held_out(cells, 0.2)
    assert len(chosen & rare) == 1
    assert len(chosen) == len(rare)
    assert held_out(cells, 0.2, already=rare) == rare

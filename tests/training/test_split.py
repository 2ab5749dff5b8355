"""Held-out patients: whole, stable, never all."""

from __future__ import annotations

from training.split import held_out


def test_nothing_is_held_out_below_thirty_cells() -> None:
    assert held_out({"a": 10, "b": 19}, 0.2) == set()
    assert held_out({f"p{i}": 3 for i in range(10)}, 0.2)


def test_the_share_is_reached_by_whole_patients() -> None:
    cells = {f"p{i}": 5 for i in range(20)}
    chosen = held_out(cells, 0.2)
    assert len(chosen) == 4
    assert chosen == held_out(dict(reversed(cells.items())), 0.2)


def test_once_in_always_in() -> None:
    cells = {f"p{i}": 5 for i in range(20)}
    before = held_out(cells, 0.2)
    cells.update({f"new{i}": 5 for i in range(20)})
    after = held_out(cells, 0.2, already=before)
    assert before < after


def test_somebody_is_left_to_learn_from() -> None:
    assert held_out({"only": 100}, 0.2) == set()
    assert len(held_out({"a": 50, "b": 50}, 0.9)) == 1


def test_zero_holds_nothing_out() -> None:
    assert held_out({"a": 50, "b": 50}, 0, already={"a"}) == set()

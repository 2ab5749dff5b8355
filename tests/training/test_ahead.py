"""Working on the next items while the caller is busy with the last."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from training.inference.ahead import ahead, together


def test_results_come_in_order_and_two_items_are_worked_on_at_a_time() -> None:
    both = threading.Barrier(2, timeout=30)

    def work(item: int) -> int:
        both.wait()  # for the other of a pair: alone it would break
        return item * 10

    assert list(ahead(range(6), work, most=2)) == [0, 10, 20, 30, 40, 50]


def test_items_are_taken_no_further_ahead_than_asked_for() -> None:
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    results = ahead(items(), lambda item: item, most=2)
    assert next(results) == 0
    assert taken == [0, 1, 2]
    results.close()


def test_an_item_that_has_not_begun_is_not_done_when_the_caller_leaves() -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[int] = []

    def work(item: int) -> int:
        if item == 1:
            begun.set()
            assert go_on.wait(30)
        done.append(item)
        return item

    def leave_after_the_first() -> None:
        results = ahead(range(5), work)
        next(results)
        assert begun.wait(30)
        threading.Timer(0.05, go_on.set).start()
        results.throw(KeyError("gone"))

    with pytest.raises(KeyError):
        leave_after_the_first()
    assert done == [0, 1]


def test_results_that_come_fast_are_processed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("training.inference.ahead.time.monotonic", lambda: clock[0])

    def results() -> Iterator[int]:
        for item, seconds in enumerate((0.2, 0.2, 0.2, 0.2, 0.9, 0.1)):
            clock[0] += seconds
            yield item

    assert list(together(results(), 0.5)) == [[0, 1, 2], [3, 4], [5]]


def test_results_before_a_failure_are_processed_first() -> None:
    def results() -> Iterator[int]:
        yield 1
        yield 2
        raise KeyError("gone")

    processed: list[list[int]] = []
    with pytest.raises(KeyError):
        processed.extend(together(results(), 60))
    assert processed == [[1, 2]]

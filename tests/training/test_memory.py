"""What a model remembers of the cells that taught it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.models.memory import PER_VALUE, Memory, choose, single_labels, source_of
from training.networks.vocabulary import Vocabulary

OTHER = Vocabulary(("Blast", "Neutrophil"), {}, {"vacuoles": ("many", "absent")})


def memory(labels: list[list[int]], source: int = 5) -> Memory:
    n = len(labels)
    features = np.arange(n, dtype=np.float16)[:, None].repeat(3, 1)
    return Memory(features, np.array(labels, np.int16).reshape(n, -1), np.full(n, source, np.int64))


@given(st.lists(st.tuples(st.integers(-1, 3), st.integers(-1, 2)), max_size=60), st.integers(1, 5))
def test_each_value_is_chosen_as_often_as_it_can_be(rows: list[tuple[int, int]], wanted: int) -> None:
    labels = np.array(rows, int).reshape(-1, 2)
    chosen = choose(labels, wanted)
    assert len(set(chosen.tolist())) == len(chosen)
    for head in range(2):
        there, taken = Counter(labels[:, head].tolist()), Counter(labels[chosen, head].tolist())
        for value in there.keys() - {-1}:
            assert taken[value] >= min(wanted, there[value])
    assert all((labels[i] >= 0).any() for i in chosen)


def test_many_cells_of_a_project_are_remembered_as_few() -> None:
    labels = np.zeros((1000, 1), np.int16)
    labels[:10] = 1
    full = Memory.empty(3, 1).with_cells(np.zeros((1000, 3), np.float32), labels, 7)
    assert Counter(full.labels[:, 0].tolist()) == {0: PER_VALUE, 1: 10}
    assert set(full.sources.tolist()) == {7}


def test_a_project_forgets_what_it_said_before(words: Vocabulary) -> None:
    both = memory([[0, 0, 0]], source=1).with_cells(np.ones((2, 3)), np.ones((2, 3), np.int16), 2)
    assert len(both) == 3
    assert len(both.without_source(2)) == 1
    assert len(both.without_source(None)) == 3
    assert source_of("a") != source_of("b")


def test_labels_move_between_vocabularies_by_name(words: Vocabulary) -> None:
    # words: class Neutrophil Lymphoblast Myeloblast; size small large; vacuoles absent some many
    told = memory([[0, 1, 2], [1, 0, -1], [-1, -1, 0]]).translate(words, OTHER)
    assert told.labels.tolist() == [[1, 0], [-1, 1]]
    assert told.features[:, 0].tolist() == [0, 2]


def test_a_label_of_several_values_is_no_single_label() -> None:
    allowed = [np.array([[True, False], [True, True], [False, False]]), np.zeros((3, 1), bool)]
    assert single_labels(allowed).tolist() == [[0, -1], [-1, -1], [-1, -1]]


@pytest.mark.parametrize(
    "told",
    [
        memory([[3, 0, 0]]),
        memory([[-2, 0, 0]]),
        memory([[0, 0]]),
        memory([[0, 0, 0]]).subset(np.zeros(0, int)),
    ],
)
def test_a_foreign_memory_is_refused(words: Vocabulary, told: Memory) -> None:
    with pytest.raises(ValueError, match="memory"):
        told.validated(words, 4)
    if len(told):
        with pytest.raises(ValueError, match="memory"):
            told.validated(words, 3)

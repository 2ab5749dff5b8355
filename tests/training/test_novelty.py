"""A cell of a class that nobody taught stands out, on a film of another look too."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from training.evaluation.unchecked_films import MIN_CELLS_OF_NEW_CLASSES
from training.models.memory import Memory, source_of
from training.similarity.novelty import Novelty

CLASSES, FEATURES = 4, 60
RNG = np.random.default_rng(5)
CENTRES = RNG.normal(0, 2, (CLASSES + 1, FEATURES))
"""The last is of a class that is never taught."""

LOOK = 0.25 * (CENTRES[0] - CENTRES[1]) + RNG.normal(0, 0.5, FEATURES)
"""What another laboratory adds to all features: in part what tells two of the classes."""


def cells(of: int, n: int, seed: int, look: np.ndarray | float = 0.0) -> np.ndarray:
    return np.asarray(np.random.default_rng([seed, of]).normal(CENTRES[of], 1, (n, FEATURES)) + look)


def memory(n: int = 30) -> Memory:
    features = np.concatenate([cells(k, n, 0) for k in range(CLASSES)])
    labels = np.stack((np.repeat(np.arange(CLASSES), n), np.full(n * CLASSES, -1)), 1)
    return Memory(features.astype(np.float16), labels.astype(np.int16), np.zeros(len(labels), np.int64))


class Describer(nn.Module):
    """One whose head finds the nearest of the taught classes."""

    colours = slice(FEATURES, FEATURES)

    def __init__(self, values: int = CLASSES) -> None:
        super().__init__()
        self.centres = nn.Parameter(torch.from_numpy(CENTRES[:values].astype(np.float32)))

    def combined_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        return [-0.5 * torch.cdist(features, self.centres) ** 2]

    def is_by_discriminant(self, head: int) -> bool:
        return False


DESCRIBER: Any = Describer()


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    made = Novelty.from_memory(memory(), 0, DESCRIBER)
    assert made is not None
    return made


def flagged(novelty: Novelty, features: np.ndarray, move: np.ndarray | float = 0.0) -> float:
    return float((novelty.p_values(features - move) < 0.05).mean())


def test_taught_cells_are_flagged_as_seldom_as_is_said_and_others_mostly(novelty: Novelty) -> None:
    known = np.concatenate([cells(k, 100, 1) for k in range(CLASSES)])
    assert flagged(novelty, known) <= 0.08
    assert flagged(novelty, cells(CLASSES, 100, 1)) >= 0.9


class Fitted(Describer):
    """One of which only a discriminant decides, as sure of the cells that it was fitted on as one can be."""

    def combined_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        off = torch.cdist(features, torch.from_numpy(memory().features.astype(np.float32))).amin(1)
        return [super().combined_logits(features)[0] * torch.where(off < 0.5, 1.0, 0.001)[:, None]]

    def is_by_discriminant(self, head: int) -> bool:
        return True


def test_cells_like_those_that_were_taught_are_not_flagged_where_a_discriminant_alone_decides() -> None:
    made = Novelty.from_memory(memory(), 0, Fitted())  # type: ignore[arg-type]
    assert made is not None
    known = np.concatenate([cells(k, 100, 1) for k in range(CLASSES)])
    assert flagged(made, known) <= 0.08
    assert flagged(made, cells(CLASSES, 100, 1)) >= 0.9


def test_cells_of_a_class_that_the_words_lack_speak_against_their_like() -> None:
    """Here they lie where a taught class lies, or nearly so."""
    centre = CENTRES[0] + 0.12 * (CENTRES[CLASSES] - CENTRES[0])

    def others(n: int, seed: int) -> np.ndarray:
        return np.asarray(np.random.default_rng(seed).normal(centre, 1, (n, FEATURES)))

    plain = memory()
    aware = replace(plain, outside=others(40, 0).astype(np.float16))
    without, made = Novelty.from_memory(plain, 0, DESCRIBER), Novelty.from_memory(aware, 0, DESCRIBER)
    assert without is not None
    assert made is not None
    assert np.median(made.p_values(others(100, 1))) < 0.7 * np.median(without.p_values(others(100, 1)))
    known = np.concatenate([cells(k, 100, 1) for k in range(CLASSES)])
    assert flagged(made, known) <= 0.08

    # a project that teaches a class of its own may teach just theirs
    sources = np.where(aware.labels[:, 0] == 3, source_of("project"), aware.sources)
    taught = Novelty.from_memory(replace(aware, sources=sources), 0, DESCRIBER)
    assert taught is not None
    assert taught.p_values(known).tolist() == without.p_values(known).tolist()


def test_a_cell_stands_out_where_taught_classes_are_all_alike() -> None:
    still = np.arange(FEATURES) >= FEATURES // 2  # features that hardly differ between taught cells

    def quiet(features: np.ndarray) -> np.ndarray:
        return np.where(still, 1 + 0.01 * (features - features.mean(0)), features)

    whole = memory()
    plain = Memory(quiet(whole.features.astype(float)), whole.labels, whole.sources)
    made = Novelty.from_memory(plain, 0, DESCRIBER)
    assert made is not None
    known = quiet(np.concatenate([cells(k, 100, 1) for k in range(CLASSES)]))
    assert flagged(made, known) <= 0.1
    other = known + np.where(still, np.random.default_rng(8).choice([-0.06, 0.06], FEATURES), 0)
    assert flagged(made, other) >= 0.9


def test_a_few_labels_of_a_film_take_its_look_off(novelty: Novelty) -> None:
    known = np.concatenate([cells(k, 100, 2, LOOK) for k in range(CLASSES)])
    new = cells(CLASSES, 100, 2, LOOK)
    assert flagged(novelty, known) >= 0.3  # another film, taken for other cells
    labelled = np.concatenate([cells(k, 5, 3, LOOK) for k in (0, 2)])
    move = novelty.estimate_shift(labelled, [0] * 5 + [2] * 5)
    assert flagged(novelty, known, move) <= 0.1
    assert flagged(novelty, new, move) >= 0.9


def test_a_few_wrong_labels_of_a_film_do_not_shift_it(novelty: Novelty) -> None:
    labelled = np.concatenate([cells(k, 10, 3, LOOK) for k in (0, 2)])
    labels = [0] * 10 + [2] * 10
    move = novelty.estimate_shift(labelled, labels)
    labels[:2], labels[-2:] = [2, 1], [0, 1]
    assert np.linalg.norm(novelty.estimate_shift(labelled, labels) - move) <= 0.15 * np.linalg.norm(move)


def test_labels_of_classes_that_were_not_taught_say_nothing_of_a_film(novelty: Novelty) -> None:
    assert not novelty.estimate_shift(cells(CLASSES, 9, 4), [CLASSES] * 9).any()
    assert not novelty.estimate_shift(np.zeros((0, FEATURES)), []).any()


def test_a_film_is_told_from_one_like_those_learnt_from(novelty: Novelty) -> None:
    plain = np.concatenate([cells(k, 10, 5) for k in range(CLASSES)])
    assert not novelty.is_shifted(novelty.transform(plain))
    assert novelty.is_shifted(novelty.transform(plain + LOOK))
    assert not novelty.is_shifted(novelty.transform(plain[:9] + LOOK))  # too few to say


def test_without_enough_cells_of_two_classes_nothing_is_said() -> None:
    assert Novelty.from_memory(memory(MIN_CELLS_OF_NEW_CLASSES // CLASSES - 1), 0, DESCRIBER) is None
    assert Novelty.from_memory(memory(), 1, DESCRIBER) is None  # a head without labels
    whole = memory()
    assert Novelty.from_memory(whole.subset(np.flatnonzero(whole.labels[:, 0] == 2)), 0, DESCRIBER) is None


def test_a_class_of_one_remembered_cell_does_no_harm() -> None:
    whole = memory()
    few = Novelty.from_memory(
        whole.subset(np.arange(CLASSES * 30 - 29)), 0, DESCRIBER
    )  # one cell of the last class
    assert few is not None
    assert few.values.tolist() == [0, 1, 2]
    assert flagged(few, cells(0, 100, 6)) <= 0.1


def test_an_attribute_that_few_cells_have_does_not_shape_the_space_of_all() -> None:
    plain, few = memory(), np.arange(0, 30 * CLASSES, 7)
    labels = plain.labels.copy()
    labels[few, 1] = np.arange(len(few)) % (CLASSES + 2)  # more values than there are classes
    mixed = Novelty.from_memory(Memory(plain.features, labels, plain.sources), 0, DESCRIBER)
    assert mixed is not None
    known = np.concatenate([cells(k, 100, 1) for k in range(CLASSES)])
    assert flagged(mixed, known) <= 0.08
    assert flagged(mixed, cells(CLASSES, 100, 1)) >= 0.9


class Colourful(Describer):
    """One whose features end with three colours, which its head disregards."""

    colours = slice(FEATURES, FEATURES + 3)

    def combined_logits(self, features: torch.Tensor) -> list[torch.Tensor]:
        return super().combined_logits(features[:, :FEATURES])


def with_colours(features: np.ndarray, colour: float, seed: int) -> np.ndarray:
    colours = np.random.default_rng(seed).normal(colour, 0.1, (len(features), 3))
    return np.concatenate((features, colours), 1)


@pytest.fixture(scope="module")
def colourful() -> Novelty:
    plain, nothing = memory(60), np.zeros((0, FEATURES + 3), np.float16)
    features = with_colours(plain.features, 0.5, 1).astype(np.float16)
    made = Novelty.from_memory(
        replace(plain, features=features, looks=nothing, outside=nothing),
        0,
        Colourful(),  # type: ignore[arg-type]
    )
    assert made is not None
    return made


def test_a_cell_that_differs_from_a_taught_class_by_its_colour_alone_stands_out(colourful: Novelty) -> None:
    same, of_all = cells(0, 200, 1), np.ones(200, bool)

    def share(colour: float, comparable: np.ndarray | None) -> float:
        p_values = colourful.assess(with_colours(same, colour, 2), has_comparable_colours=comparable)[1]
        return float((p_values < 0.05).mean())

    assert share(0.5, of_all) <= 0.1
    assert share(0.8, of_all) >= share(0.8, None) + 0.3


def test_colours_count_on_films_whose_labelled_cells_have_nearly_those_taught(colourful: Novelty) -> None:
    films = [with_colours(cells(0, 10, 4), colour, 3) for colour in (0.5, 0.6, 3.0)]
    shifts = [colourful.estimate_shift(film, [0] * len(film)) for film in films]
    comparable = colourful.has_comparable_colours(np.stack([*shifts, np.zeros(FEATURES + 3)]))
    assert comparable.tolist() == [True, True, False, False]

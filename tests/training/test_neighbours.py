"""How like each other cells are, on vectors whose likeness is known."""

from __future__ import annotations

import numpy as np
import pytest

from training.models.memory import Memory
from training.similarity import neighbours
from training.similarity.neighbours import EmbeddingSpace

WIDTH = 100
OF_A_CLASS = 20
CLASSES = ("Basophil", "Monocyte", "Neutrophil")


def cells(each: int, *, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Make cells of three classes, which differ in twenty of the features each."""
    rng = np.random.default_rng(seed)
    names = [name for name in CLASSES for _ in range(each)]
    vectors = rng.normal(size=(len(names), WIDTH))
    for row, name in enumerate(names):
        start = OF_A_CLASS * CLASSES.index(name)
        vectors[row, start : start + OF_A_CLASS] += 4
    vectors[:, -1] = 3.0  # the size
    return vectors.astype(np.float32), names


def cold(vectors: np.ndarray) -> tuple[EmbeddingSpace, np.ndarray]:
    space = EmbeddingSpace(vectors)
    return space, space.transform(vectors)


def test_the_most_alike_are_of_the_same_class_and_the_cell_itself_comes_first() -> None:
    vectors, names = cells(20)
    points = cold(vectors)[1]
    order, alike = neighbours.most_similar(points, 25)
    assert order[0] == 25
    assert {names[i] for i in order[:15]} == {"Monocyte"}
    assert sorted(order) == list(range(60))
    assert alike[0] == 1.0
    assert (np.diff(alike) <= 1e-6).all()
    assert alike.min() >= 0
    assert neighbours.most_similar(points, 25, most=3)[0].tolist() == order[:3].tolist()


def test_what_differs_within_a_class_counts_little_where_cells_are_labelled() -> None:
    vectors, names = cells(30)
    stain = np.random.default_rng(1).normal(size=(90, 1))
    vectors[:, 2 * OF_A_CLASS : -1] += (20 * stain).astype(np.float32)  # in most of the features
    labels = np.array([[CLASSES.index(name)] for name in names])
    taught = EmbeddingSpace.from_memory(vectors, Memory.empty(WIDTH, 1), labels)
    assert taught.uses_labels

    def agreement(space: EmbeddingSpace) -> float:
        points = space.transform(vectors)
        near = [neighbours.most_similar(points, row, most=30)[0] for row in range(90)]
        return float(np.mean([names[i] == names[row] for row in range(90) for i in near[row]]))

    assert agreement(EmbeddingSpace(vectors)) < 0.9
    assert agreement(taught) > 0.95


def test_a_model_without_memory_in_a_project_without_labels_compares_by_the_spread() -> None:
    vectors, _ = cells(5)
    space = EmbeddingSpace.from_memory(vectors, Memory.empty(WIDTH, 2), np.full((15, 2), -1))
    assert not space.uses_labels
    assert np.allclose(space.transform(vectors), cold(vectors)[1])


def test_a_cell_with_the_label_of_another_class_stands_out_of_its_class() -> None:
    vectors, names = cells(20)
    wrong: list[str | None] = [*names]
    wrong[3], wrong[50], wrong[59] = "Neutrophil", "Basophil", None
    order, distance = neighbours.outliers(cold(vectors)[1], wrong)
    assert set(order[:2]) == {3, 50}
    assert 59 not in order
    assert len(order) == 59
    assert (np.diff(distance) <= 1e-6).all()
    assert neighbours.outliers(cold(vectors)[1], wrong, most=1)[0].tolist() == order[:1].tolist()


def test_the_only_cell_of_a_class_is_no_outlier() -> None:
    vectors, _ = cells(2)
    order, _ = neighbours.outliers(cold(vectors)[1], ["a", "b", "b", "b", None, None])
    assert sorted(order) == [1, 2, 3]


def test_clusters_are_named_by_their_labelled_cells_or_else_by_the_prediction() -> None:
    vectors, names = cells(40)
    labels: list[str | None] = [None] * 120
    labels[0:3] = ["Basophil", "Basophil", "Monocyte"]
    found = neighbours.clusters(cold(vectors)[1], labels, names, count=3)
    assert sorted(np.concatenate([one.rows for one in found]).tolist()) == list(range(120))
    by_name = {one.name: one for one in found}
    assert set(by_name) == set(CLASSES)
    assert (by_name["Basophil"].named, by_name["Basophil"].purity) == (3, pytest.approx(2 / 3))
    assert (by_name["Neutrophil"].named, by_name["Neutrophil"].purity) == (0, None)
    unnamed = neighbours.clusters(cold(vectors)[1], [None] * 120, count=3)
    assert {(one.name, one.named, one.purity) for one in unnamed} == {(None, 0, None)}


def test_a_cluster_begins_with_the_typical_and_the_largest_comes_first() -> None:
    vectors, _ = cells(30)
    vectors = vectors[:75]  # fewer neutrophils
    points = cold(vectors)[1]
    found = neighbours.clusters(points, [None] * 75, count=3)
    assert [len(one.rows) for one in found] == sorted((len(one.rows) for one in found), reverse=True)
    rows = found[0].rows
    away = np.linalg.norm(points[rows] - points[rows].mean(0), axis=1)
    assert away[0] <= np.median(away) <= away[-1] + 1e-6


def test_a_cluster_is_as_large_as_a_person_looks_over_in_one_go() -> None:
    rng = np.random.default_rng(0)
    for n, least, most in ((1, 1, 1), (20, 1, 4), (100, 6, 8), (1000, 15, 21)):
        vectors = rng.normal(size=(n, WIDTH)).astype(np.float32)
        assert least <= len(neighbours.clusters(cold(vectors)[1], [None] * n)) <= most


def test_a_cell_photographed_twice_is_found_and_two_cells_of_a_class_are_not() -> None:
    vectors, _ = cells(40)
    rng = np.random.default_rng(3)
    copies = vectors[[5, 60]] + 0.15 * rng.normal(size=(2, WIDTH)).astype(np.float32)
    copies[:, -1] = vectors[[5, 60], -1]
    both = np.concatenate((vectors, copies))
    space, points = cold(both)
    fields = list(range(122))
    pairs = space.duplicates(points, both, fields)
    assert {pair[:2] for pair in pairs} == {(5, 120), (60, 121)}
    assert all(neighbours.MIN_COPY_SIMILARITY <= pair[2] <= 1 for pair in pairs)
    assert len(space.duplicates(points, both, fields, most=1)) == 1
    on_one_field = [*fields[:121], 60]
    assert {pair[:2] for pair in space.duplicates(points, both, on_one_field)} == {(5, 120)}


def test_a_cell_photographed_three_times_makes_three_pairs() -> None:
    vectors, _ = cells(20)
    both = np.concatenate((vectors, vectors[[7, 7]]))
    space, points = cold(both)
    pairs = space.duplicates(points, both, range(62))
    assert {pair[:2] for pair in pairs} == {(7, 60), (7, 61), (60, 61)}
    assert {pair[2] for pair in pairs} == {1.0}


def test_a_cell_of_another_size_is_no_copy() -> None:
    vectors, _ = cells(20)
    vectors[:, -1] += np.random.default_rng(0).normal(size=60)
    both = np.concatenate((vectors, vectors[[7]]))
    both[60, -1] += 2 * neighbours.MAX_COPY_SIZE_DIFFERENCE
    space, points = cold(both)
    assert space.duplicates(points, both, range(61)) == []


def test_references_are_the_nearest_labelled_cells_of_each_value() -> None:
    vectors, names = cells(10)
    points = cold(vectors)[1]
    classes: list[str | None] = [name if row % 2 else None for row, name in enumerate(names)]
    sizes = ["large" if row in (1, 28) else None for row in range(30)]
    found = neighbours.nearest_labelled(
        points, 1, {"class": classes, "size": sizes, "shape": [None] * 30}, most=3
    )
    assert set(found["class"]) == set(CLASSES)
    assert {len(some) for some in found["class"].values()} == {3}
    own = [row for row, _ in found["class"]["Basophil"]]
    assert 1 not in own
    assert set(own) < {3, 5, 7, 9}
    assert [row for row, _ in found["size"]["large"]] == [28]
    assert found["shape"] == {}
    alike = [value for _, value in found["class"]["Basophil"]]
    assert alike == sorted(alike, reverse=True)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
@pytest.mark.parametrize("equal", [False, True])
def test_few_cells_or_cells_that_are_all_the_same_are_compared_without_trouble(n: int, equal: bool) -> None:
    vectors = np.ones((n, WIDTH), np.float32) if equal else cells(1)[0][:n]
    space, points = cold(vectors)
    assert np.isfinite(points).all()
    found = neighbours.clusters(points, [None] * n)
    assert sum(len(one.rows) for one in found) == n
    order, distance = neighbours.outliers(points, ["Monocyte"] * n)
    assert len(order) == (n if n > 1 else 0)
    assert np.isfinite(distance).all()
    pairs = space.duplicates(points, vectors, range(n))
    assert len(pairs) == (n * (n - 1) // 2 if equal else 0)
    if n:
        order, alike = neighbours.most_similar(points, 0)
        assert sorted(order) == list(range(n))
        assert np.isfinite(alike).all()
        assert not equal or alike.min() == 1.0
        neighbours.nearest_labelled(points, 0, {"class": ["Monocyte"] * n}, most=2)


def test_hundreds_of_equal_cells_make_one_cluster() -> None:
    vectors = np.ones((300, WIDTH), np.float32)
    space, points = cold(vectors)
    assert len(neighbours.clusters(points, [None] * 300)) == 1
    assert len(space.duplicates(points, vectors, range(300), most=10)) == 10


def test_the_same_cells_give_the_same_places_and_clusters() -> None:
    vectors, _ = cells(30)
    first, second = cold(vectors)[1], cold(vectors)[1]
    assert np.array_equal(first, second)
    groups = [[one.rows.tolist() for one in neighbours.clusters(p, [None] * 90)] for p in (first, second)]
    assert groups[0] == groups[1]


def test_more_cells_than_are_held_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, names = cells(30)
    space, points = cold(vectors)
    whole = (
        points,
        neighbours.outliers(points, names)[0],
        [one.rows for one in neighbours.clusters(points, names)],
        space.duplicates(points, np.concatenate((vectors[:45], vectors[:45])), range(90)),
    )
    monkeypatch.setattr(neighbours, "MAX_DISTANCES", 200)
    again = space.transform(vectors)
    assert np.allclose(again, whole[0], atol=1e-6)
    assert neighbours.outliers(points, names)[0].tolist() == whole[1].tolist()
    for one, rows in zip(neighbours.clusters(points, names), whole[2], strict=True):
        assert one.rows.tolist() == rows.tolist()
    assert len(space.duplicates(points, np.concatenate((vectors[:45], vectors[:45])), range(90))) == len(
        whole[3]
    )


def test_in_a_great_project_copies_are_sought_among_cells_that_are_alike(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbours, "FIT_SAMPLE", 50)
    monkeypatch.setattr(neighbours, "MAX_CLUSTERS", 3)
    vectors, _ = cells(40)
    both = np.concatenate((vectors, vectors[[5, 60]]))
    space, points = cold(both)
    assert {pair[:2] for pair in space.duplicates(points, both, range(122))} == {(5, 120), (60, 121)}
    assert sum(len(one.rows) for one in neighbours.clusters(points, [None] * 122)) == 122

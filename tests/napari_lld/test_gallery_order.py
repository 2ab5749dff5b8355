"""What the gallery lists, and that nothing moves under the hand; without a window."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from annotation_store import Project, Proposal
from annotation_store.records import RejectionReason
from napari_lld.session.gallery import Gallery
from napari_lld.session.gallery_items import Item, Key, successors
from napari_lld.session.gallery_order import GalleryOrder, Show
from napari_lld.session.session import Session

from .conftest import read_at_once

PLACES = [(10.0 + 25 * i, 10.0, 20.0, 20.0) for i in range(4)]
SURE = (0.9, 0.8, 0.7, 0.6)


def predict(project: Project, *chances: float, word: str = "Monocyte") -> None:
    """Let a model predict the four cells of the first field anew."""
    proposals = [
        Proposal(place, 0.9, {word: chance, "Basophil": 1 - chance})
        for place, chance in zip(PLACES, chances, strict=True)
    ]
    project.suggestions.replace(project.fields.all()[0].id, proposals, model_id=None)


@pytest.fixture
def gallery(session: Session) -> Iterator[Gallery]:
    """Give a gallery whose reader answers at once, with four suggestions, the surest first."""
    assert session.project is not None
    predict(session.project, *SURE)
    yield from read_at_once(session)


def chances(gallery: Gallery) -> list[float]:
    return [round(item.entry.class_probabilities["Monocyte"], 2) for item in gallery.shown]


def places(gallery: Gallery) -> list[int]:
    return [PLACES.index(item.entry.box) for item in gallery.shown]


def test_what_is_predicted_anew_keeps_its_place_until_it_is_sorted_again(
    gallery: Gallery, session: Session
) -> None:
    assert session.project is not None
    assert chances(gallery) == [0.9, 0.8, 0.7, 0.6]
    before = [item.key for item in gallery.shown]
    successors: dict[Key, Key] = {}
    gallery.shown_changed.connect(lambda: successors.update(gallery.successors))
    predict(session.project, 0.6, 0.7, 0.8, 0.9)
    assert places(gallery) == [0, 1, 2, 3]
    assert chances(gallery) == [0.6, 0.7, 0.8, 0.9]
    assert [successors[key] for key in before] == [item.key for item in gallery.shown]
    assert gallery.outdated
    gallery.arrange()
    assert places(gallery) == [3, 2, 1, 0]
    assert not gallery.outdated


def test_a_class_that_the_model_changes_leaves_a_filtered_list_when_it_is_sorted_again(
    gallery: Gallery, session: Session
) -> None:
    assert session.project is not None
    gallery.only_class = "Monocyte"
    gallery.arrange()
    predict(session.project, 0.9, 0.2, 0.7, 0.6)
    assert places(gallery) == [0, 1, 2, 3]
    assert [item.word for item in gallery.shown] == ["Monocyte", "Basophil", "Monocyte", "Monocyte"]
    assert gallery.outdated
    gallery.arrange()
    assert places(gallery) == [0, 2, 3]


def test_an_edit_of_one_s_own_does_not_move_the_others(gallery: Gallery) -> None:
    gallery.order = GalleryOrder.CLASS
    gallery.arrange()
    gallery.set_class([gallery.shown[1]], "Basophil")
    assert places(gallery) == [0, 1, 2, 3], "the cell stands where the suggestion stood"
    assert [item.word for item in gallery.shown] == ["Monocyte", "Basophil", "Monocyte", "Monocyte"]
    assert gallery.shown[1].entry.kind == "cell"
    assert gallery.outdated
    gallery.undo()
    assert places(gallery) == [0, 1, 2, 3]
    assert gallery.shown[1].entry.kind == "suggestion"
    assert not gallery.outdated


def test_what_is_undone_comes_back_to_its_place(gallery: Gallery) -> None:
    gallery.show = Show.WAITING
    gallery.arrange()
    gallery.reject(gallery.shown[1:2], RejectionReason.DUPLICATE)
    assert places(gallery) == [0, 2, 3]
    gallery.undo()
    assert places(gallery) == [0, 1, 2, 3]
    gallery.set_class(gallery.shown[:2], "Basophil")
    assert places(gallery) == [2, 3]
    gallery.undo()
    assert places(gallery) == [0, 1, 2, 3]


def test_what_is_new_comes_last(gallery: Gallery, session: Session) -> None:
    box = (10.0, 50.0, 20.0, 20.0)
    session.boxes.add(box)
    assert [item.entry.box for item in gallery.shown] == [*PLACES, box]


def test_the_list_stays_while_it_is_read_again(gallery: Gallery, session: Session) -> None:
    lengths: list[int] = []
    gallery.shown_changed.connect(lambda: lengths.append(len(gallery.shown)))
    gallery.read_all()
    assert lengths == [4, 4]


def test_successors_are_of_the_same_field_and_of_the_same_cell() -> None:
    from annotation_store import Entry

    def item(key: Key, field: int, *box: float) -> Item:
        return Item(Entry(key[0], key[1], field, box), None, None, None, None)  # type: ignore[arg-type]

    one, two = item(("suggestion", 1), 1, 0, 0, 9, 9), item(("suggestion", 2), 1, 20, 0, 9, 9)
    empty = item(("suggestion", 3), 1, 0, 0, 0, 0)
    cell, elsewhere = item(("cell", 1), 1, 21, 0, 9, 9), item(("cell", 2), 2, 0, 0, 9, 9)
    assert successors([one, two, empty], [cell, elsewhere, empty]) == {two.key: cell.key}
    assert successors([one, two], [one, two, cell]) == {}

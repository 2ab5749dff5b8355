"""Scopes, filters and orders of the gallery; no Qt."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from itertools import pairwise
from operator import attrgetter
from typing import Any

from annotation_store.records import SuggestionState
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from napari_lld.session.gallery_items import Item, Key

Test = Callable[[Item], bool]


class Scope(StrEnum):
    """Whose cells are listed."""

    FIELD = "field"
    PATIENT = "patient"
    ALL = "all"


class Show(StrEnum):
    """What is listed of them."""

    EVERYTHING = "everything"
    CELLS = "cells"
    INCOMPLETE = "incomplete"
    WAITING = "waiting"
    REJECTED = "rejected"
    UNKNOWN = "unknown"
    BOOKMARKED = "bookmarked"
    SECOND_OPINION = "second_opinion"

    def test(self, incomplete: Test) -> Test:
        """Return what says whether it lists an item.

        Parameters
        ----------
        incomplete
            Whether a cell lacks a class or value.
        """
        match self:
            case Show.EVERYTHING:
                return attrgetter("stands")
            case Show.CELLS:
                return lambda item: item.entry.kind == "cell"
            case Show.INCOMPLETE:
                return lambda item: item.entry.kind == "cell" and incomplete(item)
            case Show.WAITING:
                return attrgetter("pending")
            case Show.REJECTED:
                return lambda item: item.entry.state is SuggestionState.REJECTED
            case Show.UNKNOWN:
                return lambda item: item.pending and item.unknown
            case Show.BOOKMARKED:
                return attrgetter("entry.bookmark")
        return attrgetter("entry.second_opinion")


class GalleryOrder(StrEnum):
    """What comes first."""

    UNCERTAIN = "uncertain"
    SUREST = "surest"
    DISAGREEMENT = "disagreement"
    CLASS = "class"
    VALUE = "value"
    SIMILAR = "similar"
    OUTLIERS = "outliers"
    CLUSTERS = "clusters"
    DUPLICATES = "duplicates"

    @property
    def by_likeness(self) -> bool:
        """Whether the assistant computes it."""
        return self in (
            GalleryOrder.SIMILAR,
            GalleryOrder.OUTLIERS,
            GalleryOrder.CLUSTERS,
            GalleryOrder.DUPLICATES,
        )


SortKey = Callable[[Item], Any]


def sort_key(order: GalleryOrder, schema: Schema | None, attribute: str | None) -> SortKey:
    """Return what to sort items by.

    Parameters
    ----------
    attribute
        Whose values are in order, for `GalleryOrder.VALUE`.
    """
    if order is GalleryOrder.UNCERTAIN:
        return lambda item: (not item.unknown, item.doubt is None, -(item.doubt or 0.0))
    if order is GalleryOrder.SUREST:
        return lambda item: (item.unknown, item.probability is None, -(item.probability or 0.0))
    if order is GalleryOrder.DISAGREEMENT:
        return _by_disagreement
    places: dict[str | None, int] = {}
    if schema is not None and order is GalleryOrder.CLASS:
        names = [*schema.class_names, *(group.name for group in schema.groups), UNSURE]
        places = {name: place for place, name in enumerate(names)}
        last = len(places)
        return lambda item: (
            places.get(item.word, last),
            item.probability is None,
            -(item.probability or 0.0),
        )
    if schema is not None and attribute is not None:
        values = [*schema.attribute_named(attribute).value_names, UNSURE]
        places = {name: place for place, name in enumerate(values)}
        last = len(places)
        return lambda item: (
            places.get(item.value(attribute), last),
            item.doubt is None,
            -(item.doubt or 0.0),
        )
    return lambda item: item.entry.id


def _by_disagreement(item: Item) -> tuple[bool, bool, float]:
    """Sort contradicted labels first, then by how improbable a label is; last what cannot be compared."""
    difference = item.disagreement
    return (
        difference is None,
        not (difference and difference.instead),
        -difference.improbable if difference else 0.0,
    )


def is_sorted(items: Sequence[Item], key: SortKey) -> bool:
    """Return whether items are in order."""
    keys = [key(item) for item in items]
    return all(not after < before for before, after in pairwise(keys))


class Places:
    """Where each item stands, listed or not: kept while the gallery is worked in, made anew by sorting."""

    def __init__(self) -> None:
        self._places: dict[Key, int] = {}
        self._next = 0
        self.added = False
        """Whether something has come since it was sorted."""

    def sort(self, items: Iterable[Item], key: SortKey) -> list[Item]:
        """Sort items, and store their order."""
        ordered = sorted(items, key=key)
        self._places = {item.key: place for place, item in enumerate(ordered)}
        self._next, self.added = len(ordered), False
        return ordered

    def hand_on(self, old: Key, new: Key) -> None:
        """Put one item in the place of another."""
        if old in self._places and new not in self._places:
            self._places[new] = self._places[old]

    def keep(self, items: Iterable[Item]) -> list[Item]:
        """Return items in their stored order, new ones last."""
        ordered = list(items)
        for item in ordered:
            if item.key not in self._places:
                self._places[item.key] = self._next
                self._next, self.added = self._next + 1, True
        return sorted(ordered, key=lambda item: self._places[item.key])

"""The gallery's orders by likeness, which the assistant computes; no Qt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from psygnal import Signal

from napari_lld.i18n.translate import later, tr
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.gallery_items import Item, Key
from napari_lld.session.gallery_order import GalleryOrder
from napari_lld.session.session import Session

Number = TypeVar("Number", int, float)
_KIND = "gallery"
"""Of what is asked here, the newest question alone is answered."""
_NOTHING = {
    GalleryOrder.SIMILAR: later("No cell can be compared with this one."),
    GalleryOrder.OUTLIERS: later("No outliers: label two cells of a class first."),
    GalleryOrder.CLUSTERS: later("There are no cells or suggestions to group."),
    GalleryOrder.DUPLICATES: later("No two crops seem to show the same cell."),
}


@dataclass(frozen=True)
class Cluster:
    """Cells that are alike, as the assistant groups them: the most typical first.

    Attributes
    ----------
    name
        The commonest class among its labelled cells, else the one that is predicted most.
    """

    name: str | None
    keys: tuple[Key, ...]


@dataclass
class Ranking:
    """An answer of the assistant: the order of the keys, and the number of each.

    Attributes
    ----------
    numbers
        How like, as the answer gives it.
    partners
        Of a pair of near-duplicates, the other one.
    cluster_of
        The number of the cluster that a key is in.
    """

    order: GalleryOrder
    of: Key | None = None
    places: dict[Key, int] = field(default_factory=dict)
    numbers: dict[Key, float] = field(default_factory=dict)
    partners: dict[Key, Key] = field(default_factory=dict)
    clusters: tuple[Cluster, ...] = ()
    cluster_of: dict[Key, int] = field(default_factory=dict)

    def hand_on(self, old: Key, new: Key) -> None:
        """Replace one key by another, with its values."""
        _copy(self.places, old, new)
        _copy(self.numbers, old, new)
        _copy(self.cluster_of, old, new)
        if (partner := self.partners.get(old)) is not None:
            self.partners[new], self.partners[partner] = partner, new
        if self.of == old:
            self.of = new

    def whole_pairs(self, items: Sequence[Item]) -> list[Item]:
        """Leave out items whose partner is missing, if the order is one of pairs."""
        if self.order is not GalleryOrder.DUPLICATES:
            return list(items)
        keys = {item.key for item in items}
        return [item for item in items if self.partners.get(item.key) in keys]


def _copy(values: dict[Key, Number], old: Key, new: Key) -> None:
    if old in values:
        values[new] = values[old]


def ranking_of(order: GalleryOrder, of: Key | None, result: Mapping[str, Any]) -> Ranking:
    """Read an answer; raise ``KeyError``, ``TypeError`` or ``ValueError`` if it is not valid."""
    ranking = Ranking(order, of)
    if order is GalleryOrder.DUPLICATES:
        for first, second, likeness in result["pairs"]:
            pair = [_key(first), _key(second)]
            if not any(key in ranking.places for key in pair):  # a third picture comes once these are settled
                for key, partner in zip(pair, reversed(pair), strict=True):
                    ranking.partners[key] = partner
                    ranking.numbers[key] = float(likeness)
                    ranking.places[key] = len(ranking.places)
        return ranking
    if order is GalleryOrder.CLUSTERS:
        ranking.clusters = tuple(
            Cluster(entry["name"], tuple(_keys(entry["keys"]))) for entry in result["clusters"]
        )
        for number, cluster in enumerate(ranking.clusters):
            for key in cluster.keys:
                ranking.cluster_of[key] = number
                ranking.places[key] = len(ranking.places)
        return ranking
    keys = _keys(result["keys"])
    ranking.places = {key: place for place, key in enumerate(keys)}
    numbers = result["likeness" if order is GalleryOrder.SIMILAR else "distance"]
    ranking.numbers = {key: float(number) for key, number in zip(keys, numbers, strict=True)}
    return ranking


@dataclass(frozen=True)
class ClusterRow:
    """A cluster as it is now, of what is listed.

    Attributes
    ----------
    name
        The commonest class among its labelled cells, else the one that is predicted most.
    labelled, named
        Of `count`: how many have a class that a person gave, and how many of these have this one.
    typical
        Its first three.
    """

    number: int
    name: str | None
    count: int
    labelled: int
    named: int
    typical: tuple[Item, ...]


def cluster_rows(ranking: Ranking, items: Iterable[Item]) -> list[ClusterRow]:
    """Describe the clusters of which anything is listed."""
    members: dict[int, list[Item]] = {}
    for item in items:
        if (number := ranking.cluster_of.get(item.key)) is not None:
            members.setdefault(number, []).append(item)
    return [
        _cluster_row(number, ranking.clusters[number].name, members[number]) for number in sorted(members)
    ]


def _cluster_row(number: int, name: str | None, items: Sequence[Item]) -> ClusterRow:
    labelled = Counter(item.entry.cell_class for item in items if item.labelled)
    named = 0
    if labelled:
        name, named = labelled.most_common(1)[0]
    return ClusterRow(number, name, len(items), labelled.total(), named, tuple(items[:3]))


def _keys(items: Iterable[Any]) -> list[Key]:
    return [_key(item) for item in items]


def _key(item: Any) -> Key:
    kind, number = item
    return (str(kind), int(number))


class Likeness:
    """Asks for an order by likeness, and holds the last answer.

    Attributes
    ----------
    waiting
        The order that is being computed.
    trouble
        Why the last one was not, as a sentence.
    """

    answered = Signal(object)
    """A `Ranking`; ``None`` if there is none: `trouble` says why."""
    progressed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._request_number = 0
        self.waiting: GalleryOrder | None = None
        self.trouble = ""
        self.seen: tuple[int, int] | None = None
        """How many of how many cells were seen by the network, where any had to be."""

    def ask(self, order: GalleryOrder, of: Key | None, field_ids: Sequence[int] | None) -> None:
        """Ask for an order of the cells of some fields, or of all."""
        from training.protocol import Done, LikenessRequest, Progress

        self._request_number += 1
        number, assistant = self._request_number, self._session.assistant
        self.waiting, self.trouble, self.seen = order, "", None

        def on_message(message: Any) -> None:
            if number == self._request_number and isinstance(message, Progress):
                self.seen = (message.done, message.total)
                self.progressed.emit()

        def on_done(message: Any) -> None:
            if number != self._request_number:
                return  # another order was chosen meanwhile
            self.waiting = None
            try:
                if not isinstance(message, Done):
                    raise _NoAnswerError(f"{message.cause} {message.cure}".strip())
                ranking = ranking_of(order, of, message.result)
                if not ranking.places:
                    raise _NoAnswerError(tr(_NOTHING[order]))
            except _NoAnswerError as reason:
                self._fail(in_the_window(str(reason)))
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._fail(tr("Unexpected error: {trouble}", trouble=f"{type(error).__name__}: {error}"))
            else:
                self.answered.emit(ranking)

        request = LikenessRequest(
            what=order.value,
            of=of,
            fields=None if field_ids is None else list(field_ids),
            **assistant.of_project,
        )
        if not assistant.ask(request, on_done, on_message, kind=_KIND):
            self._fail(tr("This window has no process to compare cells."))

    def drop(self) -> None:
        """Discard the pending request."""
        self._request_number += 1
        self.waiting, self.trouble = None, ""

    def _fail(self, sentence: str) -> None:
        self.waiting, self.trouble = None, sentence
        self.answered.emit(None)


class _NoAnswerError(Exception):
    """Why there is no order, as a sentence."""

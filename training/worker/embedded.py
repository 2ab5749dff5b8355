"""The feature vectors of a project's boxes, cached in memory between the requests of a worker process.

They are loaded from the project's cache (`Project.features`); missing ones are computed from the pixels once.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from dataclasses import field as default
from typing import TYPE_CHECKING

import numpy as np

from annotation_store import BoxFeatures, Entry, KnownEntries, box_key
from annotation_store.errors import ImageError, ProjectError
from annotation_store.records import Box, Field, SuggestionState
from training.inference.predictor import Boxes, Predictor
from training.inference.sources import SlideArea, StoredField
from training.models.model import LearnedModel, describe_by_appearance
from training.networks.describer import cut_crop, features_of, size_feature
from training.networks.scale import CellSides, field_side
from training.protocol import Progress
from training.worker.channel import Channel
from training.worker.models import resolve

if TYPE_CHECKING:
    from annotation_store.project import Project

_AT_ONCE = 16
"""Fields whose boxes are embedded before their features are stored."""

_BOXES_AT_ONCE = 64
"""Boxes of a slide that are embedded before their features are stored."""

_ROW = 1024
"""Height in pixels of the stripes in which boxes of a slide are read, from left to right."""


@dataclass(frozen=True)
class _Part:
    """Boxes of a field that are embedded together, by their keys."""

    field_id: int
    name: str
    boxes: list[Box]
    view: Boxes


class Vectors:
    """Loads, computes and caches the feature vectors of boxes.

    Attributes
    ----------
    damaged
        Names of the fields whose pixels could not be read: their boxes have no vector.
    computed
        Number of vectors that were not cached, and were computed.
    """

    def __init__(self, trunk: str) -> None:
        self._trunk = trunk
        self._known: dict[int, dict[Box, np.ndarray]] = {}
        self._content: dict[int, str] = {}
        self._checked: Callable[[], Project | None] = lambda: None
        self.damaged: set[str] = set()
        self.computed = 0

    def of(
        self,
        project: Project,
        model: LearnedModel,
        boxes: Sequence[tuple[int, Box]],
        *,
        sides: Mapping[int, float | None] | None = None,
        on_field: Callable[[int, int], None] | None = None,
        predictor: Predictor | None = None,
    ) -> np.ndarray:
        """Return the vectors ``(n, F)`` float32 of boxes; a row of NaN for a box that cannot be read.

        Parameters
        ----------
        boxes
            Field id and box of each.
        sides
            Field id to the median side of a white cell in pixels of the field, if known; box sizes are
            relative to it.
        on_field
            Called with the number of fields done and of fields to do; an exception that it raises ends this.
        predictor
            Runs the model; ``None`` = this process.
        """
        keys = [(field_id, box_key(box)) for field_id, box in boxes]
        self._read(project, {field_id for field_id, _ in keys})
        missing: dict[int, dict[Box, Box]] = defaultdict(dict)
        for (field_id, box), key in zip(boxes, keys, strict=True):
            if key[1] not in self._known.get(field_id, {}):
                missing[field_id][key[1]] = box
        if predictor is None:
            self._embed(project, model, missing, sides or {}, on_field)
        else:
            self._embed_elsewhere(project, model, missing, sides or {}, on_field, predictor)
        none = np.full(model.describer.features, np.nan, np.float16)
        stacked = np.stack([self._known.get(i, {}).get(key, none) for i, key in keys] or [none])[: len(keys)]
        vectors = stacked.astype(np.float32)
        self._measure(project, vectors, boxes, sides or {})
        return vectors

    def _read(self, project: Project, field_ids: set[int]) -> None:
        """Load the stored features of fields that were not requested before."""
        if self._checked() is project and field_ids <= self._content.keys():
            return  # images do not change within a request
        fields = {field.id: field for field in project.fields.all()}
        for field_id in [i for i, content in self._content.items() if _content(fields.get(i)) != content]:
            self._known.pop(field_id, None)  # the project was restored: the id is of another image
            del self._content[field_id]
        new = {i for i in field_ids if i not in self._content and i in fields}
        for field_id, features in project.features.of(self._trunk, new).items() if new else ():
            self._known[field_id] = dict(
                zip(features.places(), features.vectors.astype(np.float16), strict=False)
            )
        self._content.update({i: _content(fields[i]) for i in new})
        self._checked = weakref.ref(project)

    def _keep(self, field_id: int, keys: Iterable[Box], computed: BoxFeatures) -> None:
        """Keep computed features as the next process will read them, so that both predict the same."""
        vectors = computed.as_stored().vectors.astype(np.float16)
        self._known.setdefault(field_id, {}).update(zip(keys, vectors, strict=True))

    def _embed(
        self,
        project: Project,
        model: LearnedModel,
        missing: Mapping[int, Mapping[Box, Box]],
        sides: Mapping[int, float | None],
        on_field: Callable[[int, int], None] | None,
    ) -> None:
        new: dict[int, BoxFeatures] = {}
        model.eval()
        for done, (field_id, boxes) in enumerate(sorted(missing.items()), 1):
            field = project.fields.get(field_id)
            against = field_side(field.width, field.height, sides.get(field_id))
            for part, crops in self._crops(project, field, boxes):
                sizes = [size_feature(max(box[2:]), against) for box in part.values()]
                computed = features_of(model.describer, crops, sizes).float().cpu().numpy()
                self.computed += len(computed)
                # a slide comes in several parts: `save` keeps the earlier ones
                new[field_id] = BoxFeatures(np.array(list(part.values()), np.float32), computed)
                self._keep(field_id, part, new[field_id])
                if len(new) >= _AT_ONCE or field.is_slide:
                    project.features.save(self._trunk, new)
                    new = {}
                    if on_field is not None:  # may raise
                        on_field(done - 1, len(missing))
            if on_field is not None:
                on_field(done, len(missing))
        project.features.save(self._trunk, new)

    def _embed_elsewhere(
        self,
        project: Project,
        model: LearnedModel,
        missing: Mapping[int, Mapping[Box, Box]],
        sides: Mapping[int, float | None],
        on_field: Callable[[int, int], None] | None,
        predictor: Predictor,
    ) -> None:
        """Embed boxes by a predictor; store the features batch by batch."""
        parts = [
            part for field_id in sorted(missing) for part in self._parts(project, field_id, missing, sides)
        ]

        def batches() -> Iterator[tuple[list[_Part], list[Boxes]]]:
            for start in range(0, len(parts), _AT_ONCE):
                batch = parts[start : start + _AT_ONCE]
                yield batch, [part.view for part in batch]

        done: set[int] = set()
        for batch, results in predictor.features(model, batches()):
            new: dict[int, list[tuple[Box, np.ndarray]]] = defaultdict(list)
            for part, features in zip(batch, results, strict=True):
                if features is None:
                    project.check_present()  # raises if the whole project is gone
                    self.damaged.add(part.name)
                else:
                    new[part.field_id] += zip(part.boxes, features, strict=True)
            for field_id, rows in new.items():
                boxes = missing[field_id]
                vectors = np.stack([vector for _, vector in rows])
                boxes_of_rows = np.array([boxes[key] for key, _ in rows], np.float32)
                features_of_rows = BoxFeatures(boxes_of_rows, vectors)
                self._keep(field_id, (key for key, _ in rows), features_of_rows)
                project.features.save(self._trunk, {field_id: features_of_rows})
                self.computed += len(rows)
            done |= {part.field_id for part in batch}
            if on_field is not None:
                on_field(len(done), len(missing))

    def _parts(
        self,
        project: Project,
        field_id: int,
        missing: Mapping[int, Mapping[Box, Box]],
        sides: Mapping[int, float | None],
    ) -> list[_Part]:
        """Return the units of work of a field: all its boxes together, those of a slide one by one."""
        field = project.fields.get(field_id)
        against = field_side(field.width, field.height, sides.get(field_id))
        boxes = missing[field_id]
        if not field.is_slide:
            view = Boxes(StoredField(project.path, field_id), list(boxes.values()), against)
            return [_Part(field_id, field.name, list(boxes), view)]
        try:
            slide = project.slides.open(field_id)
        except ImageError:
            self.damaged.add(field.name)
            return []
        parts = []
        for key, box in boxes.items():
            area = around_on_slide(box)
            inside = (box[0] - area[0], box[1] - area[1], box[2], box[3])
            parts.append(_Part(field_id, field.name, [key], Boxes(SlideArea(slide, area), [inside], against)))
        return parts

    def _crops(
        self, project: Project, field: Field, boxes: Mapping[Box, Box]
    ) -> Iterator[tuple[Mapping[Box, Box], list[np.ndarray]]]:
        """Yield the crops of boxes of a field, a few at a time for a slide, without unreadable ones."""
        if not field.is_slide:
            try:
                pixels = project.pixels.read(field.id)
            except ProjectError:
                project.check_present()  # raises if the whole project is gone
                self.damaged.add(field.name)
                return
            yield boxes, [cut_crop(pixels, box) for box in boxes.values()]
            return
        keys = sorted(boxes, key=lambda key: (key[1] // _ROW, key[0]))  # in their order in the file
        for start in range(0, len(keys), _BOXES_AT_ONCE):
            cut = {}
            for key in keys[start : start + _BOXES_AT_ONCE]:
                try:
                    cut[key] = crop_of_slide(project, field, boxes[key])
                except ImageError:
                    self.damaged.add(field.name)
            if cut:
                yield {key: boxes[key] for key in cut}, list(cut.values())

    def _measure(
        self,
        project: Project,
        vectors: np.ndarray,
        boxes: Sequence[tuple[int, Box]],
        sides: Mapping[int, float | None],
    ) -> None:
        """Update the size feature of boxes, as the estimate of the reference side improves."""
        against = {
            i: field_side(project.fields.get(i).width, project.fields.get(i).height, side)
            for i in {field_id for field_id, _ in boxes}
            if (side := sides.get(i)) is not None
        }
        for row, (field_id, box) in enumerate(boxes):
            if field_id in against:
                vectors[row, -1] = size_feature(max(box[2:]), against[field_id])


def crop_of_slide(project: Project, slide: Field, box: Box) -> np.ndarray:
    """Crop the square around a box from a whole slide, as `cut_crop` does from a field.

    Raises
    ------
    ImageError
        The slide cannot be read there.
    """
    area = around_on_slide(box)
    pixels = project.pixels.read_area(slide.id, area)
    return cut_crop(pixels, (box[0] - area[0], box[1] - area[1], box[2], box[3]))


def around_on_slide(box: Box) -> Box:
    """Return the area of a slide that is read to crop a box."""
    x, y, w, h = box
    reach = max(w, h, 1.0)  # more than a crop shows, so that an edge is repeated only where the slide ends
    left, top = max(0.0, float(np.floor(x + w / 2 - reach))), max(0.0, float(np.floor(y + h / 2 - reach)))
    right, bottom = float(np.ceil(x + w / 2 + reach)), float(np.ceil(y + h / 2 + reach))
    return left, top, right - left, bottom - top


def _content(field: Field | None) -> str:
    return "" if field is None else field.content_hash


_MOST_KEPT = 2
_kept: OrderedDict[tuple[str, str], Vectors] = OrderedDict()


def vectors_of(project: Project, model: LearnedModel) -> Vectors:
    """Return the cached vectors of a project for a model's trunk."""
    key = (project.uid, model.trunk_digest())
    vectors = _kept.pop(key, None) or Vectors(key[1])
    _kept[key] = vectors
    while len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    vectors.damaged.clear()
    return vectors


@dataclass
class Embedded:
    """A project's cells and pending suggestions, embedded by a model's trunk.

    Attributes
    ----------
    entries
        Those whose image could be read, in the order of `BulkEdits.entries`.
    vectors
        ``(n, F)`` float32, one for each.
    model, number
        The model, and its number; ``None`` = the starter.
    damaged
        Names of fields with a damaged image, whose cells are missing.
    images
        Field id to the hash of its image.
    """

    entries: list[Entry]
    vectors: np.ndarray
    model: LearnedModel
    number: int | None
    damaged: tuple[str, ...] = ()
    images: Mapping[int, str] = default(default_factory=dict)

    def shows(
        self, model: LearnedModel, boxes: Sequence[tuple[str, int, Box]], images: Mapping[int, str]
    ) -> bool:
        """Return whether this is of the same boxes, images and model."""
        return (
            model is self.model
            and not self.damaged
            and images == self.images
            and boxes == [(entry.kind, entry.field_id, entry.box) for entry in self.entries]
        )

    @property
    def keys(self) -> list[tuple[str, int]]:
        """Kind and id of each entry."""
        return [(entry.kind, entry.id) for entry in self.entries]


def embedded(
    project: Project,
    channel: Channel | None = None,
    model: str | int = "active",
    device: str = "cpu",
    predictor: Predictor | None = None,
) -> Embedded:
    """Return the project's cells and pending suggestions with their features; missing ones are computed.

    The result is cached until the project is written to.

    Parameters
    ----------
    channel
        Receives the progress, and can cancel.
    model
        As in `training.worker.models.resolve`.
    predictor
        Embeds cells; ``None`` = in this process.
    """
    global _newest
    stamp = project.write_stamp
    key = (str(project.path), project.uid, project.reading.id, model, device, stamp)
    if _newest is not None and stamp is not None and _newest[0] == key:
        return _newest[1]
    learned, number = model_of(project, model, device)
    entries = project.bulk_edits.entries(states=(SuggestionState.PENDING,), known=_known_entries(project))
    fields = {field.id: field for field in project.fields.all()}

    def report(done: int, total: int) -> None:
        if channel is not None:
            channel.check()
            channel.send(Progress(stage="look", done=done, total=total))

    boxes_of_entries = [(entry.kind, entry.field_id, entry.box) for entry in entries]
    images = {i: field.content_hash for i, field in fields.items()}
    if (
        _newest is not None
        and _newest[0][:-1] == key[:-1]
        and _newest[1].shows(learned, boxes_of_entries, images)
    ):
        # no box was added, deleted or moved: only labels and predictions differ
        result = replace(_newest[1], entries=entries)
        _newest = (key, result) if stamp is not None else None
        return result
    sides = _sides(fields, entries)
    vectors = vectors_of(project, learned)
    boxes = [(entry.field_id, entry.box) for entry in entries]
    features = vectors.of(project, learned, boxes, sides=sides, on_field=report, predictor=predictor)
    finite = np.isfinite(features).all(1)
    if not finite.all():
        entries = [entry for entry, is_whole in zip(entries, finite, strict=True) if is_whole]
        features = features[finite]
    result = Embedded(entries, features, learned, number, tuple(sorted(vectors.damaged)), images)
    # a damaged image may be repaired without a write to the database
    _newest = (key, result) if stamp is not None and not result.damaged else None
    return result


_newest: tuple[tuple[Hashable, ...], Embedded] | None = None
_read: tuple[Hashable, KnownEntries] | None = None


def _known_entries(project: Project) -> KnownEntries:
    """Return the cached entries of the same project and reading."""
    global _read
    key = (str(project.path), project.uid, project.reading.id)
    if _read is None or _read[0] != key:
        _read = (key, KnownEntries())
    return _read[1]


_model: tuple[Hashable, LearnedModel, int | None] | None = None


def model_of(project: Project, choice: str | int, device: str) -> tuple[LearnedModel, int | None]:
    """Return the model that a request names, cached.

    A model that was never trained on cells describes them by their stain (`training.networks.appearance`).
    Copy the model before changing it.
    """
    global _model
    models = {row.id: row for row in project.models.all()}
    active = project.models.active()
    number = active.id if choice == "active" and active is not None else choice
    card = models[number].card.get("sha256") if isinstance(number, int) and number in models else None
    key = (project.uid, number, card, project.schema.digest(), device)
    if _model is None or _model[0] != key or (isinstance(number, int) and card is None):
        learned, model_number = resolve(project, choice)
        if learned.never_taught:
            describe_by_appearance(learned)
        learned.to(device)
        _model = (key, learned, model_number)
    return _model[1:]


def _sides(fields: Mapping[int, Field], entries: Sequence[Entry]) -> dict[int, float | None]:
    """Return the median side of a white cell on each field, if the project's cells show it."""
    of_cells: dict[int, list[float]] = {field_id: [] for field_id in fields}
    for entry in entries:
        if entry.kind == "cell":
            of_cells[entry.field_id].append(max(entry.box[2:]))
    known = CellSides.learn((fields[field_id], sides) for field_id, sides in of_cells.items())
    return {
        i: known.on_slide(field, of_cells[i]) if (field := fields[i]).is_slide else known.on(field)
        for i in {entry.field_id for entry in entries}
    }

"""Read Label Studio's tasks into a document: images, annotations, predictions.

A mark may be several results of one id (its shape, its label, choices, texts), which are joined here. What
cannot be read is skipped and reported, a task or a mark alone, and never becomes background.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped, note_odd_side
from annotation_store.formats._exchange.image_places import Size
from annotation_store.formats._exchange.images import Images, Match
from annotation_store.formats._io.file_names import safe_name
from annotation_store.formats._io.labels import certain, confidence_of, read_class, read_flags, read_values
from annotation_store.formats._io.text import shown
from annotation_store.formats.labelstudio.shapes import Points, bounds, is_shape, number, place_of, points_of
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Proposal
from annotation_store.schema import Schema
from annotation_store.validation import clean_name

REGION, IGNORE = "finished region", "ignore area"
STATED = "regions_stated"
TAKEN = frozenset({"image", "label", "area", "kind", "flags", "comment"})
FLAGS = ("cut", "bookmark", "second_opinion")

_MANY = frozenset({"annotations", "completions", "predictions"})
_UPLOAD = re.compile(r"^(.*/)?data/upload/(\d+/)?")
_HASH = re.compile(r"^[0-9a-f]{8}-(?=.)")
_USUAL = ("image", "img", "picture", "photo", "url")


# -- tasks ---------------------------------------------------------------------------------------


def parse(data: Any, schema: Schema, source: str, images: Images) -> Document:
    """Read tasks in the words of a schema: a list of them (JSON or JSON-MIN), or one.

    Raises
    ------
    FormatError
        There are no tasks, or not one can be read.
    """
    tasks = [data] if isinstance(data, dict) else data
    if not isinstance(tasks, list) or not any(isinstance(task, dict) for task in tasks):
        raise FormatError(
            f"{source} is not a Label Studio export: it needs a list of tasks, each with data. "
            "Export it again as JSON."
        )
    document = Document(source, [], Skipped())
    names = _label_names(tasks)
    parsed: list[_Task] = []
    for position, task in enumerate(tasks, start=1):
        at = f"task {position} of {source}"
        try:
            parsed += _of_images(_as_task(task, at, names), at)
        except FormatError as error:
            document.skipped.note("tasks that cannot be read", f"{error} The task was left out.")
    finder = _Names(images, [task.place for task in parsed])
    for parsed_task in parsed:
        try:
            document.fields.append(_read(parsed_task, finder, schema, document, images))
        except FormatError as error:
            document.skipped.note("tasks that cannot be read", f"{error} The task was left out.")
    document.refuse_empty()
    return document


@dataclass(slots=True)
class _Task:
    """A task on one image.

    Attributes
    ----------
    place
        The image as the task names it.
    annotations, predictions
        The results of each, and the score of each prediction.
    """

    at: str
    data: Mapping[str, Any]
    place: str
    annotation: Sequence[Any] | None = None
    further: int = 0
    predictions: list[tuple[float, Sequence[Any]]] = field(default_factory=list)


def _is_minimal(task: Any) -> bool:
    """Return whether a task has the form of JSON-MIN: labels beside the image, by the name of their tag."""
    return isinstance(task, dict) and "data" not in task and not _MANY & task.keys()


def _label_names(tasks: Sequence[Any]) -> set[str]:
    """List the keys under which tasks of JSON-MIN have their labels."""
    minimal = [task for task in tasks if _is_minimal(task)]
    return {"label"} | {
        key for task in minimal for key, value in task.items() if _results_of_minimal(value, False)
    }


def _results_of_minimal(value: Any, named: bool) -> list[dict[str, Any]] | None:
    """Return the results that a value of JSON-MIN holds, ``{}`` for what cannot be read.

    Parameters
    ----------
    named
        Whether the key holds labels, so that any other value cannot be read.

    Returns
    -------
    ``None`` if the value holds no labels.
    """
    parsed = value
    if isinstance(value, str) and value.lstrip().startswith("["):  # a cell of the CSV export
        with suppress(ValueError, RecursionError):
            parsed = json.loads(value)
    if isinstance(parsed, list) and (named or not parsed or any(isinstance(v, dict | list) for v in parsed)):
        return [entry if isinstance(entry, dict) else {} for entry in parsed] if parsed or named else None
    return None if not named or parsed in (None, "") else [parsed if isinstance(parsed, dict) else {}]


def _as_task(task: Any, at: str, names: Collection[str]) -> Mapping[str, Any]:
    """Return a task of the JSON export, whichever form it has: JSON-MIN, or an annotation with its task."""
    if isinstance(task, dict) and isinstance(task.get("task"), dict) and "result" in task:
        task = {"data": task["task"].get("data"), "annotations": [task]}
    if _is_minimal(task):
        by_name = {
            key: parsed
            for key, value in task.items()
            if (parsed := _results_of_minimal(value, key in names)) is not None
        }
        results = [
            {"type": _kind_of(value), "from_name": name, "value": value, **value} if value else {}
            for name, values in by_name.items()
            for value in values
        ]
        # a task without labels is not annotated yet
        task = {"data": task} | ({"annotations": [{"result": results}]} if by_name else {})
    if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
        raise FormatError(f"{at} has no data.")
    return task


def _kind_of(value: Mapping[str, Any]) -> str:
    return next((key for key in value if key.endswith("labels")), "rectangle" if "width" in value else "")


def _of_images(task: Mapping[str, Any], at: str) -> list[_Task]:
    """Make one task for each image: a task may show several, and its results state which one they are on."""
    annotation = _choose_annotation(task)
    predictions = [p for p in _list(task.get("predictions")) if isinstance(p, dict)]
    annotations = [] if annotation is None else [annotation[0]]
    results = [_results(group, at) for group in [*annotations, *predictions]]
    all_results = [result for group in results for result in group]
    data = task["data"]
    split = []
    for place, is_on in _places(data, all_results, at):
        part = _Task(at, data, place)
        on_image = [[result for result in group if is_on(result)] for group in results]
        if annotation is not None:
            part.annotation, part.further = on_image.pop(0), annotation[1]
        scores = [confidence_of(p) or 0.0 for p in predictions]
        part.predictions = list(zip(scores, on_image, strict=True))
        split.append(part)
    return split


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _results(annotation: Mapping[str, Any], at: str) -> list[dict[str, Any]]:
    results = annotation.get("result")
    if not isinstance(results, list):
        raise FormatError(f"{at} has results that are not a list.")
    return [result if isinstance(result, dict) else {} for result in results]


def _choose_annotation(task: Mapping[str, Any]) -> tuple[Mapping[str, Any], int] | None:
    """Choose the annotation that is read, and count the others: the ground truth, else the last."""
    stated = task.get("annotations", task.get("completions"))
    usable = [a for a in _list(stated) if isinstance(a, dict) and not a.get("was_cancelled")]
    marked = [a for a in usable if a.get("ground_truth")]
    return ((marked or usable)[-1], len(usable) - 1) if usable else None


# -- images --------------------------------------------------------------------------------------


def _places(data: Mapping[str, Any], results: Sequence[Mapping[str, Any]], at: str) -> list[tuple[str, Any]]:
    """Return the images of a task, each with a test whether a result is on it."""
    for value in data.values():
        if isinstance(value, list) and value and all(isinstance(v, str) and _is_image(v) for v in value):
            return [(place, _has_index(index)) for index, place in enumerate(value)]
    named = {key: value for key, value in data.items() if isinstance(value, str) and _is_image(value)}
    targets = {str(r["to_name"]) for r in results if is_shape(r) and isinstance(r.get("to_name"), str)}
    if len(targets) > 1:
        if not targets <= named.keys():
            raise FormatError(f"{at} annotates several images without naming them in its data.")
        return [(named[target], _is_on(target)) for target in sorted(targets)]
    if targets and (place := named.get(next(iter(targets)))):
        return [(place, _anything)]
    usual = [named[key] for key in _USUAL if key in named] or [*dict.fromkeys(named.values())]
    if len(usual) > 1 and "image" not in named:
        raise FormatError(f"{at} names several images without stating which one is annotated.")
    if not usual and isinstance(data.get("image"), str):
        usual = [data["image"]]
    if not usual:
        raise FormatError(f"{at} names no image.")
    return [(usual[0], _anything)]


def _anything(_: Mapping[str, Any]) -> bool:
    return True


def _has_index(index: int) -> Any:
    return lambda result: result.get("item_index", 0) == index


def _is_on(target: str) -> Any:
    return lambda result: result.get("to_name", target) == target


def _is_image(text: str) -> bool:
    return _has_suffix(_path_of(text))


def _has_suffix(path: str) -> bool:
    return PurePosixPath(path).suffix.lower() in IMAGE_SUFFIXES


def _path_of(place: str) -> str:
    """Return the path in what names an image: a URL, a place of the local storage, a path."""
    text = place.strip()
    stored = unquote(text.partition("?d=")[2]).replace("\\", "/")
    if stored:
        return stored if _has_suffix(stored) else stored.partition("&")[0]
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    if parts.scheme == "data":
        return ""
    if len(parts.scheme) > 1 or text.startswith("//"):
        return unquote(parts.path)
    path = text.partition("?")[0].replace("\\", "/")
    return unquote(path) if path.startswith("/data/") else path


class _Names:
    """Finds the images that tasks name, and the names that their fields have."""

    def __init__(self, images: Images, places: Iterable[str]) -> None:
        self._images = images
        paths = [self._path(place)[0] for place in places]
        self._shorts = Counter(_HASH.sub("", path) for path in dict.fromkeys(paths))
        folders = [PurePosixPath(path).parts[:-1] for path in paths]
        self._common = 0
        for level in zip(*folders, strict=False):
            if len(set(level)) > 1:
                break
            self._common += 1

    @staticmethod
    def _path(place: str) -> tuple[str, bool]:
        path = _path_of(place)
        uploaded = _UPLOAD.match(path)
        if uploaded:
            path = path[uploaded.end() :]
        drive = re.match(r"[A-Za-z]:/", path)
        return (path[3:] if drive else path).lstrip("/"), uploaded is not None

    def resolve(self, place: str, at: str) -> tuple[str, Match]:
        """Return the name of the field of a task, and the image or field of that name.

        Folders that all tasks have in common say where the server keeps its files, and may be left out; an
        uploaded file has a prefix of eight digits that its owner does not know.
        """
        path, uploaded = self._path(place)
        name = safe_name(path, at)
        best = self._images.find(name)
        if best.found or best.alike:
            return name, best
        candidates = ["/".join(PurePosixPath(name).parts[self._common :])]
        short = _HASH.sub("", name)
        if uploaded and short != name and self._shorts[short] == 1:
            candidates.append(short)
        for candidate in candidates:
            match = self._images.find(candidate)
            if match.found and ("/" in candidate or uploaded or self._is_flat(name, match)):
                return candidate if uploaded else name, match
        return candidates[-1] if uploaded else name, best

    def _is_flat(self, name: str, match: Match) -> bool:
        """Return whether no folder confirms a match on the side of the images either."""
        if match.path is not None or match.field is None or not self._images.is_flat(match):
            return self._images.is_flat(match)
        # films/P1 says something of films/P2, and nothing of another folder
        return not self._images.came_from_one_of(match.field, PurePosixPath(name).parts[:-2])


def _read(task: _Task, names: _Names, schema: Schema, document: Document, images: Images) -> FieldIn:
    skipped = document.skipped
    name, match = names.resolve(task.place, task.at)
    is_ours = task.data.get(STATED) is True
    if is_ours and isinstance(field_name := task.data.get("field"), str):
        name = safe_name(field_name, task.at)
        match = images.find(name) if not match.found else match
    field_in = FieldIn(name, image=match.path)
    if match.field is not None and match.path is None:
        field_in.name = match.field.name
    for key in ("patient", "slide", "domain"):
        word = task.data.get(key)
        if isinstance(word, str | int) and not isinstance(word, bool) and str(word).strip():
            setattr(field_in, key, clean_name(str(word)))
    if (pixel := task.data.get("pixel_size_um")) is not None:
        try:
            field_in.pixel_size_um = number(pixel, task.at)
        except FormatError as error:
            skipped.note("pixel sizes", f"{error} The pixel size was left out.")
    if is_ours or task.annotation is None:
        field_in.regions = []
    if task.annotation is not None:
        _Marks(task.at, field_in, schema, document, images).take(task.annotation)
    for score, results in task.predictions:
        _Marks(task.at, field_in, schema, document, images, score).take(results)
    for _ in range(task.further):
        skipped.count("{n} further annotations of a task were left out: a reading here is one annotator's.")
    return field_in


# -- marks ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Mark:
    """A shape, with the values of the other results of the same id."""

    shape: Mapping[str, Any]
    labels: list[str] = field(default_factory=list)
    values: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Marks:
    """Takes the results of an annotation, or of a prediction, whose score is `scored`."""

    at: str
    field: FieldIn
    schema: Schema
    document: Document
    images: Images
    scored: float | None = None

    def take(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Join the results and take each mark; one that cannot be read is skipped and reported."""
        for mark in self._join_results(results):
            areas = {label for label in mark.labels if label in (REGION, IGNORE)}
            if areas and self.scored is not None:
                continue  # a prediction never marks a region as finished
            if not areas:
                self.document.annotations += 1
            try:
                points, lost = points_of(mark.shape, self._size(mark.shape), self.at)
                if areas:
                    self._area(points, areas.pop())
                else:
                    if lost:
                        self.document.skipped.count(lost)
                    self._cell(mark, points)
            except FormatError as error:
                self.document.skipped.note("marks that cannot be read", f"{error} The mark was left out.")
                if self.scored is None:
                    self.field.left_out(None)

    def _join_results(self, results: Sequence[Mapping[str, Any]]) -> Iterator[_Mark]:
        """Join results of one id; where it stands for several shapes, those of one place."""
        skipped = self.document.skipped
        marks: dict[tuple[str, str], _Mark] = {}
        by_id: dict[str, list[_Mark]] = {}
        others: list[Mapping[str, Any]] = []
        usable = [r for r in results if isinstance(r.get("value"), dict)]
        shaped = {str(r["id"]) for r in usable if is_shape(r) and r.get("id") is not None}
        for position, result in enumerate(usable):
            result_id = str(result["id"]) if result.get("id") is not None else f"\n{position}"
            value = result["value"]
            lone = result.get("type") == "labels" and result_id not in shaped and "width" in value
            if not (is_shape(result) or lone):
                others.append(result)
                continue
            key = result_id, place_of(value)
            if key not in marks:
                marks[key] = _Mark(result)
                by_id.setdefault(result_id, []).append(marks[key])
            marks[key].labels += _labels(value)
        for result in others:
            matching = by_id.get(str(result.get("id"))) or by_id.get(str(result.get("parentID"))) or []
            if len(matching) > 1:
                matching = [m for m in matching if place_of(m.shape["value"]) == place_of(result["value"])]
            if len(matching) != 1:
                skipped.count("{n} labels, choices and texts belong to no mark: left out.")
                if not matching and self.scored is None and _may_be_cell(result):
                    self.field.left_out(None)
                continue
            self._join(matching[0], result)
        for _ in range(sum(r.get("type") == "relation" for r in results)):
            skipped.count("{n} relations between marks were left out.")
        for result in results:
            if isinstance(result.get("value"), dict) or result.get("type") == "relation":
                continue
            skipped.count("{n} results have no value that can be read: left out.")
            if self.scored is None:
                self.field.left_out(None)
        yield from marks.values()

    def _join(self, mark: _Mark, result: Mapping[str, Any]) -> None:
        value, name = result["value"], str(result.get("from_name"))
        if words := _labels(value):
            mark.labels += words
            return
        kinds = ("choices", "text", "taxonomy", "rating", "number")
        stated = next((value[kind] for kind in kinds if value.get(kind) is not None), None)
        for word in stated if isinstance(stated, list) else [] if stated is None else [stated]:
            # of a taxonomy the path's end
            mark.values.setdefault(name, []).append(
                str(word[-1] if isinstance(word, list) and word else word)
            )

    def _size(self, result: Mapping[str, Any]) -> Size:
        if result.get("image_rotation") not in (None, 0):
            raise FormatError(f"In {self.at}, the image was turned in Label Studio: turn it back.")
        stated_size = [result.get(key) for key in ("original_width", "original_height")]
        if None not in stated_size:
            width, height = (round(number(v, self.at)) for v in stated_size)
            if width > 0 and height > 0:
                self.field.width, self.field.height = width, height
                return width, height
        for side in ("width", "height"):
            value = result.get(f"original_{side}")
            if f"original_{side}" in result and (value is None or number(value, self.at) < 1):
                note_odd_side(self.document.skipped, self.field.name, side)
        size = self.images.size(self.field.image, self.field.name)
        if size is None:
            raise FormatError(
                f"In {self.at}, the size of the image is unknown: give the images with --images."
            )
        return size

    def _area(self, points: Points, label: str) -> None:
        corners = [(round(x, 6), round(y, 6)) for x, y in points]
        x, y, w, h = bounds(corners)
        box = {(x, y), (round(x + w, 6), y), (round(x + w, 6), round(y + h, 6)), (x, round(y + h, 6))}
        area = (x, y, w, h) if set(corners) == box else tuple(v for point in corners for v in point)
        if len(area) < 4 or len(area) % 2:
            return
        if label == IGNORE:
            self.field.ignore_areas.append(area)
        else:
            self.field.regions = [*(self.field.regions or []), area]

    def _cell(self, mark: _Mark, points: Points) -> None:
        schema, skipped, field = self.schema, self.document.skipped, self.field
        box = bounds(points)
        stated = {name: words for name, words in mark.values.items() if words}
        cell_class, in_schema = self._class(mark, stated)
        if not in_schema:
            if self.scored is None:
                field.unknown_boxes.append((mark.labels[0], box))
            return
        words = {}
        for name, options in stated.items():
            if name in TAKEN:
                continue
            if len(set(options)) > 1:
                skipped.count(f"{shown(name)} has several values for one cell: left out ({{n}} cells).")
            else:
                words[_unprefixed(name)] = options[0]
        values = read_values(words, schema, skipped)
        where = f"box {len(field.cells) + len(field.proposals) + 1} in {self.at.partition(' of ')[0]}"
        if self.scored is not None:
            score = confidence_of(mark.shape)
            confidence = self.scored if score is None else score
            field.proposals.append((where, Proposal(box, confidence, *certain(cell_class, values, schema))))
            return
        flags = dict.fromkeys(set(stated.get("flags", ())) & set(FLAGS), "yes")
        flags |= {name: "\n".join(stated[name]) for name in ("kind", "comment") if name in stated}
        field.cells.append(
            CellIn(where, box, cell_class, values, read_flags(flags, schema, cell_class, skipped))
        )

    def _class(self, mark: _Mark, stated: dict[str, list[str]]) -> tuple[str | None, bool]:
        """Return the class of a mark, and whether it can come in: of its labels, else of a choice."""
        schema, skipped = self.schema, self.document.skipped
        labels = list(dict.fromkeys(mark.labels))
        if not labels:
            for name, words in stated.items():
                if schema.find_attribute(name) is None and name not in TAKEN and len(words) == 1:
                    cell_class = schema.find_class(words[0])
                    if cell_class is not None:
                        del stated[name]
                        return cell_class, True
            return None, True
        found_classes = {c for label in labels if (c := schema.find_class(label)) is not None}
        if len(found_classes) > 1:
            skipped.count("{n} marks have labels of several classes: their class was left missing.")
            return None, True
        if found_classes and len(labels) > 1:
            return found_classes.pop(), True
        return read_class(labels[0], schema, skipped)


def _labels(value: Mapping[str, Any]) -> list[str]:
    """Return the labels of a result, whatever tag gave them (``rectanglelabels``, ``labels``, …)."""
    for key, label in value.items():
        if key.endswith("labels"):
            words = [label] if isinstance(label, str) else _list(label)
            return [str(word) for word in words if isinstance(word, str | int | float)]
    return []


def _may_be_cell(result: Mapping[str, Any]) -> bool:
    """Return whether a result that belongs to no mark may be a cell: it does not label the whole image."""
    value = result["value"]
    return bool(_labels(value)) or place_of(value) != place_of({}) or not result.get("type")


def _unprefixed(name: str) -> str:
    return name.removeprefix("attribute_") if name.removeprefix("attribute_") in TAKEN else name

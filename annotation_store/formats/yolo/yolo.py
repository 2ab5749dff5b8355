"""Ultralytics' dataset folder, in and out: ``data.yaml``, ``images/{train,val}``, ``labels/{train,val}``.

What it carries: boxes, and one class per box. A cell whose class is missing, unsure, or a class group stands
under a separate label (*unclassified*, *unsure*, the group's name), after the schema's classes and only
where some cell needs it: left out, it would be trained as background. Suggestions are written as Ultralytics
writes predictions (``save_txt`` with ``save_conf``): the confidence is a sixth column, only the most probable
class is kept; such a folder is for reading, not for training.

What it loses: attributes, kinds, flags, comments, probabilities, and what is *not* known: YOLO takes all that
is not boxed for background. An export contains the fields with annotations, and warns of those with unknown
area; ``fields=covered`` leaves these out. Regions, ignore areas, names, patients and domains stand in
``regions.json`` (see `_exchange/sidecar.py`), which the reader here reads back and others ignore.

On reading, a label file without ``regions.json`` says that the whole image is annotated, as Ultralytics takes
it; an image without a label file is not annotated. Polygons and rotated boxes become their bounding boxes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import CellIn, Document, FieldIn, Skipped
from annotation_store.formats._exchange.export import (
    Contents,
    fields_with_pictures,
    new_folder,
    refuse_full,
    refuse_nothing,
    with_progress,
)
from annotation_store.formats._exchange.image_places import Size, walk
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.losses import lost_by_suggestions
from annotation_store.formats._exchange.pictures import with_pictures
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._exchange.sidecar import read_sidecar, write_sidecar
from annotation_store.formats._io.labels import certain, label_of, labels, read_class
from annotation_store.formats._io.option import SEED, VALIDATION, Option, share_for_test
from annotation_store.formats._io.text import lines, number, read_file, whole
from annotation_store.formats.yolo.names import DataSet, data_set_of
from annotation_store.images import IMAGE_SUFFIXES
from annotation_store.records import Box, Cell, ExportReport, Field, Proposal, Suggestion
from annotation_store.schema import Schema
from annotation_store.splits import split_fields

_FIELDS = Option(
    "fields",
    "annotated",
    title="Fields",
    help="How unmarked area is written, which YOLO treats as background.",
    values={
        "annotated": "All annotated fields, the rest as background",
        "covered": "Only completely annotated fields",
    },
)
_TEST = share_for_test(0.0)
WRITE_OPTIONS = (_FIELDS, VALIDATION, _TEST, SEED)

# a box of float32 may pass the edge by a hair; Ultralytics accepts as much
_LEAST, _MOST = -0.01, 1.01


class Row(NamedTuple):
    """One line of a label file."""

    class_id: int
    centre_x: float
    centre_y: float
    width: float
    height: float
    confidence: float | None = None
    outline: bool = False

    @property
    def extent(self) -> tuple[float, ...]:
        """What must lie between 0 and 1."""
        if not self.outline:
            return self.centre_x, self.centre_y, self.width, self.height
        across, down = self.width / 2, self.height / 2
        return self.centre_x - across, self.centre_y - down, self.centre_x + across, self.centre_y + down

    def box(self, size: Size) -> Box:
        """Return the box in pixels; the rounding takes back what normalising did to short numbers."""
        w, h = self.width * size[0], self.height * size[1]
        x, y = self.centre_x * size[0] - w / 2, self.centre_y * size[1] - h / 2
        return round(min(x, x + w), 6), round(min(y, y + h), 6), round(abs(w), 6), round(abs(h), 6)


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read a dataset folder (or its ``data.yaml``); see `annotation_store.formats.read`."""
    data_set = data_set_of(request.path)
    finder = request.finder(data_set.root)
    document = from_folder(data_set, request.project.schema, finder)
    return document, finder


def from_folder(data_set: DataSet, schema: Schema, images: Images) -> Document:
    """Read a dataset folder in the words of a schema; what is not a label is skipped and reported.

    Raises
    ------
    FormatError
        There are no labels.
    """
    root = data_set.root
    label_pairs = pairs(root, images)
    if not any(pair.label for pair in label_pairs):
        raise FormatError(
            f"The folder {root} holds no YOLO labels: it needs labels/ with .txt files, and images/."
        )
    skipped = Skipped()
    document = Document(str(root), [], skipped)
    for pair, field in zip(
        label_pairs, field_frames(label_pairs, read_sidecar(root, schema), images), strict=True
    ):
        document.fields.append(field)
        if pair.label is None:
            skipped.count("{n} images have no label file: nothing in them counts as annotated.")
            field.regions = field.regions or []
            continue
        size = images.size(field.image, field.name)
        if size is None:
            continue  # the merge reports that the image was not found
        field.width, field.height = size
        source = f"{pair.label.relative_to(root)}"
        try:
            rows = parse(read_file(pair.label), source, point_columns=data_set.point_columns)
        except FormatError as error:
            rows = [Unreadable(str(error))]
        document.annotations += len(rows)
        for line, row in enumerate(rows, start=1):
            if isinstance(row, Unreadable):
                skipped.note("lines that are not labels", f"{row.reason} It was left out.")
                field.left_out(None if row.row is None else row.row.box(size))
            else:
                _take(row, f"{pair.label.name} line {line}", field, size, data_set.names, schema, skipped)
    return document


def _take(
    row: Row,
    where: str,
    field: FieldIn,
    size: Size,
    names: Mapping[int, str],
    schema: Schema,
    skipped: Skipped,
) -> None:
    cell_class, in_schema = None, False
    if row.class_id in names:
        cell_class, in_schema = read_class(names[row.class_id], schema, skipped)
    else:
        skipped.count(f"class number {row.class_id} has no name in the data set: {{n}} boxes skipped.")
    if not in_schema:
        if row.confidence is None:
            field.unknown_boxes.append((names.get(row.class_id, str(row.class_id)), row.box(size)))
        return
    if row.outline:
        skipped.count("{n} outlines were converted to their bounding boxes.")
    if row.confidence is None:
        field.cells.append(CellIn(where, row.box(size), cell_class))
        return
    classes, _ = certain(cell_class, {}, schema)
    field.proposals.append((where, Proposal(row.box(size), row.confidence, classes)))


class Pair(NamedTuple):
    """A label file and its image, either of which may be missing."""

    key: str  # path of the image within the folder, suffix left out
    label: Path | None
    image: Path | None


def pairs(root: Path, images: Images) -> list[Pair]:
    """Pair label files with images as Ultralytics does: ``images`` for ``labels``, the last of them."""
    pictures: dict[str, Path] = {}
    texts: list[Path] = []
    for path in walk(root):
        suffix = path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            pictures[path.relative_to(root).with_suffix("").as_posix()] = path
        elif suffix == ".txt":
            texts.append(path)
    matched: list[Pair] = []
    for text in texts:
        parts = list(text.relative_to(root).with_suffix("").parts)
        if "labels" in parts[:-1]:
            parts[len(parts) - 2 - parts[:-1][::-1].index("labels")] = "images"
        key = "/".join(parts)
        picture = pictures.pop(key, None) or images.file(key)
        if (
            "labels" not in text.relative_to(root).parts[:-1]
            and picture is None
            and not images.field_named(key)
        ):
            continue  # a list of classes or of images, a readme
        matched.append(Pair(key, text, picture))
    rest = [Pair(key, None, path) for key, path in pictures.items() if "images" in key.split("/")[:-1]]
    return sorted(matched + rest)


def field_frames(
    label_pairs: Sequence[Pair], sidecar: Mapping[str, FieldIn], images: Images
) -> list[FieldIn]:
    """Make the fields that label files speak of: from the sidecar, else named by their image or field."""
    short = [pair.key.rsplit("/", 1)[-1] for pair in label_pairs]
    times = Counter(short)
    frames = []
    for pair, name in zip(label_pairs, short, strict=True):
        suffix = pair.image.suffix if pair.image else ""
        if pair.key in sidecar:
            frame = replace(sidecar[pair.key], cells=[], proposals=[])
        elif pair.image is None and (field := images.field_named(pair.key)) is not None:
            frame = FieldIn(field.name)
        elif times[name] > 1:
            frame = FieldIn("/".join(p for p in pair.key.split("/") if p != "images") + suffix)
        else:
            frame = FieldIn(name + suffix)
        frame.image = pair.image
        frames.append(frame)
    return frames


class Unreadable(NamedTuple):
    """A line that is not a label, why, and its box if that can be read as shares of the image."""

    reason: str
    row: Row | None = None


def parse(data: bytes, source: str, *, point_columns: int = 0) -> list[Row | Unreadable]:
    """Read a label file: ``class cx cy w h``, with a confidence, or with the points of an outline.

    Parameters
    ----------
    point_columns
        Number of key point columns after each box; they are skipped.
    """
    rows: list[Row | Unreadable] = []
    for position, line in enumerate(lines(data, source), start=1):
        words = line.split()
        if not words:
            continue
        if point_columns and len(words) in (5 + point_columns, 6 + point_columns):
            words = words[:5] + words[5 + point_columns :]
        rows.append(_row(words, f"{source} line {position}"))
    return rows


def _row(words: Sequence[str], at: str) -> Row | Unreadable:
    try:
        if len(words) < 5 or (len(words) > 6 and len(words) % 2 == 0):
            hint = ": read it as lld" if len(words) in (12, 16) else ""
            raise FormatError(f"In {at}, {len(words)} numbers are not a YOLO label{hint}.")
        values = [number(word, at) for word in (words[1:] if len(words) > 6 else words[1:5])]
        row = _outline(values) if len(words) > 6 else Row(-1, values[0], values[1], values[2], values[3])
    except FormatError as error:
        return Unreadable(str(error))
    if not all(_LEAST <= value <= _MOST for value in row.extent):
        return Unreadable(
            f"In {at}, a number lies outside 0 to 1: YOLO labels are shares of the image's width and height."
        )
    try:
        class_id = whole(words[0], at)
        if class_id < 0:
            raise FormatError(f"In {at}, the class number is negative.")
    except FormatError as error:
        return Unreadable(str(error), row)
    return row._replace(class_id=class_id, confidence=_confidence(words[5], at) if len(words) == 6 else None)


def _outline(values: Sequence[float]) -> Row:
    xs, ys = values[::2], values[1::2]
    low, high = (min(xs), min(ys)), (max(xs), max(ys))
    centre = (low[0] + high[0]) / 2, (low[1] + high[1]) / 2
    return Row(-1, *centre, high[0] - low[0], high[1] - low[1], outline=True)


def _confidence(word: str, at: str) -> float:
    """Read how sure a machine was; a word that is not a number is not a confidence, yet a machine's."""
    try:
        return min(max(number(word, at), 0.0), 1.0)
    except FormatError:
        return 0.0


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write a dataset folder; see `annotation_store.formats.write`."""
    refuse_full(request.out)
    val, test = VALIDATION.read(request.options), _TEST.read(request.options)
    skipped = Skipped()
    covered = _FIELDS.read(request.options) == "covered"
    contents = with_pictures(request.contents(), request.project, skipped, whole=not covered)
    fields, partly = fields_with_pictures(contents, request.what, skipped, covered=covered)
    for _ in range(partly):
        skipped.count(
            "Warning: {n} fields have unknown area, which YOLO will train as background. "
            "Leave them out (--option fields=covered), or train here, where it is masked."
        )
    refuse_nothing(fields, skipped)
    shares = {"train": 1 - val - test, "val": val, "test": test}
    parts = split_fields(fields, shares, seed=SEED.read(request.options))
    for part, share in shares.items():
        if share and fields and part not in parts.values():
            skipped.count(f"There are too few patients for {part}: it is empty.")
    names = request.names()
    files = request.image_names(fields)
    classes = labels(contents.schema, _classes(contents, fields))
    _report_losses(contents, fields, classes, skipped)
    with new_folder(request.out) as folder:
        used = [part for part, share in shares.items() if share or part == "train"]
        for part in used:
            (folder / "images" / part).mkdir(parents=True)
            (folder / "labels" / part).mkdir(parents=True)
        for field in with_progress(fields, contents.progress):
            part, file = parts[field.id], files[field.id]
            request.put_image(field, folder / "images" / part / file)
            rows = label_rows(contents, field, classes)
            text = "".join(f"{row}\n" for row in rows)
            (folder / "labels" / part / file).with_suffix(".txt").write_text(text, "utf-8", newline="\n")
        (folder / "data.yaml").write_text(_data_yaml(classes, used), "utf-8", newline="\n")
        places = {field.id: [f"images/{parts[field.id]}/{files[field.id]}"] for field in fields}
        write_sidecar(folder, contents, fields, places, names)
    lost = [*skipped.sentences(), *lost_by_suggestions(contents, "yolo")]
    return ExportReport(request.out, **contents.count(fields), skipped=lost)


def _classes(contents: Contents, fields: Iterable[Field]) -> list[str | None]:
    ids = [field.id for field in fields]
    classes = [cell.cell_class for i in ids for cell in contents.cells.get(i, ())]
    return classes + [s.stated_class for i in ids for s in contents.suggestions.get(i, ())]


def label_rows(contents: Contents, field: Field, classes: Sequence[str]) -> list[str]:
    """Return the lines of a field's label file."""
    numbers = {label: n for n, label in enumerate(classes)}
    schema = contents.schema
    rows = []
    things: list[Cell | Suggestion] = [
        *contents.cells.get(field.id, ()),
        *contents.suggestions.get(field.id, ()),
    ]
    for thing in things:
        label = thing.cell_class if isinstance(thing, Cell) else thing.stated_class
        words = [str(numbers[label_of(label, schema)]), *normalised(thing.box, (field.width, field.height))]
        if isinstance(thing, Suggestion):
            words.append(f"{thing.probability:.6g}")
        rows.append(" ".join(words))
    return rows


def normalised(box: Box, size: Size) -> list[str]:
    """Return centre and size as shares of the image, with enough digits for a slide of gigapixels."""
    x, y, w, h = box
    values = ((x + w / 2) / size[0], (y + h / 2) / size[1], w / size[0], h / size[1])
    return [f"{min(max(value, 0.0), 1.0):.12g}" for value in values]


def _data_yaml(classes: Sequence[str], parts: Sequence[str]) -> str:
    # no "path": Ultralytics then takes the folder of this file, wherever it is moved to
    content: dict[str, Any] = {part: f"images/{part}" for part in parts}
    content.setdefault("val", "images/train")
    return yaml.safe_dump({**content, "names": dict(enumerate(classes))}, sort_keys=False, allow_unicode=True)


def _report_losses(
    contents: Contents, fields: Sequence[Field], classes: Sequence[str], skipped: Skipped
) -> None:
    spare = set(classes) - set(contents.schema.class_names)
    for field in fields:
        for cell in contents.cells.get(field.id, ()):
            label = label_of(cell.cell_class, contents.schema)
            if label in spare:
                skipped.count(f"{{n}} cells were written as the extra class {label!r}.")
            if cell.attributes:
                skipped.count("YOLO cannot store attributes: those of {n} cells were left out.")
            if cell.comment or cell.kind or cell.bookmark or cell.second_opinion:
                skipped.count(
                    "YOLO cannot store kinds, flags and comments: those of {n} cells were left out."
                )

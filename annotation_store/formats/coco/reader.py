"""COCO objects read in the words of a schema; see `coco` for the dialect.

Only a wrong overall structure is an error. An odd record is skipped and reported: where it may be a cell it
never becomes background (`FieldIn.left_out`).
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import (
    CellIn,
    Document,
    FieldIn,
    Skipped,
    note_odd_side,
    stated_side,
)
from annotation_store.formats._exchange.unknown_classes import is_surely_not_white
from annotation_store.formats._io.file_names import safe_name
from annotation_store.formats._io.labels import certain, class_of, confidence_of, novelty_of, sets_of
from annotation_store.formats._io.text import shown
from annotation_store.formats.coco.shapes import area, box_of, finite
from annotation_store.records import Box, Proposal
from annotation_store.schema import Schema
from annotation_store.schema.from_coco import value_word
from annotation_store.schema.reserved import UNSURE
from annotation_store.validation import clean_name

FLAGS = ("kind", "cut", "comment", "bookmark", "second_opinion")
KNOWN = frozenset(
    {
        "id",
        "image_id",
        "category_id",
        "bbox",
        "iscrowd",
        "segmentation",
        "attributes",
        "unsure",
        "class_group",
    }
    | {"score", "class_probabilities", "attribute_probabilities", "novelty", "unknown", "unchecked", "sets"}
    | {*FLAGS}
)
_MAX_EXTRA = 20
_MAX_TEXT = 200
_MAX_DIGITS = 30
_TRUE = (True, 1, "1", "true", "True", "yes")
_PIXEL_SIZES = 0.001, 100

Id = int | str


def from_coco(data: Any, schema: Schema, *, source: str = "the COCO file") -> Document:
    """Read a COCO object in the words of a schema.

    Raises
    ------
    FormatError
        The structure is wrong: no list of images, no list of annotations, or no image that can be used.
    """
    return _Reader(schema, source).read(data)


def category_names(categories: Any, skipped: Skipped | None = None) -> dict[Id, str]:
    """Read the categories of a COCO object; of an id that stands for two names none is taken."""
    names: dict[Id, str] = {}
    doubtful: set[Id] = set()
    for category in categories if isinstance(categories, list) else ():
        number, name = (
            (category.get(k) for k in ("id", "name")) if isinstance(category, dict) else (None, None)
        )
        if not isinstance(number, int | str) or not is_id(number) or not isinstance(name, str | int | float):
            if skipped is not None:
                skipped.count("{n} categories have no usable id or name: left out.")
            continue
        if names.setdefault(number, str(name)) != str(name):
            doubtful.add(number)
    for number in doubtful:
        del names[number]
        if skipped is not None:
            skipped.count("{n} category ids are given to two names: left out.")
    return names


def is_id(value: Any) -> bool:
    """Return whether a value can be the id of an image or a category."""
    return isinstance(value, int | str) and not isinstance(value, bool)


def known_id(value: Any, known: Container[Id]) -> Id | None:
    """Find an id among those that are known: as it stands, else as text for a number or the reverse."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not is_id(value):
        return None
    other: Id = value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS:
        other = int(value) if str(int(value)) == value else value
    elif isinstance(value, int) and abs(value) < 10**_MAX_DIGITS:
        other = str(value)
    return next((candidate for candidate in (value, other) if candidate in known), None)


@dataclass
class _Reader:
    schema: Schema
    source: str
    skipped: Skipped = field(default_factory=Skipped)
    categories: dict[Id, str] = field(default_factory=dict)
    # ids of images that are left out, to the names that the file gives them
    unusable: dict[Id, set[str]] = field(default_factory=dict)
    # attribute and value as the file spells them, to what the schema calls them: looked up once a file
    words: dict[tuple[str, str], str | None] = field(default_factory=dict)

    def read(self, data: Any) -> Document:
        if not isinstance(data, dict) or not isinstance(data.get("images"), list):
            raise FormatError(
                f"{self.source} is not a COCO file: it needs a list of images and a list of annotations. "
                "Export it again as COCO."
            )
        for part in ("annotations", "categories"):
            if not isinstance(data.get(part), list | None):
                raise FormatError(f"In {self.source}, {part} must be a list: export it again as COCO.")
        self.categories = category_names(data.get("categories"), self.skipped)
        fields = self._fields(data["images"])
        reasons = self.skipped.listed("images that cannot be used")
        annotations = data.get("annotations") or []
        for position, annotation in enumerate(annotations, start=1):
            if not isinstance(annotation, dict):
                self.skipped.count("{n} annotations are not objects: left out.")
            elif (image_id := known_id(annotation.get("image_id"), fields)) is None:
                self._leave_out_astray(annotation, fields)
            else:
                self._annotation(annotation, fields[image_id], _place(annotation, position))
        unique = list({id(f): f for f in fields.values()}.values())
        if data["images"] and not unique:
            raise FormatError(f"No image of {self.source} can be used. {reasons[0]}")
        return Document(self.source, unique, self.skipped, len(annotations))

    # -- images ----------------------------------------------------------------------------------

    def _fields(self, images: Sequence[Any]) -> dict[Id, FieldIn]:
        fields: dict[Id, FieldIn] = {}
        doubtful: set[Id] = set()
        for position, image in enumerate(images, start=1):
            at = f"image {position} of {self.source}"
            if not isinstance(image, dict) or not is_id(image.get("id")):
                self.skipped.note("images that cannot be used", f"{at} has no usable id: left out.")
                continue
            try:
                name = safe_name(image.get("file_name"), at, foreign=True)
                name.encode()
            except (FormatError, UnicodeEncodeError) as error:
                reason = (
                    str(error) if isinstance(error, FormatError) else f"The file name of {at} is not text."
                )
                self.skipped.note("images that cannot be used", reason)
                self.unusable.setdefault(image["id"], set())
                continue
            if image["id"] not in fields:
                fields[image["id"]] = self._field(image, name)
            elif fields[image["id"]].name != name:
                doubtful.add(image["id"])
                self.unusable.setdefault(image["id"], set()).update((fields[image["id"]].name, name))
        for number in doubtful:
            del fields[number]
            self.skipped.note(
                "images that cannot be used",
                f"The image id {shown(number)} of {self.source} is given to two images: both are left out.",
            )
        return fields

    def _field(self, image: Mapping[str, Any], name: str) -> FieldIn:
        field_in = FieldIn(
            name,
            width=self._side(image, "width", name),
            height=self._side(image, "height", name),
            patient=_word(image.get("patient")),
            slide=_word(image.get("slide")),
            domain=_word(image.get("domain")),
        )
        if (pixel_size := finite(image.get("pixel_size_um"))) is not None:
            if _PIXEL_SIZES[0] <= pixel_size <= _PIXEL_SIZES[1]:
                field_in.pixel_size_um = pixel_size
            else:
                self.skipped.count("{n} pixel sizes are out of range: left out.")
        if "annotated_regions" in image:  # null is not absent: it states that nothing is annotated
            regions = image["annotated_regions"]
            areas = (
                [area(a) for a in regions] if isinstance(regions, list) else [] if regions is None else [None]
            )
            field_in.regions = [a for a in areas if a is not None]
            for _ in range(areas.count(None)):
                self.skipped.count(
                    "{n} annotated regions cannot be read: these areas do not count as annotated."
                )
        ignored = image.get("ignore_areas")
        for shape in map(area, ignored) if isinstance(ignored, list) else () if ignored is None else (None,):
            if shape is not None:
                field_in.ignore_areas.append(shape)
            else:
                field_in.left_out(None, "{n} ignore areas cannot be read.")
        return field_in

    def _side(self, image: Mapping[str, Any], side: str, name: str) -> int | None:
        stated = stated_side(finite(image.get(side)))
        if stated is None and side in image:  # NaN and endless numbers are read as null
            note_odd_side(self.skipped, name, side)
        return stated

    def _leave_out_astray(self, annotation: Mapping[str, Any], fields: Mapping[Id, FieldIn]) -> None:
        """Leave out an annotation of no usable image: where it may lie, no field is finished as a whole."""
        number = known_id(annotation.get("image_id"), self.unusable)
        self.skipped.count("{n} annotations belong to no image of the file: skipped.")
        label = self._label(annotation.get("category_id"))
        if self._confidence(annotation) is not None or (label is not None and is_surely_not_white(label)):
            return
        names = None if number is None else self.unusable[number]
        for field_in in fields.values():
            if field_in.regions is None and (names is None or field_in.name in names):
                field_in.left_out(None)

    # -- annotations -----------------------------------------------------------------------------

    def _annotation(self, annotation: Mapping[str, Any], field_in: FieldIn, where: str) -> None:
        box, outlined = box_of(annotation.get("bbox"), annotation.get("segmentation"))
        is_suggestion = self._confidence(annotation) is not None  # null, too: not yet reviewed
        label = self._label(annotation.get("category_id"))
        if box is None:
            if is_suggestion or (label is not None and is_surely_not_white(label)):
                self.skipped.count("{n} boxes that are not numbers were left out.")
            else:
                field_in.left_out(
                    None, "{n} annotations with neither a usable box nor an outline were left out."
                )
            return
        if annotation.get("iscrowd") in _TRUE:
            self.skipped.count("{n} boxes around crowds (iscrowd) became ignore areas.")
            field_in.ignore_areas.append(box)
            return
        cell_class, in_schema = self._class(annotation, label)
        if not in_schema:
            if not is_suggestion:
                field_in.unknown_boxes.append((label or "", box))
            return
        attributes = self._attributes(annotation)
        if is_suggestion:
            field_in.proposals.append((where, self._proposal(annotation, box, cell_class, attributes)))
            return
        if outlined:
            self.skipped.count("{n} outlines were converted to their bounding boxes.")
        elif annotation.get("segmentation"):
            self.skipped.count("{n} outlines (segmentation) were left out: only boxes are imported.")
        flags = self._flags(annotation, cell_class)
        field_in.cells.append(CellIn(where, box, cell_class, attributes, flags, _extra(annotation, box)))

    def _confidence(self, annotation: Mapping[str, Any]) -> float | None:
        """Return the confidence; ``None`` if no machine found the box."""
        confidence, attributes = confidence_of(annotation), annotation.get("attributes")
        if confidence is None and isinstance(attributes, dict):
            return confidence_of(attributes, self.schema)
        return confidence

    def _label(self, number: Any) -> str | None:
        category_id = known_id(number, self.categories)
        return None if category_id is None else self.categories[category_id]

    def _class(self, annotation: Mapping[str, Any], label: str | None) -> tuple[str | None, bool]:
        """Return the class, and whether the annotation is a white cell that the schema covers."""
        schema, unsure = self.schema, "class" in _list(annotation.get("unsure"))
        group = annotation.get("class_group")
        if group is not None:
            cell_class = schema.find_class(str(group))
            if cell_class is None:
                self.skipped.count(
                    f"class group {shown(group)} is not in the schema: class left out ({{n}} cells)."
                )
            return cell_class, True
        if annotation.get("category_id") is None:
            return (UNSURE if unsure else None), True
        if label is None:
            number = shown(annotation["category_id"])
            self.skipped.count(f"category {number} is not among the file's categories: {{n}} boxes skipped.")
            return None, False
        cell_class, known = class_of(label, schema)
        if not known:
            self.skipped.count(
                f"class {shown(label)} is not in the schema {schema.name}: {{n}} boxes skipped."
            )
        return (UNSURE if known and cell_class is None and unsure else cell_class), known

    def _attributes(self, annotation: Mapping[str, Any]) -> dict[str, str | None]:
        stated = annotation.get("attributes")
        if not isinstance(stated, dict | None):
            self.skipped.count("attributes that are not names with values were left out ({n} cells).")
        values: dict[str, str | None] = {}
        for name, value in stated.items() if isinstance(stated, dict) else ():
            attribute, word = self.schema.find_attribute(name), value_word(value)
            if value is None:
                continue
            if attribute is None:
                self.skipped.count(f"attribute {shown(name)} is not in the schema: left out ({{n}} cells).")
                continue
            if word is not None and word.lower() in (UNSURE, "missing"):
                values[attribute] = UNSURE if word.lower() == UNSURE else None
                continue
            if word is not None and (name, word) not in self.words:
                pair = self.schema.find_value(name, word)
                self.words[name, word] = None if pair is None else pair[1]
            if word is None or (value_name := self.words[name, word]) is None:
                self.skipped.count(
                    f"value {shown(value)} of {attribute} is not in the schema: left out ({{n}} cells)."
                )
            else:
                values[attribute] = value_name
        for name in _list(annotation.get("unsure")):
            attribute = self.schema.find_attribute(name) if isinstance(name, str) else None
            if attribute is not None:
                values[attribute] = UNSURE
            elif name != "class":
                self.skipped.count(f"unsure {shown(name)} is not in the schema: left out ({{n}} cells).")
        return values

    def _flags(self, annotation: Mapping[str, Any], cell_class: str | None) -> dict[str, Any]:
        # null and not stated are not the same as "not cut": the field's edge decides
        flags: dict[str, Any] = {name: v for name in FLAGS if (v := annotation.get(name)) is not None}
        for name in ("cut", "bookmark", "second_opinion"):
            if name in flags:
                flags[name] = flags[name] in _TRUE
        if "comment" in flags:
            flags["comment"] = str(flags["comment"])
        kinds: tuple[str, ...] = ()
        if cell_class is not None and self.schema.is_class(cell_class):
            kinds = self.schema.class_named(cell_class).kinds
        if "kind" in flags and flags["kind"] not in kinds:
            self.skipped.count(f"kind {shown(flags['kind'])}: not in the schema, left out ({{n}} cells).")
            del flags["kind"]
        return flags

    def _proposal(
        self,
        annotation: Mapping[str, Any],
        box: Box,
        cell_class: str | None,
        attributes: Mapping[str, str | None],
    ) -> Proposal:
        """Read a suggestion; where only the most probable value is given, it is taken for certain."""
        score = self._confidence(annotation)
        if not score and finite(annotation.get("score")) is None:
            self.skipped.count("{n} suggestions have no valid score: their confidence is 0.")
        sure_classes, sure_values = certain(cell_class, attributes, self.schema)
        classes: dict[str, float] = {}
        for name, p in self._probabilities(annotation.get("class_probabilities")).items():
            if (class_name := self.schema.find_class(name)) is not None:
                classes[class_name] = classes.get(class_name, 0) + p
        values: dict[str, dict[str, float]] = {}
        distributions = annotation.get("attribute_probabilities")
        for name, distribution in distributions.items() if isinstance(distributions, dict) else ():
            for word, p in self._probabilities(distribution).items():
                if (pair := self.schema.find_value(name, word)) is not None:
                    values.setdefault(pair[0], {})[pair[1]] = p
        novelty = novelty_of(annotation.get("novelty"), self.skipped)
        return Proposal(
            box,
            score or 0.0,
            classes or sure_classes,
            {**sure_values, **values},
            novelty,
            annotation.get("unchecked") in _TRUE,
            sets_of(annotation.get("sets"), self.schema, self.skipped),
        )

    def _probabilities(self, distribution: Any) -> dict[str, float]:
        numbers = {n: finite(p) for n, p in distribution.items()} if isinstance(distribution, dict) else {}
        if not isinstance(distribution, dict | None) or None in numbers.values():
            self.skipped.count(
                "probabilities that are not names with numbers were left out ({n} suggestions)."
            )
            return {}
        return {name: p for name, p in numbers.items() if p is not None}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _place(annotation: Mapping[str, Any], position: int) -> str:
    number = annotation.get("id")
    return (
        f"annotation {number}" if type(number) is int and abs(number) < 10**18 else f"annotation {position}"
    )


def _word(value: Any) -> str | None:
    text = str(value) if isinstance(value, str) or type(value) is int else ""
    return clean_name(text) if text.strip() else None


def _extra(annotation: Mapping[str, Any], box: Sequence[float]) -> dict[str, Any] | None:
    """Return what has no column, so that an export can write it again."""
    extra = {
        str(name)[:80]: value
        for name, value in annotation.items()
        if name not in KNOWN and isinstance(value, str | int | float) and _is_plain(name) and _is_plain(value)
    }
    if not extra or len(extra) > _MAX_EXTRA:
        return None
    # an area is that of the box as it was; see `coco._cell_out`
    return {"coco": extra, "bbox": list(box)} if set(extra) != {"area"} or extra["area"] else None


def _is_plain(value: Any) -> bool:
    """Return whether a value is short, and text of it can be written to a file."""
    if isinstance(value, int) and abs(value) > 10**_MAX_TEXT:
        return False
    text = str(value)
    return len(text) <= _MAX_TEXT and text.isprintable() and not any("\ud800" <= c <= "\udfff" for c in text)

"""Pascal VOC, in and out: ``Annotations/*.xml``, ``JPEGImages/``, ``ImageSets/Main/*.txt``, ``labelmap.txt``.

What it carries: boxes (``xmin, ymin, xmax, ymax`` in pixels from 0, as LabelImg and CVAT write them; decimals
where a box has them), one name an object: the class, or *unclassified*, *unsure*, the name of a class group;
``truncated`` for a cell that the field's edge cuts. What VOC has no element for stands in elements that
others pass over: ``attributes`` as CVAT writes them (attribute values, kind, flags, comment), and in
``annotation`` the ``annotated_regions`` and ``ignore_areas``, the field's name, patient, slide, domain and
pixel size.

What it loses: suggestions (use COCO); an object with a confidence or score is read as one. On reading, a
file without ``annotated_regions``, and without such objects, says that the whole image is annotated; an
object's parts and poses are passed over. The image is the one that goes by the XML's own name, as LabelImg
has it, or by the name in it. A file that cannot be read is left out, and so is an object without a box, which
is not background then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeTree

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import (
    CellIn,
    Document,
    FieldIn,
    Skipped,
    note_odd_side,
    stated_side,
)
from annotation_store.formats._exchange.export import (
    Contents,
    new_folder,
    refuse_full,
    refuse_nothing,
    with_progress,
)
from annotation_store.formats._exchange.image_places import walk
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats._exchange.pictures import with_pictures
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import Names, is_absolute, safe_name
from annotation_store.formats._io.labels import (
    CONFIDENCES,
    certain,
    confidence_of,
    flag_words,
    label_of,
    read_class,
    read_flags,
    read_values,
)
from annotation_store.formats._io.option import SEED, VALIDATION
from annotation_store.formats._io.text import number, read_file, shown
from annotation_store.records import Box, Cell, ExportReport, Field, Proposal
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import split_fields
from annotation_store.validation import clean_name

WRITE_OPTIONS = (VALIDATION, SEED)

_MAX_BYTES = 20_000_000
_FLAGS = ("kind", "comment", "bookmark", "second_opinion")


# -- in ------------------------------------------------------------------------------------------


def read(request: ImportRequest) -> tuple[Document, Images]:
    """Read an XML file, or a folder of them; see `annotation_store.formats.read`."""
    finder = request.finder()
    document = from_path(request.path, request.project.schema, finder)
    return document, finder


def from_path(path: Path, schema: Schema, images: Images) -> Document:
    """Read an XML file, or all of those in a folder.

    Raises
    ------
    FormatError
        There are none, or one is not what it should be.
    """
    document = Document(str(path), [], Skipped())
    files = [path] if path.is_file() else [p for p in walk(path) if p.suffix.lower() == ".xml"]
    if not files:
        raise FormatError(f"The folder {path} holds no .xml files: give the folder with Annotations/.")
    pairing = Pairing.for_files(images, path, files)
    for file in files:
        source = str(file) if path.is_file() else str(file.relative_to(path))
        try:
            parse(read_file(file, limit=_MAX_BYTES), schema, source, document, pairing, file)
        except FormatError as error:
            if path.is_file():
                raise
            document.skipped.note("files that cannot be read", f"{error} The file was left out.")
    document.refuse_empty()
    return document


def parse(data: bytes, schema: Schema, source: str, document: Document, pairing: Pairing, file: Path) -> None:
    """Read one XML file into a document; `pairing` finds its image.

    Raises
    ------
    FormatError
        It is not XML, declares entities, or is not a VOC annotation.
    """
    try:
        root = SafeTree.fromstring(data, forbid_dtd=True)
    except DefusedXmlException as error:
        raise FormatError(
            f"The file {source} declares a document type or entities, which are not accepted for safety: "
            "remove them."
        ) from error
    except (ET.ParseError, ValueError, LookupError, RecursionError) as error:
        raise FormatError(
            f"The file {source} is not valid XML ({_brief(error)}): export it again."
        ) from error
    if root.tag != "annotation":
        raise FormatError(
            f"The file {source} is not a VOC annotation: its root element is {shown(root.tag)}."
        )
    field = _field(root, source, pairing, file, document.skipped)
    document.fields.append(field)
    for position, element in enumerate(root.findall("object"), start=1):
        if _text(element, "deleted") == "1":  # LabelMe keeps what was deleted
            continue
        document.annotations += 1
        try:
            box = _box(element, f"object {position} of {source}")
        except FormatError as error:
            document.skipped.note("objects that cannot be read", f"{error} The object was left out.")
            field.left_out(None)
            continue
        if element.find("bndbox") is None:
            document.skipped.count("{n} outlines were converted to their bounding boxes.")
        _take(element, box, field, schema, document.skipped, f"object {position}")
    if field.proposals and field.regions is None:
        field.regions = []  # where only a machine looked, nothing is finished


def _box(element: Any, at: str) -> Box:
    """Return the box of an object, whichever corner it was drawn from, or the box around its outline."""
    if element.find("bndbox") is not None:
        points = [
            (number(_text(element, f"bndbox/x{end}"), at), number(_text(element, f"bndbox/y{end}"), at))
            for end in ("min", "max")
        ]
    elif element.find("robndbox") is not None:
        x, y, w, h, angle = (
            number(_text(element, f"robndbox/{part}"), at) for part in ("cx", "cy", "w", "h", "angle")
        )
        turn, lean = abs(math.cos(angle)), abs(math.sin(angle))
        across, down = (w * turn + h * lean) / 2, (w * lean + h * turn) / 2
        points = [(x - across, y - down), (x + across, y + down)]
    else:
        points = _outline(element.find("polygon"), at)
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), round(max(xs) - min(xs), 6), round(max(ys) - min(ys), 6)


def _outline(polygon: Any, at: str) -> list[tuple[float, float]]:
    """Read the points of a polygon: ``x1 y1 x2 y2``, or a ``pt`` for each as LabelMe writes them."""
    corners = [] if polygon is None else polygon.findall("pt")
    points = [(number(_text(p, "x"), at), number(_text(p, "y"), at)) for p in corners]
    if polygon is not None and not points:
        across = [child for child in polygon if str(child.tag)[:1] == "x"]
        points = [
            (number(child.text or "", at), number(_text(polygon, f"y{str(child.tag)[1:]}"), at))
            for child in across
        ]
    if len(points) < 2:
        raise FormatError(f"In {at}, there is no bndbox: draw its box, or export it with one.")
    return points


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:80]


def _text(element: Any, path: str) -> str:
    child = element.find(path)
    return "" if child is None or child.text is None else str(child.text).strip()


def _field(root: Any, source: str, pairing: Pairing, file: Path, skipped: Skipped) -> FieldIn:
    stated = _text(root, "filename")
    project_name = _text(root, "field")
    # a path of another computer says nothing here; the file's own name finds the image
    stated = safe_name(stated, source) if stated and not is_absolute(stated) else ""
    name, match = pairing.match(file, stated, _text(root, "folder"))
    field = FieldIn(safe_name(project_name, source) if project_name else name, image=match.path)
    if project_name and not match.found:
        field.beside, field.stem = file.parent, file.stem
    if match.alike:
        raise FormatError(
            f"The image of {source} may be {' or '.join(match.alike[:3])}: give it the name of the file."
        )
    numbers: dict[str, float | None] = {}
    for key in ("size/width", "size/height", "pixel_size_um"):
        try:
            numbers[key] = number(text, source) if (text := _text(root, key)) else None
        except FormatError as error:
            numbers[key] = None
            skipped.note("numbers that cannot be read", f"{error} It was left out.")
    for side in ("width", "height"):
        stated_number = numbers[f"size/{side}"]
        if stated_number and stated_side(stated_number) is None:  # 0 stands for unknown
            note_odd_side(skipped, field.name, side)
    field.width, field.height = (stated_side(numbers[f"size/{s}"]) for s in ("width", "height"))
    field.pixel_size_um = numbers["pixel_size_um"]
    field.patient, field.slide, field.domain = (
        clean_name(word) if (word := _text(root, key)) else None for key in ("patient", "slide", "domain")
    )
    field.regions = _areas(root, "annotated_regions", source)
    field.ignore_areas = _areas(root, "ignore_areas", source) or []
    return field


def _areas(root: Any, tag: str, source: str) -> list[tuple[float, ...]] | None:
    """Read areas, each a text of numbers; ``None`` if the file has no such element."""
    parent = root.find(tag)
    if parent is None:
        return None
    areas = []
    for area in parent.findall("area"):
        values = tuple(number(word, f"{tag} of {source}") for word in (area.text or "").split())
        if len(values) != 4 and (len(values) < 6 or len(values) % 2):
            raise FormatError(
                f"In {tag} of {source}, an area has {len(values)} numbers: give 4, or an even number from 6."
            )
        areas.append(values)
    return areas


def _take(
    element: Any,
    box: tuple[float, float, float, float],
    field: FieldIn,
    schema: Schema,
    skipped: Skipped,
    where: str,
) -> None:
    label = _text(element, "name")
    cell_class, in_schema = read_class(label, schema, skipped) if label else (None, True)
    words: dict[str, str] = {}
    for attribute in element.findall("attributes/attribute"):
        value = attribute.find("value")
        words[_text(attribute, "name")] = "" if value is None else value.text or ""
    beside = {str(child.tag): child.text or "" for child in element}
    confidence = confidence_of(beside)
    if confidence is None:
        confidence = confidence_of(words, schema)
    if not in_schema:
        if confidence is None:
            field.unknown_boxes.append((label, box))
        return
    if confidence is not None:
        stated = {
            name: word
            for name, word in words.items()
            if word.strip()
            and name not in _FLAGS
            and (schema.find_attribute(name) or name.casefold() not in CONFIDENCES)
        }
        sure = certain(cell_class, read_values(stated, schema, skipped), schema)
        field.proposals.append((where, Proposal(box, confidence, *sure)))
        return
    flags = {name: words.pop(name) for name in _FLAGS if name in words and not schema.find_attribute(name)}
    truncated = _text(element, "truncated")
    if truncated in ("0", "1"):
        flags["cut"] = truncated
    values = read_values({name: word for name, word in words.items() if word.strip()}, schema, skipped)
    cell_flags = read_flags(flags, schema, cell_class, skipped)
    field.cells.append(CellIn(where, box, cell_class, values, cell_flags))


# -- out -----------------------------------------------------------------------------------------


def write(request: ExportRequest) -> ExportReport:
    """Write a VOC folder; see `annotation_store.formats.write`."""
    if request.what == "suggestions":
        raise FormatError("Pascal VOC cannot store suggestions: export them as coco.")
    refuse_full(request.out)
    skipped = Skipped()
    contents = with_pictures(request.contents(), request.project, skipped)
    fields = contents.annotated()
    for _ in range(len(contents.fields) - len(fields)):
        skipped.count("{n} fields have no region and no cell: left out.")
    refuse_nothing(fields, skipped)
    val = VALIDATION.read(request.options)
    parts = split_fields(fields, {"train": 1 - val, "val": val}, seed=SEED.read(request.options))
    names = request.names()
    files = request.image_names(fields)
    with new_folder(request.out) as folder:
        for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
            (folder / name).mkdir(parents=True)
        for field in with_progress(fields, contents.progress):
            file = files[field.id]
            request.put_image(field, folder / "JPEGImages" / file)
            target = (folder / "Annotations" / file).with_suffix(".xml")
            target.write_bytes(to_xml(contents, field, file, names))
        (folder / "labelmap.txt").write_text(label_map(contents), "utf-8", newline="\n")
        for part in ("train", "val"):
            stems = [Path(files[f.id]).stem for f in fields if parts[f.id] == part]
            text = "".join(f"{stem}\n" for stem in stems)
            (folder / "ImageSets" / "Main" / f"{part}.txt").write_text(text, "utf-8", newline="\n")
    return ExportReport(request.out, **contents.count(fields), skipped=skipped.sentences())


def label_map(contents: Contents) -> str:
    """List the labels as CVAT and datumaro ask it: else they know the 20 classes of PASCAL alone."""
    schema = contents.schema
    used = {label_of(cell.cell_class, schema) for cells in contents.cells.values() for cell in cells}
    labels = [*schema.class_names, *sorted(used - set(schema.class_names))]
    colours = {cell_class.name: cell_class.colour for cell_class in schema.classes}
    lines = ["# label:color_rgb:parts:actions", "background:0,0,0::"]
    for label in labels:
        colour = (colours.get(label) or "#808080").lstrip("#")
        lines.append(f"{label}:{','.join(str(int(colour[i : i + 2], 16)) for i in (0, 2, 4))}::")
    return "\n".join(lines) + "\n"


def to_xml(contents: Contents, field: Field, file: str, names: Names) -> bytes:
    """Make the XML of one field."""
    root = ET.Element("annotation")
    _add(root, "folder", "JPEGImages")
    _add(root, "filename", file)
    _add(ET.SubElement(root, "source"), "database", "napari-lld")
    size = ET.SubElement(root, "size")
    for name, number_ in (("width", field.width), ("height", field.height), ("depth", 3)):
        _add(size, name, str(number_))
    _add(root, "segmented", "0")
    described = {
        "field": names.file(field.name),
        "patient": names.person(field.patient),
        "slide": names.person(field.slide),
        "domain": names.domain(field.domain),
        "pixel_size_um": None if field.pixel_size_um is None else repr(field.pixel_size_um),
    }
    for name, value in described.items():
        if value is not None:
            _add(root, name, value)
    _add_areas(root, "annotated_regions", (s.coords for s in contents.shapes(field)))
    _add_areas(root, "ignore_areas", (a.shape.coords for a in contents.ignore_areas.get(field.id, ())))
    for cell in contents.cells.get(field.id, ()):
        _add_object(root, cell, contents.schema, anonymous=names.anonymous)
    ET.indent(root)
    text: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return text


def _add(parent: ET.Element, tag: str, text: str) -> None:
    # control characters cannot stand in XML at all, and a carriage return comes back as a line feed
    clean = "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff"))
    ET.SubElement(parent, tag).text = clean


def _add_areas(root: ET.Element, tag: str, areas: Iterable[tuple[float, ...]]) -> None:
    element = ET.SubElement(root, tag)
    for area in areas:
        _add(element, "area", " ".join(repr(float(v)) for v in area))


def _add_object(root: ET.Element, cell: Cell, schema: Schema, *, anonymous: bool) -> None:
    element = ET.SubElement(root, "object")
    _add(element, "name", label_of(cell.cell_class, schema))
    _add(element, "pose", "Unspecified")
    _add(element, "truncated", str(int(cell.cut)))
    _add(element, "difficult", str(int(cell.cell_class == UNSURE)))
    box = ET.SubElement(element, "bndbox")
    x, y, w, h = cell.box
    for corner, value in zip(("xmin", "ymin", "xmax", "ymax"), (x, y, x + w, y + h), strict=True):
        _add(box, corner, _short(value))
    words = dict(cell.attributes) | {
        name: word for name, word in flag_words(cell, anonymous=anonymous).items() if name != "cut"
    }
    if words:
        attributes = ET.SubElement(element, "attributes")
        for name, word in words.items():
            attribute = ET.SubElement(attributes, "attribute")
            _add(attribute, "name", name)
            _add(attribute, "value", word)


def _short(value: float) -> str:
    """Write a whole number without decimals: many readers take nothing else."""
    value = round(value, 6)
    return str(int(value)) if value == int(value) else repr(value)

"""A fully annotated COCO file as truth: read as an import reads it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

from annotation_store import validation
from annotation_store.errors import EditError, FormatError
from annotation_store.files.json_reader import read_json
from annotation_store.formats._exchange.document import Document, FieldIn
from annotation_store.formats._exchange.images import Images, Match
from annotation_store.formats._exchange.matching import matching_images
from annotation_store.formats._exchange.unknown_classes import sort_unknown
from annotation_store.formats.coco.reader import from_coco
from annotation_store.geometry import SAME_BOX, BoxIndex, upright
from annotation_store.records import Field, Shape
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from annotation_store.splits import units
from training.evaluation.ground_truth import FieldTruth, TrueCell
from training.networks.scale import domain_of_size


class ImageTruth(NamedTuple):
    """The annotations of an image, and where its pixels are: in a file, or in a field of the project."""

    truth: FieldTruth
    path: Path | None
    field: Field | None


class Truth(NamedTuple):
    """What a fully annotated file says.

    Attributes
    ----------
    missing
        Name of each image that is left out because it was not found, and why.
    notes
        Sentences about other entries that are left out.
    """

    images: list[ImageTruth]
    missing: dict[str, str]
    notes: list[str]


def read_truth(file: Path, schema: Schema, images: Images, names: Collection[str] | None = None) -> Truth:
    """Read every white cell of a COCO file.

    Categories and values are matched by the schema's spellings; a category that only means "white cell" is a
    missing class; a category of another kind (red cells, platelets) is not a white cell. The evaluated area
    is limited to the file's ``annotated_regions``, without ``ignore_areas``, crowds and unusable entries.

    Parameters
    ----------
    names
        Read only images of these names, or of these last parts of a name.

    Raises
    ------
    FormatError
        It is not a COCO file, none of its images was found, or there is no white cell in those that were.
    """
    document = from_coco(read_json(file, nan_as_null=True), schema, source=str(file))
    if names is not None:
        wanted = set(names)
        document.fields = [f for f in document.fields if {f.name, PureWindowsPath(f.name).name} & wanted]
    matches, missing = matching_images(document, images)
    truths: list[ImageTruth] = []
    for index, (field_in, unit) in enumerate(zip(document.fields, units(document.fields), strict=True)):
        if index not in matches:
            continue
        truth = _truth(document, field_in, unit, matches[index], images)
        if truth is not None:
            truths.append(truth)
    for field_in in document.fields:
        for reason in field_in.reasons:
            document.skipped.count(reason)
    notes = document.skipped.sentences()
    if document.annotations and not any(image.truth.cells for image in truths):
        why = next(iter([*missing.values(), *notes]), "")
        raise FormatError(f"{file} contains no white cell to measure on. {why}".strip())
    return Truth(truths, {document.fields[index].name: why for index, why in missing.items()}, notes)


def _truth(
    document: Document, field_in: FieldIn, unit: str, match: Match, images: Images
) -> ImageTruth | None:
    """Return the truth of one image; ``None`` (with a message) if it cannot be trusted."""
    skipped = document.skipped
    real = images.size(match.path, field_in.name)
    stated = (field_in.width, field_in.height)
    if real is None and None not in stated:
        real = (stated[0] or 0, stated[1] or 0)
    if real is None or any(side not in (None, actual) for side, actual in zip(stated, real, strict=True)):
        skipped.count("{n} images have another size than the file says: left out.")
        return None
    field = Field(0, field_in.name, *real, "", "")
    cells: list[TrueCell] = []
    known = BoxIndex(SAME_BOX)
    for cell in field_in.cells:
        try:
            box, _ = validation.box_in_field(field, upright(cell.box))
        except EditError as error:
            skipped.note("cells that break a rule", f"{field.name}, {cell.where}: {error}")
            field_in.lost.append(cell.box)
            continue
        if known.find(box):
            skipped.count("{n} cells stand twice in the file: they count once.")
            continue
        known.add(len(cells), box)
        name = None if cell.cell_class == UNSURE else cell.cell_class
        values = {n: v for n, v in cell.attributes.items() if v is not None and v != UNSURE}
        cells.append(TrueCell(box, name, values))
    marks = sort_unknown(field, field_in)
    if marks.unplaced:
        skipped.count("{n} images have marks whose place cannot be read: left out.")
        return None
    for _ in field_in.proposals:
        skipped.count("{n} suggestions (annotations with a score) are not annotations: left out.")
    outside = [Shape(upright(a) if len(a) == 4 else a) for a in field_in.ignore_areas]
    truth = FieldTruth(
        name=field_in.name,
        width=field.width,
        height=field.height,
        cells=tuple(cells),
        inside=None if field_in.regions is None else tuple(map(Shape, field_in.regions)),
        outside=(*outside, *map(Shape, marks.boxes)),
        patient=unit,
        domain=field_in.domain or domain_of_size(field.width, field.height),
    )
    return ImageTruth(truth, match.path, match.field)


def outside_regions(
    truths: list[ImageTruth], known: Images, finished: Mapping[int, tuple[Shape, ...]]
) -> list[ImageTruth]:
    """Remove a project's finished regions from the truth: the model has not seen the rest.

    Parameters
    ----------
    known
        Finds the project's fields.
    finished
        Field id to its finished regions at the time of training.
    """
    remaining = []
    for truth in truths:
        field = known.field_named(truth.truth.name)
        regions = finished.get(field.id, ()) if field is not None else ()
        remaining.append(truth._replace(truth=replace(truth.truth, outside=(*truth.truth.outside, *regions))))
    return remaining

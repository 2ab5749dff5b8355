"""The registry of formats: what each can read and write, and the calls that every caller uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from annotation_store.errors import FormatError
from annotation_store.files.outputs import check_output, missing, removed_on_failure
from annotation_store.formats import cells_csv, crops, dataset_card, geojson, huggingface, voc
from annotation_store.formats._exchange.document import Document, Regions
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.merge import merge
from annotation_store.formats._exchange.requests import ExportRequest, ImportRequest
from annotation_store.formats._io.file_names import patients_named
from annotation_store.formats._io.option import Option
from annotation_store.formats.coco import coco
from annotation_store.formats.labelstudio import labelstudio
from annotation_store.formats.lld import lld
from annotation_store.formats.yolo import yolo
from annotation_store.records import ExportReport, ImportReport

if TYPE_CHECKING:
    from annotation_store.project import Project


@dataclass(frozen=True, slots=True)
class Format:
    """A format of annotations.

    Attributes
    ----------
    read, write
        ``None`` if it goes one way only. A reader returns the content of a file and where its images may
        be; what becomes of that in a project is the same for all formats.
    beside
        Another file written beside it; ``{stem}`` is replaced by the target's stem.
    target
        What an export is: a file, a folder (a new or empty one), or either, by the suffix.
    read_options, write_options
        Further options of the format; values are text.
    """

    name: str
    title: str
    read: Callable[[ImportRequest], tuple[Document, Images]] | None
    write: Callable[[ExportRequest], ExportReport] | None
    target: Literal["file", "folder", "either"] = "file"
    read_options: tuple[Option[Any], ...] = ()
    write_options: tuple[Option[Any], ...] = ()
    beside: str = ""

    @property
    def options(self) -> tuple[Option[Any], ...]:
        """The options of both ways."""
        return (*self.read_options, *self.write_options)


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        f.name: f
        for f in (
            Format("coco", "COCO JSON: with regions and attributes", coco.read, coco.write),
            Format(
                "yolo",
                "YOLO folder, as Ultralytics trains on",
                yolo.read,
                yolo.write,
                target="folder",
                write_options=yolo.WRITE_OPTIONS,
            ),
            Format(
                "lld",
                "LLD as published: label text (a folder) or COCO JSON (.json)",
                lld.read,
                lld.write,
                target="either",
                read_options=lld.READ_OPTIONS,
                write_options=lld.WRITE_OPTIONS,
            ),
            Format(
                "voc", "Pascal VOC: XML files", voc.read, voc.write, "folder", write_options=voc.WRITE_OPTIONS
            ),
            Format("csv", "CSV: one cell per row, for spreadsheets", cells_csv.read, cells_csv.write),
            Format(
                "geojson",
                "QuPath GeoJSON: one file per image",
                geojson.read,
                geojson.write,
                target="either",
                write_options=geojson.WRITE_OPTIONS,
            ),
            Format(
                "labelstudio",
                "Label Studio JSON",
                labelstudio.read,
                labelstudio.write,
                write_options=labelstudio.WRITE_OPTIONS,
                beside=labelstudio.CONFIGURATION,
            ),
            Format(
                "huggingface",
                "Hugging Face image folder",
                None,
                huggingface.write,
                target="folder",
                write_options=huggingface.WRITE_OPTIONS,
            ),
            Format(
                "crops",
                "Pictures of single cells, in folders by class",
                None,
                crops.write,
                target="folder",
                write_options=crops.WRITE_OPTIONS,
            ),
        )
    }
)
"""Every format by name; a new one is a module here and a line in this table."""


def names(*, reading: bool = False, writing: bool = False) -> list[str]:
    """List the formats, or those that can be read or written."""
    return [
        f.name
        for f in FORMATS.values()
        if not ((reading and f.read is None) or (writing and f.write is None))
    ]


def read(
    name: str,
    project: Project,
    path: str | Path,
    images: str | Path | None = None,
    regions: str = "file",
    patient_from: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: Mapping[str, str] | None = None,
) -> ImportReport:
    """Merge a file's annotations into the current reading of a project; nothing is overwritten.

    Parameters
    ----------
    name
        The format (see `names`).
    images
        The folder of the images; looked for beside the file, and in ``images/`` there, where not given.
    regions
        ``"file"``: the regions that the file states (COCO without any states that the whole field is
        annotated); ``"stated"``: those alone, and none where the file states none; ``"none"``: no regions;
        ``"full"``: every field is annotated as a whole.
    patient_from
        As in `Project.fields.add`.
    progress
        Called with (steps done, steps in all); an image read is a step, a field written another. What it
        raises ends the import: nothing was imported.
    options
        What the format asks beyond that (`Format.read_options`).

    Raises
    ------
    FormatError
        The file cannot be read, or nothing in it can be used. Nothing was imported.
    """
    report = _read(name, project, path, images, regions, patient_from, progress, options)
    if patient_from is not None:
        project.fields.set_patient_rule(patient_from)
    return report


def _read(
    name: str,
    project: Project,
    path: str | Path,
    images: str | Path | None,
    regions: str,
    patient_from: str | None,
    progress: Callable[[int, int], None] | None,
    options: Mapping[str, str] | None,
    *,
    dry_run: bool = False,
) -> ImportReport:
    if regions not in get_args(Regions):
        raise FormatError(f"Regions cannot be {regions!r}: give file, stated, none or full.")
    form = _format(name)
    if form.read is None:
        raise FormatError(f"The format {name} can be exported, but not imported.")
    patient_from = (project.fields.patient_rule if patient_from is None else patient_from) or None
    request = ImportRequest(
        project,
        Path(path),
        None if images is None else Path(images),
        patient_from,
        _options(form, form.read_options, options),
    )
    document, finder = form.read(request)
    return merge(
        project,
        document,
        images=finder,
        regions=regions,  # type: ignore[arg-type]
        patient_from=patient_from,
        progress=progress,
        dry_run=dry_run,
    )


def preview(
    name: str,
    project: Project,
    path: str | Path,
    images: str | Path | None = None,
    regions: str = "file",
    patient_from: str | None = None,
    progress: Callable[[int, int], None] | None = None,
    options: Mapping[str, str] | None = None,
) -> ImportReport:
    """Return what `read` would import and skip, without writing.

    The import is carried out in a transaction that is taken back, its images decoded and not kept: so it
    says what the import will say.
    """
    return _read(name, project, path, images, regions, patient_from, progress, options, dry_run=True)


def write(
    name: str,
    project: Project,
    path: str | Path,
    what: str = "cells",
    anonymise: bool = False,
    options: Mapping[str, str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    *,
    overwrite: bool = False,
    card: bool = True,
) -> ExportReport:
    """Write the current reading's cells, or the pending suggestions, to a file or folder, in one step.

    Parameters
    ----------
    what
        ``"cells"`` or ``"suggestions"``.
    anonymise
        Replace patient, slide and file names by keyed hashes (the key stays in the project), and leave
        comments out; images are written anew, without metadata.
    options
        What the format asks beyond that (`Format.write_options`).
    progress
        Called with (fields written, fields in all). What it raises ends the export: nothing was written.
    overwrite
        Replace a file that exists. A folder must be new or empty all the same.
    card
        Write a dataset card and Croissant too (`dataset_card`): into the folder, or beside the file.

    Raises
    ------
    FormatError
        The format cannot hold it. Nothing was written.
    OutputError
        It cannot be written there (see `annotation_store.files.outputs`). Nothing was written.
    """
    if what not in ("cells", "suggestions"):
        raise FormatError(f"{what!r} cannot be exported: give cells or suggestions.")
    form = _format(name)
    if form.write is None:
        raise FormatError(f"The format {name} can be imported, but not exported.")
    out = Path(path)
    chosen_options = _options(form, form.write_options, options)
    request = ExportRequest(project, out, what, anonymise, progress, chosen_options)  # type: ignore[arg-type]
    places = targets(form, out, card=card)
    for place in places:
        check_output(place, overwrite=overwrite)
    new = missing(places)
    report = form.write(request)
    if card:
        about = dataset_card.facts(project, report, form=name, what=request.what, anonymise=anonymise)
        with removed_on_failure(new):
            dataset_card.write(about, out)
    return replace(report, patients_named=patients_named(project.fields.all(), request.named))


def targets(form: Format, out: Path, *, card: bool = False) -> list[Path]:
    """List the files (or the folder) that an export writes."""
    folder = form.target == "folder" or (form.target == "either" and not out.suffix)
    beside = [out.with_name(form.beside.format(stem=out.stem))] if form.beside else []
    return [out, *beside, *(dataset_card.places(out, folder=False) if card and not folder else ())]


def _options(
    form: Format, accepted: tuple[Option[Any], ...], options: Mapping[str, str] | None
) -> Mapping[str, str]:
    for name in options or {}:
        if name not in {option.name for option in accepted}:
            choice = f"it has {', '.join(option.usage for option in accepted)}" if accepted else "it has none"
            raise FormatError(f"The format {form.name} has no option {name!r}: {choice}.")
    return dict(options or {})


def _format(name: str) -> Format:
    if name not in FORMATS:
        raise FormatError(f"There is no format {name!r}: choose one of {', '.join(FORMATS)}.")
    return FORMATS[name]

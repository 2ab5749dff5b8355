"""Preview and run an import of labels; for a thread, no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store import Project, formats
from annotation_store.errors import FormatError, LLDError
from annotation_store.records import ImportReport
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.options import ImportOptions
from napari_lld.tasks.coco_check import problems

if TYPE_CHECKING:
    from napari_lld.tasks.progress import OnProgress

_NAMED = 3


@dataclass(frozen=True)
class ProjectPlace:
    """The project that labels go into: the reading and the name that the window has it open with."""

    project: Path
    reading: int
    annotator: str
    patient_rule: str = ""

    @classmethod
    def of_project(cls, project: Project) -> ProjectPlace:
        """Return the place of an open project."""
        return cls(project.path, project.reading.id, project.annotator, project.fields.patient_rule or "")

    def open(self) -> Project:
        """Open it once more, for this thread."""
        return Project.open(self.project, annotator=self.annotator, reading=self.reading)


@dataclass(frozen=True)
class Import:
    """What to import, and how it is to be understood; a format ``""`` is whatever is recognised."""

    path: Path
    options: ImportOptions


@dataclass(frozen=True)
class ImportPreview:
    """What an import would do.

    Attributes
    ----------
    form
        The format, ``""`` where none was recognised.
    refused
        What prevents a complete import; the rest can be imported.
    problem
        Why nothing can come in.
    """

    form: str
    report: ImportReport | None = None
    refused: tuple[str, ...] = ()
    problem: str = ""


def look(place: ProjectPlace, request: Import, on_progress: OnProgress) -> ImportPreview:
    """Import, roll back, and report what the import would do."""
    form = request.options.format or formats.recognise(request.path) or ""
    if not form:
        return ImportPreview("", problem=_unrecognised(request.path))
    try:
        with place.open() as project:
            report = _read(project, form, request, on_progress, preview=True)
            refused = tuple(_refused(project, form, request, report))
    except LLDError as error:
        return ImportPreview(form, problem=in_the_window(str(error)))
    return ImportPreview(form, report, refused)


def carry_out(place: ProjectPlace, request: Import, on_progress: OnProgress) -> ImportReport:
    """Import completely or not at all.

    Raises
    ------
    LLDError
        The import failed; nothing was imported.
    """
    options = request.options
    try:
        with place.open() as project:
            # the file may have changed since it was looked at
            misfits = [] if options.skip_unknown or options.format != "coco" else _misfits(project, request)
            if misfits:
                raise FormatError(tr("Nothing was imported: {problem}.", problem=misfits[0]))
            return _read(project, options.format, request, on_progress, preview=False)
    except LLDError as error:
        raise FormatError(in_the_window(str(error))) from error


def _read(
    project: Project, form: str, request: Import, on_progress: OnProgress, *, preview: bool
) -> ImportReport:
    run, options = formats.preview if preview else formats.read, request.options
    option_names = {option.name for option in formats.FORMATS[form].read_options}
    report = run(
        form,
        project,
        request.path,
        images=options.images,
        regions=options.regions,
        patient_from=options.patient_from,
        progress=on_progress,
        options={name: value for name, value in options.options.items() if name in option_names},
    )
    return replace(report, skipped=[*map(in_the_window, report.skipped)])


def _misfits(project: Project, request: Import) -> list[str]:
    return problems(project, request.path, request.options.images)


def _refused(project: Project, form: str, request: Import, report: ImportReport) -> list[str]:
    """Describe what the command line refuses (of COCO), and classes that the schema lacks in any format."""
    if form == "coco":
        return _misfits(project, request)
    return [
        trn(
            "class '{name}' is not in the schema: {count} box",
            "class '{name}' is not in the schema: {count} boxes",
            count,
            name=name,
        )
        for name, count in sorted(report.unknown.items(), key=lambda item: -item[1])
    ]


def _unrecognised(path: Path) -> str:
    if path.suffix.lower() == ".txt":
        return tr("Label text comes as a folder: choose the folder that holds the labels and the images.")
    if path.is_dir():
        return tr("The format of this folder is not recognised: choose it, or the file itself.")
    return tr("The format of this file is not recognised: choose it.")


# ---------------------------------------------------------------------- in words


def comes_in(report: ImportReport) -> str:
    """Describe the contents of an import."""
    things = [
        trn("{count} cell", "{count} cells", report.cells),
        trn("{count} finished region", "{count} finished regions", report.regions),
    ]
    if report.suggestions:
        things.append(trn("{count} suggestion", "{count} suggestions", report.suggestions))
    existing = max(report.named - report.fields, 0)
    lines = [
        tr(
            "{things}; {new}, {there}.",
            things=", ".join(things),
            new=trn("{count} new field", "{count} new fields", report.fields),
            there=trn("{count} already here", "{count} already here", existing),
        )
    ]
    if report.filled:
        lines.append(
            trn(
                "Missing values are filled in for {count} existing cell.",
                "Missing values are filled in for {count} existing cells.",
                report.filled,
            )
        )
    if report.conflicts:
        lines.append(
            trn(
                "{count} cell conflicts with yours, which stays: see ☰ › Conflicts.",
                "{count} cells conflict with yours, which stay: see ☰ › Conflicts.",
                report.conflicts,
            )
        )
    return "\n".join(lines)


def shortened(sentences: Sequence[str], most: int = _NAMED) -> list[str]:
    """Return the first of many sentences, and how many more there are."""
    if len(sentences) <= most:
        return list(sentences)
    return [*sentences[:most], tr("… and {count} more.", count=len(sentences) - most)]

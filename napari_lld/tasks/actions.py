"""Long actions for a thread beside the window: each opens the project for itself; no Qt.

The window's project is told by `Project.refresh` when they are done, as with the worker process.
"""

from __future__ import annotations

import glob
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from annotation_store import Project, formats
from annotation_store.errors import LLDError
from annotation_store.records import Box, Shape
from annotation_store.schema import Schema
from napari_lld import sample
from napari_lld.i18n.translate import tr, trn
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.options import ExportOptions, ReportOptions
from napari_lld.session.patient_rule import coverage
from training.client import worker_environment

if TYPE_CHECKING:
    from napari_lld.tasks.import_preview import ProjectPlace
    from napari_lld.tasks.progress import OnProgress


def add_fields(
    project: Path,
    paths: Sequence[Path],
    on_progress: OnProgress,
    *,
    annotator: str | None = None,
    patient_from: str | None = None,
) -> str:
    """Add images to a project; return a sentence on what came in, of which patients, and what did not.

    Without `patient_from` the project's own rule finds the patients.
    """
    with Project.open(project, annotator=annotator) as opened:
        before = coverage(opened.fields.all())
        report = opened.fields.add(paths, patient_from=patient_from, progress=on_progress)
        after = coverage(opened.fields.all())
    sentence = trn("{count} field added.", "{count} fields added.", len(report.added))
    if report.added:
        sentence += " " + after.change_since(before)
    if report.skipped:
        count = len(report.skipped)
        sentence += " " + trn(
            "{count} file skipped: see Details.", "{count} files skipped: see Details.", count
        )
        skipped = (
            in_the_window(why) if str(path) in why else f"{path.name}: {in_the_window(why)}"
            for path, why in report.skipped
        )
        sentence = "\n".join([sentence, *skipped])
    return sentence


def create_project(
    folder: Path,
    schema: str | Schema,
    images: Sequence[Path],
    on_progress: OnProgress,
    *,
    annotator: str | None = None,
    patient_from: str | None = None,
) -> str:
    """Make a project and add its first fields."""
    Project.create(folder, schema, annotator=annotator).close()
    if not images:
        return ""
    return add_fields(folder, images, on_progress, annotator=annotator, patient_from=patient_from)


def describe_fields(
    place: ProjectPlace, changes: Mapping[int, Mapping[str, Any]], on_progress: OnProgress
) -> list[int]:
    """Change what is known of fields, an edit of each; return the edits, to be taken back together."""
    with place.open() as opened:
        on_progress(0, len(changes))
        return [edit.id for edit in opened.fields.update_many(changes)]


def rank_fields(
    project: Path,
    reading_id: int,
    on_progress: OnProgress,
    *,
    annotator: str | None = None,
    scheduler: str = "",
) -> None:
    """Rank the fields, by the stain those that no model has searched yet.

    Parameters
    ----------
    scheduler
        The address of a dask scheduler whose workers look at the stain; empty = this process does.
    """
    from training import ranking

    with Project.open(project, annotator=annotator, reading=reading_id) as opened:
        if ranking.unsearched(opened):
            if scheduler:
                _look_on_cluster(opened, scheduler, on_progress)
            else:
                ranking.embed_by_stain(opened, progress=on_progress)
        ranking.update(opened)


def _look_on_cluster(project: Project, scheduler: str, on_progress: OnProgress) -> None:
    from training.cluster.stain import look_on
    from training.cluster.units import on_cluster  # dask takes half a second

    so_far = [0, 0]

    def progress(*steps: int) -> None:
        so_far[:] = steps
        on_progress(*steps)

    with on_cluster(
        scheduler,
        None,
        project=project.path,
        read_only=False,
        check=lambda: on_progress(*so_far),
        device="cpu",
    ) as cluster:
        look_on(cluster, project, progress)


def count_unboxed_nuclei(pixels: npt.NDArray[np.uint8], inside: Shape, known: Sequence[Box]) -> int:
    """Count the dark nuclei in an area of a field that no known box covers."""
    from training.inference.stain import unboxed_nuclei  # scikit-image: not before it is needed

    return len(unboxed_nuclei(pixels, inside, known))


def make_sample_project(folder: Path, on_progress: OnProgress, *, annotator: str | None = None) -> str:
    """Make the sample project: 18 fields, one sparse region each. One that is there is kept."""
    if (folder / "project.db").exists():
        return ""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Project.create(folder, "lld", annotator=annotator) as opened:
        opened.fields.add(sample.fields(), progress=on_progress)
        formats.read("coco", opened, sample.sparse(), images=sample.fields()[0].parent)
    return tr("Try the program on the sample: 18 fields, one annotated region each.")


def count_for_export(project: Path, on_progress: OnProgress, *, reading: int | None = None) -> formats.Survey:
    """Count what a project holds, for the export dialog."""
    with Project.open(project, reading=reading, read_only=True) as opened:
        return formats.survey(opened, on_progress)


def export(
    project: Path,
    out: Path,
    on_progress: OnProgress,
    options: ExportOptions,
    *,
    reading: int | None = None,
) -> str:
    """Write a project's cells or suggestions in one of the formats; return a sentence on what went out.

    `reading` is the one that the window shows; a project that is opened anew would take the account's own.
    """
    with Project.open(project, reading=reading, read_only=True) as opened:
        report = formats.write(
            options.format,
            opened,
            out,
            what=options.what,
            anonymise=options.anonymise,
            options=options.options,
            progress=on_progress,
            overwrite=True,  # the dialog has asked
            card=options.card,
        )
    things = (
        trn("{count} suggestion", "{count} suggestions", report.suggestions)
        if options.what == "suggestions"
        else trn("{count} cell", "{count} cells", report.cells)
    )
    messages = [tr("{things} exported to {out}.", things=things, out=out)]
    if report.skipped:
        messages[0] += " " + trn("{count} note in Details.", "{count} notes in Details.", len(report.skipped))
    return "\n".join([*messages, *map(in_the_window, report.skipped)])


def report(
    project: Path,
    out: Path,
    on_progress: OnProgress,
    options: ReportOptions,
    *,
    reading: int | None = None,
) -> str:
    """Write the report of a project, in the reading that is shown.

    In a separate process: what it imports and counts would hold up the window even from a thread.
    """
    about = {"project": str(project), "out": str(out), "options": asdict(options), "reading": reading}
    request: str | None = json.dumps(about)
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "napari_lld.report"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=worker_environment(window=True),
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    try:
        while True:
            on_progress(0, 0)  # raises if a stop was requested
            try:
                _, output = process.communicate(request, timeout=0.2)
                break
            except subprocess.TimeoutExpired:
                request = None  # it has it
    except BaseException:
        process.kill()
        process.communicate()
        for temporary in out.parent.glob(f".{glob.escape(out.name)}.*.tmp"):
            temporary.unlink(missing_ok=True)
        raise
    if process.returncode:
        lines = output.strip().splitlines() or [tr("It ended without a message.")]
        if process.returncode == 2:
            raise LLDError(lines[-1])
        raise LLDError(tr("The report could not be written: {trouble}", trouble=lines[-1]))
    return tr("Report written to {out}.", out=out)

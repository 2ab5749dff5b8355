"""Merge another project in a thread; no Qt."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store.copies.merge import merge
from annotation_store.copies.report import Brought, MergeReport
from napari_lld.i18n.sentences import in_language
from napari_lld.i18n.translate import tr, trn
from napari_lld.session.readings import reading_words

if TYPE_CHECKING:
    from napari_lld.tasks.import_preview import ProjectPlace
    from napari_lld.tasks.progress import OnProgress


def bring(place: ProjectPlace, other: Path, on_progress: OnProgress, *, dry_run: bool) -> MergeReport:
    """Merge a project into the open one, or only report what a merge would do."""
    return merge(place.project, [other], annotator=place.annotator, dry_run=dry_run, progress=on_progress)


def comes_in(brought: Brought) -> str:
    """Describe what came in, or would."""
    parts = [
        trn("{count} field", "{count} fields", brought.fields) if brought.fields else "",
        trn("{count} cell", "{count} cells", brought.cells) if brought.cells else "",
        trn("{count} region", "{count} regions", brought.regions) if brought.regions else "",
        trn("{count} edit", "{count} edits", brought.edits) if brought.edits else "",
        trn("{count} model", "{count} models", brought.models) if brought.models else "",
    ]
    lines = [", ".join(part for part in parts if part) or tr("Details of fields.")]
    if brought.readings:
        lines.append(tr("New readings: {names}", names=", ".join(map(reading_words, brought.readings))))
    if brought.words:
        lines.append(tr("Added to the schema: {words}", words=", ".join(map(in_language, brought.words))))
    return "\n".join(lines)

"""``napari-lld renew``: class and values of pending suggestions, predicted anew from the labels so far."""

from __future__ import annotations

from napari_lld.cli._console import plural, say, say_json, worker_progress
from napari_lld.cli._options import Json, ProjectPath, ReadingName, open_project


def renew(project: ProjectPath, reading: ReadingName = None, as_json: Json = False) -> None:
    """Predict class and attributes of pending suggestions again from the labels so far, in seconds."""
    from training.client import run_worker
    from training.protocol import RenewRequest

    with open_project(project, reading=reading) as opened:
        number = opened.reading.id
    with worker_progress() as show:
        done = run_worker(RenewRequest(project=str(project.absolute()), reading=number), on_message=show)
    result = done.result
    if as_json:
        say_json({"project": project.absolute(), "model": done.model_id or "starter", **result})
        return
    count, cells, others = (int(result[name]) for name in ("count", "cells", "of_another_model"))
    if not cells:
        say("No cell is labelled yet: label some, then renew the suggestions.")
    say(f"{plural(count, 'suggestion')} changed, learning from {plural(cells, 'labelled cell')}.")
    if others:
        say(
            f"{plural(others, 'suggestion')} of another model, of the stain or of an imported file did not "
            f"change; predict again with: napari-lld predict {project}"
        )
    if damaged := result["damaged"]:
        say(f"Damaged images were left out: {', '.join(damaged)}. Run: napari-lld check {project} --repair")

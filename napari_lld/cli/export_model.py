"""``napari-lld export-model``: a model for other programs, as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_lld.cli._console import UsageError, plural, say, say_json, worker_progress
from napari_lld.cli._options import Json, Model, Overwrite, ProjectPath, model_of, open_project
from napari_lld.cli.export import check_out
from napari_lld.cli.predict import check_model


def export_model(
    project: ProjectPath,
    out: Annotated[Path, typer.Argument(metavar="OUT.onnx", help="File to write.", show_default=False)],
    model: Model = "active",
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Write a model as ONNX: detector, classes and attributes, with calibrated probabilities."""
    from training.client import run_worker
    from training.protocol import ExportModelRequest

    which = model_of(model)
    if out.suffix.lower() != ".onnx":
        raise UsageError(f"{out}: give a file name that ends with .onnx")
    check_out(out, overwrite=overwrite)
    with open_project(project, read_only=True) as opened:
        check_model(opened.path, [known_model.id for known_model in opened.models.all()], which)
    with worker_progress() as show:
        done = run_worker(
            ExportModelRequest(
                project=str(project.absolute()), model=which, out=str(out.absolute()), overwrite=overwrite
            ),
            on_message=show,
        )
    name = "The starter" if done.model_id is None else f"Model {done.model_id}"
    if as_json:
        say_json({"project": project.absolute(), "model": done.model_id or "starter", **done.result})
        return
    heads = done.result["heads"]
    values = sum(map(len, heads.values()))
    contents = (
        f"{plural(values, 'value')} of {plural(len(heads), 'head')}" if heads else "no class or attribute"
    )
    say(f"{name} is in {out}: detector {done.result['detector']}, {contents}.")
    if missing := done.result.get("missing"):
        say(missing)
    say("The file's metadata and docs/onnx.md describe how to run it.")

"""The task of exporting a model as ONNX."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from annotation_store.errors import LLDError
from annotation_store.files.outputs import check_output, write_file
from annotation_store.project import Project
from training.protocol import Done, ExportModelRequest, Progress, Started
from training.worker.channel import Channel

_PACKAGES = ("onnx", "onnxruntime")


def check_export(request: ExportModelRequest) -> None:
    """Reject requests that cannot be fulfilled, before torch is imported."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise LLDError(
            f"Writing ONNX needs {' and '.join(missing)}: install it with: pip install {' '.join(missing)}"
        )
    check_output(Path(request.out), overwrite=request.overwrite)


def export_model(request: ExportModelRequest, channel: Channel) -> Done:
    """Export a model as ONNX; see `ExportModelRequest`."""
    from training.inference.onnx_export import describe_export, export_onnx
    from training.worker.models import resolve

    out = Path(request.out)
    with Project.open(request.project, read_only=True) as project:
        model, number = resolve(project, request.model)
    channel.send(Started(task="export_model"))
    channel.send(Progress(stage="export", done=0, total=0))
    content = export_onnx(model)
    channel.check()
    check_output(out, overwrite=request.overwrite)
    write_file(out, content)
    metadata = describe_export(model)
    result = {
        "out": str(out),
        "detector": metadata["detector"],
        "heads": {head["name"]: head["values"] for head in metadata["heads"]},
        "missing": metadata["missing"],
    }
    return Done(task="export_model", model_id=number, result=result)

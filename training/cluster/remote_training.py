"""Training on a worker of a cluster: a separate process, on a copy of the project without names.

The copy arrives in parts and stays in the worker's own folder until training ends. The training is the same
as on any computer (`training.worker.train`), and is started as the command line starts it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from annotation_store.copies.teaching import place_slides
from annotation_store.errors import ImageError, LLDError
from training.client import TrainingCancelled, TrainingError, run_worker
from training.cluster.remote import own_folder, threads
from training.cluster.versions import difference, own_versions
from training.protocol import Message, Notice, Progress, ProtocolError, Started, TrainRequest

RESULT = ("model.safetensors", "model.json", "outcomes.json")
"""The files of a model's folder that are returned."""


def receive(run: str, files: Mapping[str, bytes]) -> int:
    """Write files of a copy, by their paths in it; return their total size in bytes."""
    folder = _folder_of(run)
    for name, content in files.items():
        inner = PurePosixPath(name)
        if inner.is_absolute() or ".." in inner.parts or "\\" in name or ":" in name:
            raise ImageError("A file of the copy leads out of its folder.")
        path = folder.joinpath(*inner.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return sum(map(len, files.values()))


def forget(run: str) -> None:
    """Remove a copy."""
    shutil.rmtree(_folder_of(run), ignore_errors=True)


def train(run: str, versions: Mapping[str, str], request: Mapping[str, Any], topic: str) -> dict[str, Any]:
    """Train on the copy that was received.

    Parameters
    ----------
    versions
        The versions of the client.
    request
        A `TrainRequest`; its paths are relative to the copy.
    topic
        Dask topic to which messages are sent during training.

    Returns
    -------
    dict
        ``done``: the last message, with ``files`` of the model and ``notices``; or ``failed``: cause, cure
        and details; or ``refused``: this worker's versions; or ``gone``: the copy is not here; or
        ``cancelled``.
    """
    if difference(versions) is not None:
        return {"refused": own_versions()}
    folder = _folder_of(run)
    if not folder.is_dir():
        return {"gone": True}
    notices: list[Any] = []
    tell, unwanted = _connection(topic)

    def hear(message: Message) -> None:
        if isinstance(message, Notice):
            notices.append(message.reason)
        elif isinstance(message, Started | Progress):
            tell(message.model_dump_json())

    try:
        place_slides(folder)
        content = dict(request)
        if content.get("start") is not None:
            content["init"] = str(folder / content["start"])
        content.pop("start", None)
        content["project"] = str(folder)
        done = run_worker(TrainRequest(**content), on_message=hear, should_cancel=unwanted, threads=threads())
        model = folder / "models" / str(done.model_id)
        files = {name: (model / name).read_bytes() for name in RESULT}
        return {"done": done.model_dump(mode="json"), "files": files, "notices": notices}
    except TrainingCancelled:
        return {"cancelled": True}
    except TrainingError as error:
        return {"failed": {"cause": error.cause, "cure": error.cure, "details": error.details}}
    except (LLDError, OSError, ProtocolError, ValueError) as error:
        return {"failed": {"cause": f"{error}", "cure": "", "details": ""}}
    finally:
        forget(run)


def _folder_of(run: str) -> Path:
    if not run.isalnum():
        raise ImageError("The name of a training is no name.")
    return own_folder() / f"train-{run}"


def _connection(topic: str) -> tuple[Any, Any]:
    """Return two functions: send a line to the client, and tell whether the task was cancelled."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(line: str) -> None:
        worker.log_event(topic, line)

    def unwanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    return tell, unwanted

"""What a worker of a cluster does when it trains: a separate process, on a copy without names.

The copy comes in parts and lies in the worker's own folder until the training has ended. The training is
that of any computer (`training.worker.train`), started as the command line starts it.
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
"""What is given back of a model's folder."""


def receive(run: str, files: Mapping[str, bytes]) -> int:
    """Write files of a copy, by their paths in it; return their bytes."""
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
        The client's.
    request
        A `TrainRequest`; its paths are within the copy.
    topic
        Where messages are told as they come.

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
    """Return what tells the client something, and what asks whether the task is still wanted."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def tell(line: str) -> None:
        worker.log_event(topic, line)

    def unwanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    return tell, unwanted

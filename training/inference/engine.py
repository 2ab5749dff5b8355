"""The prediction engine: a model's detector and trunk in ONNX Runtime, on a processor without graphics.

ONNX Runtime computes both networks in about half of torch's time, and a field in each thread keeps all
cores busy where torch's threads wait for each other at every layer (``docs/adr/0022``). Its graphs are made
once for each model, by a process beside this one, and kept in the project's folder ``.engine``. Until they
are there, and wherever anything is wrong with them, `engine_of` gives ``None``, and torch predicts as before.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import psutil
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from annotation_store.errors import LLDError
from annotation_store.files.layout import is_link
from training.inference.engine_graph import PARTS, content_hash, digest_of, graph_file
from training.networks.describer import CROP
from training.networks.detector import decode

if TYPE_CHECKING:
    from training.models.model import LearnedModel

WORTH_A_GRAPH = 32
"""Fields that a process predicts with a model before graphs are made: it takes a few seconds."""

_PATIENCE = 60.0
"""Seconds to wait for graphs; they take five, of the processor."""
_POLL = 0.1
_MOST_BYTES = 500_000_000
_MOST_OPEN = 3
_ALONE = 1_000_000
"""Working pixels from which all threads compute one field."""
_VIEWS = 8
"""Views of crops that are computed in one go: their maps stay in the processor's cache."""

_BOX_OFF = 0.25
"""Working pixels."""
_SCORE_OFF = 5e-4
_FEATURE_OFF = 1e-3
"""Over 1 and the feature's size."""


class EngineError(LLDError):
    """Graphs cannot be used; torch predicts."""


class UnusableError(EngineError):
    """Nor could any others of this model, in this process."""


class Engine:
    """The networks of a model in ONNX Runtime.

    Parameters
    ----------
    detector, trunk
        The graphs; no bytes of a trunk that a model lacks.
    threads
        How many fields are computed at a time, and how many threads compute a large one.

    Attributes
    ----------
    has_trunk
        Whether it gives `features`: a model that sees cells by their stain has no trunk.

    Raises
    ------
    EngineError
        ONNX Runtime is missing, or does not take them.
    """

    def __init__(self, detector: bytes, trunk: bytes, threads: int) -> None:
        self.threads = max(1, threads)
        self._detector = _session(detector, 1)
        self.has_trunk = bool(trunk)
        self._trunk: Any = _session(trunk, 1) if trunk else None
        self._content = detector
        self._wide: Any = None
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(self.threads, "lld-engine") if self.threads > 1 else None

    def each(self, tasks: Iterator[Callable[[], Any]]) -> list[Any]:
        """Return the results of tasks, a task in each thread; the next is made while others run."""
        if self._pool is None:
            return [task() for task in tasks]
        running: list[Future[Any]] = []
        try:
            running += (self._pool.submit(task) for task in tasks)
            return [future.result() for future in running]
        finally:
            for future in running:
                future.cancel()

    def decode(self, canvas: np.ndarray, *, alone: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(A, 5)`` boxes x1, y1, x2, y2 and score, and ``(channels,)``, of ``(H, W, 3)`` uint8.

        Parameters
        ----------
        alone
            Whether no other field is computed meanwhile.
        """
        large = alone or canvas.shape[0] * canvas.shape[1] >= _ALONE
        session = self._with_all_threads() if large and self.threads > 1 else self._detector
        boxes, vector = session.run(None, {"pixels": canvas[None]})
        return boxes[0], vector[0]

    def features(self, crops: Sequence[np.ndarray], sizes: Sequence[float], *, once: bool) -> np.ndarray:
        """Return what `describer.features_of` gives: ``(n, F)`` float32."""
        parts = []
        at_once = _VIEWS if once else _VIEWS // 8
        for start in range(0, len(crops), at_once):
            batch = np.stack(crops[start : start + at_once])
            pooled = self._trunk.run(None, {"crops": batch if once else _views(batch)})[0]
            parts.append(pooled.reshape(-1, len(batch), pooled.shape[1]).mean(0))
        return np.column_stack((np.concatenate(parts), np.asarray(sizes, np.float32)))

    def _with_all_threads(self) -> Any:
        with self._lock:
            if self._wide is None:
                self._wide = _session(self._content, self.threads)
            return self._wide


def _views(crops: np.ndarray) -> np.ndarray:
    """Return the eight rotations and flips ``(8 n, …)`` of crops ``(n, side, side, 3)``.

    See `Describer.embed_augmented`.
    """
    import cv2  # turns bytes of three ten times as fast as numpy

    views = np.empty((8, *crops.shape), np.uint8)
    for i, crop in enumerate(crops):
        for first, turned in ((0, crop), (4, cv2.transpose(crop))):
            views[first, i] = turned
            for k, axis in enumerate((0, 1, -1), first + 1):
                cv2.flip(turned, axis, dst=views[k, i])
    return views.reshape(-1, *crops.shape[1:])


def _session(content: bytes, threads: int) -> Any:
    try:
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # on Windows it writes to the system's event log
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others need the cores too
    except Exception as error:  # missing, or of another build
        raise UnusableError(f"ONNX Runtime cannot be used: {error}") from error
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # damaged, hostile
        raise EngineError(f"ONNX Runtime does not take the graphs: {error}") from error


# --- which engine ----------------------------------------------------------------------------------------


@dataclass
class Remembered:
    """What is known of a model in memory: where its files and graphs are, and its state when it was read."""

    place: Path
    folder: Path
    tensors: list[torch.Tensor]
    state: list[tuple[int, int]]
    digest: str


@dataclass
class ProcessState:
    """What this process has opened, predicted, and had made, by digest."""

    open: OrderedDict[str, Engine] = field(default_factory=OrderedDict)
    refused: set[str] = field(default_factory=set)
    fields: Counter[str] = field(default_factory=Counter)
    makers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)


remembered: WeakKeyDictionary[nn.Module, Remembered] = WeakKeyDictionary()
this_process = ProcessState()
_asking = threading.Lock()


def remember_files(model: LearnedModel, path: Path, folder: Path) -> None:
    """Remember of which files a model was read, so that there can be an engine for it.

    Parameters
    ----------
    model
        As it was read: once it has learnt something, it has no engine, nor has a copy.
    place
        As `read_model` takes it.
    folder
        Where graphs are kept, in a project that is there.
    """
    networks = (model.detector, model.describer.trunk)
    # kept, since to find them takes longer than to look at them
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    remembered[model.detector] = Remembered(
        path.absolute(), folder, tensors, _state(tensors), digest_of(model)
    )


def engine_of(model: LearnedModel, fields: int = 0, *, waited_for: bool = False) -> Engine | None:
    """Return the engine of a model; ``None``: torch is to predict.

    Parameters
    ----------
    fields
        How many fields are about to be predicted. Where there are no graphs that can be used, they are made
        once it were `WORTH_A_GRAPH` in this process.
    waited_for
        Whether the process that makes them is waited for: it does not give way to others then.
    """
    with _asking:  # the next batch is predicted while somebody judges the scale of a film
        return _engine_of(model, fields, waited_for=waited_for)


def _engine_of(model: LearnedModel, fields: int, *, waited_for: bool) -> Engine | None:
    known = remembered.get(model.detector)
    if known is None or os.environ.get("NAPARI_LLD_ENGINE") == "torch":
        return None
    if known.digest in this_process.refused:
        return None
    if known.state != _state(known.tensors) or next(model.detector.parameters()).device.type != "cpu":
        return None  # it has learnt something, or lies on a graphics card
    digest, threads = known.digest, torch.get_num_threads()
    engine = this_process.open.get(digest)
    if engine is None or engine.threads != threads:
        engine = _opened(known, model, threads, fields, waited_for=waited_for)
    if engine is not None:
        this_process.open[digest] = engine
        this_process.open.move_to_end(digest)
        while len(this_process.open) > _MOST_OPEN:
            this_process.open.popitem(last=False)
    return engine


def await_engine(model: LearnedModel, check: Callable[[], None], *, patience: float = _PATIENCE) -> None:
    """Have the graphs of a model made if there are none, and wait for them.

    That is for a task so long that the engine saves more time than its graphs take. While it waits, this
    process holds no pixels, so that both processes together need little more memory than the task does.

    Parameters
    ----------
    check
        Called several times a second; what it raises ends the waiting.
    patience
        Seconds after which the task begins without them.
    """
    if engine_of(model, WORTH_A_GRAPH, waited_for=True) is not None:
        return
    known = remembered.get(model.detector)
    maker = None if known is None else this_process.makers.get(known.digest)
    end = time.monotonic() + patience
    while maker is not None and maker.poll() is None and time.monotonic() < end:
        check()
        time.sleep(_POLL)


class Networks:
    """A model that predicts and does not learn meanwhile: what that asks of it is looked after once.

    Threads may share it: a batch's last fields are in the engine while the next batch begins.
    """

    def __init__(self, model: LearnedModel) -> None:
        self.model = model.eval()
        self._engine: Engine | None = None

    def engine(self, fields: int) -> Engine | None:
        """Return the engine, once there is one; see `engine_of`."""
        if self._engine is None:
            self._engine = engine_of(self.model, fields)
        return self._engine

    def leave_engine(self) -> None:
        """Have torch predict from now on: the engine failed."""
        forget(self.model)
        self._engine = None


def forget(model: LearnedModel) -> None:
    """Leave a model to torch for the rest of this process: its engine failed."""
    if (known := remembered.get(model.detector)) is not None:
        this_process.open.pop(known.digest, None)
        this_process.refused.add(known.digest)


def _opened(
    known: Remembered, model: LearnedModel, threads: int, fields: int, *, waited_for: bool
) -> Engine | None:
    """Open the graphs of a model; where they are missing or damaged, have them made."""
    digest = known.digest
    this_process.fields[digest] += fields
    maker = this_process.makers.get(digest)
    if maker is not None and maker.poll() is None:
        return None
    try:
        engine = Engine(*read_graphs(graph_file(known.folder, digest), digest), threads)
        _check(engine, model)
    except (EngineError, OSError) as error:
        if (
            maker is not None
            or isinstance(error, UnusableError)
            or not os.access(known.folder.parent, os.W_OK)
        ):
            this_process.refused.add(digest)
        elif this_process.fields[digest] >= WORTH_A_GRAPH:
            with suppress(OSError):  # no process can be started: the next one tries
                this_process.makers[digest] = start_maker(known, waited_for=waited_for)
        return None
    return engine


def read_graphs(file: Path, digest: str) -> tuple[bytes, bytes]:
    """Read both graphs.

    Raises
    ------
    EngineError
        The file is damaged, too large, or of another model or version.
    OSError
        It is not there, or cannot be read.
    """
    if is_link(file.parent) or is_link(file) or file.stat().st_size > _MOST_BYTES:
        raise EngineError(f"{file} does not hold graphs.")
    try:
        with safe_open(file, "np") as content:
            metadata = (content.metadata() or {}).get("about", "")
            parts = {name: content.get_tensor(name).tobytes() for name in PARTS}
    except (SafetensorError, ValueError, KeyError) as error:
        raise EngineError(f"{file} is damaged: {error}") from error
    if metadata != f"{digest} {content_hash(parts)}":
        raise EngineError(f"{file} is damaged, or of another model.")
    return parts["detector"], parts["trunk"]


def start_maker(known: Remembered, *, waited_for: bool = False) -> subprocess.Popen[bytes]:
    """Start the process that makes the graphs of a model, at the lowest priority unless it is waited for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUTF8": "1"}
    command = [sys.executable, "-P", "-m", "training.inference.engine_graph"]
    maker = subprocess.Popen(
        [*command, str(known.place), str(known.folder), known.digest],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if not waited_for:
        give_way(maker.pid)
    return maker


def give_way(pid: int) -> None:
    """Lower the priority of a process: it works when nobody else does."""
    with suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)


def _state(tensors: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    """Return what changes when a weight does: where each lies, and how often it was written to."""
    return [(tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version) for tensor in tensors]


@torch.inference_mode()
def _check(engine: Engine, model: LearnedModel) -> None:
    """Compare an engine with torch on a drawn field.

    Raises
    ------
    EngineError
        It gives something else: the graphs are of other weights, or this processor computes them wrongly.
    UnusableError
        Torch is faster here.
    """
    canvas, crops = _drawn()
    model.eval()
    boxes, vector = decode(model.detector, torch.from_numpy(canvas[None]).permute(0, 3, 1, 2).float() / 255)
    views = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255
    sizes = [0.5] * len(crops)
    features = model.describer.embed_augmented(views, torch.tensor(sizes)).numpy()
    try:
        outputs = (
            *engine.decode(canvas),
            engine.features(crops, sizes, once=False) if engine.has_trunk else features,
        )
    except Exception as error:  # whatever ONNX Runtime raises
        raise EngineError(f"ONNX Runtime does not run the graphs: {error}") from error
    expected = boxes[0], vector[0], features
    if any(a.shape != b.shape for a, b in zip(outputs, expected, strict=True)):
        raise EngineError("The graphs give something else than their model.")
    differences = (
        np.abs(outputs[0][:, :4] - boxes[0][:, :4]).max() / _BOX_OFF,
        np.abs(outputs[0][:, 4] - boxes[0][:, 4]).max() / _SCORE_OFF,
        (np.abs(outputs[1] - vector[0]) / (1 + np.abs(vector[0]))).max() / _FEATURE_OFF,
        (np.abs(outputs[2] - features) / (1 + np.abs(features))).max() / _FEATURE_OFF,
    )
    if not all(difference <= 1 for difference in differences):  # NaN is not
        raise EngineError("The graphs give something else than their model.")


def _drawn() -> tuple[np.ndarray, list[np.ndarray]]:
    """Draw a field ``(160, 192, 3)`` with discs as cells, and crops of it."""
    rows, columns = np.mgrid[:160, :192]
    canvas = np.full((160, 192, 3), (235, 225, 230), np.float32)
    for x, y, radius in ((50, 60, 24), (130, 90, 34), (170, 20, 12)):
        inside = (columns - x) ** 2 + (rows - y) ** 2
        canvas[inside <= radius**2] = (190, 170, 205)
        canvas[inside <= (0.7 * radius) ** 2] = (95, 50, 140)
    canvas += np.random.default_rng(0).normal(0, 6, canvas.shape)
    drawn = canvas.clip(0, 255).astype(np.uint8)
    return drawn, [drawn[y : y + CROP, x : x + CROP] for x, y in ((0, 8), (74, 40))]

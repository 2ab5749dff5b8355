"""The prediction engine: a model's detector and trunk in ONNX Runtime, on the CPU.

ONNX Runtime computes both networks in about half of torch's time, and one field per thread keeps all cores
busy, while torch's threads wait for each other at every layer (``docs/adr/0022``). The graphs are built once
per model, by a separate process, and stored in the project's folder ``.engine``. Until they exist, or if
anything is wrong with them, `engine_of` returns ``None`` and torch predicts.
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
from training.networks.describer import CROP, Describer
from training.networks.detector import decode
from training.networks.devices import to_tensor

if TYPE_CHECKING:
    from training.models.model import LearnedModel
    from training.networks.vocabulary import Vocabulary

WORTH_A_GRAPH = 32
"""Fields that a process predicts with a model before graphs are built, which takes a few seconds."""

_PATIENCE = 60.0
"""Seconds to wait for graphs; building them takes five seconds of processor time."""
_POLL = 0.1
_MOST_BYTES = 500_000_000
_MOST_OPEN = 3
_ALONE = 1_000_000
"""Minimum number of working pixels for which all threads compute one field."""
_VIEWS = 8
"""Views of crops per batch: small enough for the feature maps to stay in the processor's cache."""

_BOX_OFF = 0.25
"""Tolerance of box coordinates in working pixels."""
_SCORE_OFF = 5e-4
_FEATURE_OFF = 1e-3
"""Tolerance of a feature, relative to 1 + its absolute value."""


class EngineError(LLDError):
    """The graphs cannot be used; torch predicts."""


class UnusableError(EngineError):
    """No graphs of this model can be used in this process."""


class Engine:
    """The networks of a model in ONNX Runtime.

    Parameters
    ----------
    detector, trunk
        The graphs; `trunk` is empty if the model has none.
    threads
        Number of fields computed at a time, and of threads that compute a large one.

    Attributes
    ----------
    has_trunk
        Whether `features` can be used: a model that describes cells by their stain has no trunk.

    Raises
    ------
    EngineError
        ONNX Runtime is missing, or rejects the graphs.
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
        """Return the results of tasks, one task per thread; draw the next one while others run."""
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
            Whether no other field is computed at the same time.
        """
        large = alone or canvas.shape[0] * canvas.shape[1] >= _ALONE
        session = self._with_all_threads() if large and self.threads > 1 else self._detector
        boxes, vector = session.run(None, {"pixels": canvas[None]})
        return boxes[0], vector[0]

    def features(
        self, describer: Describer, crops: Sequence[np.ndarray], sizes: Sequence[float], *, once: bool
    ) -> np.ndarray:
        """Return features ``(n, F)`` float32, as `describer.features_of` does."""
        parts = []
        at_once = _VIEWS if once else _VIEWS // 8
        for start in range(0, len(crops), at_once):
            batch = np.stack(crops[start : start + at_once])
            pooled = self._trunk.run(None, {"crops": batch if once else _views(batch)})[0]
            parts.append(pooled.reshape(-1, len(batch), pooled.shape[1]).mean(0))
        pooled = torch.from_numpy(np.concatenate(parts))
        pixels = to_tensor(crops, torch.device("cpu"))
        return describer.assemble(pooled, pixels, torch.tensor(sizes)).numpy()

    def _with_all_threads(self) -> Any:
        with self._lock:
            if self._wide is None:
                self._wide = _session(self._content, self.threads)
            return self._wide


def _views(crops: np.ndarray) -> np.ndarray:
    """Return the eight rotations and flips ``(8 n, …)`` of crops ``(n, side, side, 3)``.

    See `Describer.embed_augmented`.
    """
    import cv2  # transposes 3-channel bytes ten times as fast as numpy

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

        onnxruntime.disable_telemetry_events()  # on Windows, telemetry writes to the system's event log
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # leave the cores to others
    except Exception as error:  # missing, or an incompatible build
        raise UnusableError(f"ONNX Runtime cannot be used: {error}") from error
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # damaged or malicious
        raise EngineError(f"ONNX Runtime does not take the graphs: {error}") from error


# --- which engine ----------------------------------------------------------------------------------------


@dataclass
class Remembered:
    """The files and graphs of a model in memory, and the state of its weights when it was read.

    Attributes
    ----------
    words
        The present names of the words in its files.
    """

    place: Path
    folder: Path
    tensors: list[torch.Tensor]
    state: list[tuple[int, int]]
    digest: str
    words: Vocabulary


@dataclass
class ProcessState:
    """Open engines, refused models, predicted fields and running builders of this process, by digest."""

    open: OrderedDict[str, Engine] = field(default_factory=OrderedDict)
    refused: set[str] = field(default_factory=set)
    fields: Counter[str] = field(default_factory=Counter)
    makers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)


remembered: WeakKeyDictionary[nn.Module, Remembered] = WeakKeyDictionary()
this_process = ProcessState()
_asking = threading.Lock()


def remember_files(model: LearnedModel, path: Path, folder: Path, words: Vocabulary | None = None) -> None:
    """Remember the files that a model was read from, so that it can have an engine.

    Parameters
    ----------
    model
        The model as read: it loses the engine if it is trained, and a copy has none.
    path
        Path of the model, see `read_model`.
    folder
        Folder for graphs, in an existing project.
    words
        The present names of the words in its files; ``None`` = those of the model.
    """
    networks = (model.detector, model.describer.trunk)
    # cached, since collecting them takes longer than checking them
    tensors = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    remembered[model.detector] = Remembered(
        path.absolute(), folder, tensors, _state(tensors), digest_of(model), words or model.vocabulary
    )


def engine_of(model: LearnedModel, fields: int = 0, *, waited_for: bool = False) -> Engine | None:
    """Return the engine of a model; ``None`` if torch must predict.

    Parameters
    ----------
    fields
        Number of fields about to be predicted. If there are no usable graphs, they are built once this
        process has predicted `WORTH_A_GRAPH` fields.
    waited_for
        Whether the caller waits for the graphs: the process that builds them then keeps its priority.
    """
    with _asking:  # another thread may estimate the scale of a film at the same time
        return _engine_of(model, fields, waited_for=waited_for)


def _engine_of(model: LearnedModel, fields: int, *, waited_for: bool) -> Engine | None:
    known = remembered.get(model.detector)
    if known is None or os.environ.get("NAPARI_LLD_ENGINE") == "torch":
        return None
    if known.digest in this_process.refused:
        return None
    if known.state != _state(known.tensors) or next(model.detector.parameters()).device.type != "cpu":
        return None  # it was trained, or is on a graphics card
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
    """Build the graphs of a model if there are none, and wait for them.

    This is for tasks long enough for the engine to save more time than building its graphs takes. The caller
    should hold no pixels yet, so that both processes need little more memory than the task itself.

    Parameters
    ----------
    check
        Called several times per second; an exception that it raises ends the wait.
    patience
        Seconds after which to return without graphs.
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
    """A model in evaluation mode with its engine, for repeated predictions without training in between.

    Threads may share it: the next batch may begin while the engine computes the last fields of a batch.
    """

    def __init__(self, model: LearnedModel) -> None:
        self.model = model.eval()
        self._engine: Engine | None = None

    def engine(self, fields: int) -> Engine | None:
        """Return the engine, or ``None`` until there is one; see `engine_of`."""
        if self._engine is None:
            self._engine = engine_of(self.model, fields)
        return self._engine

    def leave_engine(self) -> None:
        """Predict with torch from now on, after the engine failed."""
        forget(self.model)
        self._engine = None


def forget(model: LearnedModel) -> None:
    """Disable the engine of a model for the rest of this process, after it failed."""
    if (known := remembered.get(model.detector)) is not None:
        this_process.open.pop(known.digest, None)
        this_process.refused.add(known.digest)


def _opened(
    known: Remembered, model: LearnedModel, threads: int, fields: int, *, waited_for: bool
) -> Engine | None:
    """Open the graphs of a model; if they are missing or damaged, start building them."""
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
            with suppress(OSError):  # no process can be started: try again later
                this_process.makers[digest] = start_maker(known, waited_for=waited_for)
        return None
    return engine


def read_graphs(file: Path, digest: str) -> tuple[bytes, bytes]:
    """Read both graphs.

    Raises
    ------
    EngineError
        The file is damaged, too large, or belongs to another model or version.
    OSError
        It is missing, or cannot be read.
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
    """Start the process that builds the graphs of a model, at the lowest priority unless it is waited for."""
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
    """Lower the priority of a process to idle."""
    with suppress(psutil.Error, OSError):
        psutil.Process(pid).nice(psutil.IDLE_PRIORITY_CLASS if sys.platform == "win32" else 19)


def _state(tensors: Sequence[torch.Tensor]) -> list[tuple[int, int]]:
    """Return the address and the version of each tensor, which change with the weights."""
    return [(tensor.data_ptr(), -1 if tensor.is_inference() else tensor._version) for tensor in tensors]


@torch.inference_mode()
def _check(engine: Engine, model: LearnedModel) -> None:
    """Compare an engine with torch on a synthetic field.

    Raises
    ------
    EngineError
        The outputs differ: the graphs have other weights, or this processor computes them incorrectly.
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
            engine.features(model.describer, crops, sizes, once=False) if engine.has_trunk else features,
        )
    except Exception as error:  # ONNX Runtime raises many types
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
    if not all(difference <= 1 for difference in differences):  # also fails for NaN
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

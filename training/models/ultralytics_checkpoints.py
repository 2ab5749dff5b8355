"""Read Ultralytics checkpoints without executing them; no torch.

A ``.pt`` file is a zip archive of a pickle and of the bytes of each tensor. The pickle is not unpickled: the
few opcodes that `torch.save` writes are interpreted here on plain values, and a class or function that it
names stays a name. Nothing is imported or called, and all sizes are bounded.
"""

from __future__ import annotations

import math
import pickletools
import re
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from training.models.card import ModelError
from training.networks.architectures import ARCHITECTURES, TITLES, Architecture

_MAX_BYTES = 500_000_000
"""Maximum size of the file: a YOLO26m with the state of its optimiser has 200 MB."""
_MAX_DIRECTORY = 2_000_000
_MAX_PICKLE = 4_000_000
_MAX_NAMES = 20_000
_MAX_NAME_LENGTH = 500
"""Maximum number and length of the names of modules and tensors; real files have a tenth of these at most."""
_MAX_AXES = 8

_CURE = f"Give a detector trained with Ultralytics (best.pt or last.pt): {TITLES}."

_NAMES = re.compile(
    r"ultralytics\.nn\.(tasks|modules(\.\w+)?) \w+"
    r"|ultralytics\.(yolo\.)?utils(\.loss|\.tal)? \w+(Namespace|Loss|Assigner)"
    r"|torch\.nn\.(modules\.\w+|parameter) \w+"
    r"|torch(\.cuda)? (\w+Storage|Size|device|float16|float32|float64|bfloat16|int64)"
    r"|torch\._utils _rebuild_\w+"
    r"|collections (OrderedDict|defaultdict)"
    r"|(__builtin__|builtins) (set|frozenset|getattr|list|dict|int|float|str)"
    r"|numpy(\._?core\.multiarray)? (scalar|dtype|ndarray|_reconstruct)|_codecs encode"
    r"|pathlib(\._local)? \w*Path|datetime \w+"
)
"""Allowed names: layers, losses and plain values. None of them is ever called."""

_TASKS = {
    "SegmentationModel": "a model for segmentation",
    "ClassificationModel": "a model for classification",
    "PoseModel": "a model for poses",
    "OBBModel": "a model for oriented boxes",
    "RTDETRDetectionModel": "an RT-DETR",
}

_DAMAGED_FILE_ERRORS = (
    zipfile.BadZipFile, struct.error, EOFError, LookupError, ValueError, TypeError, AttributeError,
    ArithmeticError, RuntimeError,
)  # fmt: skip
"""Exceptions that a damaged file can raise in the code below."""

_TYPES: dict[str, np.dtype[Any]] = {
    "HalfStorage": np.dtype("<f2"),
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "LongStorage": np.dtype("<i8"),
}


@dataclass(frozen=True)
class Checkpoint:
    """A detector of Ultralytics.

    Attributes
    ----------
    classes
        Number of classes.
    weights
        Parameter or buffer to its values, as `torch.nn.Module.state_dict` names them; finite.
    """

    file: Path
    architecture: Architecture
    classes: int
    weights: dict[str, np.ndarray]


def is_checkpoint(place: str | int | Path) -> bool:
    """Return whether a path, by its name, is a file of Ultralytics and not a model of ours."""
    return not isinstance(place, int) and Path(place).suffix.lower() in {".pt", ".pth"}


def read_checkpoint(file: Path) -> Checkpoint:
    """Read a detector.

    Raises
    ------
    ModelError
        The file cannot be read, names anything but layers, is of another task or architecture, or holds
        weights that are not finite.
    """
    try:
        if not file.is_file():
            raise ModelError(f"{file} is not a file. {_CURE}")
        if file.stat().st_size > _MAX_BYTES:
            raise ModelError(
                f"{file} is too large: such a detector has at most {_MAX_BYTES // 10**6} MB. {_CURE}"
            )
        return _read(file)
    except OSError as error:
        raise ModelError(
            f"{file} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    except _DAMAGED_FILE_ERRORS as error:
        raise ModelError(f"{file} is damaged, or was not written by PyTorch. {_CURE}") from error


def _read(file: Path) -> Checkpoint:
    _check_directory(file)
    with zipfile.ZipFile(file) as archive:
        if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
            raise ValueError("torch.save compresses nothing")
        names = {name.partition("/")[2]: name for name in archive.namelist()}
        if "constants.pkl" in names:
            raise ModelError(f"{file} is a TorchScript program, not a checkpoint. {_CURE}")
        pickled = archive.getinfo(names["data.pkl"])
        if pickled.file_size > _MAX_PICKLE:
            raise ModelError(f"{file} contains far more than a detector. {_CURE}")
        with archive.open(pickled) as opened:
            content = _interpret(opened.read(_MAX_PICKLE), file)
        tensors = _tensors(_detector(content, file), file)
        architecture, classes = _recognise(tensors, file)
        return Checkpoint(file, architecture, classes, _load(tensors, archive, names, file))


def _check_directory(file: Path) -> None:
    """Reject an archive whose table of contents alone would fill the memory."""
    with file.open("rb") as opened:
        opened.seek(max(0, file.stat().st_size - 98))
        tail = opened.read()
    end = tail[-22:]
    if end[:4] != b"PK\x05\x06":
        raise zipfile.BadZipFile
    size = struct.unpack_from("<L", end, 12)[0]
    if tail[:4] == b"PK\x06\x06" and tail[56:60] == b"PK\x06\x07":  # zip64, as torch.save writes it
        size = struct.unpack_from("<Q", tail, 40)[0]
    if size > _MAX_DIRECTORY:
        raise ModelError(f"{file} holds far more parts than a detector. {_CURE}")


# --- the pickle --------------------------------------------------------------------------------------------


class _Name(NamedTuple):
    """A class or function that the pickle names."""

    module: str
    name: str


@dataclass(eq=False)
class _Object:
    """An object of the pickle: its type and its attributes."""

    type: Any
    state: dict[Any, Any] = field(default_factory=dict)


class _Storage(NamedTuple):
    type: str
    key: str


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_VALUES = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


def _interpret(pickled: bytes, file: Path) -> Any:
    """Interpret a pickle of protocol 2, as `torch.save` writes it, on plain values."""
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[int, Any] = {}

    def since_mark() -> list[Any]:
        start = marks.pop()
        values = stack[start:]
        del stack[start:]
        return values

    argument: Any
    for instruction, argument, _ in pickletools.genops(pickled):
        match instruction.name:
            case "PROTO":
                pass
            case "STOP":
                return stack.pop()
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _VALUES:
                stack.append(argument)
            case name if name in _TUPLES:
                values = tuple(stack[-_TUPLES[name] :])
                del stack[-_TUPLES[name] :]
                stack.append(values)
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "MARK":
                marks.append(len(stack))
            case "TUPLE":
                stack.append(tuple(since_mark()))
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_DICT":
                stack.append({})
            case "APPEND":
                _extend(stack, [stack.pop()])
            case "APPENDS":
                _extend(stack, since_mark())
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set_items(stack, [key, value])
            case "SETITEMS":
                _set_items(stack, since_mark())
            case "GLOBAL":
                if not _NAMES.fullmatch(argument):
                    raise ModelError(
                        f"{file} is refused: it names {_quote(argument)}, which is not a layer of a "
                        "detector; "
                        f"such a file may run a program when it is opened. {_CURE}"
                    )
                module, _, name = argument.partition(" ")
                stack.append(_Name(module, name))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE" | "NEWOBJ":
                arguments = stack.pop()
                stack.append(_build(stack.pop(), arguments))
            case "BUILD":
                state = stack.pop()
                if isinstance(stack[-1], _Object) and isinstance(state, dict):
                    stack[-1].state = state
            case _:
                raise ValueError(f"torch.save writes no {instruction.name}")
    raise EOFError


def _extend(stack: list[Any], values: list[Any]) -> None:
    if isinstance(stack[-1], list):
        stack[-1].extend(values)


def _set_items(stack: list[Any], pairs: list[Any]) -> None:
    """Set the items with plain keys: a key of nested tuples could take for ever to hash."""
    if isinstance(stack[-1], dict):
        stack[-1].update(
            (k, v) for k, v in zip(pairs[::2], pairs[1::2], strict=True) if isinstance(k, str | int)
        )


def _storage(record: Any) -> _Storage:
    kind, storage_type, key, _device, _count = record
    if kind != "storage" or not isinstance(storage_type, _Name) or not isinstance(key, str):
        raise ValueError("no storage")
    return _Storage(storage_type.name, key)


def _build(function: Any, arguments: Any) -> Any:
    match function:
        case _Name("collections", "OrderedDict"):
            return {}
        case _Name("torch._utils", "_rebuild_tensor_v2"):
            storage, offset, shape, strides, *_ = arguments
            if not isinstance(storage, _Storage) or not len(shape) == len(strides) <= _MAX_AXES:
                raise ValueError("no tensor")
            if not all(isinstance(n, int) and 0 <= n < 2**40 for n in (offset, *shape, *strides)):
                raise ValueError("no tensor")
            return _Tensor(storage, offset, tuple(shape), tuple(strides))
        case _Name("torch._utils", "_rebuild_parameter"):
            return arguments[0]
        case _Name():
            return _Object(function)
    raise ValueError("what is called has no name")


def _quote(name: str) -> str:
    """Make a name from an untrusted file printable."""
    return "".join(c if c.isprintable() else "?" for c in name.replace(" ", "."))[:80]


# --- the model ---------------------------------------------------------------------------------------------


def _detector(content: Any, file: Path) -> _Object:
    """Find the model: its moving average if there is one, as Ultralytics does."""
    model = content
    if isinstance(content, dict):
        model = content.get("ema") or content.get("model")
    if not isinstance(model, _Object):
        raise ModelError(f"{file} does not contain an Ultralytics model. {_CURE}")
    kind = model.type.name
    if kind != "DetectionModel":
        raise ModelError(
            f"{file} holds {_TASKS.get(kind, 'a model of another kind')}, not a detector. {_CURE}"
        )
    return model


def _tensors(model: _Object, file: Path) -> dict[str, _Tensor]:
    """List all parameters and buffers, as `torch.nn.Module.state_dict` does."""
    tensors: dict[str, _Tensor] = {}
    pending = [("", model)]
    seen = 0
    while pending:
        prefix, module = pending.pop()
        groups = [module.state.get(group) or {} for group in ("_parameters", "_buffers", "_modules")]
        seen += 1 + sum(map(len, groups))
        if seen > _MAX_NAMES or len(prefix) > _MAX_NAME_LENGTH:
            raise ModelError(f"{file} contains far more than a detector. {_CURE}")
        for group in groups:
            for name, value in group.items():
                if isinstance(value, _Tensor):
                    tensors[f"{prefix}{name}"] = value
                elif isinstance(value, _Object):
                    pending.append((f"{prefix}{name}.", value))
    return tensors


def _recognise(tensors: dict[str, _Tensor], file: Path) -> tuple[Architecture, int]:
    """Infer the architecture and the number of classes from the shapes of the first and last layers."""
    first = tensors.get("model.0.conv.weight")
    for architecture in ARCHITECTURES.values():
        boxes, scores = (
            tensors.get(f"model.{architecture.head}.{part}.0.2.weight") for part in ("cv2", "cv3")
        )
        if first is None or boxes is None or scores is None:
            continue
        if first.shape[:2] == (architecture.channels, 3) and boxes.shape[0] == 4 * architecture.bins:
            return architecture, scores.shape[0]
    raise ModelError(f"{file} holds a detector of another architecture. {_CURE}")


def _load(
    tensors: dict[str, _Tensor], archive: zipfile.ZipFile, names: dict[str, str], file: Path
) -> dict[str, np.ndarray]:
    if "byteorder" in names and archive.read(names["byteorder"]) != b"little":
        raise ModelError(f"{file} was written by a big-endian machine. {_CURE}")
    left = _MAX_BYTES
    weights = {}
    for name, tensor in tensors.items():
        kind = _TYPES.get(tensor.storage.type)
        if kind is None:
            continue  # of no layer that is taken over
        count = math.prod(tensor.shape)
        left -= (tensor.offset + count) * kind.itemsize
        if left < 0:
            raise ModelError(f"{file} contains far more than a detector. {_CURE}")
        part = archive.getinfo(names[f"data/{tensor.storage.key}"])
        with archive.open(part) as opened:
            opened.seek(tensor.offset * kind.itemsize)
            values = np.frombuffer(opened.read(count * kind.itemsize), kind)
        if len(values) != count:
            raise EOFError
        weights[name] = _in_order(values, tensor.shape, tensor.strides)
        if not np.isfinite(weights[name]).all():
            raise ModelError(f"{file} holds weights that are not finite numbers (in {_quote(name)}). {_CURE}")
    return weights


def _in_order(values: np.ndarray, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    """Arrange values by their strides, which may be of any order of the axes."""
    axes = sorted(range(len(shape)), key=lambda i: (-strides[i], i))
    dense = 1
    for i in reversed(axes):
        if shape[i] != 1 and strides[i] != dense:
            raise ValueError("a tensor with gaps")
        dense *= shape[i]
    ordered = values.reshape([shape[i] for i in axes]).transpose(np.argsort(np.array(axes, int)))
    return np.array(ordered, order="C")

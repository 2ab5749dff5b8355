"""The code that runs on a worker of a cluster: it receives pixels and model files, and returns arrays.

It never opens a project. Its caches, models by hash and graphs of the engine, are in its own folder or in
memory, and are rebuilt if missing.
"""

from __future__ import annotations

import copy
import functools
import hashlib
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store.errors import ImageError, ProjectError
from annotation_store.files.temporary import keep_until_exit
from annotation_store.images import Slide, SlideOptions, decode, open_slide, read_pixels
from training.cluster.arrays import pack
from training.cluster.errors import ClusterError
from training.cluster.sending import samples_of
from training.cluster.versions import difference, own_versions

if TYPE_CHECKING:
    from training.models.model import LearnedModel

_MOST_MODELS, _MOST_SLIDES = 3, 4

_at_work = threading.Lock()
"""Held to compute: one unit at a time, with all threads of the worker; others read pixels meanwhile."""
_opening = threading.Lock()
_models: OrderedDict[str, LearnedModel] = OrderedDict()
_slides: OrderedDict[tuple[str, str, str], Slide] = OrderedDict()
_seen: set[tuple[str, str]] = set()


class UnreadError(Exception):
    """The pixels are not at the given path for this worker: the client must send them."""


def about() -> dict[str, Any]:
    """Return the worker's versions."""
    return {"versions": own_versions()}


def hand_over(content: bytes) -> bytes:
    """Return the argument: a task whose result each worker fetches once, from another worker."""
    return content


def compute(
    kind: str,
    versions: Mapping[str, str],
    model: Mapping[str, Any],
    weights: bytes | None,
    items: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """Do one unit of work.

    Parameters
    ----------
    kind
        ``"propose"``, ``"features"`` or ``"stain"``, which needs no model.
    versions
        The versions of the client.
    model
        The description of `training.cluster.model_files.SentModel`.
    weights
        Bytes of the weights file; ``None`` for the starter, which comes with the program.
    items
        For each field, ``sent`` (its pixels, see `training.cluster.sending`), and further inputs of `kind`.

    Returns
    -------
    dict
        What `training.cluster.arrays.unpack` reads: for each item a dictionary with arrays, ``"unread"``, or
        ``"damaged"``; or ``refused``: this worker's versions.
    """
    if difference(versions) is not None:
        return {"refused": own_versions()}
    images = [_image(item["sent"]) for item in items]
    with _at_work:
        learned = _learned(model, weights) if model else None
        readable = [i for i, image in enumerate(images) if isinstance(image, np.ndarray)]
        results = _KINDS[kind](learned, [images[i] for i in readable], [items[i] for i in readable], options)
    by_item = dict(zip(readable, results, strict=True))
    return pack([by_item.get(i, image) for i, image in enumerate(images)])


def _propose(
    model: LearnedModel,
    images: Sequence[np.ndarray],
    items: Sequence[Mapping[str, Any]],
    options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    from training.inference.predict import in_memory, propose_raw
    from training.inference.predictor import add_nuclei
    from training.networks.scale import zooming_side

    sides = [item["side"] for item in items]
    if "zoom" in options:  # the scale is not known yet
        sides = [zooming_side(max(image.shape[:2]), options["zoom"], model.sides) for image in images]
    raws = propose_raw(
        model,
        in_memory(images),
        cell_sides=sides,
        moves=[item["move"] for item in items],
        min_score=float(options["min_score"]),
        describe=bool(options["describe"]),
    )
    add_nuclei(model, images, raws, below=options["stain_below"])
    return [
        {
            "size": [image.shape[1], image.shape[0]],
            "boxes": raw.boxes,
            "scores": raw.scores,
            **{f"logits.{head}": logits for head, logits in enumerate(raw.logits)},
            "vector": raw.vector,
            "places": raw.places,
            "novelty": raw.novelty,
            "features": raw.features,
            "nuclei": raw.nuclei,
        }
        for image, raw in zip(images, raws, strict=True)
    ]


def _features(
    model: LearnedModel,
    images: Sequence[np.ndarray],
    items: Sequence[Mapping[str, Any]],
    _options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    from training.inference.predictor import boxes_seen

    model.eval()
    features = []
    for image, item in zip(images, items, strict=True):
        boxes = [(float(x), float(y), float(w), float(h)) for x, y, w, h in item["boxes"]]
        computed = boxes_seen(model, image, boxes, against=item["against"], side=item["side"])
        features.append({"features": computed, "count": len(boxes)})
    return features


def _stain(
    _model: None,
    images: Sequence[np.ndarray],
    _items: Sequence[Mapping[str, Any]],
    _options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    from training.ranking.cold_start import embed_image

    results = []
    for image in images:
        embedding = embed_image(image)
        boxes = np.array([proposal.box for proposal in embedding.predictions], float).reshape(-1, 4)
        confidences = np.array([proposal.confidence for proposal in embedding.predictions], float)
        size = [image.shape[1], image.shape[0]]
        results.append({"size": size, "vector": embedding.vector, "boxes": boxes, "scores": confidences})
    return results


_KINDS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "propose": _propose,
    "features": _features,
    "stain": _stain,
}


# --- pixels ----------------------------------------------------------------------------------------------


def _image(sent: Mapping[str, Any]) -> np.ndarray | str:
    try:
        return read_pixels_of(sent)
    except UnreadError:
        return "unread"
    except (ProjectError, ImageError):
        return "damaged"


def read_pixels_of(sent: Mapping[str, Any]) -> np.ndarray:
    """Read pixels from their path, or from the bytes that were sent.

    Raises
    ------
    UnreadError
        They are not at the path for this worker.
    ProjectError, ImageError
        They are damaged.
    """
    match sent["kind"]:
        case "field":
            _prove(*sent["proof"])
            return np.asarray(read_pixels(Path(sent["folder"])))
        case "slide":
            slide = _slide(sent["path"], sent["samples"], SlideOptions(**sent["options"]))
            return np.asarray(slide.read(tuple(sent["box"])))
        case "stored":
            return _from_files(sent["files"])
        case "file":
            return np.asarray(decode(sent["data"], Path(sent["name"])))
        case "pixels":
            return np.asarray(sent["pixels"])
        case kind:
            raise ImageError(f"There are no pixels of the kind {kind}.")


def _prove(file: str, word: str) -> None:
    """Raise `UnreadError` unless this worker sees the client's project."""
    if (file, word) in _seen:
        return
    try:
        same = Path(file).read_text(encoding="ascii") == word
    except (OSError, ValueError):
        same = False
    if not same:
        raise UnreadError
    _seen.add((file, word))


def _slide(path: str, samples: str, options: SlideOptions) -> Slide:
    """Open a slide, cached; raise `UnreadError` unless the file is the client's."""
    key = (path, samples, repr(options))
    with _opening:
        if (slide := _slides.pop(key, None)) is None:
            try:
                same = samples_of(Path(path)) == samples
            except Exception:  # missing, not a slide, or unreadable
                same = False
            if not same:
                raise UnreadError
            slide = open_slide(Path(path), options)
        _slides[key] = slide
        while len(_slides) > _MOST_SLIDES:
            _slides.popitem(last=False)[1].close()
        return slide


def _from_files(files: Mapping[str, bytes]) -> np.ndarray:
    with tempfile.TemporaryDirectory(dir=own_folder(), ignore_cleanup_errors=True) as folder:
        for name, content in files.items():
            inner = PurePosixPath(name)
            if inner.is_absolute() or ".." in inner.parts or "\\" in name:
                raise ImageError("The files of a field lead out of its folder.")
            path = Path(folder).joinpath("field", *inner.parts)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return np.asarray(read_pixels(Path(folder) / "field"))


# --- models ----------------------------------------------------------------------------------------------


def _learned(model: Mapping[str, Any], weights: bytes | None) -> LearnedModel:
    """Return a model with the client's vocabulary; cached by its hash."""
    _set_up(threads())
    key = str(model["key"])
    if (learned := _models.pop(key, None)) is None:
        learned = read_sent(model, weights)
    _models[key] = learned
    while len(_models) > _MOST_MODELS:
        _models.popitem(last=False)
    # the search of whole slides uses a wider view with the same weights
    adjusted = copy.copy(learned)
    adjusted.size, adjusted.sides = int(model["size"]), (float(model["sides"][0]), float(model["sides"][1]))
    if model.get("by_appearance") and adjusted.never_taught:
        from training.models.model import describe_by_appearance

        describe_by_appearance(adjusted)
    return adjusted


def read_sent(model: Mapping[str, Any], weights: bytes | None) -> LearnedModel:
    """Read a model as `training.cluster.model_files` describes it, with the client's vocabulary."""
    from training.inference.engine import remember_files
    from training.models.model import CARD, WEIGHTS, read_model, starter_place, with_vocabulary
    from training.models.renaming import rename
    from training.networks.devices import choose_device
    from training.networks.vocabulary import Vocabulary

    own = own_folder()
    if weights is None:
        path = starter_place()
        if path.with_suffix(".json").read_bytes() != model["card"]:
            raise ClusterError("A worker's starter model is another one: install the same napari-lld there.")
    else:
        path = own / hashlib.sha256(str(model["key"]).encode()).hexdigest()[:32]
        path.mkdir(exist_ok=True)
        (path / WEIGHTS).write_bytes(weights)
        (path / CARD).write_bytes(bytes(model["card"]))
    learned = read_model(path)
    rename(learned, Vocabulary.from_dict(model["named"]))
    learned = with_vocabulary(learned, Vocabulary.from_dict(model["vocabulary"]))
    graphs = own / "engine"
    if model.get("graphs") is not None:
        try:
            _prove(*model["proof"])
            graphs = Path(model["graphs"])
        except UnreadError:
            pass
    remember_files(learned, path, graphs)
    learned.to(choose_device(str(model.get("device", "auto"))))
    return learned.eval()


@functools.cache
def own_folder() -> Path:
    """Return the worker's folder, which is deleted when it exits."""
    return keep_until_exit("cluster")


def threads() -> int:
    """Return the number of threads of the worker."""
    try:
        from distributed import get_worker

        return max(1, int(get_worker().state.nthreads))
    except (ImportError, ValueError):  # not called by a worker, as in tests
        return 1


_repeatable = False


def _set_up(count: int) -> None:
    """Set the number of torch threads, a setting of each thread, and make torch deterministic."""
    global _repeatable
    import torch

    from training.networks.devices import make_deterministic

    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
    if not _repeatable:
        make_deterministic()
        _repeatable = True


def process() -> int:
    """Return the process id of the worker."""
    return os.getpid()

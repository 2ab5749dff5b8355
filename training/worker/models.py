"""Resolve the model that a request names; the lineage of a project's models."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from annotation_store.files.layout import ENGINE, inside
from training.inference.engine import remember_files
from training.models.calibration import Calibration
from training.models.folder import model_files
from training.models.memory import source_of
from training.models.model import (
    LearnedModel,
    ModelError,
    adapt,
    describe_by_appearance,
    new_model,
    read_model,
    starter_place,
    with_vocabulary,
)
from training.models.pretrained import load_weights
from training.models.renaming import names_now, rename
from training.models.ultralytics_checkpoints import is_checkpoint, read_checkpoint
from training.networks.architectures import SIZES, Size
from training.networks.vocabulary import Vocabulary
from training.start import check_start

if TYPE_CHECKING:
    from annotation_store.project import Project


class DamagedModelError(ModelError):
    """The files of a model of the project are missing, foreign or changed."""

    cure = (
        "Go back to the model before it (in the window: Model › Roll back; in the terminal: "
        "napari-lld models PROJECT --roll-back), or train from the starter (napari-lld train PROJECT "
        "--init starter)."
    )


@dataclass
class Kept:
    """The model that this process predicted with last, and the inputs that it was made from."""

    of: tuple[object, ...] = ()
    model: LearnedModel | None = None


kept = Kept()


def resolve(project: Project, choice: str | int, *, keep: bool = False) -> tuple[LearnedModel, int | None]:
    """Return the model that a request names, with the project's vocabulary, and its id.

    Parameters
    ----------
    choice
        ``"active"`` (the starter if the project has no model), ``"starter"``, or an id.
    keep
        Whether the model is used for prediction only: a persistent process then caches it for its next task,
        with what is derived from it (`Novelty.from_memory`), until its files or the vocabulary change.

    Raises
    ------
    DamagedModelError
        If its files are missing, foreign or changed.
    ModelError
        If there is no such model.
    """
    number = _number(choice)
    if choice == "active":
        active = project.models.active()
        number = active.id if active is not None else None
    elif number is None and choice != "starter":
        raise ModelError(f"'{choice}' is not a model: give active, starter or a number.")
    if number is not None:
        made = {model.id: model for model in project.models.all()}
        if number not in made:
            raise ModelError(f"The project has no model {number}.")
        made[number].refuse_retired()
    path = starter_place() if number is None else project.models.folder(number)
    vocabulary = Vocabulary.from_schema(project.schema)
    version = project.schema_versions.current
    identity = (project.path, project.uid, version, vocabulary, *map(_stamp, model_files(path)))
    if keep and kept.model is not None and kept.of == identity and None not in identity:
        return kept.model.eval(), number
    if number is None:
        model = read_model(path)
    else:
        try:
            model = read_model(path)
        except ModelError as error:
            raise DamagedModelError(f"Model {number} cannot be used: {error}") from error
    words = rename_as_now(project, model)
    joined = model.joined
    model = with_vocabulary(model, vocabulary)
    model.joined = joined
    remember_files(model, path, inside(project.path, ENGINE), words)
    if keep:
        kept.of, kept.model = identity, model
    return model.eval(), number


def rename_as_now(project: Project, model: LearnedModel) -> Vocabulary:
    """Call what a model has learned as the project's schema calls it now; return its words, renamed."""
    names = names_now(project, model.vocabulary)
    rename(model, model.vocabulary.renamed(names))
    model.joined = tuple(names.joined)
    return model.vocabulary


def _stamp(file: Path) -> tuple[int, ...] | None:
    """Return a stamp that changes when a file is written to; ``None`` if the file has none."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def initial_model(
    project: Project, init: str | int, *, detector: Size | None = None, size: int, seed: int
) -> tuple[LearnedModel, str]:
    """Return the initial model of a training, and its name in the card.

    Raises
    ------
    ModelError
        If `init` cannot be read, or has another detector than the requested one.
    """
    check_start(project, init, detector)
    vocabulary = Vocabulary.from_schema(project.schema)
    if init == "scratch":
        model = new_model(vocabulary, seed=seed, size=size, architecture=SIZES[detector or "n"])
        model.source = source_of(project.uid)
        return model, "scratch"
    if is_checkpoint(init):
        return _with_detector_of(project, Path(str(init)), vocabulary, size=size, seed=seed)
    number = _number(init)
    if init in {"starter", "active"} or number is not None:
        parent, parent_number = resolve(project, init)
        if init == "active" and parent_number is not None and parent.was_taught and not len(parent.memory):
            parent, parent_number = resolve(
                project, "starter"
            )  # from before models had a memory: training would forget
        name = "starter" if parent_number is None else str(parent_number)
    else:
        parent, name = read_model(Path(str(init))), "file"  # not its path, which may contain a person's name
        rename_as_now(project, parent)
    if parent.never_taught:
        describe_by_appearance(parent)  # its trunk was never trained on white cells, nor will be
    child = adapt(parent, vocabulary, source_of(project.uid))
    child.size = size
    return child, name


def classes_without_cells(model: LearnedModel, annotated: Collection[str | None]) -> list[str]:
    """Return the classes of an initial model without a memory that the project has no cells of.

    Parameters
    ----------
    annotated
        The classes of the project's cells.
    """
    if len(model.memory) or not model.vocabulary.classes:
        return []
    taught = model.taught.get(model.vocabulary.head_names[0], {})
    return [name for name in model.vocabulary.classes if taught.get(name, 0) > 0 and name not in annotated]


def _with_detector_of(
    project: Project, file: Path, vocabulary: Vocabulary, *, size: int, seed: int
) -> tuple[LearnedModel, str]:
    """Return the starter with the detector of an Ultralytics checkpoint."""
    checkpoint = read_checkpoint(file)
    architecture = checkpoint.architecture.name
    starter = read_model(starter_place())
    rename_as_now(project, starter)
    model = adapt(starter, vocabulary, source_of(project.uid))
    model.detector = new_model(vocabulary, seed=seed, architecture=architecture).detector
    load_weights(model.detector, checkpoint)
    model.architecture, model.untaught, model.size = architecture, True, size
    model.calibration = Calibration(temperatures=model.calibration.temperatures)  # its scores differ
    return model.eval(), checkpoint.architecture.file_name  # its own file name may contain a person's name


def _number(choice: str | int) -> int | None:
    if isinstance(choice, int):
        return choice
    return int(choice) if choice.isdecimal() else None

"""The options of actions: one frozen dataclass per action, of which its faces are made; no Qt, no typer.

`napari_lld.cli._faces` makes the options of a command from it, `napari_lld.widgets.base.form` the rows of a
dialog, and the Python function takes the dataclass itself (`docs/adr/0014-options.md`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from napari_lld.i18n.translate import later


@dataclass(frozen=True, slots=True)
class About:
    """What the faces say about an option.

    Attributes
    ----------
    title
        Its name in a form.
    help
        What it does: in the command's help, and as the tooltip in a form.
    empty
        What a form shows in place of an empty text.
    choices
        What it may be, each with what a form calls it, where the dialog does not name it; empty: any value
        of its type.
    flag
        Its name on the command line, where that is not the field's own.
    metavar
        What stands for its value in the command's help: its unit, where it has one.
    least, most
        Bounds of a number, both included.
    starts
        What a form chooses at first, where that is not the default.
    window
        Where the window asks it: in the form of the action, in the preferences, or in a panel; or else it
        keeps to the default.
    """

    title: str
    help: str
    empty: str = ""
    choices: Mapping[str, str] = field(default_factory=dict)
    flag: str = ""
    metavar: str | None = None
    least: float | None = None
    most: float | None = None
    starts: Any = None
    window: Literal["form", "preferences", "panel", "default"] = "form"


@dataclass(frozen=True, slots=True)
class Option:
    """One option of an action, as its dataclass declares it; without a default the command requires it."""

    name: str
    type: Any
    default: Any
    about: About

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is MISSING

    @property
    def whole(self) -> bool:
        """Whether it is a whole number."""
        return self.type in (int, int | None)

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return self.about.flag or f"--{self.name.replace('_', '-')}"


def options_of(action: type) -> Iterator[Option]:
    """Yield the options of an action, in the order of its dataclass.

    Raises
    ------
    TypeError
        A field lacks its `About`.
    """
    hints = get_type_hints(action, include_extras=True)
    for entry in fields(action):
        kind, *notes = get_args(hints[entry.name]) or (hints[entry.name],)
        about = next((note for note in notes if isinstance(note, About)), None)
        if about is None:
            raise TypeError(f"{action.__name__}.{entry.name}: give it Annotated[…, About(…)]")
        default = entry.default if entry.default_factory is MISSING else entry.default_factory()
        yield Option(entry.name, kind, default, about)


def option_of(action: type, name: str) -> Option:
    """Return one option of an action."""
    return next(option for option in options_of(action) if option.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportOptions:
    """How a report is made.

    Without `names`, no name of a patient, a file or the project shows anywhere: a file's name often holds a
    patient's.
    """

    title: Annotated[
        str, About(later("Title"), later("The heading of the report."), empty=later("Annotation project"))
    ] = ""
    names: Annotated[
        bool,
        About(
            later("With the names of patients, files and the project"),
            later("Show names of patients, files and the project instead of numbers."),
        ),
    ] = False


_READ_FORMATS = ("coco", "yolo", "lld", "voc", "csv", "geojson", "labelstudio")
_WRITE_FORMATS = (*_READ_FORMATS, "huggingface", "crops")
"""The formats by name, known without loading the store; a test holds them to its registry."""

_FORMAT_OPTIONS = About(
    later("Options"),
    later("Option of the format, e.g. val=0.1 for yolo; an unknown NAME lists all options."),
    flag="--option",
    metavar="NAME=VALUE",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """What is exported, and how (`annotation_store.formats.write`)."""

    format: Annotated[
        str, About(later("Format"), later("How to write it."), choices=dict.fromkeys(_WRITE_FORMATS, ""))
    ]
    what: Annotated[
        str,
        About(
            later("Export"),
            later("Annotated cells, or the pending suggestions."),
            choices={"cells": "", "suggestions": ""},
        ),
    ] = "cells"
    anonymise: Annotated[
        bool,
        About(
            later("Leave out patients, slides, comments and names of files and people"),
            later(
                "Replace the names of patients, slides and files by keyed hashes, and leave out comments "
                "and people."
            ),
            starts=True,
        ),
    ] = False
    card: Annotated[
        bool,
        About(
            later("With a description of the data set (dataset card, Croissant)"),
            later("Describe the export for people (Markdown) and programs (Croissant), in it or beside it."),
        ),
    ] = True
    options: Annotated[Mapping[str, str], _FORMAT_OPTIONS] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How annotations of others are understood (`annotation_store.formats.read`)."""

    format: Annotated[
        str,
        About(later("Format"), later("Format of the annotations."), choices=dict.fromkeys(_READ_FORMATS, "")),
    ]
    images: Annotated[
        Path | None,
        About(
            later("Images"),
            later("Folder of the images; by default that of FILE. Images new to the project are added."),
            empty=later("beside the labels"),
            metavar="DIR",
        ),
    ] = None
    # the window guesses nothing unless it is told to
    regions: Annotated[
        str,
        About(
            later("Unmarked area"),
            later(
                "Finished regions: as the file states (fields without a statement are finished as a whole), "
                "only those stated, none, or every whole field."
            ),
            choices={
                "file": later("As stated in the file; if not stated, the whole image is annotated"),
                "stated": later("As stated in the file; the rest is unknown"),
                "none": later("Unknown everywhere"),
                "full": later("Every image is fully annotated"),
            },
            starts="stated",
        ),
    ] = "file"
    skip_unknown: Annotated[
        bool,
        About(
            later("Leave that out, and import the rest"),
            later(
                "Skip and list the classes, values, boxes and images of a COCO file that do "
                "not fit; by default such a file is refused."
            ),
        ),
    ] = False
    patient_from: Annotated[
        str | None,
        About(
            later("Patient from name"),
            later("Regular expression for the patient in an image's name, as in add."),
            metavar="REGEX",
        ),
    ] = None
    options: Annotated[Mapping[str, str], _FORMAT_OPTIONS] = field(default_factory=dict)


DEVICE = About(
    later("Train and predict on"),
    later("Where to compute."),
    metavar="auto|cpu|cuda:N|mps",
    window="preferences",
)
MODEL = About(
    later("Model"),
    later("Model to use: its number, the active one, or the starter."),
    metavar="ID|active|starter",
    window="panel",
)
SCHEDULER = About(
    later("Scheduler of a cluster"),
    later("Address of a dask scheduler whose workers compute, such as tcp://host:8786."),
    metavar="ADDRESS",
    window="default",
)
WORKERS = About(
    later("Processes"),
    later("Number of processes of this computer that compute, instead of one."),
    metavar="N",
    least=1,
    most=256,
    window="default",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """How cells are suggested (`training.protocol.PredictRequest`)."""

    model: Annotated[str, MODEL] = "active"
    min_confidence: Annotated[
        float,
        About(
            later("Minimum confidence"),
            later("Leave out boxes with a lower probability of being a white cell, 0 to 1."),
            metavar="P",
            least=0.0,
            most=1.0,
            window="default",
        ),
    ] = 0.25
    device: Annotated[str, DEVICE] = "auto"
    scheduler: Annotated[str | None, SCHEDULER] = None
    workers: Annotated[int | None, WORKERS] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """How a model is trained (`training.protocol.TrainRequest`)."""

    init: Annotated[
        str,
        About(
            later("Initial model"),
            later(
                "Continue from the active model (initially the starter), or start from the "
                "bundled starter, random weights, a model of the project, a model that "
                "napari-lld trained elsewhere (a folder with model.safetensors and "
                "model.json), or a detector trained with Ultralytics (a .pt file of YOLO26 "
                "n, s or m, YOLO11 n or s, or YOLOv8 n or s)."
            ),
            metavar="active|starter|scratch|ID|PATH",
            window="panel",
        ),
    ] = "active"
    detector: Annotated[
        Literal["n", "s", "m"] | None,
        About(
            later("Detector"),
            later(
                "Size of the YOLO26 detector; by default that of the initial model. The starter has size n: "
                "for another, give --init yolo26s.pt, or --init scratch for random weights."
            ),
            choices={"n": "", "s": "", "m": ""},
            window="default",
        ),
    ] = None
    epochs: Annotated[
        int | None,
        About(
            later("Epochs"),
            later("Passes over the training fields; chosen by the project's size if not given."),
            metavar="N",
            least=1,
            most=10_000,
            window="default",
        ),
    ] = None
    size: Annotated[
        int,
        About(
            later("Size"),
            later("Longer side of a field in training, in pixels."),
            metavar="PX",
            least=64,
            most=4096,
            window="default",
        ),
    ] = 448
    budget: Annotated[
        float | None,
        About(
            later("Time"),
            later(
                "Maximum time of the whole training, in seconds, suggestions included; it reports what it "
                "left out to finish in time."
            ),
            metavar="SECONDS",
            window="panel",
        ),
    ] = None
    holdout: Annotated[
        float,
        About(
            later("Held out"),
            later(
                "Fraction of the cells held out to measure the model; 0 disables the comparison with the "
                "active model."
            ),
            metavar="FRACTION",
            least=0.0,
            window="default",
        ),
    ] = 0.2
    device: Annotated[str, DEVICE] = "auto"
    seed: Annotated[
        int,
        About(
            later("Random seed"),
            later("Random seed: the same seed and data give the same model."),
            metavar="N",
            least=0,
            window="default",
        ),
    ] = 0
    scheduler: Annotated[
        str | None,
        About(
            later("Scheduler of a cluster"),
            later(
                "Train on a worker with a graphics card of the dask scheduler at this address, such as "
                "tcp://host:8786; its workers predict the suggestions too."
            ),
            metavar="ADDRESS",
            window="default",
        ),
    ] = None
    workers: Annotated[
        int | None,
        About(
            later("Processes"),
            later("Number of processes of this computer that predict the suggestions."),
            metavar="N",
            least=1,
            most=256,
            window="default",
        ),
    ] = None
    # the window queues a training itself
    wait: Annotated[
        bool,
        About(later("Wait"), later("Wait while another training runs on the project."), window="default"),
    ] = False

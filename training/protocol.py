"""Messages between the worker and its parent process: one JSON object per line, no torch.

The request is a JSON file, or a line on the stdin of a worker that stays for several tasks; answers come on
the worker's stdout; on its stdin it reads ``{"type": "cancel"}``. ``docs/worker.md`` lists the fields;
`VERSION` changes when a reader of the old lines would misunderstand the new ones.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from training.networks.architectures import Size

VERSION = 1

CANCEL_LINE = '{"type": "cancel"}\n'
"""What is written to the worker's stdin to stop it."""


class ProtocolError(ValueError):
    """A line or a request file that does not follow the protocol."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- requests --------------------------------------------------------------------------------------------


class TrainRequest(_Record):
    """Learn from a project's regions and cells, save a model, suggest.

    Attributes
    ----------
    project
        The project's folder.
    init
        ``"active"`` (the model in use; the starter where the project has none, or one from before models
        had a memory), ``"starter"``, ``"scratch"``, a model's number, or the path of a model's folder or
        ``.safetensors`` file, or of a detector that Ultralytics has trained (``.pt``); with the latter, the
        describer is the starter's.
    detector
        Which YOLO26; ``None`` = what `init` holds, or n where it is ``"scratch"``. Any other than what
        `init` holds is refused.
    epochs
        An epoch is one view of every training field; ``None`` = as many as suit the project's size.
    size
        The field's longer side in pixels as the detector sees it.
    budget
        Seconds that the whole task may take, process start and suggestions included; ``None`` = no limit.
    holdout
        Share of the cells kept out of training to measure the model; 0 = no gate.
    device
        ``"auto"``, ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    suggest
        Whether to put suggestions on the project's fields afterwards.
    wait
        Whether to queue where another training runs on the project; otherwise the task fails at once. The
        budget begins after the wait.
    reading
        The number of the reading to learn from; ``None`` = the annotator's.
    held_out
        Ids of fields whose units are held out, all of them and no others; ``None`` = the task chooses.
    scheduler
        The address of a scheduler on one of whose workers, which has a graphics card, the training runs;
        others predict the suggestions.
    workers
        How many processes of this computer predict the suggestions.
    """

    task: Literal["train"] = "train"
    project: str
    init: str | int = "active"
    detector: Size | None = None
    epochs: int | None = Field(default=None, ge=1, le=10_000)
    size: int = Field(default=448, ge=64, le=4096)
    budget: float | None = Field(default=None, gt=0)
    holdout: float = Field(default=0.2, ge=0, lt=1)
    device: str = "auto"
    seed: int = Field(default=0, ge=0)
    suggest: bool = True
    min_confidence: float = Field(default=0.25, ge=0, le=1)
    annotator: str | None = None
    reading: int | None = None
    wait: bool = True
    held_out: list[int] | None = None
    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1, le=256)


class PredictRequest(_Record):
    """Propose cells: into the project as suggestions, or for other images into a COCO file.

    Attributes
    ----------
    model
        ``"active"`` (the starter where the project has none), ``"starter"``, or a number.
    fields
        Ids of the fields to suggest on; ``None`` = all, whole slides last.
    area
        x, y, width, height on the one slide of `fields` that is to be searched; ``None`` = all of it.
    images
        Files or folders to predict instead of the project's fields; goes with `out`.
    out
        The COCO file to write.
    reading
        The number of the reading whose cells are known already; ``None`` = the annotator's.
    scheduler, workers
        The address of a scheduler whose workers predict, or else how many processes of this computer do
        (`training.cluster`); ``None`` = the task's own process.
    """

    task: Literal["predict"] = "predict"
    project: str
    model: str | int = "active"
    fields: list[int] | None = None
    area: tuple[float, float, float, float] | None = None
    images: list[str] | None = None
    out: str | None = None
    overwrite: bool = False
    min_confidence: float = Field(default=0.25, ge=0, le=1)
    device: str = "auto"
    annotator: str | None = None
    reading: int | None = None
    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1, le=256)


class DifferentialRequest(_Record):
    """Search the monolayer of a whole slide in a fair order until enough white cells are there; count them.

    What is found is suggested, as by a `PredictRequest`.

    Attributes
    ----------
    field
        The slide's id.
    to
        White cells with a class: cells of the reading, and suggestions with a confidence of 0.5 and more.
    seed
        Another seed, another order.
    scheduler, workers
        See `PredictRequest`.
    """

    task: Literal["differential"] = "differential"
    project: str
    field: int
    to: int = Field(default=200, ge=1, le=100_000)
    seed: int = Field(default=0, ge=0)
    model: str | int = "active"
    min_confidence: float = Field(default=0.25, ge=0, le=1)
    device: str = "auto"
    annotator: str | None = None
    reading: int | None = None
    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1, le=256)


class RenewRequest(_Record):
    """Fit the heads on the labels so far, on features that are known, and predict what is pending anew.

    Classes and values of pending suggestions change, boxes do not; no model is made, nothing is measured.

    Attributes
    ----------
    model
        Whose heads are fitted: ``"active"`` (the starter where the project has none).
    first
        Fields whose suggestions are renewed first, and told of at once.
    rank
        Whether to rank the fields anew too.
    """

    task: Literal["renew"] = "renew"
    project: str
    model: str | int = "active"
    first: list[int] = Field(default_factory=list)
    rank: bool = True
    device: str = "cpu"
    annotator: str | None = None
    reading: int | None = None


class DescribeRequest(_Record):
    """Predict class and values of boxes on a field, of a cell just drawn for one.

    The heads are those that a `RenewRequest` fitted last, in a process that stays; else the model's.

    Attributes
    ----------
    field
        The field's id.
    boxes
        x, y, width, height of each, in the field's pixels.
    """

    task: Literal["describe"] = "describe"
    project: str
    field: int
    boxes: list[tuple[float, float, float, float]]
    model: str | int = "active"
    device: str = "cpu"
    annotator: str | None = None
    reading: int | None = None


class LikenessRequest(_Record):
    """Compare the project's cells and pending suggestions; ``docs/worker.md`` lists the results.

    Attributes
    ----------
    what
        ``"similar"``: the cells most like `of`; ``"outliers"``: those far from their own class;
        ``"clusters"``: groups of cells that are alike; ``"duplicates"``: pairs that show one cell;
        ``"references"``: of each class and value, the labelled cells most like `of`.
    of
        Kind and id of the cell that others are compared with.
    fields
        Ids of the fields whose cells are listed; ``None`` = all.
    most
        How many cells, clusters or pairs are listed at most, or cells of each value; ``None`` = all, of a
        value eight.
    clusters
        How many clusters; ``None`` = as many as suit the number of cells.
    """

    task: Literal["likeness"] = "likeness"
    project: str
    what: Literal["similar", "outliers", "clusters", "duplicates", "references"]
    of: tuple[Literal["cell", "suggestion"], int] | None = None
    fields: list[int] | None = None
    most: int | None = Field(default=None, ge=1)
    clusters: int | None = Field(default=None, ge=1)
    model: str | int = "active"
    device: str = "cpu"
    annotator: str | None = None
    reading: int | None = None


EMBEDDINGS_SUFFIXES = (".h5ad", ".parquet")
"""Files that an `EmbeddingsRequest` writes: AnnData, Parquet."""


class EmbeddingsRequest(_Record):
    """Write the feature vectors of the project's cells and pending suggestions.

    Attributes
    ----------
    out
        The file to write: ``.h5ad`` (AnnData) or ``.parquet``.
    names
        Whether patients, slides and files keep their names; else they have keyed hashes.
    scheduler, workers
        See `PredictRequest`.
    """

    task: Literal["embeddings"] = "embeddings"
    project: str
    out: str
    overwrite: bool = False
    names: bool = False
    model: str | int = "active"
    device: str = "cpu"
    annotator: str | None = None
    reading: int | None = None
    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1, le=256)


class EvaluateRequest(_Record):
    """Measure a model: on the project's held-out regions, or against a fully annotated COCO file.

    Attributes
    ----------
    truth
        A COCO file in which every white cell is annotated; ``None`` = the held-out regions.
    images
        Folder of the truth's images; ``None`` = beside the file or in ``images/`` there.
    outside_regions
        Keep only what is centred outside the finished regions of the project's fields of the same name.
    fields
        File names of the truth's images to measure on; ``None`` = all.
    reading
        The number of the reading whose held-out regions count; ``None`` = the account's.
    scheduler, workers
        See `PredictRequest`.
    """

    task: Literal["evaluate"] = "evaluate"
    project: str
    model: str | int = "active"
    truth: str | None = None
    images: str | None = None
    outside_regions: bool = False
    fields: list[str] | None = None
    device: str = "auto"
    reading: int | None = None
    scheduler: str | None = None
    workers: int | None = Field(default=None, ge=1, le=256)


class ExportModelRequest(_Record):
    """Write a model as ONNX.

    Attributes
    ----------
    model
        ``"active"`` (the starter where the project has none), ``"starter"``, or a number.
    out
        The file to write.
    """

    task: Literal["export_model"] = "export_model"
    project: str
    model: str | int = "active"
    out: str
    overwrite: bool = False


Request = (
    TrainRequest
    | PredictRequest
    | DifferentialRequest
    | RenewRequest
    | DescribeRequest
    | LikenessRequest
    | EmbeddingsRequest
    | EvaluateRequest
    | ExportModelRequest
)
_requests: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="task")])


def request_line(request: Request) -> str:
    """Return a request as one line of JSON, for the stdin of a worker that stays."""
    return request.model_dump_json() + "\n"


def parse_request(text: str) -> Request:
    """Read a request.

    Raises
    ------
    ProtocolError
        If the text is no request; its message names the field.
    """
    try:
        return _requests.validate_json(text)
    except ValidationError as error:
        raise ProtocolError(_sentence(error)) from error


# --- answers ---------------------------------------------------------------------------------------------


class _Answer(_Record):
    model_config = ConfigDict(extra="ignore", frozen=True)
    v: Literal[1] = 1

    def line(self) -> str:
        """Return the message as one line of JSON, newline included."""
        return self.model_dump_json() + "\n"


class Started(_Answer):
    """The task runs; `resumed_epochs` were done already by a run of the same that was cut off."""

    type: Literal["started"] = "started"
    task: str
    run_id: int | None = None
    device: str = "cpu"
    fields: int = 0
    cells: int = 0
    resumed_epochs: int = 0


class Progress(_Answer):
    """Progress of the task; `seconds_left` is an estimate."""

    type: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    losses: dict[str, float] = Field(default_factory=dict)


class Waiting(_Answer):
    """The task has not begun: it waits for the end of another training on the project.

    Attributes
    ----------
    reason
        Who trains, as `training.reasons.Reason.stored` gives it.
    """

    type: Literal["waiting"] = "waiting"
    reason: str | list[Any]


class Notice(_Answer):
    """Something to know about the result; the task continues.

    Attributes
    ----------
    reason
        A sentence, as `training.reasons.Reason.stored` gives it.
    """

    type: Literal["notice"] = "notice"
    reason: str | list[Any]


class Metrics(_Answer):
    """Numbers measured on the way (held-out)."""

    type: Literal["metrics"] = "metrics"
    metrics: dict[str, Any]


class Saved(_Answer):
    """A model is in the project.

    `why` says why it did not become active, or what is open about how it compares with the model before;
    `reason` is the same as `training.reasons.Reason.stored` gives it, for other languages.
    """

    type: Literal["saved"] = "saved"
    model_id: int
    active: bool
    why: str | None = None
    reason: str | list[Any] | None = None


class Suggested(_Answer):
    """Suggestions are in the project; `from_stain`: fields where the model found none, only the stain.

    `unknown`: how many of them are of cells unlike anything the model was taught. `unlike`: films that as a
    whole look unlike those that it learnt from. `unchecked`: films that it has not learnt from, and where
    too few cells are labelled; `labelled`: of each of these how many are. `damaged`: names of the fields
    whose image cannot be read.
    """

    type: Literal["suggested"] = "suggested"
    field_ids: list[int]
    count: int
    unknown: int = 0
    from_stain: list[int] = Field(default_factory=list)
    unlike: list[str] = Field(default_factory=list)
    unchecked: list[str] = Field(default_factory=list)
    labelled: dict[str, int] = Field(default_factory=dict)
    damaged: list[str] = Field(default_factory=list)

    def trust(self) -> dict[str, Any]:
        """Return what is known of the films, as the result of a task has it."""
        return {"unlike": self.unlike, "unchecked": self.unchecked, "labelled": self.labelled}


class Searched(_Answer):
    """Some tiles of a whole slide were searched, and what was found is in the project.

    Attributes
    ----------
    field_id
        The slide.
    count
        Suggestions so far.
    done, total
        Tiles searched so far, those of an earlier run included, and tiles to search.
    boxes
        What was searched just now: x, y, width, height in pixels of the slide.
    """

    type: Literal["searched"] = "searched"
    field_id: int
    count: int
    done: int
    total: int
    boxes: list[tuple[float, float, float, float]] = Field(default_factory=list)


class Renewed(_Answer):
    """Suggestions of some fields have other classes or values now."""

    type: Literal["renewed"] = "renewed"
    field_ids: list[int]
    count: int


class Cancelling(_Answer):
    """A cancel was heard."""

    type: Literal["cancelling"] = "cancelling"


class Done(_Answer):
    """The task ended well."""

    type: Literal["done"] = "done"
    task: str
    model_id: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    result: dict[str, Any] = Field(default_factory=dict)


class Cancelled(_Answer):
    """The task was stopped as asked."""

    type: Literal["cancelled"] = "cancelled"


class Failed(_Answer):
    """The task ended badly: what happened, what to do, and the traceback for the log."""

    type: Literal["failed"] = "failed"
    cause: str
    cure: str = ""
    details: str = ""


class Ready(_Answer):
    """A persistent worker waits for a request; sent between tasks, never during one.

    Attributes
    ----------
    memory
        Bytes of memory that the process holds.
    tasks
        How many tasks it has done.
    """

    type: Literal["ready"] = "ready"
    memory: int
    tasks: int = 0


Ending = Done | Cancelled | Failed
"""The last message of a task."""
Message = (
    Started
    | Waiting
    | Progress
    | Notice
    | Metrics
    | Saved
    | Suggested
    | Searched
    | Renewed
    | Cancelling
    | Ready
    | Ending
)
_messages: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def parse_message(line: str) -> Message:
    """Read one line of the worker's stdout.

    Raises
    ------
    ProtocolError
        If the line is no message of this version.
    """
    try:
        return _messages.validate_json(line)
    except ValidationError as error:
        raise ProtocolError(_sentence(error)) from error


def _sentence(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the message"
    return f"{where}: {first['msg']}"

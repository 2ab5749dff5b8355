"""Messages between the worker and its parent process: one JSON object per line, no torch.

A request is a JSON file, or a line on the stdin of a persistent worker; messages come on the worker's stdout;
``{"type": "cancel"}`` on its stdin cancels the task. ``docs/worker.md`` lists the fields; `VERSION` changes
with incompatible changes of the messages.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from training.evaluation.unchecked_films import MIN_CHECKED_CELLS
from training.networks.architectures import Size

VERSION = 1

CANCEL_LINE = '{"type": "cancel"}\n'
"""Line on the worker's stdin that cancels its task."""


class ProtocolError(ValueError):
    """A line or a request file that does not follow the protocol."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- requests --------------------------------------------------------------------------------------------


class TrainRequest(_Record):
    """Train a model on a project's regions and cells, save it, and predict suggestions.

    Attributes
    ----------
    project
        The project's folder.
    init
        The initial model: ``"active"`` (the model in use; the starter if the project has none, or one from
        before models had a memory), ``"starter"``, ``"scratch"``, a model's number, or the path of a model's
        folder or ``.safetensors`` file, or of a detector trained with Ultralytics (``.pt``); with the latter,
        the describer is the starter's.
    detector
        Size of the YOLO26 detector; ``None`` = that of `init`, or n for ``"scratch"``. Any other than that of
        `init` is refused.
    epochs
        An epoch is one view of every training field; ``None`` = as many as suit the project's size.
    size
        Input size of the detector: the field's longer side in pixels.
    budget
        Maximum seconds of the whole task, including process start and suggestions; ``None`` = no limit.
    holdout
        Share of the cells held out to evaluate the model; 0 = no gate.
    device
        ``"auto"``, ``"cpu"``, ``"cuda:N"`` or ``"mps"``.
    suggest
        Whether to predict suggestions on the project's fields afterwards.
    wait
        Whether to wait for another training on the project; otherwise the task fails at once. The budget
        begins after the wait.
    reading
        The number of the reading to train on; ``None`` = the annotator's.
    held_out
        Ids of fields whose units are held out, all of them and no others; ``None`` = the task chooses.
    scheduler
        Address of a scheduler; the training runs on one of its workers with a graphics card, and others
        predict the suggestions.
    workers
        Number of processes of this computer that predict the suggestions.
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
    """Predict cells: as suggestions of the project, or of other images to a COCO file.

    Attributes
    ----------
    model
        ``"active"`` (the starter if the project has none), ``"starter"``, or a number.
    fields
        Ids of the fields to suggest on; ``None`` = all, whole slides last.
    area
        x, y, width, height of the area of the only slide in `fields` to search; ``None`` = all of it.
    images
        Files or folders to predict instead of the project's fields; goes with `out`.
    out
        The COCO file to write.
    reading
        The number of the reading whose cells are known already; ``None`` = the annotator's.
    scheduler, workers
        Address of a scheduler whose workers predict, or the number of processes of this computer that do
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
    """Search the monolayer of a whole slide in random order until there are enough white cells; count them.

    The cells become suggestions, as with a `PredictRequest`.

    Attributes
    ----------
    field
        The slide's id.
    to
        Target number of white cells with a class: cells of the reading, and suggestions with a confidence of
        at least 0.5.
    seed
        Seed of the order.
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
    """Fit the heads on the labels so far, on stored features, and update the pending suggestions.

    Classes and values of pending suggestions change, boxes do not; no model is saved or evaluated.

    Attributes
    ----------
    model
        Whose heads are fitted: ``"active"`` (the starter if the project has none).
    first
        Fields whose suggestions are updated and reported first.
    rank
        Whether to rank the fields again too.
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
    """Predict class and attributes of boxes on a field, e.g. of a cell that was just drawn.

    The heads are those that the last `RenewRequest` fitted in a persistent process, otherwise the model's.

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
        ``"similar"``: the cells most similar to `of`; ``"outliers"``: those far from their own class;
        ``"clusters"``: clusters of similar cells; ``"duplicates"``: pairs of images of one cell;
        ``"references"``: of each class and value, the labelled cells most similar to `of`.
    of
        Kind and id of the cell that others are compared with.
    fields
        Ids of the fields whose cells are listed; ``None`` = all.
    most
        Maximum number of cells, clusters or pairs, or of cells of each value; ``None`` = all, but eight of
        each value.
    clusters
        Number of clusters; ``None`` = as many as suit the number of cells.
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
        Whether to write the names of patients, slides and files; otherwise keyed hashes.
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
    """Evaluate a model: on the project's held-out regions, or against a fully annotated COCO file.

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
        ``"active"`` (the starter if the project has none), ``"starter"``, or a number.
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
    """Return a request as one line of JSON, for the stdin of a persistent worker."""
    return request.model_dump_json() + "\n"


def parse_request(text: str) -> Request:
    """Read a request.

    Raises
    ------
    ProtocolError
        If the text is not a request; its message names the field.
    """
    try:
        return _requests.validate_json(text)
    except ValidationError as error:
        raise ProtocolError(_describe_error(error)) from error


# --- messages --------------------------------------------------------------------------------------------


class _Message(_Record):
    model_config = ConfigDict(extra="ignore", frozen=True)
    v: Literal[1] = 1

    def line(self) -> str:
        """Return the message as one line of JSON, newline included."""
        return self.model_dump_json() + "\n"


class Started(_Message):
    """The task runs; `resumed_epochs` were done by an interrupted run of the same task."""

    type: Literal["started"] = "started"
    task: str
    run_id: int | None = None
    device: str = "cpu"
    fields: int = 0
    cells: int = 0
    resumed_epochs: int = 0


class Progress(_Message):
    """Progress of the task; `seconds_left` is an estimate."""

    type: Literal["progress"] = "progress"
    stage: str
    done: int
    total: int
    seconds_left: float | None = None
    losses: dict[str, float] = Field(default_factory=dict)


class Waiting(_Message):
    """The task has not begun: it waits for the end of another training on the project.

    Attributes
    ----------
    reason
        A sentence about the other training, as `training.reasons.Reason.stored` returns it.
    """

    type: Literal["waiting"] = "waiting"
    reason: str | list[Any]


class Notice(_Message):
    """Something to know about the result; the task continues.

    Attributes
    ----------
    reason
        A sentence, as `training.reasons.Reason.stored` returns it.
    """

    type: Literal["notice"] = "notice"
    reason: str | list[Any]


class Metrics(_Message):
    """Intermediate metrics on held-out cells."""

    type: Literal["metrics"] = "metrics"
    metrics: dict[str, Any]


class Saved(_Message):
    """A model was saved to the project.

    `why` explains why it did not become active, or the caveats of the comparison with the model before;
    `reason` is the same as `training.reasons.Reason.stored` returns it, for other languages.
    """

    type: Literal["saved"] = "saved"
    model_id: int
    active: bool
    why: str | None = None
    reason: str | list[Any] | None = None


class Suggested(_Message):
    """Suggestions were saved to the project.

    `from_stain`: fields with proposals by the stain only, as the model found none. `unknown`: number of
    unknown cells. `unlike`: films with a domain shift from the training films. `unchecked`: films that the
    model was not trained on and with too few labelled cells; `labelled`: the number of labelled cells of each
    of these; `needed`: the number that is enough; `not_learned`: the number of cells of these that do not
    count, as they are labelled with nothing that the model has learned; `described`: whether suggestions have
    a class or values. `damaged`: names of the fields whose image cannot be read.
    `pending`, `pending_unknown`: as `count` and `unknown`, but of all that wait for review there, if that may
    be more: a search of a slide continues an earlier one.
    """

    type: Literal["suggested"] = "suggested"
    field_ids: list[int]
    count: int
    unknown: int = 0
    from_stain: list[int] = Field(default_factory=list)
    unlike: list[str] = Field(default_factory=list)
    unchecked: list[str] = Field(default_factory=list)
    labelled: dict[str, int] = Field(default_factory=dict)
    needed: int = MIN_CHECKED_CELLS
    not_learned: dict[str, int] = Field(default_factory=dict)
    described: bool = True
    damaged: list[str] = Field(default_factory=list)
    pending: int | None = None
    pending_unknown: int | None = None

    def trust(self) -> dict[str, Any]:
        """Return the entries about films in the result of a task."""
        return self.model_dump(
            include={"unlike", "unchecked", "labelled", "needed", "not_learned", "described"}
        )


class Searched(_Message):
    """Some tiles of a whole slide were searched, and the suggestions saved to the project.

    Attributes
    ----------
    field_id
        The slide.
    count
        Number of suggestions so far, including those of an earlier run.
    done, total
        Number of tiles searched so far, including those of an earlier run, and in total.
    boxes
        Areas that were just searched: x, y, width, height in pixels of the slide.
    """

    type: Literal["searched"] = "searched"
    field_id: int
    count: int
    done: int
    total: int
    boxes: list[tuple[float, float, float, float]] = Field(default_factory=list)


class Renewed(_Message):
    """Classes or values of the suggestions of some fields were updated."""

    type: Literal["renewed"] = "renewed"
    field_ids: list[int]
    count: int


class Cancelling(_Message):
    """The cancel request was received."""

    type: Literal["cancelling"] = "cancelling"


class Done(_Message):
    """The task succeeded."""

    type: Literal["done"] = "done"
    task: str
    model_id: int | None = None
    metrics: dict[str, Any] = Field(default_factory=dict)
    result: dict[str, Any] = Field(default_factory=dict)


class Cancelled(_Message):
    """The task was cancelled."""

    type: Literal["cancelled"] = "cancelled"


class Failed(_Message):
    """The task failed: cause, cure, and the traceback for the log."""

    type: Literal["failed"] = "failed"
    cause: str
    cure: str = ""
    details: str = ""


class Ready(_Message):
    """A persistent worker waits for a request; sent between tasks, never during one.

    Attributes
    ----------
    memory
        Memory of the process in bytes.
    tasks
        Number of tasks it has done.
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
        If the line is not a message of this version.
    """
    try:
        return _messages.validate_json(line)
    except ValidationError as error:
        raise ProtocolError(_describe_error(error)) from error


def _describe_error(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or "the message"
    return f"{where}: {first['msg']}"

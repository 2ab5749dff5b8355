"""The training task on a worker of a cluster: send a copy without names, receive a model.

The worker runs `training.worker.train` on a copy that has the ids of the project, and hashes instead of its
names. This process does what needs the project itself: it chooses the held-out units, restores the names in
the model card, numbers and activates the model, and updates suggestions.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from annotation_store.copies.teaching import Keys, copy_to_teach, write_slide
from annotation_store.errors import ProjectError
from annotation_store.files.layout import MODELS, PIXELS, inside
from annotation_store.files.outputs import write_file
from annotation_store.files.temporary import temporary_folder
from annotation_store.images.zarr_writer import nameless as nameless_image
from annotation_store.project import Project
from annotation_store.splits import units_of_fields
from training.cluster.connection import connected
from training.cluster.sending import finest_level
from training.cluster.training_task import RemoteError, Trained, TrainingTask
from training.evaluation.patient_split import card_names, held_out_key
from training.models.folder import CARD, model_files, read_card
from training.models.lineage import Lineage
from training.models.model import ModelError, read_model
from training.models.ultralytics_checkpoints import is_checkpoint
from training.protocol import (
    Done,
    Message,
    Metrics,
    Notice,
    Progress,
    Saved,
    Started,
    Suggested,
    TrainRequest,
)
from training.worker.annotated_fields import AnnotatedField, annotated_fields, readable
from training.worker.anonymous_card import nameless
from training.worker.budget import Budget
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.many import elsewhere, predictor_for
from training.worker.models import initial_model, resolve
from training.worker.out_of_fold import check_labels, trunk_for
from training.worker.roles import roles
from training.worker.suggest import suggest_on

if TYPE_CHECKING:
    import torch

_CARD_KEYS = ("last_cell", "learnt_fields", "held_fields", "chosen", "detector")
"""Entries of model cards that the copy contains: which cells the models have seen."""
_TRAINING = 0.7
"""Fraction of the remaining time for the remote worker if suggestions follow."""


@dataclass
class _Copy:
    """A copy of the project that a worker can train on.

    Attributes
    ----------
    folder
        Contains the database, and the images of the slides.
    files
        Path in the copy and reader of each file to send.
    held
        Ids of the held-out fields.
    start
        File or folder in the copy to start from, if it is not a model of the project.
    keys
        Key of each held-out unit in cards: the copy's to the project's.
    names
        Names of slides: the copy's to the project's.
    """

    folder: Path
    files: list[tuple[str, Callable[[], bytes]]] = field(default_factory=list)
    held: list[int] = field(default_factory=list)
    start: str | None = None
    keys: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


@dataclass
class TrainingElsewhere:
    """A training that runs on a worker of the request's Dask scheduler."""

    request: TrainRequest
    channel: Channel
    device: torch.device
    begun: float
    project: Project
    known: Sequence[AnnotatedField]
    run_id: int
    budget: Budget

    def run(self) -> Done:
        """Train on a remote worker, store the model, and update suggestions here."""
        request, project = self.request, self.project
        in_use = project.models.active()
        with ExitStack() as stack:
            self.channel.send(Progress(stage="connect", done=0, total=0))
            client = stack.enter_context(connected(request.scheduler, None, self.channel.check))
            copy = _Copy(stack.enter_context(temporary_folder("training")) / "copy")
            task = TrainingTask(
                client,
                f"the scheduler {request.scheduler}",
                partial(self._asked, copy),
                partial(self._sent, copy),
                self.channel.check,
                partial(self._tell, copy),
            )
            task.choose()  # before making a copy that no worker could take
            self._fill(copy)
            trained = task.run()
        self.channel.check()
        same = (None if in_use is None else in_use.id) == self._active()
        number, active, verdict, metrics = self._keep(trained, copy, same)
        trust = self._suggest() if request.suggest else Suggested(field_ids=[], count=0).trust()
        result = {
            **trained.done.result,
            "active": active,
            "why": verdict,
            "seconds": round(time.monotonic() - self.begun, 1),
            "left_out": [
                *trained.done.result.get("left_out", ()),
                *(reason.stored() for reason in self.budget.left_out),
            ],
            **trust,
        }
        return Done(task="train", model_id=number, metrics=metrics, result=result)

    def _active(self) -> int | None:
        model = self.project.models.active()
        return None if model is None else model.id

    # -- sending ----------------------------------------------------------------------------------

    def _fill(self, copy: _Copy) -> None:
        """Write the copy's database, and list the files to send."""
        request, project, folder = self.request, self.project, copy.folder
        _, parent = initial_model(
            project, request.init, detector=request.detector, size=request.size, seed=request.seed
        )
        all_fields = project.fields.all()
        units = units_of_fields(all_fields)
        theirs: dict[str, str] = {}

        def card(keys: Keys, _number: int, value: Any) -> dict[str, Any]:
            if not theirs:
                self._translate(copy, theirs, keys, {item.id: units[item.id] for item in all_fields})
            listed = value.get("held_out") if isinstance(value, Mapping) else None
            held_out = [theirs.get(str(item), keys.in_copy(str(item))) for item in listed or ()]
            return {name: value[name] for name in _CARD_KEYS if name in value} | {
                "held_out": sorted(held_out)
            }

        keys = copy_to_teach(project.path, folder, card)
        if not theirs:
            self._translate(copy, theirs, keys, units)
        lost = {item.field.id for item in annotated_fields(project)} - {item.field.id for item in self.known}
        with Project.open(folder, reading=project.reading.id, read_only=True) as opened:
            known = [
                replace(item, patient=units[item.field.id])
                for item in annotated_fields(opened)
                if item.field.id in units and item.field.id not in lost
            ]
            copy.names = {item.name: project.fields.get(item.id).name for item in opened.slides.all()}
        chosen = roles(project, request, known, Lineage.of(project, parent))
        copy.held = sorted({item.field.id for item in known if item.patient in chosen.held})
        read = [*known[:1], *chosen.others, *(item for item in known if item.teaches or item.finished)]
        for slide in project.slides.all():
            windows = [item.window for item in read if item.field.id == slide.id and item.window is not None]
            if windows:
                write_slide(folder, project.pixels, slide, windows)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                copy.files.append((path.relative_to(folder).as_posix(), path.read_bytes))
        for field_id in dict.fromkeys(item.field.id for item in read if item.window is None):
            copy.files += self._pixels(field_id)
        copy.files += self._models(parent, copy)

    def _translate(self, copy: _Copy, theirs: dict[str, str], keys: Keys, units: Mapping[int, str]) -> None:
        """Map each unit that a card may list between its keys in the copy and in the project."""
        for record in self.project.fields.all():
            unit = units[record.id]
            kind, _, name = unit.partition(" ")
            in_copy = keys.in_copy(f"held out: {kind} {keys.hashed(name)}")
            copy.keys[in_copy] = held_out_key(self.project, unit)
            for called in (*card_names(record, unit), *([record.patient] if record.patient else [])):
                theirs[called] = theirs[held_out_key(self.project, called)] = in_copy

    def _pixels(self, field_id: int) -> Iterator[tuple[str, Callable[[], bytes]]]:
        folder = inside(self.project.path, PIXELS, str(field_id))
        for path in finest_level(folder):
            name = f"{PIXELS}/{field_id}/{path.relative_to(folder).as_posix()}"
            yield name, partial(_pixel_file, path, own=path.parent == folder)

    def _models(self, parent: str, copy: _Copy) -> Iterator[tuple[str, Callable[[], bytes]]]:
        """Yield name and reader of each file of the models that the training needs."""
        init = self.request.init
        for number in dict.fromkeys((int(parent) if parent.isdecimal() else None, self._active())):
            if number is not None:
                for path in model_files(self.project.models.folder(number)):
                    if path.is_file():  # if those of the active model are missing, the training reports it
                        yield f"{MODELS}/{number}/{path.name}", path.read_bytes
        if is_checkpoint(init):
            path = Path(str(init))
            copy.start = f"start/start{path.suffix.lower()}"
            yield copy.start, path.read_bytes
        elif parent == "file":
            copy.start = "start"
            for path, name in zip(model_files(Path(str(init))), ("model.safetensors", CARD), strict=True):
                yield f"start/{name}", path.read_bytes

    def _asked(self, copy: _Copy) -> dict[str, Any]:
        """Return the request for the remote worker."""
        budget = None
        if self.request.budget is not None:
            budget = max(1.0, self.budget.left * (_TRAINING if self.request.suggest else 1.0))
        own = {"project": "", "annotator": None, "scheduler": None, "workers": None}
        return {
            **self.request.model_dump(),
            **own,
            "init": self.request.init if copy.start is None else "",
            "start": copy.start,
            "suggest": False,
            "reading": self.project.reading.id,
            "held_out": copy.held,
            "budget": budget,
        }

    def _sent(self, copy: _Copy) -> Iterator[tuple[str, bytes]]:
        for number, (name, read) in enumerate(copy.files):
            self.channel.send(Progress(stage="send", done=number, total=len(copy.files)))
            yield name, read()

    def _tell(self, copy: _Copy, message: Message) -> None:
        """Forward a message of the remote worker, with the project's run id and slide names."""
        if isinstance(message, Started):
            message = message.model_copy(update={"run_id": self.run_id})
        elif isinstance(message, Notice):
            text = json.dumps(message.reason, ensure_ascii=False)
            for theirs, own in copy.names.items():
                text = text.replace(theirs, json.dumps(own, ensure_ascii=False)[1:-1])
            message = Notice(reason=json.loads(text))
        self.channel.send(message)

    # -- receiving --------------------------------------------------------------------------------

    def _keep(
        self, trained: Trained, copy: _Copy, same: bool
    ) -> tuple[int, bool, str | None, dict[str, Any]]:
        """Store the received model as if it were trained here."""
        project, done = self.project, trained.done
        active = done.result.get("active") is True and same
        reason = done.result.get("why")
        why = str(reason) if reason is not None else None
        if not same:
            why = "Another model was made active while it was trained."
        number = project.models.reserve_id()
        folder = project.models.folder(number)
        try:
            folder.mkdir()
            for name, content in trained.files.items():
                write_file(folder / name, content, parents=False)
            try:
                read_model(folder)
                card = read_card(folder)
            except ModelError as error:
                raise RemoteError(
                    "that trained", f"the model that came back cannot be used ({error})"
                ) from error
            listed = card.get("held_out")
            held_out = (
                [copy.keys[item] for item in listed if item in copy.keys] if isinstance(listed, list) else []
            )
            card |= {"run": self.run_id, "request": self.request.model_dump(), "held_out": sorted(held_out)}
            card["why_not_active"] = None if active else why
            card = nameless(project, card)
            write_file(folder / CARD, json.dumps(card, indent=1, ensure_ascii=False), parents=False)
            project.models.add(number, parent=str(card.get("parent", "")), card=card, activate=active)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # an incomplete model is useless
            raise
        metrics = card.get("metrics")
        measured: dict[str, Any] = metrics if isinstance(metrics, dict) else {}
        difference = measured.get("difference")
        stored = difference.get("told") if isinstance(difference, dict) and same else None
        self.channel.send(Metrics(metrics=measured))
        self.channel.send(Saved(model_id=number, active=active, why=why, reason=stored))
        return number, active, why, measured

    def _suggest(self) -> dict[str, Any]:
        """Update suggestions with the active model, using the labels as they are now."""
        project, channel = self.project, self.channel
        known, lost = readable(project, annotated_fields(project))
        own = [item for item in annotated_fields(project, own=True) if item.field.id not in lost]
        model, number = resolve(project, "active")
        model.to(self.device)
        with predictor_for(self.request, project, channel) as predictor:
            suggested = suggest_on(
                project,
                model,
                number,
                own,
                channel,
                films=Films(project, model, known),
                min_confidence=self.request.min_confidence,
                checked=check_labels(
                    project,
                    trunk_for(project, model, number),
                    known,
                    channel,
                    budget=self.budget,
                    predictor=elsewhere(predictor),
                ),
                budget=self.budget,
                predictor=predictor,
            )
        return suggested.trust() | model.sets.summary()


def _pixel_file(path: Path, *, own: bool) -> bytes:
    """Read a file of a stored field; remove the name from its metadata (`own`)."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ProjectError(
            f"The pixels in {path.parent} are missing or damaged: run napari-lld check --repair."
        ) from error
    return nameless_image(content) if own else content

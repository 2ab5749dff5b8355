"""One run: a project annotated in rounds by one strategy, its model scored after each on other fields."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.torch import load_file, save
from sparse_benchmark.cache import digest
from sparse_benchmark.data import truth_of

from active_benchmark.arms import ARMS, Arm, work
from annotation_store import Project
from annotation_store.schema import Schema
from training.bulk import PROMISED, bulk, may_be_accepted
from training.engine.data import TrainingField, cut_patches, prepare_field
from training.engine.loop import LearningConfig, Loop
from training.engine.model import (
    LearnedModel,
    adapted,
    new_model,
    read_model,
    replace_file,
    starter_place,
)
from training.engine.pretrained import with_coco_weights
from training.engine.vocabulary import Vocabulary
from training.evaluate import FieldResult, TrueCell, summarise, written_right
from training.measure import fit_calibration, judge
from training.predict import propose, propose_raw, suggestible
from training.simulate import Action, SimulatedAnnotator, Work
from training.worker.project_data import knowledge
from training.worker.suggest import suggest_on

SUGGESTED = 0.25
"""The default threshold: suggestions as sure as that are shown."""


LEAST = 0.05
"""Raw score below which nothing is scored: it costs time and moves average precision little."""


@dataclass(frozen=True)
class Setting:
    """How a run goes; two runs of equal settings, arm and seed are the same run.

    Attributes
    ----------
    pool, judged
        How many fields there are to annotate, and to score on.
    start
        Random regions annotated by hand at first, the same for all arms of a seed.
    rounds, seconds, half
        How many rounds follow, how much of the expert's time each gets, and what share of it our arms get: so
        much that they, the common start included, take half of what whole fields by hand do.
    first_steps, steps
        Training steps at first, and after each round; a step is `batch` views of fields and `crops` of cells.
    rate
        Learning rate in the rounds.
    """

    name: str
    pool: int
    judged: int
    start: int
    seconds: float
    half: float
    first_steps: int
    steps: int
    rounds: int = 3
    size: int = 320
    window: int = 224
    batch: int = 8
    crops: int = 24
    rate: float = 5e-4


@dataclass(frozen=True)
class Data:
    """What a run works on: fields to annotate and to score on, fully annotated, and the schema.

    Attributes
    ----------
    weights
        COCO weights to start from; ``None`` = the bundled starter, which knows the shared data (so for
        trying out only).
    folder
        Where the fields' images are.
    """

    schema: Schema
    pool: Sequence[TrainingField]
    judged: Sequence[TrainingField]
    weights: Path | None
    folder: Path


class Silence:
    """A worker's channel that nobody listens to."""

    cancelled = False

    def check(self) -> None:
        """Nobody cancels."""

    def send(self, message: object) -> None:
        """Nobody hears."""


def run(setting: Setting, arm: str, seed: int, data: Data, states: Path) -> dict[str, Any]:
    """Run an arm; what comes out goes into the cache as JSON.

    Parameters
    ----------
    states
        Folder in which the first models are kept, which all arms of a seed share.
    """
    strategy = ARMS[arm][0]
    rng = np.random.default_rng([seed, 1])
    chosen = _pool(data.pool, setting, seed)
    begun = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="lld-active-") as place,
        Project.create(Path(place) / "project", schema=data.schema, annotator="simulated") as project,
    ):
        project.add_fields([data.folder / field.name for field in chosen])
        names = {Path(field.name).name: field for field in chosen}
        truth = {
            field.id: [TrueCell(c.box, c.cell_class, c.attributes) for c in names[field.name].cells]
            for field in project.fields()
        }
        person = SimulatedAnnotator(project, truth, uses_suggestions=strategy.suggestions)
        model, first = _start(setting, seed, data, project, person, states)
        if strategy.looks:
            _suggest(project, model)
        rounds = [first]
        total = Work(first["seconds"], first["by_hand"], drawn=first["cells"])
        for number in range(1, setting.rounds + 1):
            clear = _clear(project, person) if strategy.looks else {}
            did = _round(setting, strategy, project, person, rng, model)
            total += did
            model = _learn(
                setting, project, model, setting.steps, seed=1000 * seed + number, rate=setting.rate
            )
            if strategy.looks:
                _suggest(project, model)
            rounds.append(_measure(number, model, data.judged, total, did, clear))
        after = _clear(project, person) if strategy.looks else {}
    return {"rounds": rounds, "after": after, "run_seconds": round(time.monotonic() - begun, 1)}


def _pool(fields: Sequence[TrainingField], setting: Setting, seed: int) -> list[TrainingField]:
    rng = np.random.default_rng([seed, 0])
    ordered = sorted(fields, key=lambda field: field.name)
    return [ordered[i] for i in rng.permutation(len(ordered))[: setting.pool]]


def _start(
    setting: Setting, seed: int, data: Data, project: Project, person: SimulatedAnnotator, states: Path
) -> tuple[LearnedModel, dict[str, Any]]:
    """Annotate the first random regions by hand and learn from them: the same for all arms of a seed.

    Returns
    -------
    tuple
        The model, and its scores (`_measure`).
    """
    rng = np.random.default_rng([seed, 2])
    random = Arm("random", "random", suggestions=False)
    total = Work()
    for count, did in enumerate(work(project, random, person, rng), 1):
        total += did
        if count == setting.start:
            break
    model = new_model(Vocabulary.from_schema(project.schema), seed=seed, size=setting.size)
    weights = states / f"{setting.name}-{digest(asdict(setting))}-{seed}.safetensors"
    scores = weights.with_suffix(".json")
    if scores.is_file():
        model.load_tensors(load_file(str(weights)))
        model.teach(cut_patches(_training_fields(project), model.vocabulary).allowed)
        _calibrate(model.evaluating(), project)
        return model, json.loads(scores.read_text(encoding="utf-8"))
    if data.weights is None:
        model = adapted(read_model(starter_place()), model.vocabulary)
        model.size = setting.size
    else:
        with_coco_weights(model, data.weights)
    rate = 1e-3  # all is new
    model = _learn(setting, project, model, setting.first_steps, seed=1000 * seed, rate=rate)
    first = _measure(0, model, data.judged, total, total, {})
    states.mkdir(parents=True, exist_ok=True)
    replace_file(weights, save({name: t.contiguous() for name, t in model.tensors()}))
    replace_file(scores, json.dumps(first).encode())
    return model, first


def _training_fields(project: Project) -> list[TrainingField]:
    return [one.training_field(project) for one in knowledge(project) if one.teaches]


def _learn(
    setting: Setting,
    project: Project,
    model: LearnedModel,
    steps: int,
    *,
    seed: int,
    rate: float,
) -> LearnedModel:
    """Go on learning from all that is annotated: as many steps for every arm."""
    fields = _training_fields(project)
    patches = cut_patches(fields, model.vocabulary)
    batch = min(setting.batch, len(fields))
    config = LearningConfig(
        epochs=max(1, round(steps / -(-len(fields) // batch))),
        window=setting.window, batch=batch, crops=setting.crops, seed=seed, average=0.97,
        detector_rate=rate, describer_rate=rate, head_rate=rate,
    )  # fmt: skip
    Loop(model, [prepare_field(one, setting.size) for one in fields], patches, config).run()
    _calibrate(model, project)
    return model


def _calibrate(model: LearnedModel, project: Project) -> None:
    """Calibrate as a young project does: on some of what was learnt from, leaning on no correction."""
    some = [one for one in knowledge(project) if one.finished and one.cells][-16:]
    raw = propose_raw(model, [one.training_field(project).pixels for one in some])
    model.calibration = fit_calibration(
        model, [one.truth() for one in some], raw, note="training cells", strength=40
    )


def _suggest(project: Project, model: LearnedModel) -> None:
    """Put the model's suggestions on the fields, and look at these for the ranking, as the worker does."""
    model_id = project.new_model_id()
    project.model_folder(model_id).mkdir(parents=True)
    project.add_model(model_id, parent="", card={}, activate=True)
    known = knowledge(project)
    suggest_on(project, model, model_id, known, Silence(), min_confidence=SUGGESTED)  # type: ignore[arg-type]


def _round(
    setting: Setting,
    arm: Arm,
    project: Project,
    person: SimulatedAnnotator,
    rng: np.random.Generator,
    model: LearnedModel,
) -> Work:
    """Work for the round's seconds; the last piece may pass them."""

    def look(field_id: int) -> None:
        if not arm.looks:  # only here, for what it would have taken with suggestions
            known = next(one for one in knowledge(project) if one.field.id == field_id)
            (found,) = propose(model, [partial(project.pixels, field_id)], min_confidence=SUGGESTED)
            kept = suggestible(found, regions=known.finished, taken=[cell.box for cell in known.cells])
            project.suggest(field_id, kept, model_id=None)

    budget = setting.seconds * (setting.half if arm.half else 1.0)
    total = Work()
    for did in work(project, arm, person, rng, on_field=look):
        total += did
        if (total.seconds if arm.suggestions else total.by_hand) >= budget:
            break
    return total


def _clear(project: Project, person: SimulatedAnnotator) -> dict[str, Any]:
    """Count which of all waiting suggestions would need no correction."""
    counts = {"suggestions": 0, "clear": 0, "rejected": 0}
    for field in project.fields():
        waiting = [one for one in project.suggestions(field.id) if one.confidence >= SUGGESTED]
        verdicts = person.verdicts(field.id, waiting)
        counts["suggestions"] += len(verdicts)
        counts["clear"] += sum(v.action is Action.ACCEPT for v in verdicts)
        counts["rejected"] += sum(v.action is Action.REJECT for v in verdicts)
    return counts


def _measure(
    number: int,
    model: LearnedModel,
    judged: Sequence[TrainingField],
    total: Work,
    did: Work,
    clear: dict[str, Any],
) -> dict[str, Any]:
    """Score a model on the fields kept for that, and tell what the round took."""
    raw = propose_raw(model, [field.pixels for field in judged], min_score=LEAST)
    results = judge(model, [truth_of(field) for field in judged], raw)
    numbers = summarise(results, attributes=list(model.vocabulary.attributes), threshold=SUGGESTED)
    keys = ("map50", "ap50", "class_f1", "attribute_f1", "precision", "recall", "ece")
    return {
        "round": number,
        "seconds": total.seconds,
        "by_hand": total.by_hand,
        "cells": total.cells,
        "did": {
            **{
                name: getattr(did, name) for name in ("drawn", "accepted", "corrected", "rejected", "regions")
            },
            "parts": dict(did.parts),
            "reasons": {str(reason): count for reason, count in did.reasons.items()},
        },
        "before": clear,
        "bulk": _bulk(results),
        "ap50_of": numbers["ap50_of"],
        **{key: numbers[key] or 0.0 for key in keys},  # what finds nothing describes nothing
    }


def _bulk(results: Sequence[FieldResult]) -> dict[str, Any]:
    """Let every other field measure what may be accepted many at once, and count how it goes on the rest.

    The rule is that of the window (`training.bulk`).
    """
    measured, others = results[::2], results[1::2]
    found = bulk(measured)
    taken = wrong = 0
    if found.least is not None:
        for name, (right, of) in written_right(others, found.least)["classes"].items():
            if may_be_accepted(*found.classes.get(name, (0, 0))):
                taken, wrong = taken + of, wrong + of - right
    return {"taken": taken, "wrong": wrong, "allowed": PROMISED * taken}

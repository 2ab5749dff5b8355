"""One run: annotate a project in rounds with one strategy, and score its model after each on other fields."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench import project as driven
from bench.cache import digest, sources
from bench.data import Field

from active_benchmark.arms import ARMS, Arm, work
from active_benchmark.prices import counted, counting, seconds, vector
from annotation_store import Project
from annotation_store.schema import Schema
from training.evaluation.bulk_accept import MAX_ERROR_RATE, fit_bulk, may_be_accepted
from training.evaluation.matching import FieldResult, evaluate_field
from training.evaluation.metrics import acceptance_precision, summarise
from training.simulate import Action, AnnotationWork, SimulatedAnnotator

SUGGESTED = 0.25
"""The default minimum confidence of suggestions."""


@dataclass(frozen=True)
class Setting:
    """The settings of a run, which settings, arm and seed determine.

    Attributes
    ----------
    pool, judged
        Number of fields to annotate, and to score on.
    start
        Number of random regions annotated by hand at the start, the same for all arms of a seed.
    rounds, seconds, half
        Number of rounds, expert seconds per round, and the share of them that our arms get: chosen so that
        they, including the common start, take half the time of annotating whole fields by hand.
    """

    name: str
    pool: int
    judged: int
    start: int
    seconds: float
    half: float
    rounds: int = 3


@dataclass(frozen=True)
class Data:
    """The data of a run: fully annotated fields to annotate and to score on, and the schema.

    Attributes
    ----------
    options
        Options of ``napari-lld train`` that differ from its defaults: initial model and device.
    """

    schema: Schema
    pool: Sequence[Field]
    judged: Sequence[Field]
    options: dict[str, Any]


def run(config: dict[str, Any], setting: Setting, data: Data, states: Path) -> dict[str, Any]:
    """Run an arm; return the result for the cache, as JSON values.

    Parameters
    ----------
    config
        Key of the run in the cache: ``arm``, ``seed`` and anything else that changes the result.
    states
        Folder to cache projects after the common start, which all arms of a seed share.
    """
    arm, seed = ARMS[config["arm"]], config["seed"]
    rng = np.random.default_rng([seed, 1])
    begun = time.monotonic()
    start = {key: value for key, value in config.items() if key not in ("arm", "strategy")}
    started = states / f"{setting.name}-{seed}-{digest({**start, 'sources': sources()})}"
    if not started.is_dir():
        _start(setting, seed, data, started)
    with tempfile.TemporaryDirectory(prefix="lld-active-") as place:
        shutil.copytree(started / "project", Path(place) / "project")
        first = json.loads((started / "first.json").read_text(encoding="utf-8"))
        with Project.open(Path(place) / "project", annotator="simulated") as project:
            person = _person(project, data, uses_suggestions=arm.suggestions)
            total = AnnotationWork(vector(first["acts"]), vector(first["acts_by_hand"]), drawn=first["cells"])
            rounds = [first]
            for number in range(1, setting.rounds + 1):
                clear = _clear(project, person) if arm.suggestions else {}
                did = _round(setting, arm, project, person, rng)
                total += did
                trained = driven.train(project, **driven.later(data.options))
                rounds.append(_measure(number, project, data, total, did, clear) | {"trained": trained})
            after = _clear(project, person) if arm.suggestions else {}
    return {"rounds": rounds, "after": after, "run_seconds": round(time.monotonic() - begun, 1)}


def _person(project: Project, data: Data, *, uses_suggestions: bool) -> SimulatedAnnotator:
    cells = {Path(field.name).name: list(field.cells) for field in data.pool}
    truth = {field.id: cells[field.name] for field in project.fields.all()}
    return SimulatedAnnotator(project, truth, cost=counting(), uses_suggestions=uses_suggestions)


def _start(setting: Setting, seed: int, data: Data, folder: Path) -> None:
    """Annotate the first random regions by hand and train on them, as shared by all arms of a seed."""
    half = folder.with_name(folder.name + ".half")
    shutil.rmtree(half, ignore_errors=True)  # of an interrupted run
    half.mkdir(parents=True)
    ordered = sorted(data.pool, key=lambda field: field.name)
    chosen = np.random.default_rng([seed, 0]).permutation(len(ordered))[: setting.pool]
    with Project.create(half / "project", schema=data.schema, annotator="simulated") as project:
        project.fields.add([ordered[i].file for i in chosen])
        person = _person(project, data, uses_suggestions=False)
        random = Arm("random", "random", suggestions=False)
        total = AnnotationWork()
        for count, did in enumerate(work(project, random, person, np.random.default_rng([seed, 2])), 1):
            total += did
            if count == setting.start:
                break
        trained = driven.train(project, **data.options)
        first = _measure(0, project, data, total, total, {}) | {"trained": trained}
    (half / "first.json").write_text(json.dumps(first), encoding="utf-8")
    half.rename(folder)


def _round(
    setting: Setting, arm: Arm, project: Project, person: SimulatedAnnotator, rng: np.random.Generator
) -> AnnotationWork:
    """Annotate for the seconds of a round; the last region may exceed them."""
    budget = setting.seconds * (setting.half if arm.half else 1.0)
    total = AnnotationWork()
    for did in work(project, arm, person, rng):
        total += did
        if seconds(counted(total.seconds if arm.suggestions else total.by_hand)) >= budget:
            break
    return total


def _clear(project: Project, person: SimulatedAnnotator) -> dict[str, Any]:
    """Count the pending suggestions, and those that need no correction or would be rejected."""
    counts = {"suggestions": 0, "clear": 0, "rejected": 0}
    for field in project.fields.all():
        waiting = [item for item in project.suggestions.find(field.id) if item.confidence >= SUGGESTED]
        verdicts = person.verdicts(field.id, waiting)
        counts["suggestions"] += len(verdicts)
        counts["clear"] += sum(v.action is Action.ACCEPT for v in verdicts)
        counts["rejected"] += sum(v.action is Action.REJECT for v in verdicts)
    return counts


def _measure(
    number: int,
    project: Project,
    data: Data,
    total: AnnotationWork,
    did: AnnotationWork,
    clear: dict[str, Any],
) -> dict[str, Any]:
    """Score the active model on the test fields, and return the scores with the work of the round."""
    device = {"device": data.options["device"]} if "device" in data.options else {}
    found = driven.proposals(project, data.judged, **device)
    results = [
        evaluate_field(field.truth(), some, classes=project.schema.class_names)
        for field, some in zip(data.judged, found, strict=True)
    ]
    attributes = [attribute.name for attribute in project.schema.attributes]
    numbers = summarise(results, attributes=attributes, threshold=SUGGESTED)
    keys = ("map50", "ap50", "class_f1", "attribute_f1", "precision", "recall", "ece")
    acts, by_hand = counted(total.seconds), counted(total.by_hand)
    return {
        "round": number,
        "seconds": seconds(acts),
        "by_hand": seconds(by_hand),
        "acts": acts,
        "acts_by_hand": by_hand,
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
        **{key: numbers[key] or 0.0 for key in keys},  # ``None`` if nothing is found
    }


def _bulk(results: Sequence[FieldResult]) -> dict[str, Any]:
    """Fit the rule of bulk acceptance on every other field, and count its results on the rest.

    The rule is that of the window (`training.evaluation.bulk_accept`).
    """
    measured, others = results[::2], results[1::2]
    found = fit_bulk(measured)
    taken = wrong = 0
    if found.least is not None:
        for name, (right, of) in acceptance_precision(others, found.least)["classes"].items():
            if may_be_accepted(*found.classes.get(name, (0, 0))):
                taken, wrong = taken + of, wrong + of - right
    return {"taken": taken, "wrong": wrong, "allowed": MAX_ERROR_RATE * taken}

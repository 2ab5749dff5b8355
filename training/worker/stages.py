"""The stages of learning: the regions, then what lies beyond them, then the regions again.

The first stage learns with the unknown area masked, and takes all the epochs. Where enough cells are held out
to judge by, and time allows, a second goes over the fields with pseudo-cells
(`training.inference.pseudo_labels`), fields without annotations among them, and a third, short, without
them.
The result is kept only where the held-out score does not fall. Each stage is a `Loop` whose state carries its
own name, and the results of the first two are kept beside it, so that a run that was cut off goes on in the
stage it was in.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from annotation_store.files.outputs import write_file
from training.engine.data import CellPatches, PreparedField, TrainingField, prepare_field
from training.engine.loop import DivergedError, LearningConfig, Loop, StepReport
from training.evaluation.metrics import FieldResult, score
from training.inference.pseudo_labels import add_pseudo_labels, trusted_confidence
from training.models.model import LearnedModel
from training.worker.resume import stage_done, stage_file, state_identity

PSEUDO_SHARE = 0.35
LAST_SHARE = 0.1
"""Epochs with pseudo-cells, and after them, over those of the first stage."""

LEAST_EPOCHS = 20
LEAST_BUDGET = 240.0
LEAST_TO_JUDGE = 8
"""With fewer epochs, seconds or held-out cells there is one stage: nothing could be gained, or judged."""

LEAST_HELD_OUT = 20
"""Fewer held-out cells than this calibrate nothing."""


@dataclass(frozen=True)
class Plan:
    """Epochs of the three stages; the second and third may have none."""

    masked: int
    pseudo: int = 0
    last: int = 0


def plan(epochs: int, *, held_out_cells: int, budget: float | None) -> Plan:
    """Return how many epochs each stage takes."""
    if (
        epochs < LEAST_EPOCHS
        or held_out_cells < LEAST_TO_JUDGE
        or (budget is not None and budget < LEAST_BUDGET)
    ):
        return Plan(epochs)
    pseudo, last = round(PSEUDO_SHARE * epochs), max(1, round(LAST_SHARE * epochs))
    return Plan(epochs, pseudo, last)


@dataclass
class Stages:
    """The learning of one run over a model, which is changed in place.

    Attributes
    ----------
    fields, patches
        What to learn from.
    others
        Fields without any annotation, which teach where the model is sure of what it finds there.
    mark
        The run's identity (`training.worker.resume.identity`).
    judge
        Calibrates a model on the held-out fields and gives its results there.
    tell
        Called after each step, with all stages counted together.
    """

    model: LearnedModel
    fields: Sequence[TrainingField]
    patches: CellPatches
    config: LearningConfig
    plan: Plan
    state: Path
    mark: str
    deadline: float | None
    judge: Callable[[LearnedModel], list[FieldResult]]
    tell: Callable[[StepReport], None]
    should_stop: Callable[[], bool]
    on_prepared: Callable[[int], None]
    others: Sequence[TrainingField] = ()
    _steps_before: int = 0

    def run(self) -> tuple[int, dict[str, Any] | None]:
        """Learn.

        Returns
        -------
        tuple
            Epochs done, and what is to be told of the pseudo-cells: ``None`` if there was one stage.
        """
        if not self.config.epochs:
            return 0, None
        prepared = []
        for i, field in enumerate(self.fields):
            prepared.append(prepare_field(field, self.model.size, self.model.sides))
            self.on_prepared(i + 1)
        if not self.plan.pseudo:
            return self._stage("masked", prepared, self.plan.masked, 1.0, self.deadline), None
        done = self._stage("masked", prepared, self.plan.masked, 1.0, self._share(0.7), keep=True)
        return self._beyond(prepared, done)

    def _beyond(self, prepared: list[PreparedField], done: int) -> tuple[int, dict[str, Any]]:
        masked, attributes = self.model.clone(), list(self.model.vocabulary.attributes)
        results = self.judge(masked)
        before = score(results, attributes)
        trusted = trusted_confidence(results, self.model.vocabulary.groups)
        taught = add_pseudo_labels(masked, [*self.fields, *self.others], trusted)
        own, others = (
            taught[: len(self.fields)],
            [field for field in taught[len(self.fields) :] if field.cells],
        )
        added = sum(len(t.cells) - len(f.cells) for t, f in zip(own, self.fields, strict=True))
        cells = added + sum(len(field.cells) for field in others)
        outcome: dict[str, Any] = {
            "cells": cells,
            "unannotated_fields": len(others),
            "trusted_from": {name or "white cell": round(value, 4) for name, value in trusted.items()},
            "score_before": before,
        }
        if not cells:
            return done, {**outcome, "kept": False}
        with_them = [prepare_field(field, self.model.size, self.model.sides) for field in (*own, *others)]
        # as many steps, whether there are other fields or not
        epochs = max(1, round(self.plan.pseudo * len(own) / len(with_them)))
        try:
            more = self._stage("pseudo", with_them, epochs, 0.5, self._share(0.8), keep=True)
            more += self._stage("last", prepared, self.plan.last, 0.1, self.deadline)
        except DivergedError:
            more = 0
        after = score(self.judge(self.model), attributes) if more else None
        is_better = after is not None and after >= before
        if not is_better:
            self.model.load_tensors(dict(masked.tensors()))
            self.model.eval()
        return done + more, {**outcome, "score_after": after, "kept": is_better}

    def _share(self, share: float) -> float | None:
        """Return the time by which a stage must end: a share of what is left."""
        if self.deadline is None:
            return None
        now = time.monotonic()
        return now + share * max(0.0, self.deadline - now)

    def _stage(
        self,
        name: str,
        prepared: list[PreparedField],
        epochs: int,
        rate: float,
        deadline: float | None,
        *,
        keep: bool = False,
    ) -> int:
        """Run one stage, or take over its result where a run of the same has done it; `keep` the result."""
        done = stage_done(self.state, self.mark, name)
        if done:
            self.model.load_tensors(load_file(str(stage_file(self.state, name))))
            if len(self.patches):
                self.model.record_training(self.patches.labels.allowed, self.patches.labels.weights)
            self.model.eval()
            return done
        config = self.config
        rates = {key: rate * getattr(config, key) for key in ("detector_rate", "describer_rate", "head_rate")}
        loop = Loop(
            self.model,
            prepared,
            self.patches,
            dataclasses.replace(config, epochs=epochs, **rates),
            state=self.state,
            identity=state_identity(self.mark, name),
            deadline=deadline,
        )
        loop.resume(self.state)
        before, to_come = self._steps_before, self._epochs_after(name)

        def tell(report: StepReport) -> None:
            later = to_come * report.total // max(1, report.epochs)
            self._steps_before = before + report.total
            self.tell(
                dataclasses.replace(
                    report,
                    done=before + report.done,
                    total=before + report.total + later,
                    seconds_left=report.seconds_left + later * report.seconds_a_step,
                )
            )

        done = loop.run(on_step=tell, should_stop=self.should_stop)
        if keep:
            content = {n: t.detach().cpu().contiguous() for n, t in self.model.tensors()}
            metadata = {"identity": self.mark, "epoch": str(done)}
            write_file(stage_file(self.state, name), save(content, metadata))
        return done

    def _epochs_after(self, name: str) -> int:
        return {"masked": self.plan.pseudo + self.plan.last, "pseudo": self.plan.last}.get(name, 0)

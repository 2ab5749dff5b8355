"""The stages of training: finished regions, then also pseudo-labels outside of them, then regions again.

The first stage trains with the unlabelled area masked, for all requested epochs. If enough cells are held out
to evaluate on, and time allows, a second stage adds pseudo-labels (`training.inference.pseudo_labels`), also
on fields without annotations, and a third, short stage trains without them again. Their result is kept only
if the held-out score does not fall. Each stage is a `Loop` with a separate checkpoint, and the weights after
the first two are stored too, so that an interrupted run resumes in its stage.
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
from training.evaluation.matching import FieldResult
from training.evaluation.metrics import score
from training.inference.pseudo_labels import add_pseudo_labels, trusted_confidence
from training.models.model import LearnedModel
from training.worker.resume import stage_done, stage_file, state_identity

PSEUDO_SHARE = 0.35
LAST_SHARE = 0.1
"""Epochs of the second and of the third stage, as fractions of those of the first."""

LEAST_EPOCHS = 20
LEAST_BUDGET = 240.0
LEAST_TO_JUDGE = 8
"""With fewer epochs, seconds or held-out cells there is only one stage."""

LEAST_HELD_OUT = 20
"""Minimum number of held-out cells to calibrate on."""


@dataclass(frozen=True)
class Plan:
    """Epochs of the three stages; the second and third may have none."""

    masked: int
    pseudo: int = 0
    last: int = 0


def plan(epochs: int, *, held_out_cells: int, budget: float | None) -> Plan:
    """Return the epochs of each stage."""
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
    """The training of a model in one run; the model is changed in place.

    Attributes
    ----------
    fields, patches
        The training data.
    others
        Fields without annotations, which are used where the model is confident.
    mark
        The run's identity (`training.worker.resume.identity`).
    judge
        Calibrates a model on the held-out fields, and returns its results on them.
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
        """Run the stages.

        Returns
        -------
        tuple
            Epochs done, and the report on pseudo-labels: ``None`` if there was one stage.
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
        # the same number of steps with and without other fields
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
        """Return the deadline of a stage: a share of the remaining time."""
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
        """Run one stage, or load its result if an identical run has done it; store it with `keep`."""
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
            write_file(stage_file(self.state, name), save(content, metadata), parents=False)
        return done

    def _epochs_after(self, name: str) -> int:
        return {"masked": self.plan.pseudo + self.plan.last, "pseudo": self.plan.last}.get(name, 0)

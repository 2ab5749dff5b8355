"""The training task: train, evaluate, save, and update suggestions."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import platform
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from annotation_store.errors import LLDError
from annotation_store.files.layout import ENGINE, inside
from annotation_store.project import Project
from training.engine.cell_features import MAX_PER_VALUE, Cells, embed_cells, remember
from training.engine.data import TrainingField, cut_patches, labelled_cells
from training.engine.interpolation import SHARES, interpolate_with_parent
from training.engine.loop import DivergedError, LearningConfig, StepReport, StoppedError
from training.engine.presets import NOTHING_FOUND, CellsFound, settings
from training.engine.recipe import fit_heads
from training.evaluation.bulk_accept import fit_bulk
from training.evaluation.cell_outcomes import write_outcomes
from training.evaluation.extra_metrics import SUGGESTED
from training.evaluation.matching import FieldResult
from training.evaluation.metrics import summarise
from training.evaluation.patient_split import count_fields
from training.evaluation.prediction_sets import fit_sets
from training.inference.engine import remember_files
from training.inference.measure import (
    cross_validate,
    detection_f1,
    detection_loss,
    evaluate,
    fit_calibration,
    measure,
)
from training.inference.predict import RawProposals
from training.inference.sources import is_readable
from training.models.calibration import Calibration
from training.models.lineage import Lineage, count_taught
from training.models.model import CARD, WEIGHTS, LearnedModel, write_model
from training.networks.scale import domain_of, sides_around
from training.networks.ultralytics_api import VERSION as ULTRALYTICS_VERSION
from training.protocol import Done, Metrics, Notice, Progress, Saved, Started, Suggested, TrainRequest
from training.reasons import Reason
from training.worker.annotated_fields import (
    AnnotatedField,
    annotated_fields,
    fields_by_unit,
    not_read,
    readable,
    refuse_without_labels,
)
from training.worker.anonymous_card import hide_names, nameless
from training.worker.budget import CELLS, DETECTOR, HELD_OUT, IN_USE, LEARNED, PARENT, START, Budget
from training.worker.cautions import cautions, of_the_start, time_ran_short, why_not_measured
from training.worker.channel import CancelledError, Channel
from training.worker.comparison import compare_with_active, starter_calibration, why_it_stays
from training.worker.extra_cells import compact, drawn_at_random, of_single_cells
from training.worker.failures import failure
from training.worker.films import Films
from training.worker.many import elsewhere, predictor_for
from training.worker.models import classes_without_cells, initial_model, resolve
from training.worker.out_of_fold import check_labels, trunk_for
from training.worker.proposing import Proposer, round_robin_by_patient
from training.worker.resume import epochs_done, forget_state, identity, mark_interrupted, state_file
from training.worker.roles import roles
from training.worker.stages import LEAST_HELD_OUT, Plan, Stages, plan
from training.worker.suggest import Sides, suggest_on

_SEEN = 16
"""Maximum number of fields that choose the parent's share, and of training fields that are evaluated."""
_TRIED = 40
"""Maximum number of fields on which the initial model is evaluated before training."""
_FIRST_CELLS = 8
"""Cells from which the time to embed one is estimated."""
_FEWEST_CELLS = 5
"""Minimum number of cells to embed per value, even if time is short."""
_TRYING, _LOOKING, _BETWEEN = 0.15, 0.35, 0.3
"""Fractions of the remaining time to test the start, embed cells, and judge the model between stages."""


def train(request: TrainRequest, channel: Channel, device: torch.device, begun: float) -> Done:
    """Train on a project, whose training lock the caller holds; see `TrainRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        known, lost = readable(project, annotated_fields(project))
        if lost and not any(item.finished for item in known):
            raise LLDError(next(iter(lost.values())))
        refuse_without_labels(known)
        mark_interrupted(project)
        hide_names(project)
        _refuse_unwritable(project.path / "models")
        for reason in not_read(project, lost):
            channel.send(Notice(reason=reason.stored()))
        run_id = project.runs.start(request.model_dump(exclude={"project"}))
        try:
            budget = Budget(request.budget, begun)
            if request.scheduler is None:
                done = _Training(request, channel, device, begun, project, known, run_id, budget).run()
            else:
                from training.worker.train_elsewhere import TrainingElsewhere  # importing dask takes 0.5 s

                done = TrainingElsewhere(
                    request, channel, device, begun, project, known, run_id, budget
                ).run()
        except BaseException as error:
            stopped = channel.cancelled or isinstance(error, CancelledError)
            with contextlib.suppress(Exception):
                message = "" if stopped else failure(error).cause
                project.runs.finish(run_id, "cancelled" if stopped else "failed", message=message)
            raise
        project.runs.finish(run_id, "done", model_id=done.model_id)
        return done


@dataclass
class _Training:
    request: TrainRequest
    channel: Channel
    device: torch.device
    begun: float
    project: Project
    known: list[AnnotatedField]
    run_id: int
    budget: Budget
    propose: Proposer = field(init=False)
    films: Films = field(init=False)
    outcomes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    lineage: Lineage = field(init=False)
    leaning: Calibration = field(init=False)
    lost: int = 0
    chosen: bool = False
    passed_over: int | None = None
    forgotten: Sequence[str] = ()
    seen: Cells | None = None

    def __post_init__(self) -> None:
        self.propose = Proposer(self.project, self.channel, self.budget)

    def run(self) -> Done:
        """Train, evaluate, save the model, and update suggestions."""
        request, project = self.request, self.project
        model, parent = initial_model(
            project, request.init, detector=request.detector, size=request.size, seed=request.seed
        )
        model.to(self.device)
        self.lineage, self.leaning = Lineage.of(project, parent), model.calibration
        in_use = project.models.active()
        if request.init == "active" and in_use is not None and parent == "starter":
            self.passed_over = in_use.id
        chosen = roles(project, request, self.known, self.lineage)
        held, self.lost = chosen.held, chosen.lost
        training, testing = chosen.training, chosen.testing
        # unreadable fields are reported later
        others = [k for k in chosen.others if is_readable(k.pixels(project))]
        cells = sum(len(k.cells) for k in training)
        config = settings(
            fields=len(training),
            size=request.size,
            epochs=request.epochs,
            seed=request.seed,
            finds=None if parent == "scratch" else self._finds(model, training),
        )
        mark = identity(request, [*training, *others], held, config, model)
        state = state_file(project.path)
        resumed = epochs_done(state, mark)
        if not resumed:
            forget_state(state)  # from other data or settings, so it cannot be resumed
        self.channel.send(
            Started(
                task="train",
                run_id=self.run_id,
                device=str(self.device),
                fields=len(training),
                cells=cells,
                resumed_epochs=resumed,
            )
        )
        self._progress("prepare", 0, len(training))
        fields = [k.training_field(project) for k in training]
        self._expect(model, training, testing)
        if parent == "scratch":
            epochs, pseudo = self._learn(model, fields, training, testing, others, config, state, mark)
            kept = 0.0
            remember(model, self._look(model, fields))
        else:
            self.forgotten = classes_without_cells(model, {name for k in training for name in k.classes})
            self.seen = self._look(model, fields)
            fit_heads(model, self.seen, seed=request.seed)
            before = copy.deepcopy(model.detector)
            epochs, pseudo = self._learn(model, fields, training, testing, others, config, state, mark)
            kept = self._keep(model, before, training, testing) if epochs else 1.0
        metrics, active, reason = self._measure(model, training, testing)
        verdict = None if reason is None else f"{reason}."
        self.channel.check()
        metrics["kept_of_parent"] = kept
        if left_out := time_ran_short(self.budget.left_out):
            metrics["left_out"] = left_out
        if pseudo is not None:
            metrics["pseudo_cells"] = pseudo
        learnt_from = {
            "fields": len(training),
            "patients": len({k.patient for k in training}),
            "of_fields": count_fields({k.patient for k in training}),
            "cells": cells,
            "regions": sum(len(k.finished) for k in training),
        }
        metadata = {
            "held_out": sorted(held),
            "held_fields": sorted({k.field.id for k in testing}),
            "learnt_from": learnt_from,
            "learnt_fields": sorted({k.field.id for k in training}),
            "learnt_films": self._films_of(training, model),
            "chosen": self.chosen,
            "why_not_active": None if active else verdict,
        }
        number = self._save(model, parent, config, epochs, metrics, metadata, active)
        forget_state(state)
        stored = None if reason is None else reason.stored()
        self.channel.send(Saved(model_id=number, active=active, why=verdict, reason=stored))
        trust = Suggested(field_ids=[], count=0).trust()
        if request.suggest:
            using, number_used = (model, number) if active else resolve(project, "active")
            using.to(self.device)
            readable_ids = {item.field.id for item in self.known}
            own = [item for item in annotated_fields(project, own=True) if item.field.id in readable_ids]
            trunk = trunk_for(project, using, number_used)
            ready = None if self.seen is None or trunk is not model else (training, self.seen)
            films = self.films if active else Films(project, using, self.known)
            with predictor_for(
                request, project, self.channel, looks_ahead=request.budget is None
            ) as predictor:
                suggested = suggest_on(
                    project,
                    using,
                    number_used,
                    own,
                    self.channel,
                    films=films,
                    min_confidence=request.min_confidence,
                    ready=self.propose.predicted if active else None,
                    checked=check_labels(
                        project,
                        trunk,
                        self.known,
                        self.channel,
                        ready=ready,
                        budget=self.budget,
                        predictor=elsewhere(predictor),
                    ),
                    budget=self.budget,
                    predictor=predictor,
                )
            films.tell_without_classes(self.channel)
            trust = suggested.trust() | using.sets.summary()
        result = {
            "active": active,
            "why": verdict,
            "epochs": epochs,
            "resumed_epochs": resumed,
            "seconds": round(time.monotonic() - self.begun, 1),
            "left_out": [reason.stored() for reason in self.budget.left_out],
            **trust,
        }
        return Done(task="train", model_id=number, metrics=metrics, result=result)

    def _finds(self, model: LearnedModel, training: Sequence[AnnotatedField]) -> CellsFound:
        """Evaluate the detector of the initial model on the finished regions."""
        if model.untaught:
            return NOTHING_FOUND
        fields = [k for k in training if k.finished][:_TRIED]
        raw = self.propose(model, fields, until=self.budget.share(_TRYING), tell=False, describe=False)
        self.budget.leave_out(START, len(raw), len(fields))
        f1 = detection_f1(model, [k.truth() for k in fields[: len(raw)]], raw)
        return CellsFound(sum(len(k.cells_in_regions()) for k in fields), f1)

    def _expect(
        self, model: LearnedModel, training: Sequence[AnnotatedField], testing: Sequence[AnnotatedField]
    ) -> None:
        """Set how many fields will be predicted after training."""
        n_seen = min(_SEEN, len(training))
        self.budget.expect(
            lambda: self.propose(model, training[:1], tell=False),
            parent=len(SHARES) * _SEEN,
            held_out=len(testing),
            learned=n_seen,
            in_use=len(testing),
            suggest=len(self.known) - n_seen - len(testing) if self.request.suggest else 0,
        )

    def _look(self, model: LearnedModel, fields: Sequence[TrainingField]) -> Cells:
        """Return the features of the labelled cells: of fewer cells per value if there is no time for all."""

        def check(_done: int) -> None:
            self.channel.check()

        def count(most: int) -> int:
            return sum(map(len, labelled_cells(fields, model.vocabulary, most=most)[0]))

        def embed_sample() -> int:
            first = next((field for field in fields if field.cells), fields[0])
            first_cells = dataclasses.replace(first, cells=first.cells[:_FIRST_CELLS])
            return len(embed_cells(model, [first_cells]).units)

        most = MAX_PER_VALUE
        until = self.budget.share(_LOOKING)
        if until is not None:
            cells = count(most)
            room = self.budget.room(until, embed_sample, cells)
            most = min(most, max(room, _FEWEST_CELLS))
            while (first_cells := count(most)) > room and most > _FEWEST_CELLS:
                most = max(_FEWEST_CELLS, most // 2)
            self.budget.leave_out(CELLS, first_cells, cells)
        return embed_cells(model, fields, most=most, seed=self.request.seed, on_field=check)

    def _keep(
        self,
        model: LearnedModel,
        before: nn.Module,
        training: Sequence[AnnotatedField],
        testing: Sequence[AnnotatedField],
    ) -> float:
        """Choose the parent's share in the detector, on held-out cells if there are enough; return it."""
        enough = sum(k.truth().counted for k in testing) >= LEAST_HELD_OUT
        chosen = fields = [k for k in (testing if enough else training) if k.finished][:_SEEN]
        self.chosen |= enough
        sides = Sides(self.project, model, fields)
        until = self.budget.until("parent", n=len(SHARES))

        def judge_finding() -> float:
            nonlocal fields, until
            raw = self.propose(model, fields, until=until, tell=False, describe=False, sides=sides)
            fields, until = fields[: len(raw)], None  # the other shares cost as much
            return detection_loss(model, [k.truth() for k in fields], raw)

        share = interpolate_with_parent(model.detector, before, judge_finding)
        self.budget.leave_out(PARENT, len(fields), len(chosen))
        return share

    def _learn(
        self,
        model: LearnedModel,
        fields: Sequence[TrainingField],
        training: Sequence[AnnotatedField],
        testing: Sequence[AnnotatedField],
        others: Sequence[AnnotatedField],
        config: LearningConfig,
        state: Path,
        mark: str,
    ) -> tuple[int, dict[str, Any] | None]:
        scratch = self.request.init == "scratch"
        if model.untaught:
            model.sides = sides_around([max(c.box[2:]) / max(k.size) for k in training for c in k.cells])
        until = self.budget.learning_until()
        if not (scratch or self.budget.fits_a_step(until)):
            self.budget.leave_out(DETECTOR, n=int(config.epochs > 0))
            config = dataclasses.replace(config, epochs=0)
        cells = sum(k.truth().counted for k in testing)
        shares = plan(config.epochs, held_out_cells=cells, budget=self.request.budget)
        # all fields are predicted between the stages
        if not self.budget.fits(
            self.budget.share(_BETWEEN), 2 * (len(testing) + len(training) + len(others))
        ):
            shares = Plan(config.epochs)
        self.chosen = shares.pseudo > 0
        last = 0.0

        def tell(report: StepReport) -> None:
            nonlocal last
            if time.monotonic() - last > 0.2 or report.done == report.total:
                last = time.monotonic()
                self._progress("train", report.done, report.total, report.seconds_left, report.losses)

        def prepared(done: int) -> None:
            self.channel.check()
            self._progress("prepare", done, len(fields))

        stages = Stages(
            model=model,
            fields=fields,
            patches=cut_patches(fields if scratch else (), model.vocabulary),
            config=config,
            plan=shares,
            state=state,
            mark=mark,
            deadline=until,
            judge=lambda candidate: self._judge(candidate, testing),
            tell=tell,
            should_stop=lambda: self.channel.cancelled,
            on_prepared=prepared,
            others=[k.training_field(self.project) for k in others],
        )
        try:
            return stages.run()
        except StoppedError as error:
            raise CancelledError from error
        except DivergedError:
            forget_state(state)  # it would diverge at the same step again
            raise

    def _judge(self, model: LearnedModel, testing: Sequence[AnnotatedField]) -> list[FieldResult]:
        """Calibrate a model on the held-out fields, and return their results cross-fitted by patient."""
        truths, raw = [k.truth() for k in testing], self.propose(model, testing)
        model.calibration = fit_calibration(model, truths, raw, note="held-out cells", prior=self.leaning)
        return cross_validate(model, truths, raw, prior=starter_calibration())

    def _measure(
        self,
        model: LearnedModel,
        training: Sequence[AnnotatedField],
        testing: Sequence[AnnotatedField],
    ) -> tuple[dict[str, Any], bool, Reason | None]:
        """Calibrate, measure on the held-out fields, and decide whether the model becomes active."""
        testing = round_robin_by_patient(testing)  # if time is short: a few fields of many patients
        films = self.films = Films(self.project, model, self.known)
        raw = self.propose(model, testing, until=self.budget.until("held_out"), keep=True, films=films)
        self.budget.leave_out(HELD_OUT, len(raw), len(testing))
        testing = testing[: len(raw)]
        truths = [k.truth() for k in testing]
        fields = [k for k in training if k.cells][:_SEEN]
        raws = self.propose(model, fields, until=self.budget.until("learned"), keep=True, films=films)
        self.budget.leave_out(LEARNED, len(raws), len(fields))
        fields = fields[: len(raws)]
        cells = sum(k.truth().counted for k in testing)
        if cells >= LEAST_HELD_OUT:
            note = f"fitted on {cells} held-out cells; what is reported is cross-fitted by patient"
            model.calibration = fit_calibration(model, truths, raw, note=note, prior=self.leaning)
        else:
            note = "fitted on training cells, so too sure of itself; held-out cells are still too few"
            model.calibration = fit_calibration(
                model, [k.truth() for k in fields], raws, note=note, strength=40, prior=self.leaning
            )
        start = of_the_start(passed_over=self.passed_over, forgotten=self.forgotten)
        words = model.vocabulary
        learnt = evaluate(model, [k.truth() for k in fields], raws)
        stays = why_it_stays(self.project, fields, learnt, propose=self._propose_in_use, device=self.device)
        trained_on = compact(learnt, words)
        self.outcomes["trained_on"] = of_single_cells(fields, learnt, words)
        if not cells:
            cells_known = sum(len(k.cells_in_regions()) for k in self.known)
            why = why_not_measured(cells_known, self.request.holdout, self.lost)
            metrics: dict[str, Any] = {
                "held_out": None,
                "note": " ".join(filter(None, (why, start))),
                "trained_on": trained_on,
            }
            self.channel.send(Metrics(metrics=metrics))
            return metrics, stays is None, stays
        attributes = list(model.vocabulary.attributes)
        if cells >= LEAST_HELD_OUT:  # the calibration was fitted on these cells, so cross-fit
            new = cross_validate(model, truths, raw, prior=starter_calibration())
            model.sets = fit_sets(new, attributes, min_confidence=SUGGESTED)
        else:
            new = evaluate(model, truths, raw)
        comparison, old = compare_with_active(
            self.project,
            self.lineage,
            testing,
            new,
            propose=self._propose_in_use,
            attributes=attributes,
            device=self.device,
        )
        reserve = set(self.project.random_sample.fields())
        metrics = {
            "held_out": measure(model, truths, raw, results=new),
            "random_reserve": drawn_at_random(testing, new, reserve, words),
            "bulk": fit_bulk(new, [k.field.id in reserve for k in testing]).stored(),
            "trained_on": trained_on,
            "active_before": summarise(old, attributes=attributes) if old else None,
            "difference": comparison.stored(),
        }
        caution = cautions(
            known=self.lineage.known,
            lost=self.lost,
            chosen=self.chosen,
            chosen_before=self.lineage.chosen_by(fields_by_unit(testing)),
        )
        if caution or start:
            metrics["caution"] = " ".join(filter(None, (caution, start)))
        self.outcomes["held_out"] = of_single_cells(testing, new, words)
        self.channel.send(Metrics(metrics=metrics))
        if stays is not None and not comparison.worse:
            return metrics, False, stays
        return metrics, not comparison.worse, comparison.reason

    def _propose_in_use(self, model: LearnedModel, fields: Sequence[AnnotatedField]) -> list[RawProposals]:
        films = Films(self.project, model, self.known)  # as for the new model, to be comparable
        raw = self.propose(model, fields, until=self.budget.until("in_use"), films=films)
        self.budget.leave_out(IN_USE, len(raw), len(fields))
        return raw

    def _save(
        self,
        model: LearnedModel,
        parent: str,
        config: LearningConfig,
        epochs: int,
        metrics: dict[str, Any],
        metadata: dict[str, Any],
        active: bool,
    ) -> int:
        number = self.project.models.reserve_id()
        model.card = {
            "parent": parent,
            "origin": self.lineage.origin,
            "run": self.run_id,
            "config": {**dataclasses.asdict(config), "epochs_done": epochs},
            "request": self.request.model_dump(),
            "seed": self.request.seed,
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "ultralytics": ULTRALYTICS_VERSION,
            },
            "schema": self.project.schema.model_dump(mode="json"),
            "metrics": metrics,
            **metadata,
            "last_cell": max((cell.id for item in self.known for cell in item.cells), default=0),
        }
        model.card = nameless(self.project, model.card)
        folder = self.project.models.folder(number)
        try:
            card = write_model(model, folder / WEIGHTS, folder / CARD)
            write_outcomes(folder, self.outcomes)
            self.project.models.add(number, parent=parent, card=card, activate=active)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)  # an incomplete model is useless
            raise
        model.round_to_half()  # its graphs are built from its files
        remember_files(model, folder, inside(self.project.path, ENGINE))
        return number

    def _films_of(self, training: Sequence[AnnotatedField], model: LearnedModel) -> dict[str, int]:
        """Return the number of cells per film whose labels a model learned, by the name in model cards."""
        films: Counter[str] = Counter()
        for item in training:
            film = self.project.pseudonyms.of_domain(domain_of(item.field))
            films[film] += count_taught(item.cells, model.vocabulary, model.trained_values())[0]
        return {film: cells for film, cells in sorted(films.items()) if cells}

    def _progress(
        self,
        stage: str,
        done: int,
        total: int,
        seconds_left: float | None = None,
        losses: dict[str, float] | None = None,
    ) -> None:
        self.channel.send(
            Progress(stage=stage, done=done, total=total, seconds_left=seconds_left, losses=losses or {})
        )


def _refuse_unwritable(folder: Path) -> None:
    """Raise if models cannot be written, before an hour of training is lost."""
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        error.filename = str(folder)  # instead of the name of the trial file
        raise

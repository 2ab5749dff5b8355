"""The whole loop, unattended: annotate a corner, train, suggest, review, twice; then evaluate and report.

Every number is computed from what happened. The truth is used for two things only: the simulated reviewer's
verdicts, and the scores. Cells that the review accepted are trained on, so some fields are never reviewed
and every score is given on those alone, too.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from annotation_store import Project, formats
from annotation_store.files.temporary import temporary_folder
from annotation_store.records import Proposal
from napari_lld import sample
from napari_lld.demo import reviewer
from napari_lld.demo.folder import fresh_folder
from napari_lld.demo.pages import Before, draw_page
from napari_lld.demo.report import FieldPage, Report, Round, render
from napari_lld.demo.scoring import LEAST, SUGGESTED, read_proposals, score
from napari_lld.demo.truth import read_truth
from napari_lld.report.card import model_rows, starter_rows
from training.client import PersistentWorker
from training.evaluation.ground_truth import FieldTruth
from training.protocol import Message, PredictRequest, TrainRequest

ANNOTATOR = "simulated reviewer"

_NOT_HELD_OUT = "none: the bundled ground truth is used"
_SAMPLE_REMARKS = (
    "The starter was trained on other fields of the same two data sets as the sample, which "
    "helps it here; on films of another laboratory, stain or disease, expect round 0 to "
    "perform worse.",
    "The sample comes from healthy donors: these results are not evidence for leukaemia.",
)


class Watcher(Protocol):
    """Callbacks for the progress of the demo; the command line implements them."""

    def stage(self, title: str) -> None:
        """Report the stage that starts."""

    def tick(self, done: int, total: int) -> None:
        """Report progress."""

    def hear(self, message: Message) -> None:
        """Forward a message of the worker."""

    def round(self, finished: Round) -> None:
        """Report the metrics of a round."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the demonstration runs on, and how long.

    Attributes
    ----------
    fields, truth, sparse
        The images; the COCO file with every white cell of them; that with one region each.
    epochs, size
        Of each of the two trainings; ``None`` = what suits the project.
    seconds
        About how long all of it may take; the trainings share what the rest leaves.
    composed
        Says by its name whether a field is composed of tiles.
    licences
        Markdown on where the fields come from, for the report.
    remarks
        Sentences on what the numbers do not say.
    """

    fields: Sequence[Path]
    truth: Path
    sparse: Path
    epochs: int | None = None
    size: int = 448
    seconds: float = 260.0
    seed: int = 0
    composed: Callable[[str], bool] = lambda name: name.startswith("pbc_")
    licences: str = ""
    remarks: Sequence[str] = ()

    @classmethod
    def bundled(cls) -> Settings:
        """Return those for the bundled sample fields."""
        licences = Path(sample.__file__).with_name("LICENCES.md").read_text(encoding="utf-8")
        return cls(
            sample.fields(), sample.truth(), sample.sparse(), licences=licences, remarks=_SAMPLE_REMARKS
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demonstration left behind."""

    out: Path
    project: Path
    export: Path
    report: Path
    seconds: float
    rounds: Sequence[Round]
    reviewed: Sequence[str]
    unseen: Sequence[str]


def plan_review(names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Choose by hash the fields reviewed in round 0, in round 1, and never: about 1 : 1 : 2.

    Each source (the part of a name before ``_``) is divided alike, so that each part holds natural and
    composed fields.
    """
    parts: tuple[list[str], list[str], list[str]] = ([], [], [])
    for _, group in itertools.groupby(sorted(names), key=lambda name: name.partition("_")[0]):
        order = sorted(group, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        for place, name in enumerate(order):
            parts[(0, 2, 1, 2)[place % 4]].append(name)
    return sorted(parts[0]), sorted(parts[1]), sorted(parts[2])


def run_demo(out: Path, settings: Settings, watch: Watcher, *, overwrite: bool = False) -> Outcome:
    """Run the loop and write ``project``, ``export.json`` and ``report.html`` into `out`.

    Raises
    ------
    ProjectError
        If `out` holds something other than an earlier demonstration, or one and `overwrite` is false.
    TrainingError
        If a worker fails; `out` is then as it was before.
    """
    out = out.absolute()
    with fresh_folder(out, overwrite=overwrite) as work, PersistentWorker() as worker:
        loop = _Loop(work, settings, watch, worker)
        try:
            loop.run()
        finally:
            loop.project.close()
    return Outcome(
        out=out,
        project=out / "project",
        export=out / "export.json",
        report=out / "report.html",
        seconds=loop.seconds,
        rounds=loop.rounds,
        reviewed=loop.first + loop.second,
        unseen=loop.never,
    )


class _Loop:
    def __init__(self, work: Path, settings: Settings, watch: Watcher, worker: PersistentWorker) -> None:
        self.work, self.settings, self.watch, self.worker = work, settings, watch, worker
        self.began = time.monotonic()
        self.rounds: list[Round] = []
        self.measuring = 0.0  # seconds
        self.truth = read_truth(settings.truth)
        self.first, self.second, self.never = plan_review([path.name for path in settings.fields])
        self.project = Project.create(work / "project", schema="lld", annotator=ANNOTATOR)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def run(self) -> None:
        settings, project, watch = self.settings, self.project, self.watch
        watch.stage("Adding fields")
        project.fields.add(settings.fields, progress=watch.tick)
        watch.stage("Importing one annotated region per field")
        formats.read("coco", project, settings.sparse, regions="file", progress=watch.tick)
        self.ids = {field.name: field.id for field in project.fields.all()}
        self.before = Before.of_project(project)
        self.truths = {field.name: self._truth_of(field.id) for field in project.fields.all()}

        watch.stage("Round 0: the starter suggests")
        request = PredictRequest(
            project=str(project.path), model="starter", min_confidence=SUGGESTED, annotator=ANNOTATOR
        )
        self.worker.ask(request, on_message=watch.hear)
        project.refresh()
        self._finish_round(0, "starter", self.first)
        for number, fields in ((1, self.first + self.second), (2, [])):
            watch.stage(f"Round {number}: training")
            model_id = self._train()
            self._finish_round(number, f"model {model_id}", fields)

        watch.stage("Exporting and writing the report")
        formats.write("coco", project, self.work / "export.json", what="cells", card=False)
        (self.work / "report.html").write_text(render(self._report()), encoding="utf-8")

    def _truth_of(self, field_id: int) -> FieldTruth:
        field = self.project.fields.get(field_id)
        return FieldTruth(
            field.name,
            field.width,
            field.height,
            tuple(self.truth[field.name]),
            outside=tuple(region.shape for region in self.project.regions.all(field_id) if region.finished),
        )

    def _train(self) -> int:
        settings = self.settings
        request = TrainRequest(
            project=str(self.project.path),
            epochs=settings.epochs,
            size=settings.size,
            budget=self._budget(),
            # the bundled truth measures, and with so few cells none is spared to be held out
            holdout=0.0,
            seed=settings.seed,
            min_confidence=SUGGESTED,
            annotator=ANNOTATOR,
        )
        answer = self.worker.ask(request, on_message=self.watch.hear)
        self.project.refresh()
        assert answer.model_id is not None
        return answer.model_id

    def _budget(self) -> float:
        """Return the seconds for the next training: an equal share of what is left, less what follows it.

        After each training comes a measurement as long as the first one was, and at the end the report.
        """
        rounds_left = 3 - len(self.rounds)
        left = self.settings.seconds - self.seconds - 10.0
        return max(left / rounds_left - self.measuring, 15.0)

    def _finish_round(self, number: int, model: str, to_review: Sequence[str]) -> None:
        """Score the round's model, judge its suggestions on unseen fields, review those of `to_review`."""
        project, watch = self.project, self.watch
        watch.stage(f"Round {number}: measuring")
        cells = len(project.cells.all())
        began = self.seconds
        proposals = self._propose("starter" if number == 0 else int(model.split()[-1]))
        self.measuring = self.seconds - began
        schema = project.schema
        suggestions = len(project.suggestions.find())
        judged = reviewer.review(project, self._ids(self.never), self.truth, write=False)
        reviewed = None
        if to_review:
            watch.stage(f"Round {number}: simulated review")
            reviewed = reviewer.review(project, self._ids(to_review), self.truth)
        self.rounds.append(
            Round(
                number=number,
                model=model,
                cells=cells,
                suggestions=suggestions,
                everywhere=score(list(self.truths.values()), proposals, schema),
                unseen=score([self.truths[name] for name in self.never], proposals, schema),
                reviewed=reviewed,
                judged=judged,
            )
        )
        watch.round(self.rounds[-1])

    def _propose(self, model: str | int) -> dict[str, list[Proposal]]:
        with temporary_folder("proposals") as folder:
            file = folder / "proposals.json"
            request = PredictRequest(
                project=str(self.project.path),
                model=model,
                images=[str(path) for path in self.settings.fields],
                out=str(file),
                min_confidence=LEAST,
            )
            self.worker.ask(request, on_message=self.watch.hear)
            return read_proposals(file)

    def _ids(self, names: Sequence[str]) -> list[int]:
        return [self.ids[name] for name in names]

    def _report(self) -> Report:
        from importlib.metadata import version

        schema, settings = self.project.schema, self.settings
        pages: list[FieldPage] = []
        for place, field in enumerate(self.project.fields.all()):
            self.watch.tick(place, len(self.ids))
            pages.append(
                draw_page(
                    self.project,
                    field,
                    self.before,
                    self.truths[field.name],
                    composed=settings.composed(field.name),
                    reviewed=field.name not in self.never,
                )
            )
        model = self.project.models.active()
        return Report(
            title="napari-lld demo: two rounds on the sample fields",
            made=datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
            version=version("napari-lld"),
            seconds=self.seconds,
            schema=schema.title or schema.name,
            rounds=self.rounds,
            fields=pages,
            class_titles={item.name: item.title for item in schema.classes},
            attribute_titles={item.name: item.title for item in schema.attributes},
            value_titles={(a.name, v.name): v.title for a in schema.attributes for v in a.values},
            reviewer=reviewer.RULE,
            card={} if model is None else {**model_rows(model), "Held out": _NOT_HELD_OUT, **starter_rows()},
            licences=settings.licences,
            remarks=settings.remarks,
        )

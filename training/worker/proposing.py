"""Run models over a project's fields within a time budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from annotation_store.project import Project
from training.inference.predict import RawProposals, propose_raw
from training.models.model import LearnedModel
from training.networks.scale import domain_of
from training.protocol import Progress
from training.worker.annotated_fields import AnnotatedField
from training.worker.budget import Budget
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.suggest import Sides

_BATCH = 8


@dataclass
class Proposer:
    """Runs models over fields of a project.

    Attributes
    ----------
    predicted
        Predictions of the new model by field id, reused for its suggestions.
    """

    project: Project
    channel: Channel
    budget: Budget
    predicted: dict[int, RawProposals] = field(default_factory=dict)

    def __call__(
        self,
        model: LearnedModel,
        fields: Sequence[AnnotatedField],
        *,
        until: float | None = None,
        keep: bool = False,
        tell: bool = True,
        describe: bool = True,
        sides: Sides | None = None,
        films: Films | None = None,
    ) -> list[RawProposals]:
        """Predict fields, as many as there is time for, but at least the first batch.

        Parameters
        ----------
        until
            See `Budget.batches`.
        keep
            Whether to store the predictions for the suggestions.
        tell
            Whether to report progress.
        describe
            See `propose_raw`.
        sides
            Cell sides, if they are known already.
        films
            Domain shifts of the films; ``None`` = no shifts.
        """
        raws: list[RawProposals] = []
        sides = sides or Sides(self.project, model, fields)
        for batch in self.budget.batches(fields, until, _BATCH):
            film_names = [domain_of(k.field) for k in batch]
            raws += propose_raw(
                model,
                [k.pixels(self.project) for k in batch],
                cell_sides=[sides.on(k) for k in batch],
                moves=None if films is None else [films.move(film) for film in film_names],
                describe=describe,
            )
            if films is not None:
                for film, proposals in zip(film_names, raws[-len(batch) :], strict=True):
                    films.note(film, proposals)
            self.channel.check()
            if tell:  # only after the run has started
                progress = Progress(stage="evaluate", done=len(raws), total=len(fields))
                self.channel.send(progress)
        if keep:
            whole = ((k, raw) for k, raw in zip(fields, raws, strict=False) if k.window is None)
            self.predicted.update((k.field.id, raw) for k, raw in whole)
        return raws


def round_robin_by_patient(known: Sequence[AnnotatedField]) -> list[AnnotatedField]:
    """Order fields so that the first of each patient come first, then the second of each, and so on."""
    count: Counter[str] = Counter()
    rounds = []
    for item in known:
        rounds.append(count[item.patient])
        count[item.patient] += 1
    return [known[i] for i in sorted(range(len(known)), key=rounds.__getitem__)]

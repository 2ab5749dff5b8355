"""Models run over a project's fields, within the time that there is."""

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
        some: Sequence[AnnotatedField],
        *,
        until: float | None = None,
        keep: bool = False,
        tell: bool = True,
        describe: bool = True,
        sides: Sides | None = None,
        films: Films | None = None,
    ) -> list[RawProposals]:
        """Run a model over fields, as many of them as there is time for; the first always.

        Parameters
        ----------
        until
            See `Budget.batches`.
        keep
            Whether to keep what it says for the suggestions.
        tell
            Whether to tell how far it is.
        describe
            See `propose_raw`.
        sides
            Where they were asked for already.
        films
            How the films look to the model; without them, all are taken to look like those it learnt from.
        """
        raws: list[RawProposals] = []
        sides = sides or Sides(self.project, model, some)
        for batch in self.budget.batches(some, until, _BATCH):
            of = [domain_of(k.field) for k in batch]
            raws += propose_raw(
                model,
                [k.pixels(self.project) for k in batch],
                cell_sides=[sides.on(k) for k in batch],
                moves=None if films is None else [films.move(film) for film in of],
                describe=describe,
            )
            if films is not None:
                for film, one in zip(of, raws[-len(batch) :], strict=True):
                    films.note(film, one)
            self.channel.check()
            if tell:  # not before the run has started
                progress = Progress(stage="evaluate", done=len(raws), total=len(some))
                self.channel.send(progress)
        if keep:
            whole = ((k, raw) for k, raw in zip(some, raws, strict=False) if k.window is None)
            self.predicted.update((k.field.id, raw) for k, raw in whole)
        return raws


def patients_in_turn(known: Sequence[AnnotatedField]) -> list[AnnotatedField]:
    """Order fields so that the first of each patient come first, then the second of each, and so on."""
    count: Counter[str] = Counter()
    turns = []
    for one in known:
        turns.append(count[one.patient])
        count[one.patient] += 1
    return [known[i] for i in sorted(range(len(known)), key=turns.__getitem__)]

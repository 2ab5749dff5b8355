"""Predict the fields of a project and store suggestions in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from annotation_store import BoxFeatures, Embedding, Proposal, box_key
from annotation_store.errors import ImageError, ProjectError
from training import ranking
from training.inference.ahead import together
from training.inference.predict import Pixels, RawProposals, calibrated, suggestible
from training.inference.predictor import Predictor, ThisProcess, View
from training.inference.sources import StoredField, read
from training.inference.stain_proposals import stain_below, stain_proposals, stain_reason
from training.models.memory import source_of
from training.models.model import LearnedModel
from training.networks.scale import domain_of
from training.protocol import Notice, Progress, Suggested
from training.reasons import Reason
from training.worker.annotated_fields import AnnotatedField, annotated_fields
from training.worker.annotated_fields import damaged as why_left_out
from training.worker.box_predictor import BoxPredictor
from training.worker.budget import SUGGESTIONS, Budget
from training.worker.channel import CancelledError, Channel
from training.worker.films import Films
from training.worker.renew import learn_from_labels

if TYPE_CHECKING:
    from annotation_store.project import Project

STORED_EVERY = 0.5
"""Seconds between transactions, if batches are predicted faster."""


def suggest_on(
    project: Project,
    model: LearnedModel,
    number: int | None,
    known: Sequence[AnnotatedField],
    channel: Channel,
    *,
    films: Films,
    min_confidence: float,
    ready: Mapping[int, RawProposals] | None = None,
    checked: Mapping[int, Mapping[int, Proposal]] | None = None,
    budget: Budget | None = None,
    predictor: Predictor | None = None,
) -> Suggested:
    """Predict cells in the unlabelled area of fields and store suggestions; skipped fields get none.

    Fields are predicted in their ranking order. Those that there is no time for keep their suggestions.

    Parameters
    ----------
    number
        Id of the model; ``None`` = the starter.
    films
        The films that the model is applied to, and their shifts.
    ready
        Field id to raw proposals that the model has made already, with the shifts of `films`.
    checked
        Results of `check_labels`; ``None`` = keep the stored ones.
    budget
        ``None`` = no limit.
    predictor
        Runs the model; ``None`` = this process.

    Returns
    -------
    Suggested
        The message that was sent, with the number of suggestions.
    """
    count = unknown = 0
    from_stain: list[int] = []
    boxes: dict[int, Proposal] = {}
    field_of: dict[int, int] = {}
    # nobody reviews skipped fields; slides are searched instead (`training.worker.search`)
    known = [item for item in known if not item.field.skipped and item.window is None]
    ready = ready or {}
    source = ranking.STARTER if number is None else str(number)
    budget = budget or Budget(None, 0.0)
    position = {item.field_id: i for i, item in enumerate(ranking.order(project))}
    known.sort(key=lambda item: position.get(item.field.id, len(position)))
    to_predict = [item for item in known if item.field.id not in ready]
    predictor = predictor or ThisProcess()
    sides = Sides(project, model, to_predict, predictor)
    least = max(0.001, model.calibration.raw(min_confidence))
    trunk = model.trunk_digest()
    channel.send(Progress(stage="suggest", done=0, total=len(known)))
    done: list[int] = []
    damaged: dict[int, str] = {}

    def batches() -> Iterator[tuple[Sequence[AnnotatedField], list[View]]]:
        for batch in chain(
            budget.batches([item for item in known if item.field.id in ready], None, predictor.batch),
            budget.batches(to_predict, budget.until("suggest"), predictor.batch),
        ):
            missing = [item for item in batch if item.field.id not in ready]
            yield (
                batch,
                [
                    View(
                        StoredField(project.path, item.field.id),
                        sides.on(item),
                        films.move(domain_of(item.field)),
                    )
                    for item in missing
                ],
            )

    below = stain_below(min_confidence)
    predictions = predictor.propose(model, batches(), min_score=least, stain_below=below)
    for some in together(predictions, STORED_EVERY):
        channel.check()
        batch = [item for items, _ in some for item in items]
        raws = [raw for _, of_batch in some for raw in of_batch]
        missing = [item for item in batch if item.field.id not in ready]
        new: dict[int, RawProposals] = {}
        for item, proposals in zip(missing, raws, strict=True):
            if proposals is None:
                project.check_present()  # raises if the whole project is gone, not one field
                damaged[item.field.id] = item.field.name
            else:
                films.note(domain_of(item.field), proposals)
                new[item.field.id] = proposals
        batch = [item for item in batch if item.field.id not in damaged]
        embeddings: dict[int, Embedding] = {}
        features: dict[int, BoxFeatures] = {}
        shown: dict[int, list[Proposal]] = {}
        made_by: dict[int, int | None] = {}
        stained: set[int] = set()
        for item in batch:
            proposals = new.get(item.field.id) or ready[item.field.id]
            found = calibrated(model, proposals, min_confidence=min_confidence)
            if not found and below is not None and (found := _from_stain(project, item, proposals)):
                stained.add(item.field.id)
            shown_proposals = suggestible(
                found,
                regions=item.finished,
                ignore=item.ignore,
                occupied=[*(cell.box for cell in item.cells), *item.rejections],
            )
            shown[item.field.id] = shown_proposals
            made_by[item.field.id] = None if item.field.id in stained else number
            unknown += sum(proposal.is_unknown for proposal in shown_proposals)
            if (seen := seen_of(shown_proposals, proposals)) is not None:
                features[item.field.id] = seen
            if proposals.vector is not None:
                shown_ids = {id(proposal) for proposal in shown_proposals}
                rest = tuple(proposal for proposal in found if id(proposal) not in shown_ids)
                if checked is None:
                    before = project.embeddings.of(source, field_id=item.field.id, predictions=True).get(
                        item.field.id
                    )
                    of_cells = before.cells if before is not None else {}
                else:
                    of_cells = checked.get(item.field.id, {})
                embeddings[item.field.id] = Embedding(proposals.vector, rest, of_cells)
        for field_id, ids in project.suggestions.replace_many(shown, made_by).items():
            count += len(ids)
            if field_id in stained:
                boxes |= dict(zip(ids, shown[field_id], strict=True))
                field_of |= dict.fromkeys(ids, field_id)
        project.embeddings.save(source, embeddings)
        project.features.save(trunk, features)
        done += [item.field.id for item in batch]
        from_stain += [field_id for field_id in shown if field_id in stained]
        channel.send(Progress(stage="suggest", done=len(done), total=len(known)))
    if (
        boxes
        and model.source == source_of(project.uid)
        and any(item is not None for item in model.trained_values())
    ):
        # stain proposals have no class: the model, trained on this project, predicts it, as between rounds
        boxes_of_stain = [(field_of[i], item.box) for i, item in boxes.items()]
        confidences = np.array([item.confidence for item in boxes.values()])
        named = BoxPredictor(project, model, annotated_fields(project), channel).of(
            boxes_of_stain, confidences
        )
        project.suggestions.renew({i: item for i, item in zip(boxes, named, strict=True) if item is not None})
        unknown += sum(item is not None and item.is_unknown for item in named)
    unknown += learn_from_labels(project, model, number, channel, films, done)
    budget.leave_out(SUGGESTIONS, len(done) + len(damaged), len(known))
    if damaged:
        channel.send(Notice(reason=why_left_out(project, damaged.values()).stored()))
    whole = len(done) == sum(not f.is_slide for f in project.fields.all())
    rank_again(project, channel, keep=source if whole else None)
    if from_stain:
        channel.send(Notice(reason=stain_reason(len(from_stain)).stored()))
    trust = films.trust()
    if trust["unlike"]:  # known only once the whole film was predicted
        project.suggestions.withdraw_sets(k.field.id for k in known if domain_of(k.field) in trust["unlike"])
    suggested = Suggested(
        field_ids=done,
        count=count,
        unknown=unknown,
        from_stain=from_stain,
        damaged=list(damaged.values()),
        **trust,
    )
    channel.send(suggested)
    return suggested


def seen_of(proposals: Sequence[Proposal], raw: RawProposals) -> BoxFeatures | None:
    """Return the features of proposals that were embedded in all orientations; ``None`` if none were."""
    if raw.features is None:
        return None
    row_of = {box_key(box): row for row, box in enumerate(raw.boxes[: len(raw.features)].tolist())}
    rows = [row_of[key] for proposal in proposals if (key := box_key(proposal.box)) in row_of]
    if not rows:
        return None
    return BoxFeatures(raw.boxes[rows].astype(np.float32), raw.features[rows].astype(np.float32))


def _from_stain(project: Project, item: AnnotatedField, raw: RawProposals) -> list[Proposal]:
    """Return the proposals from the stain of a field on which the model finds nothing."""
    if raw.nuclei is not None:
        return stain_proposals(raw.nuclei)
    from training.inference.stain import propose_if_nuclei  # importing it takes a second

    # predicted by the training, which does not analyse the stain
    pixels = read(StoredField(project.path, item.field.id))
    return [] if pixels is None else propose_if_nuclei(pixels)


def rank_again(project: Project, channel: Channel, *, keep: str | None = None) -> None:
    """Rank the fields; report a failure as a notice, so that the suggestions are not lost.

    Parameters
    ----------
    keep
        The only model whose embeddings are kept; ``None`` = keep all.
    """
    try:
        if keep is not None:
            project.embeddings.delete(keep=[keep])
        ranking.embed_slides_by_stain(project, progress=lambda *_: channel.check())
        ranking.update(project)
    except CancelledError:
        raise
    except Exception as error:
        cause = str(error).rstrip(".")
        reason = Reason("The order of the fields could not be computed: {error}", error=cause)
        channel.send(Notice(reason=reason.stored()))


class Sides:
    """The side of a white cell on fields: from the project's annotations, else estimated by a model.

    The model estimates it once per domain, when the first field of the domain is requested. A predictor on
    many machines estimates several domains at a time, since a domain has few fields to estimate it from.

    Parameters
    ----------
    known
        All fields that will be requested.
    predictor
        Runs the model; ``None`` = this process.
    """

    def __init__(
        self,
        project: Project,
        model: LearnedModel,
        known: Sequence[AnnotatedField],
        predictor: Predictor | None = None,
    ) -> None:
        self._model = model
        self._predictor = predictor or ThisProcess()
        self._pixels: dict[str, list[Pixels]] = defaultdict(list)
        self._seen: dict[str, float | None] = {}
        self._ahead: dict[str, Future[float | None]] = {}
        # by id, not by rank: the same fields determine the scale each time
        for item in sorted(known, key=lambda item: item.field.id):
            if item.cell_side is None:
                self._pixels[domain_of(item.field)].append(StoredField(project.path, item.field.id))

    def on(self, annotated: AnnotatedField) -> float | None:
        """Return the side of a white cell on a field, in pixels; ``None`` if unknown."""
        if annotated.cell_side is not None:
            return annotated.cell_side
        domain = domain_of(annotated.field)
        if domain not in self._seen:
            try:
                self._seen[domain] = self._look(domain)
            except (
                ProjectError,
                ImageError,
            ):  # damaged: use the default scale
                self._seen[domain] = None
        return self._seen[domain]

    def _look(self, domain: str) -> float | None:
        """Estimate the side on a domain; a predictor on many machines starts the other domains too."""
        if self._predictor.domains_at_once < 2:
            return self._predictor.seen_side(self._model, self._pixels[domain])
        if not self._ahead:
            pool = ThreadPoolExecutor(self._predictor.domains_at_once, "lld-sides")
            for other, pixels in self._pixels.items():
                self._ahead[other] = pool.submit(self._predictor.seen_side, self._model, pixels)
            pool.shutdown(wait=False)
        return self._ahead[domain].result()

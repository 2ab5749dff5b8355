"""Rankings of a project: computed after a training round from few SQL statements, and stored."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import shapely

from annotation_store.geometry import SAME_CELL, iou_matrix
from annotation_store.records import (
    Box,
    Cell,
    Field,
    FieldState,
    FieldSummary,
    Proposal,
    Region,
    Shape,
    Suggestion,
)
from annotation_store.schema import Schema
from training.ranking.acquisition import Labels, acquisition_value
from training.ranking.cost import CostModel, cost_model
from training.ranking.explanations import Words
from training.ranking.fields import (
    BUDGET,
    NEW,
    FieldView,
    rank_fields,
    sample_random,
    sampling_key,
)
from training.ranking.items import STAIN, STARTER, Ranked
from training.ranking.slides import (
    NOT_MAPPED,
    REGION_SHARE,
    in_best_region,
    not_searched,
    outside_search,
    partly_searched,
    region_on_slide,
)
from training.ranking.windows import GRID, best_windows
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store import Embedding
    from annotation_store.project import Project

SHARE = 0.2
"""Share of a field that a proposed region covers, before the project has regions of its own."""

_MIN_REGIONS = 3
_MAX_REGION_SHARE = 0.8


# --- fields ----------------------------------------------------------------------------------------------


def update(
    project: Project,
    *,
    budget: int = BUDGET,
    seed: int = 0,
    store: bool = True,
    stain: Mapping[int, Embedding] | None = None,
    on_field: Callable[[], None] | None = None,
) -> list[Ranked]:
    """Rank the fields from the stored suggestions and embeddings, and store the order.

    The worker calls it after a training round. Fields remain in the random sample once they are in it. A
    project that is open for reading only, or a blind reading, stores neither.

    Parameters
    ----------
    budget
        Number of fields to be annotated before the next round.
    seed
        Seed of the random sample.
    store
        Whether the window shows this order from now on.
    stain
        Embeddings by the stain that the project does not store (`embed_by_stain`).
    on_field
        Called for each field before anything is stored; it may raise to cancel.
    """
    source = newest_source(project)
    cells = project.cells.all()
    views = _views(project, source, stain or {}, cells)
    stores = not project.read_only and not project.reading.blind
    sampled = project.random_sample.fields()
    slides = {field.id for field in project.slides.all()}
    newly_sampled = sample_random([view for view in views if view.id not in slides], sampled, seed=seed)
    if stores:
        project.random_sample.add(newly_sampled)
    schema = project.schema
    labels = Labels.of(schema, cells)
    ranked = rank_fields(
        views,
        words=Words(schema, labels),
        groups=groups_of(schema),
        cost=cost_model(project),
        attributes=len(schema.attributes),
        random_sample={*sampled, *newly_sampled},
        budget=budget,
        on_field=on_field,
    )
    if project.reading.blind:  # it shows no suggestions, so nothing can be said of a field
        ranked = [dataclasses.replace(item, reasons=()) for item in ranked]
    elif slides:
        searched = _searched(project)
        searched_share = _partly_searched(project)
        ranked = [
            _describe_slide(project, item, stain or {}, searched_share.get(item.field_id))
            if item.field_id in slides and (item.field_id in searched_share or item.field_id not in searched)
            else item
            for item in ranked
        ]
    if stores and store:
        facts = {**labels.stored(), "region": _median_region(project)}
        project.rankings.store(source or "", [_to_json(item) for item in ranked], about=facts)
    return ranked


def _partly_searched(project: Project) -> dict[int, float]:
    """Return the searched share of the slides whose last search is not complete."""
    return {i: progress.share for i, progress in project.searches.progress().items() if progress.share < 1}


def _describe_slide(
    project: Project, item: Ranked, stain: Mapping[int, Embedding], share: float | None
) -> Ranked:
    """Replace or extend the reasons of a slide that was not searched, or not completely."""
    if share:
        return dataclasses.replace(item, reasons=(partly_searched(share), *item.reasons))
    if project.suggestions.count(item.field_id):
        return item
    embedding = project.embeddings.of(STAIN, field_id=item.field_id, predictions=True).get(item.field_id)
    embedding = embedding or stain.get(item.field_id)
    reason = NOT_MAPPED if embedding is None else not_searched(len(embedding.predictions))
    return dataclasses.replace(item, reasons=(reason,))


def order(project: Project, summaries: Iterable[FieldSummary] | None = None) -> list[Ranked]:
    """Return the last stored order of the fields, without those that were finished since.

    Fields that were added since come last; without a stored order, fields are in the order they were added. A
    blind reading hides scores and reasons.

    Parameters
    ----------
    summaries
        Of all fields, if the caller has them.
    """
    open_fields = {
        s.field.id
        for s in (project.fields.summaries() if summaries is None else summaries)
        if s.state is not FieldState.REVIEWED and not s.field.skipped
    }
    stored = project.rankings.latest()
    ranked = [] if stored is None else [one for item in stored.items if (one := _from_json(item)) is not None]
    if project.reading.blind:
        ranked = [dataclasses.replace(one, score=0.0, reasons=()) for one in ranked]
    known = {one.field_id for one in ranked}
    new = CostModel().area((), 1.0, 0)
    return [one for one in ranked if one.field_id in open_fields] + [
        Ranked("field", i, i, 0.0, new, (NEW,)) for i in sorted(open_fields - known)
    ]


def _to_json(item: Ranked) -> dict[str, Any]:
    return {
        "field": item.field_id,
        "score": round(item.score, 6),
        "seconds": round(item.seconds, 2),
        "reasons": [reason.stored() for reason in item.reasons],
        "reserve": item.drawn,
    }


def _from_json(item: Mapping[str, Any]) -> Ranked | None:
    try:
        field_id = int(item["field"])
        reasons = tuple(Reason.read(reason) for reason in item["reasons"])
        return Ranked(
            "field",
            field_id,
            field_id,
            float(item["score"]),
            float(item["seconds"]),
            reasons,
            None,
            bool(item["reserve"]),
        )
    except (KeyError, TypeError, ValueError, RecursionError):
        return None


def newest_source(project: Project, *, besides: Sequence[str] = ()) -> str | None:
    """Return the source with embeddings of most fields; ties go to the newest."""
    counts = {
        source: n for source, n in project.embeddings.count_by_source().items() if source not in besides
    }
    return max(counts, key=lambda source: (counts[source], _age(source)), default=None)


def unsearched(project: Project) -> list[Field]:
    """List the fields that no model has searched, without slides and skipped fields."""
    searched = _searched(project)
    return [f for f in project.fields.all() if not (f.is_slide or f.skipped or f.id in searched)]


def _searched(project: Project) -> set[int]:
    """Return the fields that the model of most embeddings has searched."""
    source = newest_source(project, besides=(STAIN,))
    return set() if source is None else set(project.embeddings.fields(source))


def _age(source: str) -> int:
    return int(source) if source.isdecimal() else {STAIN: -2, STARTER: -1}.get(source, -3)


def _views(
    project: Project, source: str | None, stain: Mapping[int, Embedding], all_cells: Sequence[Cell]
) -> list[FieldView]:
    """Read the input of the ranking; the number of SQL statements does not depend on that of the fields."""
    suggested = by_field((s.field_id, s.proposal) for s in project.suggestions.find())
    rejected = project.suggestions.rejected_boxes()
    cells = by_field((cell.field_id, cell.box) for cell in all_cells)
    regions: dict[int, list[Region]] = by_field((r.field_id, r) for r in project.regions.all())
    ignored = by_field((area.field_id, area.shape) for area in project.ignore_areas.all())
    embeddings = dict(stain) if source in (None, STAIN) else {}
    embeddings |= project.embeddings.of(source) if source is not None else {}
    stain_embeddings = (
        {}
        if suggested or project.reading.blind
        else {**stain, **project.embeddings.of(STAIN, predictions=True)}
    )
    all_fields = [field for field in project.fields.all() if not field.skipped]
    searched = _searched(project).union(suggested)
    partly = _partly_searched(project) if any(field.is_slide for field in all_fields) else {}
    to_search = [f.id for f in all_fields if f.id in partly or f.id not in searched]
    if to_search and not stain_embeddings and not project.reading.blind:
        stain_stored = {**stain, **project.embeddings.of(STAIN, predictions=True)}
        stain_embeddings = {i: stain_stored[i] for i in to_search if i in stain_stored}
    words = Labels.of(project.schema, all_cells)
    groups = groups_of(project.schema)
    views = []
    for field in all_fields:
        own_regions = regions.get(field.id, [])
        finished = [r.shape for r in own_regions if r.finished]
        known = [*finished, *ignored.get(field.id, [])]
        embedding, stain_embedding = embeddings.get(field.id), stain_embeddings.get(field.id)
        proposals = _proposals_of(
            project, field, suggested.get(field.id, []), stain_embedding, partly=field.id in partly
        )
        occupied = [*cells.get(field.id, []), *rejected.get(field.id, [])]
        open_candidates, unknown = candidates(proposals, known, occupied), unknown_share(field, known)
        if field.is_slide and unknown > 0:  # only its best region counts
            values = [acquisition_value(slide_id, words, groups) for slide_id in open_candidates]
            open_candidates, unknown = in_best_region(field, open_candidates, values, known), REGION_SHARE
        views.append(
            FieldView(
                field.id,
                field.content_hash,
                unknown,
                tuple(open_candidates),
                embedding.vector if embedding is not None else None,
                bool(own_regions or cells.get(field.id)),
                field.id in searched or stain_embedding is not None,
            )
        )
    return views


def _proposals_of(
    project: Project, field: Field, suggested: Sequence[Proposal], stain: Embedding | None, *, partly: bool
) -> list[Proposal]:
    """Return a field's suggestions, else the proposals by the stain; both for a partly searched slide."""
    by_stain = list(stain.predictions) if stain is not None else []
    if not suggested or not by_stain:
        return list(suggested) or by_stain
    if not partly:
        return list(suggested)
    unsearched = outside_search(project, field, by_stain)
    return [*suggested, *candidates(unsearched, [], [proposal.box for proposal in suggested])]


def candidates(
    proposals: Sequence[Proposal], known: Sequence[Shape], occupied: Sequence[Box]
) -> list[Proposal]:
    """Keep the proposals centred in the unknown area that are neither cells already nor rejected."""
    remaining = [p for p in proposals if not any(shape.contains_centre(p.box) for shape in known)]
    if remaining and occupied:
        overlapping = iou_matrix(np.array([p.box for p in remaining]), np.array(occupied)).max(1) > SAME_CELL
        remaining = [p for p, overlaps in zip(remaining, overlapping, strict=True) if not overlaps]
    return remaining


def unknown_share(field: Field, known: Sequence[Shape]) -> float:
    """Return the share of a field's area outside of some areas, 0 to 1."""
    if not known:
        return 1.0
    covered = shapely.union_all([shape.geometry.buffer(0) for shape in known]).area
    return max(0.0, 1 - float(covered) / (field.width * field.height))


# --- regions ---------------------------------------------------------------------------------------------


def best_regions(
    project: Project, ranked: Sequence[Ranked], count: int, *, stain: Mapping[int, Embedding] | None = None
) -> list[Ranked]:
    """Return the best region of each of the first fields of an order, in that order, as the window does.

    The order is not by score alone: its first fields are diverse, and some are sampled at random.
    """
    best = (
        region
        for item in ranked
        for region in regions(project, item.field_id, stain=(stain or {}).get(item.field_id))
    )
    return list(islice(best, count))


def regions(
    project: Project,
    field_id: int,
    count: int = 1,
    *,
    suggestions: Sequence[Suggestion] | None = None,
    stain: Embedding | None = None,
) -> list[Ranked]:
    """Propose the regions of a field to annotate next, best first; fast enough to be called from a window.

    Empty if the field is known already, and on a whole slide that was neither searched nor mapped. On a field
    of the random sample the region is sampled at random too.

    Parameters
    ----------
    suggestions
        The field's pending suggestions, if the caller has them: reading hundreds takes most of the time.
    stain
        The field's stain embedding, if the project does not store it.
    """
    field = project.fields.get(field_id)
    stored = project.rankings.latest_facts()
    facts: Mapping[str, Any] = stored.about if stored is not None else {}
    words = Words(project.schema, Labels.read(facts))
    known = [r.shape for r in project.regions.all(field_id)]
    known += [area.shape for area in project.ignore_areas.all(field_id)]
    boxes = [cell.box for cell in project.cells.all(field_id)]
    waiting = project.suggestions.find(field_id) if suggestions is None else suggestions
    proposals = [s.proposal for s in waiting]
    partly = field.is_slide and field_id in _partly_searched(project)
    if (partly or not proposals) and not project.reading.blind:
        stain = project.embeddings.of(STAIN, field_id=field_id, predictions=True).get(field_id, stain)
        proposals = _proposals_of(project, field, proposals, stain, partly=partly)
    looked_at = bool(proposals) or stain is not None or field_id in _searched(project)
    open_candidates = candidates(proposals, known, boxes)
    if field.is_slide and not open_candidates:
        return []
    groups = groups_of(project.schema)
    values = weights = np.array([acquisition_value(p, words.labels, groups) for p in open_candidates])
    centres = np.array([(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) for p in open_candidates]).reshape(
        -1, 2
    )
    random = field_id in project.random_sample.fields()
    if random:
        centres, weights = _random_place(field)
    window = _window(field, facts.get("region"), [*boxes, *(p.box for p in open_candidates)])
    steps = GRID
    if field.is_slide:  # a fixed number of cell sides
        window, steps = region_on_slide(field, [*boxes, *(p.box for p in open_candidates)])
    items = []
    attributes = len(project.schema.attributes)
    for box, _ in best_windows(
        (field.width, field.height), window, centres, weights, known, count=count, grid=steps
    ):
        within = [i for i, p in enumerate(open_candidates) if Shape(box).contains_centre(p.box)]
        inside = [open_candidates[i] for i in within]
        share = box[2] * box[3] / (field.width * field.height)
        seconds = CostModel().area(inside, share, attributes)
        score = float(values[within].sum()) / seconds
        reasons = words.candidates(inside) if looked_at else [NEW]
        if project.reading.blind:
            reasons = []
        if random:
            reasons = [Reason("Drawn at random: such places show, without bias, how good the model is")]
        items.append(Ranked("region", field_id, field_id, score, seconds, tuple(reasons), box, random))
    return items


def _random_place(field: Field) -> tuple[np.ndarray, np.ndarray]:
    digits = sampling_key(field.content_hash, seed=1)
    x, y = int(digits[:8], 16) / 16**8 * field.width, int(digits[8:16], 16) / 16**8 * field.height
    return np.array([(x, y)]), np.ones(1)


def _window(field: Field, median_size: object, boxes: Sequence[Box]) -> tuple[float, float]:
    """Return the size of a proposed region: the project's median, else `SHARE`; at least four cells wide."""
    width, height = (SHARE**0.5 * field.width, SHARE**0.5 * field.height)
    if (
        isinstance(median_size, list)
        and len(median_size) == 2
        and all(isinstance(v, float) for v in median_size)
    ):
        width, height = median_size[0] * field.width, median_size[1] * field.height
    minimum = 4 * float(np.median([max(box[2:]) for box in boxes])) if boxes else 0.0
    return max(width, min(minimum, 0.7 * field.width)), max(height, min(minimum, 0.7 * field.height))


def _median_region(project: Project) -> list[float] | None:
    """Return the median width and height of the finished regions as shares of their fields."""
    shares = []
    fields = {field.id: field for field in project.fields.all()}
    for region in project.regions.all():
        if not region.finished:
            continue
        field = fields[region.field_id]
        _, _, w, h = region.shape.bounds
        share = (w / field.width, h / field.height)
        if share[0] * share[1] < _MAX_REGION_SHARE:
            shares.append(share)
    if len(shares) < _MIN_REGIONS:
        return None
    return [round(float(v), 4) for v in np.median(np.array(shares), 0)]


# --- words -----------------------------------------------------------------------------------------------


def groups_of(schema: Schema) -> list[tuple[str, ...]]:
    """Return the classes of each class group."""
    return [group.classes for group in schema.groups]


def stored_words(project: Project) -> Words:
    """Return the schema's words with the rarity of labels as of the last stored ranking."""
    stored = project.rankings.latest_facts()
    return Words(project.schema, Labels.read(stored.about) if stored is not None else Labels())


def by_field(pairs: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
    """Gather values under their field's id."""
    result: dict[int, list[Any]] = defaultdict(list)
    for field_id, value in pairs:
        result[field_id].append(value)
    return result

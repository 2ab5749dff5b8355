"""The rankings of a project: read in few statements, worked out after a round, stored."""

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
    draw,
    draw_key,
    rank_fields,
)
from training.ranking.items import STAIN, STARTER, Ranked
from training.ranking.slides import (
    NOT_LOOKED_AT,
    OF_A_VIEW,
    beyond_search,
    not_searched,
    of_best_place,
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
_WHOLE = 0.8


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
    """Rank the fields again, from the stored suggestions and embeddings, and store the order.

    The worker calls it after a round. Fields that are drawn at random now stay drawn for good. A project
    that is open for reading only, or a blind reading, keeps neither.

    Parameters
    ----------
    budget
        How many fields are to be annotated before the next round.
    seed
        Another seed, other random fields.
    store
        Whether the window is to show this order from now on.
    stain
        Embeddings of the stain that the project does not store (`look_at_stain`).
    on_field
        Called for each field before anything is stored; what it raises ends it.
    """
    source = newest_source(project)
    cells = project.cells.all()
    views = _views(project, source, stain or {}, cells)
    keeps = not project.read_only and not project.reading.blind
    drawn = project.random_sample.fields()
    slides = {field.id for field in project.slides.all()}
    new = draw([view for view in views if view.id not in slides], drawn, seed=seed)
    if keeps:
        project.random_sample.add(new)
    schema = project.schema
    labels = Labels.of(schema, cells)
    ranked = rank_fields(
        views,
        words=Words(schema, labels),
        groups=groups_of(schema),
        cost=cost_model(project),
        attributes=len(schema.attributes),
        random_sample={*drawn, *new},
        budget=budget,
        on_field=on_field,
    )
    if slides:
        searched = set() if source in (None, STAIN) else set(project.embeddings.fields(str(source)))
        partly = _partly_searched(project)
        ranked = [
            _said_of_slide(project, one, stain or {}, partly.get(one.field_id))
            if one.field_id in slides and (one.field_id in partly or one.field_id not in searched)
            else one
            for one in ranked
        ]
    if keeps and store:
        about = {**labels.stored(), "region": _usual_region(project)}
        project.rankings.store(source or "", [_stored(one) for one in ranked], about=about)
    return ranked


def _partly_searched(project: Project) -> dict[int, float]:
    """Return by slide what share of it its last search has searched, of those that it has not in full."""
    return {i: one.share for i, one in project.searches.progress().items() if one.share < 1}


def _said_of_slide(
    project: Project, one: Ranked, stain: Mapping[int, Embedding], share: float | None
) -> Ranked:
    """Describe what is known of a slide that was not searched, or not in full."""
    if project.reading.blind:
        return one
    if share:
        return dataclasses.replace(one, reasons=(partly_searched(share), *one.reasons))
    if project.suggestions.count(one.field_id):
        return one
    seen = project.embeddings.of(STAIN, field_id=one.field_id, predictions=True).get(one.field_id)
    seen = seen or stain.get(one.field_id)
    reason = NOT_LOOKED_AT if seen is None else not_searched(len(seen.predictions))
    return dataclasses.replace(one, reasons=(reason,))


def order(project: Project, summaries: Iterable[FieldSummary] | None = None) -> list[Ranked]:
    """Return the order of the fields as it was last worked out, without those that are finished since.

    Fields that came since stand at the end. Where nothing was worked out yet they stand as they came. In a
    blind reading nothing tells what a model saw.

    Parameters
    ----------
    summaries
        Of all fields, where they are at hand.
    """
    open_fields = {
        s.field.id
        for s in (project.fields.summaries() if summaries is None else summaries)
        if s.state is not FieldState.REVIEWED and not s.field.skipped
    }
    stored = project.rankings.latest()
    ranked = [] if stored is None else [one for item in stored.items if (one := _read(item)) is not None]
    if project.reading.blind:
        ranked = [dataclasses.replace(one, score=0.0, reasons=()) for one in ranked]
    known = {one.field_id for one in ranked}
    new = CostModel().area((), 1.0, 0)
    return [one for one in ranked if one.field_id in open_fields] + [
        Ranked("field", i, i, 0.0, new, (NEW,)) for i in sorted(open_fields - known)
    ]


def _stored(one: Ranked) -> dict[str, Any]:
    return {
        "field": one.field_id,
        "score": round(one.score, 6),
        "seconds": round(one.seconds, 2),
        "reasons": [reason.stored() for reason in one.reasons],
        "reserve": one.drawn,
    }


def _read(item: Mapping[str, Any]) -> Ranked | None:
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
    """Return the model whose embeddings to use: that of most fields; of equals the newest."""
    counts = {
        source: n for source, n in project.embeddings.count_by_source().items() if source not in besides
    }
    return max(counts, key=lambda source: (counts[source], _age(source)), default=None)


def _age(source: str) -> int:
    return int(source) if source.isdecimal() else {STAIN: -2, STARTER: -1}.get(source, -3)


def _views(
    project: Project, source: str | None, stain: Mapping[int, Embedding], every: Sequence[Cell]
) -> list[FieldView]:
    """Read what the ranking sees; a fixed number of statements however many fields there are."""
    suggested = by_field((s.field_id, s.proposal) for s in project.suggestions.find())
    rejected = project.suggestions.rejected_boxes()
    cells = by_field((cell.field_id, cell.box) for cell in every)
    regions: dict[int, list[Region]] = by_field((r.field_id, r) for r in project.regions.all())
    ignored = by_field((area.field_id, area.shape) for area in project.ignore_areas.all())
    looks = dict(stain) if source in (None, STAIN) else {}
    looks |= project.embeddings.of(source) if source is not None else {}
    stained = (
        {}
        if suggested or project.reading.blind
        else {**stain, **project.embeddings.of(STAIN, predictions=True)}
    )
    every_field = [field for field in project.fields.all() if not field.skipped]
    searched = set() if source in (None, STAIN) else set(looks)
    slides = [f.id for f in every_field if f.is_slide]
    partly = _partly_searched(project) if slides else {}
    unsearched = [i for i in slides if i in partly or i not in searched.union(suggested)]
    if unsearched and not stained and not project.reading.blind:
        looked_at = {**stain, **project.embeddings.of(STAIN, predictions=True)}
        stained = {one: looked_at[one] for one in unsearched if one in looked_at}
    words = Labels.of(project.schema, every)
    groups = groups_of(project.schema)
    views = []
    for field in every_field:
        own = regions.get(field.id, [])
        finished = [r.shape for r in own if r.finished]
        known = [*finished, *ignored.get(field.id, [])]
        look, from_stain = looks.get(field.id), stained.get(field.id)
        found = _found(project, field, suggested.get(field.id, []), from_stain, partly=field.id in partly)
        taken = [*cells.get(field.id, []), *rejected.get(field.id, [])]
        some, unknown = candidates(found, known, taken), unknown_share(field, known)
        if field.is_slide and unknown > 0:  # nobody looks at all of it
            worths = [acquisition_value(one, words, groups) for one in some]
            some, unknown = of_best_place(field, some, worths, known), OF_A_VIEW
        views.append(
            FieldView(
                field.id,
                field.content_hash,
                unknown,
                tuple(some),
                look.vector if look is not None else None,
                bool(own or cells.get(field.id)),
            )
        )
    return views


def _found(
    project: Project, field: Field, suggested: Sequence[Proposal], stain: Embedding | None, *, partly: bool
) -> list[Proposal]:
    """Return a field's suggestions, else what was seen by the stain; of a slide searched in part, both."""
    seen = list(stain.predictions) if stain is not None else []
    if not suggested or not seen:
        return list(suggested) or seen
    if not partly:
        return list(suggested)
    beyond = beyond_search(project, field, seen)
    return [*suggested, *candidates(beyond, [], [one.box for one in suggested])]


def candidates(found: Sequence[Proposal], known: Sequence[Shape], taken: Sequence[Box]) -> list[Proposal]:
    """Keep the proposals centred in the unknown area that are neither cells already nor rejected."""
    kept = [p for p in found if not any(shape.contains_centre(p.box) for shape in known)]
    if kept and taken:
        again = iou_matrix(np.array([p.box for p in kept]), np.array(taken)).max(1) > SAME_CELL
        kept = [p for p, is_again in zip(kept, again, strict=True) if not is_again]
    return kept


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

    The order is more than a score: its first fields differ from each other, and some are drawn at random.
    """
    found = (
        region
        for one in ranked
        for region in regions(project, one.field_id, stain=(stain or {}).get(one.field_id))
    )
    return list(islice(found, count))


def regions(
    project: Project,
    field_id: int,
    count: int = 1,
    *,
    suggestions: Sequence[Suggestion] | None = None,
    stain: Embedding | None = None,
) -> list[Ranked]:
    """Propose the regions of a field to annotate next, best first; cheap enough to be called from a window.

    Empty if the field is known already, and on a whole slide that was neither searched nor looked at. On a
    field drawn at random the region is drawn at random too.

    Parameters
    ----------
    suggestions
        The field's waiting suggestions, where the caller has them: to read hundreds is most of the work.
    stain
        The field's stain embedding, if the project does not store it.
    """
    field = project.fields.get(field_id)
    stored = project.rankings.latest_facts()
    about: Mapping[str, Any] = stored.about if stored is not None else {}
    words = Words(project.schema, Labels.read(about))
    known = [r.shape for r in project.regions.all(field_id)]
    known += [area.shape for area in project.ignore_areas.all(field_id)]
    boxes = [cell.box for cell in project.cells.all(field_id)]
    waiting = project.suggestions.find(field_id) if suggestions is None else suggestions
    found = [s.proposal for s in waiting]
    partly = field.is_slide and field_id in _partly_searched(project)
    if (partly or not found) and not project.reading.blind:
        stain = project.embeddings.of(STAIN, field_id=field_id, predictions=True).get(field_id, stain)
        found = _found(project, field, found, stain, partly=partly)
    some = candidates(found, known, boxes)
    if field.is_slide and not some:
        return []
    groups = groups_of(project.schema)
    worths = weights = np.array([acquisition_value(p, words.labels, groups) for p in some])
    centres = np.array([(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) for p in some]).reshape(-1, 2)
    random = field_id in project.random_sample.fields()
    if random:
        centres, weights = _random_place(field)
    window = _window(field, about.get("region"), [*boxes, *(p.box for p in some)])
    steps = GRID
    if field.is_slide:  # as wide as a field of view, wherever it lies
        window, steps = region_on_slide(field, [*boxes, *(p.box for p in some)])
    items = []
    attributes = len(project.schema.attributes)
    for box, _ in best_windows(
        (field.width, field.height), window, centres, weights, known, count=count, grid=steps
    ):
        within = [i for i, p in enumerate(some) if Shape(box).contains_centre(p.box)]
        inside = [some[i] for i in within]
        share = box[2] * box[3] / (field.width * field.height)
        seconds = CostModel().area(inside, share, attributes)
        score = float(worths[within].sum()) / seconds
        reasons = words.candidates(inside)
        if random:
            reasons = [Reason("Drawn at random: such places show, without bias, how good the model is")]
        items.append(Ranked("region", field_id, field_id, score, seconds, tuple(reasons), box, random))
    return items


def _random_place(field: Field) -> tuple[np.ndarray, np.ndarray]:
    digits = draw_key(field.content_hash, seed=1)
    x, y = int(digits[:8], 16) / 16**8 * field.width, int(digits[8:16], 16) / 16**8 * field.height
    return np.array([(x, y)]), np.ones(1)


def _window(field: Field, usual: object, boxes: Sequence[Box]) -> tuple[float, float]:
    """Size a proposed region: as the project's own, else `SHARE` of the field; four cells wide at least."""
    width, height = (SHARE**0.5 * field.width, SHARE**0.5 * field.height)
    if isinstance(usual, list) and len(usual) == 2 and all(isinstance(v, float) for v in usual):
        width, height = usual[0] * field.width, usual[1] * field.height
    least = 4 * float(np.median([max(box[2:]) for box in boxes])) if boxes else 0.0
    return max(width, min(least, 0.7 * field.width)), max(height, min(least, 0.7 * field.height))


def _usual_region(project: Project) -> list[float] | None:
    """Return the median width and height of the finished regions as shares of their fields."""
    shares = []
    fields = {field.id: field for field in project.fields.all()}
    for region in project.regions.all():
        if not region.finished:
            continue
        field = fields[region.field_id]
        _, _, w, h = region.shape.bounds
        share = (w / field.width, h / field.height)
        if share[0] * share[1] < _WHOLE:
            shares.append(share)
    if len(shares) < _MIN_REGIONS:
        return None
    return [round(float(v), 4) for v in np.median(np.array(shares), 0)]


# --- words -----------------------------------------------------------------------------------------------


def groups_of(schema: Schema) -> list[tuple[str, ...]]:
    """Return the classes of each class group."""
    return [group.classes for group in schema.groups]


def stored_words(project: Project) -> Words:
    """Return the schema's words with what the labels meant when the ranking was last worked out."""
    stored = project.rankings.latest_facts()
    return Words(project.schema, Labels.read(stored.about) if stored is not None else Labels())


def by_field(pairs: Iterable[tuple[int, Any]]) -> dict[int, list[Any]]:
    """Gather values under their field's id."""
    result: dict[int, list[Any]] = defaultdict(list)
    for field_id, value in pairs:
        result[field_id].append(value)
    return result

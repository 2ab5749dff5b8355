"""Whole slides in the ranking of fields, by their best region, searched or not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from annotation_store import Embedding
from annotation_store.errors import LLDError
from annotation_store.images import Slide
from annotation_store.records import Box, Field, Proposal, Shape
from training.inference.slide_tiles import Tiling
from training.networks.scale import VIEW, CellSides
from training.ranking.diversity import colour_features
from training.ranking.items import STAIN
from training.ranking.windows import GRID, best_windows
from training.reasons import Reason

if TYPE_CHECKING:
    from annotation_store.project import Project
    from training.inference.slide_map import SlideMap

CELLS_PER_SIDE = 6
"""Side of a region that is proposed on a whole slide, in cell sides."""

REGION_SHARE = (CELLS_PER_SIDE / VIEW) ** 2
"""Area of such a region over that of a field of view."""

NOT_MAPPED = Reason("Whole slide, neither mapped nor searched yet")

_MAX_STEPS = 600
"""Maximum number of positions of such a region along a slide's longer side."""
_MAX_PLACES = 6
"""Maximum number of places of the monolayer in which nuclei are detected, those with most nuclei first."""
_PLACE_PX = 480
"""Side of such a place in pixels."""


def region_on_slide(field: Field, boxes: Sequence[Box]) -> tuple[tuple[float, float], int]:
    """Return the size of a region that is proposed on a slide, and the number of grid steps."""
    side = CELLS_PER_SIDE * float(np.median([max(box[2:]) for box in boxes]))
    return (side, side), min(_MAX_STEPS, max(GRID, round(2 * max(field.width, field.height) / side)))


def in_best_region(
    field: Field, candidates: Sequence[Proposal], values: Sequence[float], known: Sequence[Shape]
) -> list[Proposal]:
    """Return the candidates of a slide in its best region, as only that is annotated at a time."""
    if not candidates:
        return []
    window, steps = region_on_slide(field, [candidate.box for candidate in candidates])
    centres = np.array([(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) for p in candidates])
    windows = best_windows(
        (field.width, field.height), window, centres, np.asarray(values, float), known, grid=steps
    )
    return [
        candidate
        for candidate in candidates
        if windows and Shape(windows[0][0]).contains_centre(candidate.box)
    ]


def not_searched(nuclei: int) -> Reason:
    """Describe a slide that was mapped and not searched."""
    return Reason(
        "Not searched yet: {count} nucleus in the best places of its monolayer",
        "Not searched yet: {count} nuclei in the best places of its monolayer",
        count=nuclei,
    )


def partly_searched(share: float) -> Reason:
    """Describe a slide of which a part was searched."""
    return Reason("{share}% of the slide searched", share=round(100 * min(share, 0.99)))


def outside_search(project: Project, slide: Field, proposals: Sequence[Proposal]) -> list[Proposal]:
    """Keep the proposals outside the tiles of the last search of a slide."""
    search = project.searches.latest(slide.id)
    tiling = Tiling.read(slide.width, slide.height, search.about.get("tiling")) if search else None
    if search is None or tiling is None:
        return []
    done = project.searches.tiles(search)
    return [p for p in proposals if tiling.at(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) not in done]


def embed_slides_by_stain(
    project: Project, *, progress: Callable[[int, int], None] | None = None
) -> dict[int, Embedding]:
    """Map the slides without embeddings, and detect nuclei in the best places of their monolayer.

    The result is stored as embedding by the stain, so that it is computed once; for a project that is open
    for reading only it is returned alone. A slide that cannot be read is skipped.
    """
    embedded = set(project.embeddings.of(STAIN))
    missing = [slide for slide in project.slides.all() if not slide.skipped and slide.id not in embedded]
    new: dict[int, Embedding] = {}
    for done, slide in enumerate(missing):
        try:
            embedding = _embed_slide(project, slide)
        except LLDError:
            continue  # it was moved, or is damaged: a search reports it
        if not project.read_only:
            project.embeddings.save(STAIN, {slide.id: embedding})
        new[slide.id] = embedding
        if progress is not None:
            progress(done + 1, len(missing))
    return new


def _embed_slide(project: Project, field: Field) -> Embedding:
    from training.inference.slide_map import map_slide
    from training.inference.stain import propose_from_stain  # scikit-image: not before it is needed

    opened = project.slides.open(field.id)
    slide_map = map_slide(opened)
    side = VIEW * CellSides().on_slide(field)
    proposals: list[Proposal] = []
    for centre in _best_centres(slide_map, side):
        pixels, left, top, scale = _read(opened, centre, side)
        for proposal in propose_from_stain(pixels):
            x, y, w, h = (v * scale for v in proposal.box)
            x, y = min(left + x, field.width - 1.0), min(top + y, field.height - 1.0)
            box = (x, y, min(w, field.width - x), min(h, field.height - y))
            if not any(Shape(box).contains_centre(other.box) for other in proposals):
                proposals.append(Proposal(box, proposal.confidence))
    thumbnail = project.pixels.thumbnail(field.id, 320)
    return Embedding(np.asarray(colour_features(thumbnail), np.float32), tuple(proposals))


def _best_centres(slide_map: SlideMap, side: float) -> list[tuple[float, float]]:
    """Return the centres of the best places of the monolayer with nuclei, which do not overlap."""
    centres: list[tuple[float, float]] = []
    for row, column in slide_map.order():
        if len(centres) == _MAX_PLACES or slide_map.kinds[row, column] != slide_map.MONOLAYER:
            break
        left, top, w, h = slide_map.box(row, column)
        x, y = left + w / 2, top + h / 2
        if slide_map.nuclei[row, column] > 0 and all(
            abs(x - a) >= side or abs(y - b) >= side for a, b in centres
        ):
            centres.append((x, y))
    return centres


def _read(slide: Slide, centre: tuple[float, float], side: float) -> tuple[np.ndarray, float, float, float]:
    """Read a place of a slide at a coarse level; return pixels, left, top and the downsampling factor."""
    left = min(max(0.0, centre[0] - side / 2), max(0.0, slide.width - side))
    top = min(max(0.0, centre[1] - side / 2), max(0.0, slide.height - side))
    width, height = min(side, slide.width), min(side, slide.height)
    level = slide.level_for(max(1.0, max(width, height) / _PLACE_PX))
    pixels = np.asarray(slide.read((left, top, width, height), level))
    return pixels, left, top, width / max(1, pixels.shape[1])

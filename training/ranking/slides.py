"""Whole slides in the order of fields: by the best place of each, whether it was searched or not."""

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

IN_A_REGION = 6
"""Cells along the side of a region that is proposed on a whole slide."""

OF_A_VIEW = (IN_A_REGION / VIEW) ** 2
"""What part of a field of view such a region is."""

NOT_LOOKED_AT = Reason("Whole slide, neither mapped nor searched yet")

_MAX_STEPS = 600
"""Places along a slide's longer side where such a region may begin."""
_LOOKED_AT = 6
"""Places of the monolayer, those with most nuclei, in which nuclei are looked for."""
_SIDE = 480
"""Pixels along the side of such a place as it is looked at."""


def region_on_slide(field: Field, boxes: Sequence[Box]) -> tuple[tuple[float, float], int]:
    """Return the size of a region that is proposed on a slide, and on how many steps its corner may stand."""
    side = IN_A_REGION * float(np.median([max(box[2:]) for box in boxes]))
    return (side, side), min(_MAX_STEPS, max(GRID, round(2 * max(field.width, field.height) / side)))


def of_best_place(
    field: Field, candidates: Sequence[Proposal], worths: Sequence[float], known: Sequence[Shape]
) -> list[Proposal]:
    """Return those of a slide's candidates that lie in its best place: one looks at no more of it at once."""
    if not candidates:
        return []
    window, steps = region_on_slide(field, [one.box for one in candidates])
    centres = np.array([(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) for p in candidates])
    found = best_windows(
        (field.width, field.height), window, centres, np.asarray(worths, float), known, grid=steps
    )
    return [one for one in candidates if found and Shape(found[0][0]).contains_centre(one.box)]


def not_searched(nuclei: int) -> Reason:
    """Describe a slide that was mapped and not searched."""
    return Reason(
        "Not searched yet: {count} nucleus in the best places of its monolayer",
        "Not searched yet: {count} nuclei in the best places of its monolayer",
        count=nuclei,
    )


def partly_searched(share: float) -> Reason:
    """Describe a slide whose search was cut off, or was of a part of it."""
    return Reason("{share}% of the slide searched", share=round(100 * min(share, 0.99)))


def beyond_search(project: Project, slide: Field, seen: Sequence[Proposal]) -> list[Proposal]:
    """Keep what was seen by the stain where the last search of a slide has not been yet."""
    search = project.searches.latest(slide.id)
    tiling = Tiling.read(slide.width, slide.height, search.about.get("tiling")) if search else None
    if search is None or tiling is None:
        return []
    done = project.searches.tiles(search)
    return [p for p in seen if tiling.at(p.box[0] + p.box[2] / 2, p.box[1] + p.box[3] / 2) not in done]


def look_at_slides(
    project: Project, *, progress: Callable[[int, int], None] | None = None
) -> dict[int, Embedding]:
    """Map the slides that were not looked at, and look for nuclei in the best places of their monolayer.

    What is found is stored as what the stain shows of a field, so that it is looked for once; of a project
    that is open for reading only it is returned alone. A slide that cannot be read is passed over.
    """
    seen = set(project.embeddings.of(STAIN))
    missing = [slide for slide in project.slides.all() if not slide.skipped and slide.id not in seen]
    looked: dict[int, Embedding] = {}
    for done, slide in enumerate(missing):
        try:
            found = _look(project, slide)
        except LLDError:
            continue  # it was moved, or is damaged: a search of it says so
        if not project.read_only:
            project.embeddings.save(STAIN, {slide.id: found})
        looked[slide.id] = found
        if progress is not None:
            progress(done + 1, len(missing))
    return looked


def _look(project: Project, field: Field) -> Embedding:
    from training.inference.slide_map import map_slide
    from training.inference.stain import propose_from_stain  # scikit-image: not before it is needed

    opened = project.slides.open(field.id)
    seen = map_slide(opened)
    reach = VIEW * CellSides().on_slide(field)
    found: list[Proposal] = []
    for place in _apart(seen, reach):
        pixels, left, top, scale = _read(opened, place, reach)
        for one in propose_from_stain(pixels):
            x, y, w, h = (v * scale for v in one.box)
            x, y = min(left + x, field.width - 1.0), min(top + y, field.height - 1.0)
            box = (x, y, min(w, field.width - x), min(h, field.height - y))
            if not any(Shape(box).contains_centre(other.box) for other in found):
                found.append(Proposal(box, one.confidence))
    small = project.pixels.thumbnail(field.id, 320)
    return Embedding(np.asarray(colour_features(small), np.float32), tuple(found))


def _apart(seen: SlideMap, reach: float) -> list[tuple[float, float]]:
    """Return the centres of the best places of the monolayer that hold nuclei, none on another."""
    centres: list[tuple[float, float]] = []
    for row, column in seen.order():
        if len(centres) == _LOOKED_AT or seen.kinds[row, column] != seen.MONOLAYER:
            break
        left, top, w, h = seen.box(row, column)
        x, y = left + w / 2, top + h / 2
        if seen.nuclei[row, column] > 0 and all(
            abs(x - a) >= reach or abs(y - b) >= reach for a, b in centres
        ):
            centres.append((x, y))
    return centres


def _read(slide: Slide, centre: tuple[float, float], reach: float) -> tuple[np.ndarray, float, float, float]:
    """Read a place of a slide at a coarse level: pixels, left, top, full pixels that each spans."""
    left = min(max(0.0, centre[0] - reach / 2), max(0.0, slide.width - reach))
    top = min(max(0.0, centre[1] - reach / 2), max(0.0, slide.height - reach))
    wide, high = min(reach, slide.width), min(reach, slide.height)
    level = slide.level_for(max(1.0, max(wide, high) / _SIDE))
    pixels = np.asarray(slide.read((left, top, wide, high), level))
    return pixels, left, top, wide / max(1, pixels.shape[1])

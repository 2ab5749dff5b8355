"""Search whole slides tile by tile, and store suggestions in the project as they are found."""

from __future__ import annotations

import copy
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from annotation_store import Embedding, Proposal, Search, SearchedTile, TileState
from annotation_store.errors import ImageError, LLDError
from annotation_store.images import Slide, open_slide
from annotation_store.records import Box, Field, Shape
from training import ranking
from training.inference.engine import await_engine
from training.inference.predict import (
    Move,
    RawProposals,
    calibrated,
    in_memory,
    propose_raw,
    seen_side,
    suggestible,
)
from training.inference.predictor import Predictor, View, parts
from training.inference.slide_map import SlideMap, map_slide
from training.inference.slide_tiles import TIMES, Tiling, own_proposals, search_order, tile_kinds
from training.inference.sources import SlideArea
from training.models.model import LearnedModel
from training.networks.scale import VIEW, CellSides, domain_of
from training.protocol import Notice, Progress, Searched
from training.reasons import Reason
from training.worker.annotated_fields import cells_seen
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.machine import give_back_memory, memory
from training.worker.suggest import seen_of

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 4
BATCH_PIXELS = 32_000_000
"""Maximum number of pixels read per batch: if cells are very large, a batch is one tile."""
_AHEAD = 2
"""Batches that are read or predicted while another is stored: a tile at 0.1 µm per pixel takes 14 MB."""
_REFRESHED = 5.0
"""Seconds after which cells and regions are read again if the project changed during the search."""
_MUCH_MEMORY = 1_400_000_000
_TRIMMED = 20.0
"""Seconds between two releases of freed memory, if the process holds more than `_MUCH_MEMORY` bytes."""
_LOOKED_AT = 6
"""Number of areas from which the cell size of a slide without annotations is estimated."""
_GUESSED_AT = 1.5
"""Width of these areas in fields of view, in case cells are larger than the prior."""

_MANY = 16
"""From this number of tiles on, waiting for the engine's graphs is faster than starting in torch."""

_Read = tuple[int, np.ndarray | None]


@dataclass
class Searcher:
    """Searches slides with one model.

    Attributes
    ----------
    number
        Id of the model; ``None`` = the starter.
    films
        The films that the model is applied to, and their shifts.
    checked
        Results of `check_labels`; ``None`` = keep the stored ones.
    predictor
        Runs the model; ``None`` = this process.
    found
        Totals of all searches so far.
    """

    project: Project
    model: LearnedModel
    number: int | None
    films: Films
    channel: Channel
    min_confidence: float
    checked: Mapping[int, Mapping[int, Proposal]] | None = None
    predictor: Predictor | None = None
    found: Outcome = field(default_factory=lambda: Outcome())

    def search(
        self,
        slide: Field,
        area: Shape | None = None,
        *,
        order: Callable[[Tiling, SlideMap], Sequence[int]] | None = None,
        enough: Callable[[], bool] | None = None,
        still: Callable[[], int] | None = None,
        anew: bool = True,
    ) -> Outcome:
        """Search a slide, or an area of it, and store the suggestions of each tile.

        Skip tiles that this model has searched already; if it has searched all of them, start a new search.

        Parameters
        ----------
        order
            Chooses the tiles and their order; ``None`` = all that are not glass, the monolayer first.
        enough
            Called at the start and after each batch; returns whether to stop.
        still
            Returns how many more tiles will probably be needed: no more than these are read ahead.
        anew
            Whether to start a new search if all tiles were searched.

        Raises
        ------
        ImageError
            The slide is missing, or cannot be read at all.
        LLDError
            The area lies outside of the slide.
        """
        if area is not None:
            x, y, w, h = area.bounds
            if x >= slide.width or y >= slide.height or x + w <= 0 or y + h <= 0:
                raise LLDError(
                    f"The area {x:.0f},{y:.0f},{w:.0f},{h:.0f} lies outside of the slide {slide.name} "
                    f"({slide.width} x {slide.height} pixels): choose one on the slide."
                )
        known = self.project.slides.open(slide.id)
        # a separate handle: it stays open while other slides are read; colours and plane are the project's
        with open_slide(known.path, known.options) as opened:
            return self._search(slide, opened, area, order, enough, still, anew)

    def _search(
        self,
        slide: Field,
        opened: Slide,
        area: Shape | None,
        order: Callable[[Tiling, SlideMap], Sequence[int]] | None,
        enough: Callable[[], bool] | None,
        still: Callable[[], int] | None,
        anew: bool,
    ) -> Outcome:
        begun = time.monotonic()
        self.channel.send(Progress(stage="map", done=0, total=0))
        slide_map = map_slide(opened, progress=lambda _share: self.channel.check())
        plan, tiling, done = self._plan(slide, opened, slide_map, area, anew)
        tiles_in_area = tiling.within(area)
        kinds = tile_kinds(tiling, slide_map)
        glass = [tile for tile in tiles_in_area if kinds[tile][0] == SlideMap.GLASS and tile not in done]
        chosen = search_order([t for t in tiles_in_area if kinds[t][0] != SlideMap.GLASS], kinds)
        if order is not None:
            chosen = list(order(tiling, slide_map))
        left = [t for t in chosen if t not in done or done[t].state is TileState.DAMAGED]
        run = _Run(self, slide, opened, plan, tiling, done, self._earlier(plan, tiling), still)
        run.passed_over(glass if order is None else [])
        prepared = time.monotonic() - begun
        self.found.preparing += prepared
        self.found.seconds += prepared
        run.search(left, passed=len(chosen) - len(left), enough=enough)
        self.found.glass += len(glass)
        return self.found

    def _plan(
        self, slide: Field, opened: Slide, slide_map: SlideMap, area: Shape | None, anew: bool
    ) -> tuple[Search, Tiling, dict[int, SearchedTile]]:
        """Return the search to continue, or a new one, with its tiling and the tiles searched so far."""
        metadata = {"weights": self.model.trunk_digest(), "min_confidence": self.min_confidence}
        metadata["model"] = str(self.model.card.get("sha256") or self.model.card.get("run") or "")
        latest = self.project.searches.latest(slide.id)
        if (
            latest is not None
            and latest.model_id == self.number
            and all(latest.about.get(name) == value for name, value in metadata.items())
            and (tiling := Tiling.read(slide.width, slide.height, latest.about.get("tiling"))) is not None
        ):
            done = self.project.searches.tiles(latest)
            complete = {t for t, tile in done.items() if tile.state is not TileState.DAMAGED}
            if not (anew and complete.issuperset(tiling.within(area))):
                return latest, tiling, done
        side, largest = cells_seen(self.project, slide)
        if side is None:
            side = self._side(slide, opened, slide_map)
        tiling = Tiling.of(slide.width, slide.height, side, largest)
        metadata["tiling"] = tiling.stored()
        return self.project.searches.begin(slide.id, model_id=self.number, about=metadata), tiling, {}

    def _side(self, slide: Field, opened: Slide, slide_map: SlideMap) -> float:
        """Estimate the side of a white cell on a slide without annotations.

        The pixel size is the project's, not the file's: the user may have removed a wrong one.
        """
        guess = CellSides().on_slide(slide)
        reach = _GUESSED_AT * VIEW * guess
        areas = [slide_map.box(*area) for area in slide_map.order() if slide_map.nuclei[area] >= 1][:200]
        step = max(1, len(areas) // _LOOKED_AT)

        def read(area: tuple[int, int, int, int]) -> np.ndarray:
            x, y = area[0] + area[2] / 2 - reach / 2, area[1] + area[3] / 2 - reach / 2
            x, y = min(max(0.0, x), opened.width - reach), min(max(0.0, y), opened.height - reach)
            return np.asarray(opened.read((max(0.0, x), max(0.0, y), reach, reach)))

        try:
            estimated = (
                seen_side(self.model, [partial(read, area) for area in areas[::step]]) if areas else None
            )
        except ImageError:
            estimated = None
        return estimated or guess

    def _earlier(self, plan: Search, tiling: Tiling) -> dict[int, list[int]]:
        """Return the ids of pending suggestions from before the search, by tile."""
        earlier: dict[int, list[int]] = {}
        for number, (x, y) in self.project.searches.pending(plan).items():
            earlier.setdefault(tiling.at(x, y), []).append(number)
        return earlier


@dataclass
class Outcome:
    """Totals of a search.

    Attributes
    ----------
    count, unknown
        Suggestions, and those of an unknown kind.
    tiles, glass, damaged
        Number of tiles searched, number skipped as empty glass, and boxes of those that could not be read.
    pixels
        Area of the cores of the searched tiles.
    seconds, preparing, predicting
        Duration of the search, and how much of it the map of the slide and the model took.
    stopped
        Whether the search stopped before the last tile.
    read
        Tiles of the last slide that were read, including those read ahead and never predicted.
    """

    count: int = 0
    unknown: int = 0
    tiles: int = 0
    glass: int = 0
    pixels: int = 0
    seconds: float = 0.0
    preparing: float = 0.0
    predicting: float = 0.0
    stopped: bool = False
    damaged: list[Box] = field(default_factory=list)
    read: set[int] = field(default_factory=set)

    def counts(self) -> dict[str, Any]:
        """Return the totals that a task reports, as JSON values."""
        return {
            "count": self.count,
            "unknown": self.unknown,
            "tiles": self.tiles,
            "glass_tiles": self.glass,
            "pixels": self.pixels,
            "damaged": [[round(v) for v in box] for box in self.damaged],
            "seconds": round(self.seconds, 2),
            "seconds_in_model": round(self.predicting, 2),
        }


@dataclass
class _Run:
    """One search of one slide."""

    by: Searcher
    slide: Field
    opened: Slide
    plan: Search
    tiling: Tiling
    done: dict[int, SearchedTile]
    earlier: dict[int, list[int]]
    still: Callable[[], int] | None = None
    vectors: list[np.ndarray] = field(default_factory=list)
    _stamp: object = None
    _read_at: float = 0.0
    _trimmed_at: float = 0.0
    _known: tuple[list[Shape], list[Shape], np.ndarray] | None = None

    def passed_over(self, tiles: Sequence[int]) -> None:
        """Mark tiles as empty, and remove earlier suggestions there."""
        if tiles:
            replaces = [number for tile in tiles for number in self.earlier.get(tile, ())]
            self.by.project.searches.mark(self.plan, tiles, TileState.EMPTY, replaces=replaces)

    def search(self, tiles: Sequence[int], *, passed: int, enough: Callable[[], bool] | None) -> None:
        """Search tiles in the given order."""
        by, totals = self.by, self.by.found
        model = _widened(by.model)
        film = domain_of(self.slide)
        least = max(0.001, by.model.calibration.raw(by.min_confidence))
        trunk = by.model.trunk_digest()
        begun, before = time.monotonic(), totals.seconds
        done = 0
        if enough is not None and enough():
            return
        if enough is None:  # else the caller of `enough` reports progress
            by.channel.send(Progress(stage="search", done=passed, total=passed + len(tiles)))
        if len(tiles) >= _MANY and by.predictor is None:
            await_engine(model, by.channel.check)
        for batch in self._predicted(tiles, model, least):
            by.channel.check()
            whole = [(tile, raw) for tile, raw in batch if raw is not None]
            self._damaged([tile for tile, raw in batch if raw is None])
            for tile, raw in whole:
                by.films.note(film, raw)
                self._keep(tile, raw, trunk)
            self._trim()
            done += len(batch)
            totals.seconds = before + time.monotonic() - begun
            left = (time.monotonic() - begun) / done * (len(tiles) - done)
            by.channel.send(
                Searched(
                    field_id=self.slide.id,
                    count=sum(searched.count for searched in self.done.values()),
                    done=passed + done,
                    total=passed + len(tiles),
                    boxes=[self.tiling.core_of(tile) for tile, _ in whole],
                )
            )
            if enough is None:
                by.channel.send(
                    Progress(stage="search", done=passed + done, total=passed + len(tiles), seconds_left=left)
                )
            elif enough():
                totals.stopped = done < len(tiles)
                break
        self._embed()

    def _predicted(
        self, tiles: Sequence[int], model: LearnedModel, least: float
    ) -> Iterator[list[tuple[int, RawProposals | None]]]:
        """Yield tiles and their raw proposals, batch by batch; ``None`` for a tile that cannot be read.

        One thread reads and another predicts, while the caller stores the batch before: the network waits
        for neither.
        """
        if self.by.predictor is not None:
            yield from self._predicted_elsewhere(tiles, model, least, self.by.predictor)
            return
        if not tiles:
            return
        width, height = self.tiling.box(tiles[0])[2:]
        batch = max(1, min(_BATCH, int(BATCH_PIXELS // (width * height))))
        waiting: deque[Future[list[tuple[int, RawProposals | None]]]] = deque()
        with (
            ThreadPoolExecutor(1, thread_name_prefix="slide") as reader,
            ThreadPoolExecutor(1, thread_name_prefix="network") as network,
        ):
            start = n_taken = 0
            try:
                while True:
                    most = len(tiles) if self.still is None else n_taken + max(1, self.still())
                    while start < min(most, len(tiles)) and len(waiting) < _AHEAD:
                        next_tiles = tiles[start : min(start + batch, most)]
                        start += len(next_tiles)
                        move = self.by.films.move(domain_of(self.slide))
                        read = reader.submit(self._pixels, next_tiles)
                        waiting.append(network.submit(self._predict, read, model, move, least))
                    if not waiting:
                        return
                    results = waiting.popleft().result()
                    n_taken += len(results)
                    yield results
            finally:
                reader.shutdown(wait=False, cancel_futures=True)
                for future in waiting:
                    future.cancel()

    def _predicted_elsewhere(
        self, tiles: Sequence[int], model: LearnedModel, least: float, predictor: Predictor
    ) -> Iterator[list[tuple[int, RawProposals | None]]]:
        """Yield tiles and their raw proposals from the predictor, in the order of the tiles."""

        def batches(batch: Sequence[int]) -> Iterator[tuple[Sequence[int], list[View]]]:
            for part in parts(batch, predictor.batch):
                self.by.found.read.update(part)
                move = self.by.films.move(domain_of(self.slide))
                areas = [SlideArea(self.opened, self.tiling.box(tile)) for tile in part]
                yield part, [View(area, self.tiling.side, move) for area in areas]

        start = 0
        while start < len(tiles):
            n_wanted = len(tiles) if self.still is None else max(1, self.still())
            batch = tiles[start : start + n_wanted]
            start += len(batch)
            for part, raws in predictor.propose(model, batches(batch), min_score=least):
                yield list(zip(part, raws, strict=True))

    def _predict(
        self, read: Future[list[_Read]], model: LearnedModel, move: Move, least: float
    ) -> list[tuple[int, RawProposals | None]]:
        """Predict tiles once they are read."""
        tiles = read.result()
        whole = [(tile, pixels) for tile, pixels in tiles if pixels is not None]
        started = time.monotonic()
        raws = propose_raw(
            model,
            in_memory([pixels for _, pixels in whole]),
            cell_sides=[self.tiling.side] * len(whole),
            moves=[move] * len(whole),
            min_score=least,
            batch=_BATCH,
        )
        self.by.found.predicting += time.monotonic() - started
        raw_of_tile = {tile: raw for (tile, _), raw in zip(whole, raws, strict=True)}
        return [(tile, raw_of_tile.get(tile)) for tile, _ in tiles]

    def _pixels(self, tiles: Sequence[int]) -> list[_Read]:
        """Read the pixels of tiles; ``None`` for a tile that cannot be read."""
        read: list[_Read] = []
        for tile in tiles:
            self.by.found.read.add(tile)
            try:
                read.append((tile, np.asarray(self.opened.read(self.tiling.box(tile)))))
            except ImageError:
                read.append((tile, None))
        return read

    def _trim(self) -> None:
        """Return freed memory to the system, every `_TRIMMED` seconds."""
        now = time.monotonic()
        if now - self._trimmed_at > _TRIMMED and memory() > _MUCH_MEMORY:
            self._trimmed_at = now
            give_back_memory()

    def _damaged(self, tiles: Sequence[int]) -> None:
        new = [tile for tile in tiles if tile not in self.done]
        self.by.found.damaged += [self.tiling.core_of(tile) for tile in tiles]
        if not self.opened.path.exists():
            raise ImageError(
                f"The slide {self.slide.name} is no longer where it was: bring it back, then start again. "
                "What was found is kept."
            )
        if new:
            self.by.project.searches.mark(self.plan, new, TileState.DAMAGED)

    def _keep(self, tile: int, raw: RawProposals, trunk: str) -> None:
        """Store the suggestions that belong to a tile, and their features."""
        project, totals = self.by.project, self.by.found
        regions, ignore, occupied = self._annotated()
        neighbour_tiles = [self.done[t] for t in self.tiling.around(tile) if t in self.done]
        proposals = calibrated(self.by.model, raw, min_confidence=self.by.min_confidence)
        mine = own_proposals(self.tiling, tile, proposals, project.searches.boxes(neighbour_tiles))
        x, y, w, h = self.tiling.box(tile)
        here = occupied[
            (occupied[:, 0] < x + w)
            & (occupied[:, 1] < y + h)
            & (occupied[:, 0] + occupied[:, 2] > x)
            & (occupied[:, 1] + occupied[:, 3] > y)
        ]
        suggested = suggestible(mine, regions=regions, ignore=ignore, occupied=here.tolist(), most=len(mine))
        ids = project.searches.add(self.plan, tile, suggested, replaces=self.earlier.get(tile, ()))
        first = ids[0] if ids else 0
        self.done[tile] = SearchedTile(tile, TileState.SEARCHED, first, len(ids))
        totals.tiles += 1
        totals.count += len(ids)
        totals.unknown += sum(proposal.is_unknown for proposal in suggested)
        core = self.tiling.core_of(tile)
        totals.pixels += int(core[2] * core[3])
        if raw.vector is not None:
            self.vectors.append(raw.vector)
        moved = _moved(raw, x, y)
        if (features := seen_of(suggested, moved)) is not None:
            project.features.save(trunk, {self.slide.id: features})

    def _annotated(self) -> tuple[list[Shape], list[Shape], np.ndarray]:
        """Return finished regions, ignore areas, and boxes of cells and rejections, as currently stored."""
        project = self.by.project
        stamp = project.write_stamp
        now = time.monotonic()
        changed = stamp is None or stamp != self._stamp
        if self._known is None or (changed and now - self._read_at > _REFRESHED):
            self._read_at = now
            boxes: list[Box] = [cell.box for cell in project.cells.all(self.slide.id)]
            boxes += project.suggestions.rejected_boxes().get(self.slide.id, [])
            self._known = (
                [region.shape for region in project.regions.all(self.slide.id) if region.finished],
                [area.shape for area in project.ignore_areas.all(self.slide.id)],
                np.array(boxes, np.float64).reshape(-1, 4),
            )
            self._stamp = stamp
        return self._known

    def _embed(self) -> None:
        """Store the mean embedding of the slide, which also records that this model has predicted it."""
        if self.vectors:
            source = ranking.STARTER if self.by.number is None else str(self.by.number)
            mean = np.mean(np.stack(self.vectors).astype(np.float32), 0)
            embeddings, slide = self.by.project.embeddings, self.slide.id
            if self.by.checked is not None:
                of_cells = self.by.checked.get(slide, {})
            else:
                before = embeddings.of(source, field_id=slide, predictions=True).get(slide)
                of_cells = before.cells if before is not None else {}
            embeddings.save(source, {slide: Embedding(mean, (), of_cells)})


def to_review(project: Project, slides: Sequence[Field]) -> dict[str, int]:
    """Count the suggestions that wait for review on slides, of this search and of earlier ones."""
    return {
        "pending": sum(project.suggestions.count(slide.id) for slide in slides),
        "pending_unknown": project.suggestions.count_unknown([slide.id for slide in slides]),
    }


def search_notice(slide: Field, damaged: Sequence[Box]) -> Notice:
    """Return the notice about tiles that could not be read."""
    reason = Reason(
        "{name}: {count} part of the slide could not be read and was skipped, at {places}. "
        "Copy the file again; the search then continues there.",
        "{name}: {count} parts of the slide could not be read and were skipped, at {places}. "
        "Copy the file again; the search then continues there.",
        name=slide.name,
        count=len(damaged),
        places=", ".join(f"({x:.0f}, {y:.0f})" for x, y, _, _ in damaged[:3]) + (" …" if damaged[3:] else ""),
    )
    return Notice(reason=reason.stored())


def _widened(model: LearnedModel) -> LearnedModel:
    """Return a copy of the model for tiles wider than a field of view, at the same scale."""
    wide = copy.copy(model)
    wide.size = TIMES * model.size
    wide.sides = (model.sides[0] / TIMES, model.sides[1] / TIMES)
    return wide


def _moved(raw: RawProposals, x: float, y: float) -> RawProposals:
    return RawProposals(raw.boxes + np.array([x, y, 0, 0]), raw.scores, raw.logits, features=raw.features)

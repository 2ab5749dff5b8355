"""Differential count on a whole slide: search the monolayer in random order until there are enough cells."""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from annotation_store.errors import LLDError
from annotation_store.project import Project
from annotation_store.records import Box, Cell, Field, Suggestion
from training.evaluation.statistics import clopper_pearson, effective_share
from training.inference.slide_count import LIKELY, Areas, SlideCount, count
from training.inference.slide_map import SlideMap
from training.inference.slide_tiles import Tiling, tile_kinds
from training.protocol import DifferentialRequest, Done, Progress, Started, Suggested
from training.worker.annotated_fields import annotated_fields
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.many import elsewhere, predictor_for
from training.worker.models import resolve
from training.worker.search import Searcher, search_notice, to_review

_FIRST = 4
"""Number of tiles that estimate the cells per tile."""

_BLOCKS = 16
"""Number of strata of the monolayer that are sampled in turn, so that the tiles are spread over all of it."""


def differential(request: DifferentialRequest, channel: Channel, device: torch.device) -> Done:
    """Search and count; see `DifferentialRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        slide = project.fields.get(request.field)
        if not slide.is_slide:
            raise LLDError(f"{slide.name} is not a whole slide: count the cells of fields in the window.")
        model, number = resolve(project, request.model, keep=True)
        model.to(device)
        channel.send(Started(task="differential", device=str(device), fields=1))
        films = Films(project, model, annotated_fields(project))
        target = _Target(project, slide, request.to, request.seed, channel)
        with predictor_for(request, project, channel) as predictor:
            searcher = Searcher(project, model, number, films, channel, request.min_confidence)
            searcher.predictor = elsewhere(predictor)
            search = searcher.search(
                slide, order=target.order, enough=target.enough, still=target.still, anew=False
            )
        if search.damaged:
            channel.send(search_notice(slide, search.damaged))
        channel.send(
            Suggested(
                field_ids=[slide.id],
                count=search.count,
                unknown=search.unknown,
                **to_review(project, [slide]),
                **films.trust(),
            )
        )
        result = {**target.result(search.read), "searched_tiles": search.tiles, **films.trust()}
    return Done(task="differential", model_id=number, result=result)


def fair_order(tiles: Sequence[int], columns: int, seed: int) -> list[int]:
    """Order tiles at random, stratified by position, independently of their content.

    The tiles are divided into blocks of neighbours, which are sampled in turn.

    Parameters
    ----------
    columns
        Number of tiles in a row.
    """
    rng = random.Random(seed)
    side = max(1, round((len(tiles) / _BLOCKS) ** 0.5))
    blocks: dict[tuple[int, int], list[int]] = {}
    for tile in sorted(tiles):
        blocks.setdefault((tile // columns // side, tile % columns // side), []).append(tile)
    for block in blocks.values():
        rng.shuffle(block)
    # a small block is not finished earlier: the key of a tile is its rank over the size of its block
    keyed = [
        ((position + rng.random()) / len(block), tile)
        for block in blocks.values()
        for position, tile in enumerate(block)
    ]
    return [tile for _, tile in sorted(keyed)]


@dataclass
class _Target:
    """The target number of white cells, counted in the searched tiles in their order."""

    project: Project
    slide: Field
    to: int
    seed: int
    channel: Channel
    _tiling: Tiling | None = None
    _seen: SlideMap | None = None
    _tiles: Sequence[int] = ()
    _so_far: tuple[int, int] = (0, 0)
    _places: dict[int, list[Box]] = field(default_factory=dict)

    def order(self, tiling: Tiling, slide_map: SlideMap) -> list[int]:
        """Return the tiles of the monolayer in random order; see `fair_order`."""
        kinds = tile_kinds(tiling, slide_map)
        monolayer = [tile for tile, (kind, _) in kinds.items() if kind == SlideMap.MONOLAYER]
        if not monolayer:
            raise LLDError(
                f"{self.slide.name} shows no monolayer to count in: it is glass, sparse or thick everywhere. "
                "Count in regions of your own choice."
            )
        self._tiling, self._seen = tiling, slide_map
        self._tiles = fair_order(monolayer, tiling.columns, self.seed)
        return list(self._tiles)

    def enough(self) -> bool:
        """Return whether the target is reached, and report the number of white cells."""
        tiles = self._searched()
        counted = sum(counts.total() for counts in self._by_tile(tiles))
        self._so_far = len(tiles), counted
        self.channel.send(Progress(stage="count", done=min(counted, self.to), total=self.to))
        return counted >= self.to

    def still(self) -> int:
        """Estimate the number of tiles that are still needed from the cells per tile so far."""
        tiles, counted = self._so_far
        if not counted:
            return max(_FIRST, tiles)
        return math.ceil((self.to - counted) * tiles / counted)

    def result(self, read_now: Collection[int]) -> dict[str, Any]:
        """Return the counts, and the area that was read.

        Parameters
        ----------
        read_now
            Tiles that were read in this run, some of them perhaps not counted.
        """
        assert self._tiling is not None
        assert self._seen is not None
        tiles = self._that_count()
        areas = self._read_in(tiles)
        slide_count, schema = self._count(areas), self.project.schema
        counts = slide_count.white(schema)
        whole = self.slide.width * self.slide.height
        boxes = [self._tiling.box(tile) for tile in {*tiles, *read_now}]
        read = min(whole, sum(int(box[2] * box[3]) for box in boxes))
        um = self.slide.pixel_size_um
        return {
            "slide": self.slide.name,
            "field": self.slide.id,
            "to": self.to,
            "seed": self.seed,
            "counted": counts.total(),
            "reached": counts.total() >= self.to,
            "counts": [[name, number] for name, number in counts.items()],
            **self._certainty(self._by_tile(tiles)),
            "unclassified": slide_count.unclassified(),
            "unknown": slide_count.unknown,
            "artefacts": slide_count.artefacts(schema),
            "unreviewed": len(slide_count.suggestions),
            "tiles": len(tiles),
            "monolayer_tiles": len(self._tiles),
            "pixels_judged": areas.pixels,
            "pixels_read": read,
            "share_read": round(read / whole, 5),
            "map_share_read": round(self._seen.read_share, 5),
            "area_mm2": None if um is None else round(areas.pixels * um * um / 1e6, 4),
            "places": [[round(v) for v in box] for box in areas.boxes],
        }

    def _count(self, areas: Areas) -> SlideCount:
        """Count in areas: cells of the reading, and likely suggestions."""
        cells = self.project.cells.pick(self.slide.id, areas.holds)
        suggestions = self.project.suggestions.pick(self.slide.id, areas.holds, least=LIKELY)
        return count(cells, suggestions, areas.holds)

    def _by_tile(self, tiles: Sequence[int]) -> list[Counter[str]]:
        """Count white cells in each of some tiles."""
        assert self._tiling is not None
        areas, schema = self._read_in(tiles), self.project.schema
        cells: dict[int, list[Cell]] = defaultdict(list)
        for cell in self.project.cells.pick(self.slide.id, areas.holds):
            cells[self._tiling.at(*_centre(cell.box))].append(cell)
        suggestions: dict[int, list[Suggestion]] = defaultdict(list)
        for suggestion in self.project.suggestions.pick(self.slide.id, areas.holds, least=LIKELY):
            suggestions[self._tiling.at(*_centre(suggestion.box))].append(suggestion)
        return [count(cells[tile], suggestions[tile], areas.holds).white(schema) for tile in tiles]

    def _that_count(self) -> list[int]:
        """Return the tiles that count: the first of the order that together reach the target.

        The result does not depend on whether more were searched.
        """
        tiles, counted = self._searched(), 0
        for number, white in enumerate(self._by_tile(tiles), 1):
            counted += white.total()
            if counted >= self.to:
                return tiles[:number]
        return tiles

    def _certainty(self, by_tile: Sequence[Counter[str]]) -> dict[str, Any]:
        """Return the interval of each class and class group, and the effective share of the sample size."""
        schema = self.project.schema
        names = {name: [name] for name in schema.class_names if not schema.class_named(name).artefact}
        names |= {group.name: [group.name, *schema.members(group.name)] for group in schema.groups}
        totals = [counts.total() for counts in by_tile]
        effective, intervals = {}, {}
        for name, members in names.items():
            hits = [sum(counts[member] for member in members) for counts in by_tile]
            effective[name] = round(effective_share(hits, totals), 5)
            intervals[name] = [round(v, 5) for v in clopper_pearson(sum(hits), sum(totals), effective[name])]
        return {"intervals": intervals, "worth": effective}

    def _searched(self) -> list[int]:
        """Return the tiles from the first of the order on that were searched, without a gap."""
        search = self.project.searches.latest(self.slide.id)
        done = {} if search is None else self.project.searches.tiles(search)
        tiles: list[int] = []
        for tile in self._tiles:
            if tile not in done:
                break
            if done[tile].state == "searched":  # damaged ones are skipped
                tiles.append(tile)
        return tiles

    def _read_in(self, tiles: Sequence[int]) -> Areas:
        """Return the monolayer of some tiles' cores."""
        for tile in tiles:
            if tile not in self._places:
                self._places[tile] = self._single(tile)
        return Areas([box for tile in tiles for box in self._places[tile]])

    def _single(self, tile: int) -> list[Box]:
        """Return where a tile's core is monolayer: a box for each run of areas in a row of the map."""
        assert self._tiling is not None
        assert self._seen is not None
        x, y, w, h = self._tiling.core_of(tile)
        side, kinds = self._seen.side, self._seen.kinds
        boxes: list[Box] = []
        for row in range(int(y // side), -int(-(y + h) // side)):
            top, bottom = max(y, row * side), min(y + h, (row + 1) * side)
            run: tuple[float, float] | None = None
            for column in range(int(x // side), -int(-(x + w) // side) + 1):
                left, right = max(x, column * side), min(x + w, (column + 1) * side)
                if left < right and kinds[row, column] == SlideMap.MONOLAYER:
                    run = (left if run is None else run[0], right)
                elif run is not None:
                    boxes.append((run[0], float(top), run[1] - run[0], float(bottom - top)))
                    run = None
        return boxes


def _centre(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def counted(result: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return class and count of what `differential` found."""
    return [(str(name), int(count)) for name, count in result["counts"]]

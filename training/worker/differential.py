"""A differential on a whole slide: the monolayer is searched in a fair order until enough cells are there."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from annotation_store.errors import LLDError
from annotation_store.project import Project
from annotation_store.records import Box, Field
from training.inference.slide_count import LIKELY, Places, SlideCount, count
from training.inference.slide_map import SlideMap
from training.inference.slide_tiles import Tiling, kinds_of
from training.protocol import DifferentialRequest, Done, Progress, Started, Suggested
from training.worker.annotated_fields import knowledge
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.models import resolve
from training.worker.search import Searcher, search_notice

_BLOCKS = 16
"""Parts of the monolayer that are taken in turn, so that what is read is spread over all of it."""


def differential(request: DifferentialRequest, channel: Channel, device: torch.device) -> Done:
    """Search and count; see `DifferentialRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        slide = project.fields.get(request.field)
        if not slide.is_slide:
            raise LLDError(f"{slide.name} is not a whole slide: count the cells of fields in the window.")
        model, number = resolve(project, request.model, keep=True)
        model.to(device)
        channel.send(Started(task="differential", device=str(device), fields=1))
        films = Films(project, model, knowledge(project))
        wanted = _Wanted(project, slide, request.to, request.seed, channel)
        searcher = Searcher(project, model, number, films, channel, request.min_confidence)
        found = searcher.search(slide, order=wanted.order, enough=wanted.enough, anew=False)
        if found.damaged:
            channel.send(search_notice(slide, found.damaged))
        channel.send(
            Suggested(field_ids=[slide.id], count=found.count, unknown=found.unknown, **films.trust())
        )
        result = {**wanted.result(), "searched_tiles": found.tiles, **films.trust()}
    return Done(task="differential", model_id=number, result=result)


def fair_order(tiles: Sequence[int], columns: int, seed: int) -> list[int]:
    """Order tiles by chance, spread over where they lie; nothing of what they show has a say.

    The tiles are parted into blocks of neighbours, of which one is taken in turn.

    Parameters
    ----------
    columns
        Tiles in a row.
    """
    drawn = random.Random(seed)
    side = max(1, round((len(tiles) / _BLOCKS) ** 0.5))
    blocks: dict[tuple[int, int], list[int]] = {}
    for tile in sorted(tiles):
        blocks.setdefault((tile // columns // side, tile % columns // side), []).append(tile)
    for some in blocks.values():
        drawn.shuffle(some)
    # a block of few tiles is not done sooner: each tile has a place by its share of its own block
    placed = [
        ((place + drawn.random()) / len(some), tile)
        for some in blocks.values()
        for place, tile in enumerate(some)
    ]
    return [tile for _, tile in sorted(placed)]


@dataclass
class _Wanted:
    """White cells in the tiles that were searched, in their order, until there are enough."""

    project: Project
    slide: Field
    to: int
    seed: int
    channel: Channel
    _tiling: Tiling | None = None
    _seen: SlideMap | None = None
    _tiles: Sequence[int] = ()
    _places: dict[int, list[Box]] = field(default_factory=dict)

    def order(self, tiling: Tiling, seen: SlideMap) -> list[int]:
        """Return the tiles of the monolayer in a fair order."""
        kinds = kinds_of(tiling, seen)
        single = [tile for tile, (kind, _) in kinds.items() if kind == SlideMap.MONOLAYER]
        if not single:
            raise LLDError(
                f"{self.slide.name} shows no monolayer to count in: it is glass, sparse or thick everywhere. "
                "Count in regions of your own choice."
            )
        self._tiling, self._seen = tiling, seen
        self._tiles = fair_order(single, tiling.columns, self.seed)
        return list(self._tiles)

    def enough(self) -> bool:
        """Return whether so many white cells are there, and tell how many there are."""
        counted = self._count(self._read_in(self._searched())).white(self.project.schema).total()
        self.channel.send(Progress(stage="count", done=min(counted, self.to), total=self.to))
        return counted >= self.to

    def result(self) -> dict[str, Any]:
        """Return counts, and what was read."""
        assert self._tiling is not None
        assert self._seen is not None
        tiles = self._searched()
        places = self._read_in(tiles)
        found, schema = self._count(places), self.project.schema
        counts = found.white(schema)
        whole = self.slide.width * self.slide.height
        boxes = [self._tiling.box(tile) for tile in tiles]
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
            "unclassified": found.unclassified(),
            "unknown": found.unknown,
            "artefacts": found.artefacts(schema),
            "unreviewed": len(found.suggestions),
            "tiles": len(tiles),
            "monolayer_tiles": len(self._tiles),
            "pixels_judged": places.pixels,
            "pixels_read": read,
            "share_read": round(read / whole, 5),
            "map_share_read": round(self._seen.read_share, 5),
            "area_mm2": None if um is None else round(places.pixels * um * um / 1e6, 4),
            "places": [[round(v) for v in box] for box in places.boxes],
        }

    def _count(self, places: Places) -> SlideCount:
        """Count what stands in some places: cells of the reading, and suggestions that are likely."""
        cells = self.project.cells.pick(self.slide.id, places.holds)
        suggestions = self.project.suggestions.pick(self.slide.id, places.holds, least=LIKELY)
        return count(cells, suggestions, places.holds)

    def _searched(self) -> list[int]:
        """Return the tiles from the first of the order on that were searched, without a gap."""
        search = self.project.searches.latest(self.slide.id)
        done = {} if search is None else self.project.searches.tiles(search)
        tiles: list[int] = []
        for tile in self._tiles:
            if tile not in done:
                break
            if done[tile].state == "searched":  # a damaged one is passed over
                tiles.append(tile)
        return tiles

    def _read_in(self, tiles: Sequence[int]) -> Places:
        """Return the monolayer of some tiles' cores."""
        for tile in tiles:
            if tile not in self._places:
                self._places[tile] = self._single(tile)
        return Places([box for tile in tiles for box in self._places[tile]])

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


def counted(result: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return class and count of what `differential` found."""
    return [(str(name), int(count)) for name, count in result["counts"]]

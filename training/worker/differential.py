"""A differential on a whole slide: the monolayer is searched in a fair order until enough cells are there."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from annotation_store.errors import LLDError
from annotation_store.project import Project
from annotation_store.records import Box, Field
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE
from training.inference.slide_map import SlideMap
from training.inference.slide_tiles import Tiling, kinds_of
from training.protocol import DifferentialRequest, Done, Started, Suggested
from training.worker.annotated_fields import knowledge
from training.worker.channel import Channel
from training.worker.films import Films
from training.worker.models import resolve
from training.worker.search import Searcher, search_notice

_LIKELY = 0.5
"""Least confidence of a suggestion that is counted."""

_BLOCKS = 16
"""Parts of the monolayer that are taken in turn, so that what is read is spread over all of it."""


def differential(request: DifferentialRequest, channel: Channel, device: torch.device) -> Done:
    """Search and count; see `DifferentialRequest`."""
    with Project.open(request.project, annotator=request.annotator, reading=request.reading) as project:
        slide = project.fields.get(request.field)
        if not slide.is_slide:
            raise LLDError(f"{slide.name} is not a whole slide: count the cells of fields in the window.")
        model, number = resolve(project, request.model)
        model.to(device)
        channel.send(Started(task="differential", device=str(device), fields=1))
        films = Films(project, model, knowledge(project))
        count = _Count(project, slide, request.to, request.seed)
        searcher = Searcher(project, model, number, films, channel, request.min_confidence)
        found = searcher.search(slide, order=count.order, enough=count.enough, anew=False)
        if found.damaged:
            channel.send(search_notice(slide, found.damaged))
        channel.send(
            Suggested(field_ids=[slide.id], count=found.count, unknown=found.unknown, **films.trust())
        )
        result = {**count.result(), "searched_tiles": found.tiles, **films.trust()}
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
class _Count:
    """White cells in the tiles that were searched, in their order."""

    project: Project
    slide: Field
    to: int
    seed: int
    _tiling: Tiling | None = None
    _seen: SlideMap | None = None
    _tiles: Sequence[int] = ()

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
        """Return whether so many white cells are there."""
        return sum(self._counts()[0].values()) >= self.to

    def result(self) -> dict[str, Any]:
        """Return counts, and what was read."""
        counts, apart, tiles = self._counts()
        assert self._tiling is not None
        assert self._seen is not None
        pixels = sum(self._single(tile) for tile in tiles)
        whole = self.slide.width * self.slide.height
        boxes = [self._tiling.box(tile) for tile in tiles]
        read = min(whole, sum(int(box[2] * box[3]) for box in boxes))
        um = self.slide.pixel_size_um
        return {
            "slide": self.slide.name,
            "to": self.to,
            "seed": self.seed,
            "counted": sum(counts.values()),
            "reached": sum(counts.values()) >= self.to,
            "counts": [[name, count] for name, count in counts.items()],
            "unclassified": apart["unclassified"],
            "unknown": apart["unknown"],
            "artefacts": apart["artefacts"],
            "tiles": len(tiles),
            "monolayer_tiles": len(self._tiles),
            "pixels_judged": pixels,
            "pixels_read": read,
            "share_read": round(read / whole, 5),
            "map_share_read": round(self._seen.read_share, 5),
            "area_mm2": None if um is None else round(pixels * um * um / 1e6, 4),
        }

    def _counts(self) -> tuple[Counter[str], Counter[str], list[int]]:
        """Count what stands in the searched tiles: cells of the reading, and suggestions that are likely."""
        tiles = self._searched()
        counts: Counter[str] = Counter()
        apart: Counter[str] = Counter()
        among = set(tiles)
        schema = self.project.schema
        for cell in self.project.cells.all(self.slide.id):
            if self._counts_here(cell.box, among):
                _add(counts, apart, schema, cell.cell_class)
        for one in self.project.suggestions.find(self.slide.id):
            if one.confidence >= _LIKELY and self._counts_here(one.box, among):
                if one.is_unknown:
                    apart["unknown"] += 1
                else:
                    _add(counts, apart, schema, one.stated_class)
        return counts, apart, tiles

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

    def _counts_here(self, box: Box, tiles: set[int]) -> bool:
        """Return whether a box is centred in the monolayer of these tiles."""
        assert self._tiling is not None
        assert self._seen is not None
        x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
        if self._tiling.at(x, y) not in tiles:
            return False
        rows, columns = self._seen.kinds.shape
        row, column = min(int(y // self._seen.side), rows - 1), min(int(x // self._seen.side), columns - 1)
        return bool(self._seen.kinds[row, column] == SlideMap.MONOLAYER)

    def _single(self, tile: int) -> int:
        """Return how many pixels of a tile's core are monolayer."""
        assert self._tiling is not None
        assert self._seen is not None
        x, y, w, h = self._tiling.core_of(tile)
        side = self._seen.side
        pixels = 0.0
        for row in range(int(y // side), -int(-(y + h) // side)):
            for column in range(int(x // side), -int(-(x + w) // side)):
                if self._seen.kinds[row, column] == SlideMap.MONOLAYER:
                    width = min(x + w, (column + 1) * side) - max(x, column * side)
                    height = min(y + h, (row + 1) * side) - max(y, row * side)
                    pixels += width * height
        return int(pixels)


def _add(counts: Counter[str], apart: Counter[str], schema: Schema, name: str | None) -> None:
    if name is None or name == UNSURE:
        apart["unclassified"] += 1
    elif schema.is_class(name) and schema.class_named(name).artefact:
        apart["artefacts"] += 1
    else:
        counts[name] += 1


def counted(result: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return class and count of what `differential` found."""
    return [(str(name), int(count)) for name, count in result["counts"]]

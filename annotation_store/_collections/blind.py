"""What a blind reader may see of predictions: what is centred in a finished region of the reading."""

from __future__ import annotations

from collections.abc import Iterable

from annotation_store.records import Box, Region, Shape


class Uncovered:
    """Places of fields that a blind reader has judged already."""

    def __init__(self, regions: Iterable[Region]) -> None:
        self._shapes: dict[int, list[Shape]] = {}
        for region in regions:
            if region.finished:
                self._shapes.setdefault(region.field_id, []).append(region.shape)

    def shows(self, field_id: int, box: Box) -> bool:
        """Return whether the centre of a box lies there."""
        return any(shape.contains_centre(box) for shape in self._shapes.get(field_id, ()))

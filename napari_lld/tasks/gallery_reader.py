"""The thread that lists items and cuts crops for the gallery, with its own open project; no Qt."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from annotation_store import Project
from annotation_store.errors import LLDError
from annotation_store.records import Box, Field
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.gallery_items import Item, Key, crop_window, read_items, successors
from napari_lld.tasks.progress import PATIENCE

Crop = npt.NDArray[np.uint8]
_WHOLE = 4_000_000
"""Pixels of a field up to which it is read whole, where several of its crops are wanted."""
_KEPT = 4
"""Fields whose pixels are kept."""
_PAPER = 128
"""Grey beyond the edge of a field."""


@dataclass(frozen=True, slots=True)
class CropRequest:
    """A crop that is in sight and not there yet."""

    key: Key
    field_id: int
    box: Box


class GalleryReader(threading.Thread):
    """Reads lists before crops, and of crops only those that are wanted now.

    Parameters
    ----------
    path, reading_id
        The project, and whose cells.
    side
        Pixels of a crop.
    on_items, on_crops, on_failure
        Called in this thread: fields that were read, what stands on them, and what took the place of what
        since they were read before; crops, ``None`` if the field cannot be read; a sentence.
    """

    def __init__(
        self,
        path: Path,
        reading_id: int,
        side: int,
        on_items: Callable[[list[int] | None, list[Item], Mapping[Key, Key]], None],
        on_crops: Callable[[list[tuple[CropRequest, Crop | None]]], None],
        on_failure: Callable[[str], None],
    ) -> None:
        super().__init__(name="gallery", daemon=True)
        self.cut = 0
        """How many crops were cut; tests count them."""
        self.fields_read = 0
        self._path, self._reading_id, self._side = path, reading_id, side
        self._on_items, self._on_crops, self._on_failure = on_items, on_crops, on_failure
        self._something = threading.Condition()
        self._lists: list[list[int] | None] = []
        self._requests: list[CropRequest] = []
        self._in_hand: list[CropRequest] = []
        self._busy = False
        self._stopped = False
        self._pixels: OrderedDict[int, Crop] = OrderedDict()
        self._items_of_field: dict[int, list[Item]] = {}
        """What stood on each field when it was last read."""

    def read(self, field_ids: list[int] | None) -> None:
        """Request the list of some fields, or of all; pending requests are merged."""
        with self._something:
            if field_ids is None:
                self._lists = [None]
            elif self._lists and self._lists[-1] is not None:
                self._lists[-1] = sorted({*self._lists[-1], *field_ids})
            elif not self._lists:
                self._lists.append(list(field_ids))
            self._something.notify()

    def want(self, requests: Sequence[CropRequest]) -> None:
        """Set which crops are visible; others are no longer cut."""
        with self._something:
            self._requests = [w for w in requests if w not in self._in_hand]
            self._something.notify()

    @property
    def idle(self) -> bool:
        """Whether all that was asked for is done."""
        with self._something:
            return not (self._busy or self._lists or self._requests)

    def stop(self, seconds: float = PATIENCE) -> None:
        """Have the thread end; nothing is called any more, even if it still reads for a while."""
        with self._something:
            self._stopped = True
            self._something.notify()
        self.join(seconds)

    def _deliver(self, call: Callable[..., None], *what: Any) -> None:
        with self._something:
            if not self._stopped:
                call(*what)

    def run(self) -> None:
        """Run until stopped."""
        try:
            with Project.open(self._path, reading=self._reading_id, read_only=True) as project:
                while self._step(project):
                    pass
        except LLDError as error:
            self._deliver(self._on_failure, in_the_window(str(error)))
        except RuntimeError:
            return  # the window is gone

    def _step(self, project: Project) -> bool:
        with self._something:
            self._busy = False
            while not (self._stopped or self._lists or self._requests):
                self._something.wait()
            if self._stopped:
                return False
            self._busy = True
            if self._lists:
                field_ids: list[int] | None = self._lists.pop(0)
                batch: list[CropRequest] = []
            else:
                first = self._requests[0].field_id
                batch = [w for w in self._requests if w.field_id == first]
                self._requests = [w for w in self._requests if w.field_id != first]
            self._in_hand = batch
        if batch:
            self._deliver(self._on_crops, self._crops(project, batch))
        else:
            project.refresh()  # the schema may have grown
            items = read_items(project, field_ids)
            self._deliver(self._on_items, field_ids, items, self._changes(field_ids, items))
        return True

    def _changes(self, field_ids: list[int] | None, items: list[Item]) -> Mapping[Key, Key]:
        """Find the successors of items on some fields, and store the current items."""
        current: dict[int, list[Item]] = {field_id: [] for field_id in field_ids or self._items_of_field}
        for item in items:
            current.setdefault(item.entry.field_id, []).append(item)
        before = [item for field_id in current for item in self._items_of_field.get(field_id, ())]
        self._items_of_field.update(current)
        return successors(before, items)

    def _crops(self, project: Project, batch: list[CropRequest]) -> list[tuple[CropRequest, Crop | None]]:
        crops: list[tuple[CropRequest, Crop | None]] = []
        for request in batch:
            try:
                crop: Crop | None = self._crop(project, request, alone=len(batch) == 1)
            except (LLDError, OSError, ValueError, MemoryError) as error:
                logging.getLogger(__name__).warning("crop %s: %s", request, error)
                crop = None
            crops.append((request, crop))
        return crops

    def _crop(self, project: Project, request: CropRequest, *, alone: bool) -> Crop:
        field = project.fields.get(request.field_id)
        (x, y, w, h), (left, top, right, bottom) = crop_window(request.box, field.width, field.height)
        whole = self._whole(project, field, alone=alone)
        if whole is None:
            part = project.pixels.read_area(field.id, (x, y, w, h))
        else:
            part = whole[int(y) : int(y + h), int(x) : int(x + w)]
        square = np.pad(part, ((top, bottom), (left, right), (0, 0)), constant_values=_PAPER)
        self.cut += 1
        scaled = Image.fromarray(square).resize((self._side, self._side), Image.Resampling.BILINEAR)
        return np.asarray(scaled, dtype=np.uint8)

    def _whole(self, project: Project, field: Field, *, alone: bool) -> Crop | None:
        """Return the pixels of a field that is read whole, else ``None``."""
        if field.id in self._pixels:
            self._pixels.move_to_end(field.id)
            return self._pixels[field.id]
        if field.is_slide or field.width * field.height > _WHOLE or (alone and field.width > 1024):
            return None
        self.fields_read += 1
        self._pixels[field.id] = project.pixels.read(field.id)
        while len(self._pixels) > _KEPT:
            self._pixels.popitem(last=False)
        return self._pixels[field.id]

"""Pixels of the field that is shown and of its neighbours, decoded beside the window's thread; no Qt."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from annotation_store.errors import LLDError

if TYPE_CHECKING:
    from annotation_store import Project

Pixels = npt.NDArray[np.uint8]

_LARGEST = 64 * 2**20
"""Bytes from which a field is not fetched before it is asked for: three of them would weigh too much."""


class PixelCache:
    """Keeps the pixels of a few fields: those last wanted, and no others."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="prefetch")
        self._pool.submit(import_module, "scipy.ndimage")  # what the first click on a cell needs
        self._pixels: dict[int, Future[Pixels]] = {}

    def get(self, field_id: int) -> Pixels:
        """Return a field's pixels: those fetched before, else one decode here and now.

        Raises
        ------
        ProjectGoneError
            The project's folder is missing.
        LLDError
            The field cannot be read.
        """
        future = self._pixels.pop(field_id, None)
        # here, or just being decoded: to wait is shorter. What failed is read anew: a disk may be back.
        if future is not None and not future.cancel() and future.exception() is None:
            self._pixels[field_id] = future
            return future.result()
        try:
            pixels = self._project.pixels.read(field_id)
        except LLDError:
            self._project.check_present()  # the better reason, if it is one
            raise
        decoded: Future[Pixels] = Future()
        decoded.set_result(pixels)
        self._pixels[field_id] = decoded
        return pixels

    def keep(self, shown: int, neighbours: Sequence[int]) -> None:
        """Drop all fields but these, and fetch missing neighbours."""
        field_ids = {shown, *neighbours}
        for field_id in [cached_id for cached_id in self._pixels if cached_id not in field_ids]:
            self._pixels.pop(field_id).cancel()
        for field_id in neighbours:
            field = self._project.fields.get(field_id)
            fits = not field.is_slide and 3 * field.width * field.height <= _LARGEST
            if field_id not in self._pixels and fits:
                self._pixels[field_id] = self._pool.submit(self._project.pixels.read, field_id)

    def __len__(self) -> int:
        """Count the fields that are kept or under way."""
        return len(self._pixels)

    def close(self) -> None:
        """Fetch no more; what is under way ends by itself."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._pixels.clear()

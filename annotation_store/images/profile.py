"""Colour profiles: what a scanner saw to what a screen shows (sRGB)."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageCms

from annotation_store.images.colour import Pixels

_MAX_BYTES = 20_000_000


def to_srgb(profile: bytes | None) -> Callable[[Pixels], Pixels] | None:
    """Return what turns a scanner's RGB into sRGB; ``None`` without a profile that can be used."""
    if not profile or len(profile) > _MAX_BYTES:
        return None
    try:
        transform = ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None

    def apply(pixels: Pixels) -> Pixels:
        image = Image.fromarray(np.ascontiguousarray(pixels))
        ImageCms.applyTransform(image, transform, inPlace=True)
        return np.asarray(image)

    return apply

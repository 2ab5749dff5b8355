"""Reading image files to RGB, keeping pixels as OME-Zarr, whole slides by tiles."""

from annotation_store.images.find import find_images
from annotation_store.images.read import (
    IMAGE_SUFFIXES,
    PLAIN_SUFFIXES,
    check_image,
    decode,
    read_bytes,
    read_image,
)
from annotation_store.images.slide import Slide, SlideLevel, SlideOptions, find_slide, open_slide
from annotation_store.images.zarr_reader import is_zarr
from annotation_store.images.zarr_writer import read_pixels, write_pixels

__all__ = [
    "IMAGE_SUFFIXES",
    "PLAIN_SUFFIXES",
    "Slide",
    "SlideLevel",
    "SlideOptions",
    "check_image",
    "decode",
    "find_images",
    "find_slide",
    "is_zarr",
    "open_slide",
    "read_bytes",
    "read_image",
    "read_pixels",
    "write_pixels",
]

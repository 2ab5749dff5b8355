"""Reading image files to RGB, and keeping pixels as OME-Zarr."""

from annotation_store.images.read import IMAGE_SUFFIXES, decode, read_bytes, read_image
from annotation_store.images.zarr_store import read_pixels, write_pixels

__all__ = ["IMAGE_SUFFIXES", "decode", "read_bytes", "read_image", "read_pixels", "write_pixels"]

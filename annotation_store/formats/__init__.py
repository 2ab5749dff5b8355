"""Annotations in and out: one module or folder per format, behind one registry."""

from annotation_store.formats._exchange.losses import (
    LOST,
    NO_SUGGESTIONS,
    NO_UNKNOWN_AREA,
    REGIONS_OF_OUR_OWN,
    Survey,
    survey,
)
from annotation_store.formats._exchange.recognise import recognise
from annotation_store.formats._io.option import Option
from annotation_store.formats.registry import FORMATS, Format, names, preview, read, targets, write
from annotation_store.formats.standalone import (
    AnnotatedImage,
    Contents,
    Marked,
    read_standalone,
    write_standalone,
)

__all__ = [
    "FORMATS",
    "LOST",
    "NO_SUGGESTIONS",
    "NO_UNKNOWN_AREA",
    "REGIONS_OF_OUR_OWN",
    "AnnotatedImage",
    "Contents",
    "Format",
    "Marked",
    "Option",
    "Survey",
    "names",
    "preview",
    "read",
    "read_standalone",
    "recognise",
    "survey",
    "targets",
    "write",
    "write_standalone",
]

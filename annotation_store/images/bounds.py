"""Check the claims of a file before a decoder acts on them.

Decoders take as long as a file asks them to: a second for each of a thousand scans, a list entry for each of
10⁹ planes. Each count here is far above what cameras, scanners and programs write.
"""

from __future__ import annotations

import io
import re
import struct
from typing import BinaryIO
from xml.parsers import expat

from annotation_store.images.colour import ColourError

MAX_SCANS = 100
"""Of a JPEG; progressive ones have about ten."""
MAX_SEGMENTS = 20_000
"""Of a JPEG (metadata, tables), and chunks of a PNG beside its pixels."""
MAX_PNG_CHUNKS = 500_000
MAX_PAGES = 1_000
"""Of a TIFF; a slide's levels are about ten."""
MAX_TAGS = 100_000
"""Of all pages of a TIFF together."""
MAX_SUBPAGES = 100
MAX_XML = 10_000_000
MAX_XML_DEPTH = 50
MAX_XML_ELEMENTS = 200_000
MAX_PLANES = 10_000
"""Focus planes, channels and times of one image in an OME-XML."""

_DESCRIPTION, _SUBPAGES = 270, 330
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 13: 4, 16: 8, 18: 8}

_SCAN_ENDS = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def judge_jpeg(data: bytes) -> None:
    """Reject a JPEG of absurdly many scans: each costs a pass over all pixels."""
    at, scans, segments = 2, 0, 0
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1  # rubbish between segments, which decoders pass over too
            continue
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        if marker == 0xD9:
            return
        segments += 1
        scans += marker == 0xDA
        if scans > MAX_SCANS or segments > MAX_SEGMENTS:
            raise ColourError("has an implausible number of scans or segments: export it again")
        at += 2
        if marker in (0x00, 0x01) or 0xD0 <= marker <= 0xD8:
            continue
        at += int.from_bytes(data[at : at + 2], "big")
        if marker == 0xDA:  # its compressed values go on to the next marker
            match = _SCAN_ENDS.search(data, at)
            if match is None:
                return
            at = match.start()


def judge_png(data: bytes) -> None:
    """Reject a PNG of absurdly many chunks."""
    at, pixels, others = 8, 0, 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"IEND":
            return
        if kind == b"IDAT":
            pixels += 1
        else:
            others += 1
        if others > MAX_SEGMENTS or pixels > MAX_PNG_CHUNKS:
            raise ColourError("has an implausible number of chunks: export it again")
        at += 12 + length


def judge_tiff(file: BinaryIO) -> None:
    """Reject a TIFF of absurdly many pages, tags or planes; the file is left where it stood.

    Pages are counted by their links alone, which is a thousand short reads at most.
    """
    before = file.tell()
    try:
        _judge_tiff(file)
    except struct.error:
        return  # it ends too early, which its decoder says better
    finally:
        file.seek(before)


def _judge_tiff(file: BinaryIO) -> None:
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", head, 2)[0] == 43
    count, entry, link = (f"{order}Q", f"{order}HHQQ", f"{order}Q") if big else (
        f"{order}H",
        f"{order}HHII",
        f"{order}I",
    )  # fmt: skip
    (at,) = struct.unpack_from(link, head, 8 if big else 4)
    pages = tags = 0
    while at:
        pages += 1
        if pages > MAX_PAGES:
            raise ColourError(f"has more than {MAX_PAGES:,} pages: export the one that shows the film")
        file.seek(at)
        (tag_count,) = struct.unpack(count, file.read(struct.calcsize(count)))
        tags += tag_count
        if tags > MAX_TAGS:
            raise ColourError("has an implausible number of tags: export it again")
        table = file.read(tag_count * struct.calcsize(entry))
        following = file.read(struct.calcsize(link))
        for place, (tag, kind, number, _) in enumerate(struct.iter_unpack(entry, table)):
            if tag == _SUBPAGES and number > MAX_SUBPAGES:
                raise ColourError(f"has a page of more than {MAX_SUBPAGES} levels: export it again")
            if tag == _DESCRIPTION and pages == 1:
                size = number * _VALUE_BYTES.get(kind, 8)
                inline = struct.calcsize(link)
                value = table[(place + 1) * struct.calcsize(entry) - inline :][:inline]
                _judge_description(file, value, size, link)
        (at,) = struct.unpack(link, following)


def _judge_description(file: BinaryIO, value: bytes, size: int, link: str) -> None:
    if size > MAX_XML:
        raise ColourError("has an implausibly large description: export it again")
    if size > len(value):
        file.seek(struct.unpack(link, value)[0])
        value = file.read(size)
    if b"<OME" in value[:10_000] or value.rstrip(b"\0 \r\n\t")[-4:] == b"OME>":
        judge_ome_xml(value.rstrip(b"\0"))


def judge_ome_xml(text: bytes) -> None:
    """Reject an OME-XML that nests without end, or claims absurdly many planes or elements."""
    depth = elements = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, elements
        depth += 1
        elements += 1
        if depth > MAX_XML_DEPTH or elements > MAX_XML_ELEMENTS:
            raise ColourError("has an OME-XML that is nested or repeated too deeply: export it again")
        if name.rpartition(":")[2] == "Pixels":
            planes = 1
            for axis in "ZCT":
                number = attributes.get(f"Size{axis}", "1").strip()
                planes *= int(number) if number.isascii() and number.isdecimal() and len(number) < 20 else 1
                if len(number) >= 20 or planes > MAX_PLANES:
                    raise ColourError(
                        "declares planes or time points that it does not contain: export one plane"
                    )

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    def refuse(*_: object) -> None:
        raise ColourError("has an OME-XML that defines entities: export it again")

    parser = expat.ParserCreate()
    parser.StartElementHandler = begin
    parser.EndElementHandler = end
    parser.EntityDeclHandler = refuse
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return  # no XML: whoever reads the pixels needs none


def judge(data: bytes) -> None:
    """Check the bounds of an image's bytes; other formats than PNG, JPEG and TIFF pass."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        judge_png(data)
    elif data[:2] == b"\xff\xd8":
        judge_jpeg(data)
    elif data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        judge_tiff(io.BytesIO(data))

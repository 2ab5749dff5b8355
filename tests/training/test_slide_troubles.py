"""A slide that is broken, hostile or says too little is a sentence; what was found before stays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from annotation_store import Project, Proposal
from annotation_store.errors import LLDError
from training.inference.predict import RawProposals
from training.protocol import Notice, PredictRequest
from training.reasons import Reason
from training.worker import search as worker_search
from training.worker.run import run

SIDE = 1200
TILE = 128


class Listener:
    """Takes the place of a channel."""

    cancelled = False

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def check(self) -> None:
        pass

    def send(self, message: Any) -> None:
        self.messages.append(message)


def write_slide(file: Path) -> None:
    """Write three levels that show a film: pale discs everywhere, each with a dark middle."""
    rows, columns = np.mgrid[:SIDE, :SIDE] % 120 - 60
    near = np.hypot(rows, columns)
    pixels = np.full((SIDE, SIDE, 3), (235, 230, 235), np.uint8)
    pixels[near < 50] = (200, 150, 160)
    pixels[near < 16] = (90, 50, 130)
    with tifffile.TiffWriter(file) as tiff:
        for level in range(3):
            kind: dict[str, Any] = {"subifds": 2} if level == 0 else {"subfiletype": 1}
            kind |= {"tile": (TILE, TILE), "photometric": "rgb", "compression": "zlib"}
            tiff.write(pixels[:: 4**level, :: 4**level], **kind)


@pytest.fixture
def slide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a slide; the network finds a cell in the middle of whatever it sees."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)

    def propose(
        _model: Any, fields: Sequence[Callable[[], np.ndarray]], **_options: Any
    ) -> list[RawProposals]:
        found = []
        for load in fields:
            height, width = load().shape[:2]
            box = np.array([[width / 2 - 10, height / 2 - 10, 20, 20]])
            found.append(RawProposals(box, np.array([0.9]), []))
        return found

    def calibrated(_model: Any, raw: RawProposals, **_options: Any) -> list[Proposal]:
        return [Proposal(tuple(box), 0.9) for box in raw.boxes.tolist()]

    monkeypatch.setattr(worker_search, "propose_raw", propose)
    monkeypatch.setattr(worker_search, "calibrated", calibrated)
    monkeypatch.setattr(worker_search, "seen_side", lambda *_given: 20.0)
    file = tmp_path / "slide.tif"
    write_slide(file)
    return file


@pytest.fixture
def project(slide: Path, tmp_path: Path) -> Iterator[Project]:
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.fields.add([slide])
        yield made


def search(project: Project) -> tuple[dict[str, Any], str]:
    """Search the project's slide; return the result and the notices."""
    listener = Listener()
    request = PredictRequest(project=str(project.path), device="cpu", fields=[1])
    result = run(request, listener, time.monotonic()).result  # type: ignore[arg-type]
    project.refresh()
    said = [str(Reason.read(one.reason)) for one in listener.messages if isinstance(one, Notice)]
    return dict(result["slides"]), " ".join(said)


def spans(file: Path, level: int) -> list[tuple[int, int]]:
    with tifffile.TiffFile(file) as tiff:
        page = tiff.series[0].levels[level].keyframe
        return list(zip(page.dataoffsets, page.databytecounts, strict=True))


def overwrite(file: Path, at: int, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.seek(at)
        opened.write(content)


def break_tile(file: Path) -> None:
    offset, count = spans(file, 0)[0]
    overwrite(file, offset, b"\xff" * count)


def point_beyond(file: Path) -> None:
    """Let the first tile claim to be two gigabytes, a thousand gigabytes into the file."""
    with tifffile.TiffFile(file) as tiff:
        page = tiff.series[0].levels[0].keyframe
        offsets, counts = page.tags[324], page.tags[325]
        order = tiff.byteorder
        assert offsets.dtype_name == "LONG"
        assert counts.dtype_name in ("LONG", "SHORT")
        size = 4 if counts.dtype_name == "LONG" else 2
    little = "little" if order == "<" else "big"
    overwrite(file, offsets.valueoffset, (2**32 - 5).to_bytes(4, little))  # type: ignore[arg-type]
    overwrite(file, counts.valueoffset, (2 ** (8 * size) - 1).to_bytes(size, little))  # type: ignore[arg-type]


def break_coarse_levels(file: Path) -> None:
    for level in (1, 2):
        for offset, count in spans(file, level):
            overwrite(file, offset, b"\xff" * count)


def cut_in_the_middle(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(spans(file, 0)[len(spans(file, 0)) // 2][0])


def test_without_a_pixel_size_it_is_searched_at_the_size_that_cells_are_seen(project: Project) -> None:
    assert project.fields.get(1).pixel_size_um is None
    found, _ = search(project)
    assert found["tiles"] > 9
    latest = project.searches.latest(1)
    assert latest is not None
    assert latest.about["tiling"]["side"] == 20


@pytest.mark.parametrize("harm", [break_tile, point_beyond], ids=lambda harm: harm.__name__)
def test_a_tile_that_is_broken_or_a_lie_is_named_and_the_others_are_searched(
    project: Project, slide: Path, harm: Callable[[Path], None]
) -> None:
    whole, _ = search(project)
    harm(slide)
    found, said = search(project)
    assert len(found["damaged"]) == 1
    assert found["tiles"] == whole["tiles"] - 1
    assert "1 part of the slide could not be read" in said
    assert len(project.suggestions.find(1)) == whole["count"], "there what was found before stays"


@pytest.mark.parametrize("harm", [break_coarse_levels, cut_in_the_middle], ids=lambda harm: harm.__name__)
def test_a_slide_without_its_levels_is_a_sentence_and_what_was_found_stays(
    project: Project, slide: Path, harm: Callable[[Path], None]
) -> None:
    whole, _ = search(project)
    kept = {one.id for one in project.suggestions.find(1)}
    harm(slide)
    with pytest.raises(LLDError) as raised:
        search(project)
    assert str(slide) in str(raised.value)
    project.refresh()
    assert {one.id for one in project.suggestions.find(1)} == kept
    assert len(kept) == whole["count"]
    slide.unlink()
    write_slide(slide)
    assert search(project)[0]["count"] == whole["count"], "with the file as it was, it goes on"

"""A slide is searched tile by tile: each cell once, resumed at the tile, past what is broken."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from annotation_store import EditError, Project, Proposal, SuggestionState, TileState
from annotation_store.errors import ImageError, LLDError, ProjectError
from annotation_store.geometry import iou_matrix
from annotation_store.images import Slide
from annotation_store.records import Shape
from training.inference.predict import RawProposals
from training.inference.slide_count import Areas
from training.inference.slide_count import count as count_in
from training.inference.slide_map import SlideMap, map_slide
from training.inference.slide_tiles import Tiling, own_proposals
from training.protocol import DifferentialRequest, PredictRequest
from training.reasons import Reason
from training.worker import search as worker_search
from training.worker.channel import CancelledError
from training.worker.differential import fair_order
from training.worker.run import run

SIDE = 20.0
WIDTH, HEIGHT = 1700, 900


def places(seed: int = 0) -> np.ndarray:
    """Return boxes all over the slide, its edges and the seams of its tiles, none on another."""
    rng = np.random.default_rng(seed)
    tiling = Tiling.of(WIDTH, HEIGHT, SIDE)
    seams = [tiling.core * i for i in range(1, tiling.columns)]
    centres = [
        (x + d, y)
        for x in seams
        for y, d in zip(range(30, HEIGHT - 20, 45), rng.uniform(-8, 8, 99), strict=False)
    ]
    for x, y in rng.uniform(SIDE, (WIDTH - SIDE, HEIGHT - SIDE), (600, 2)):
        if all(abs(x - cx) > 32 or abs(y - cy) > 32 for cx, cy in centres):
            centres.append((x, y))
    sides = rng.uniform(14, 30, len(centres))
    return np.array([(x - s / 2, y - s / 2, s, s) for (x, y), s in zip(centres, sides, strict=True)])


BOXES = places()


def found_in(tile: np.ndarray, jitter: float) -> RawProposals:
    """Find what a tile shows: the first pixel of it says where it lies."""
    x0, y0 = (int(v) for v in np.unravel_index(int(_number(tile)), (WIDTH, HEIGHT)))
    height, width = tile.shape[:2]
    rng = np.random.default_rng(x0 * 7919 + y0)
    boxes = BOXES + np.concatenate(
        (rng.uniform(-jitter, jitter, (len(BOXES), 2)), np.zeros((len(BOXES), 2))), 1
    )
    corners = np.concatenate((boxes[:, :2] - (x0, y0), boxes[:, :2] + boxes[:, 2:] - (x0, y0)), 1)
    corners = corners.clip(0, [width, height, width, height])
    cut = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
    seen = cut[(cut[:, 2:] >= 2).all(1)]
    return RawProposals(seen, np.full(len(seen), 0.9), [])


def _number(tile: np.ndarray) -> int:
    a, b, c = (int(v) for v in tile[0, 0])
    return a * 65536 + b * 256 + c


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Make a project of one slide without pixels of interest: its network knows the cells."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    number = np.arange(WIDTH)[None, :] * HEIGHT + np.arange(HEIGHT)[:, None]
    pixels = np.stack((number // 65536, number // 256 % 256, number % 256), 2).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        tiff.write(pixels, tile=(64, 64), photometric="rgb", compression="zlib")

    def propose(
        _model: Any, fields: Sequence[Callable[[], np.ndarray]], **_options: Any
    ) -> list[RawProposals]:
        return [found_in(load(), 1.5) for load in fields]

    def calibrated(_model: Any, raw: RawProposals, **_options: Any) -> list[Proposal]:
        return [Proposal(tuple(box), 0.9) for box in raw.boxes.tolist()]

    monkeypatch.setattr(worker_search, "propose_raw", propose)
    monkeypatch.setattr(worker_search, "calibrated", calibrated)
    monkeypatch.setattr(worker_search, "map_slide", lambda slide, **_options: mapped(slide))
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.fields.add([tmp_path / "slide.tif"])
        made.fields.update(1, pixel_size_um=13 / SIDE)
        yield made


def mapped(slide: Slide) -> SlideMap:
    shape = (-(-slide.height // 50), -(-slide.width // 50))
    kinds = np.full(shape, SlideMap.MONOLAYER, np.uint8)
    return SlideMap(
        50, slide.width, slide.height, kinds, np.ones(shape, np.float32), np.ones(shape, np.float32)
    )


class Listener:
    """Takes the place of a channel; cancels after so many messages of searched tiles."""

    cancelled = False

    def __init__(self, stop_after: int | None = None) -> None:
        self.messages: list[Any] = []
        self._left = stop_after

    def check(self) -> None:
        if self._left is not None and self._left <= 0:
            raise CancelledError

    def send(self, message: Any) -> None:
        self.messages.append(message)
        if message.type == "searched" and self._left is not None:
            self._left -= 1


def search(project: Project, listener: Any = None, **options: Any) -> Any:
    request = PredictRequest(project=str(project.path), device="cpu", fields=[1], **options)
    done = run(request, listener or Listener(), time.monotonic())
    project.refresh()
    return done.result


def pending(project: Project) -> np.ndarray:
    boxes = sorted(one.box for one in project.suggestions.find(1))
    return np.array(boxes).reshape(-1, 4)


def assert_each_once(boxes: np.ndarray) -> None:
    overlaps = iou_matrix(BOXES, boxes)
    assert ((overlaps > 0.5).sum(1) == 1).all(), "each cell, and none twice"
    assert len(boxes) == len(BOXES)


def test_tiles_cover_a_slide_and_all_are_read_in_one_size() -> None:
    for width, height in ((5000, 3000), (400, 300), (321, 999)):
        tiling = Tiling.of(width, height, SIDE, 26)
        covered = np.zeros((height, width), int)
        for tile in range(len(tiling)):
            x, y, w, h = (int(v) for v in tiling.core_of(tile))
            covered[y : y + h, x : x + w] += 1
            assert tiling.at(x + w / 2, y + h / 2) == tile
            bx, by, bw, bh = tiling.box(tile)
            assert 0 <= bx <= x
            assert 0 <= by <= y
            assert x + w <= bx + bw <= width
            assert y + h <= by + bh <= height
            assert (bw, bh) == (
                min(width, tiling.core + 2 * tiling.margin),
                min(height, tiling.core + 2 * tiling.margin),
            )
        assert (covered == 1).all()


def test_what_two_tiles_see_a_little_apart_is_one_cell_in_either_order() -> None:
    tiling = Tiling.of(2000, 400, SIDE)
    seam = tiling.core
    for first, second in ((-2, 2), (2, -2), (-3, -1), (3, 1), (-3, 3), (3, -3)):
        seen = []
        for tile, shift in ((0, first), (1, second)):
            left, top = tiling.box(tile)[:2]
            seen.append(Proposal((seam + shift - 10 - left, 100 - top, 20.0, 20.0), 0.9))
        one = own_proposals(tiling, 0, [seen[0]], [])
        both = one + own_proposals(tiling, 1, [seen[1]], [p.box for p in one])
        other = own_proposals(tiling, 1, [seen[1]], [])
        back = other + own_proposals(tiling, 0, [seen[0]], [p.box for p in other])
        assert len(both) == len(back) == 1


def test_each_cell_of_a_slide_is_suggested_once(project: Project) -> None:
    result = search(project)
    assert_each_once(pending(project))
    assert result["slides"]["tiles"] == len(Tiling.of(WIDTH, HEIGHT, SIDE)) > 8
    assert result["count"] == len(BOXES)
    assert result["slides"]["pixels"] == WIDTH * HEIGHT, "each pixel is judged once"


def test_a_cancelled_search_goes_on_at_the_tile(project: Project) -> None:
    listener = Listener(stop_after=1)
    with pytest.raises(CancelledError):
        search(project, listener)
    project.refresh()
    some = project.suggestions.find(1)
    assert 0 < len(some) < len(BOXES), "what was found stands in the store as it comes"
    searched = [message for message in listener.messages if message.type == "searched"]
    assert searched[0].done == 4
    assert searched[0].boxes
    listener = Listener()
    result = search(project, listener)
    assert result["slides"]["tiles"] == len(Tiling.of(WIDTH, HEIGHT, SIDE)) - 4
    assert result["count"] == len(BOXES) - len(some), "new"
    assert result["pending"] == result["slides"]["pending"] == len(BOXES), "what there is to review"
    searched = [message for message in listener.messages if message.type == "searched"]
    assert len(some) < searched[0].count <= searched[-1].count == len(BOXES)
    (suggested,) = [message for message in listener.messages if message.type == "suggested"]
    assert (suggested.count, suggested.pending) == (result["count"], len(BOXES))
    assert_each_once(pending(project))
    assert {one.id for one in some} <= {one.id for one in project.suggestions.find(1)}, "not found anew"


def test_all_searched_begins_anew_and_replaces_what_was_pending(project: Project) -> None:
    search(project)
    kept = project.suggestions.find(1)
    cell = project.suggestions.accept(kept[0].id)
    project.suggestions.reject(kept[1].id)
    search(project)
    assert len(project.suggestions.find(1)) == len(BOXES) - 2, "not on the cell, not where it was rejected"
    assert len(project.suggestions.find(1, states=[SuggestionState.SUPERSEDED])) == len(BOXES) - 2
    assert project.cells.get(cell).box == pytest.approx(kept[0].box)


def test_the_network_does_not_wait_until_a_tile_is_stored(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = threading.Semaphore(0)
    searches: Any = type(project.searches)
    propose, add = worker_search.propose_raw, searches.add

    def proposing(*given: Any, **options: Any) -> Any:
        seen.release()
        return propose(*given, **options)

    def adding(self: Any, *given: Any, **options: Any) -> Any:
        if self.stored == 0:
            assert all(seen.acquire(timeout=20) for _ in range(2)), "the second batch is at the network"
        self.stored += 1
        return add(self, *given, **options)

    monkeypatch.setattr(worker_search, "propose_raw", proposing)
    monkeypatch.setattr(searches, "stored", 0, raising=False)
    monkeypatch.setattr(searches, "add", adding)
    result = search(project)["slides"]
    assert_each_once(pending(project))
    assert 0 <= result["seconds_preparing"] <= result["seconds"]


def test_very_large_tiles_are_read_one_by_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_search, "BATCH_PIXELS", 1)
    listener = Listener()
    search(project, listener)
    assert_each_once(pending(project))
    assert all(len(one.boxes) == 1 for one in listener.messages if one.type == "searched")


def test_a_pixel_size_that_was_taken_away_is_not_read_from_the_file(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.full((900, 900, 3), 230, np.uint8)
    with tifffile.TiffWriter(tmp_path / "wrong.tif") as tiff:
        per_cm = {"resolution": (1e4 / 0.05, 1e4 / 0.05), "resolutionunit": "CENTIMETER"}
        tiff.write(pixels, tile=(64, 64), photometric="rgb", **per_cm)
    monkeypatch.setattr(worker_search, "seen_side", lambda *_given: None)
    monkeypatch.setattr(worker_search, "propose_raw", lambda _model, some, **_: [nothing() for _ in some])
    (slide,) = project.fields.add([tmp_path / "wrong.tif"]).added
    assert project.fields.get(slide).pixel_size_um == pytest.approx(0.05)
    for stated, side in ((None, 13 / 0.25), (0.1, 13 / 0.1)):
        project.fields.update(slide, pixel_size_um=stated)
        run(PredictRequest(project=str(project.path), device="cpu", fields=[slide]), Listener(), 0.0)  # type: ignore[arg-type]
        latest = project.searches.latest(slide)
        assert latest is not None
        assert latest.about["tiling"]["side"] == pytest.approx(side)


def test_of_a_focus_stack_the_plane_of_the_project_is_searched(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack = np.stack([np.full((900, 900, 3), shade, np.uint8) for shade in (200, 210, 220)])
    file = tmp_path / "stack.ome.tif"
    tifffile.imwrite(file, stack, tile=(64, 64), photometric="rgb", metadata={"axes": "ZYXS"})
    seen: list[float] = []

    def look(opened: Slide, **given: Any) -> SlideMap:
        seen.append(float(opened.read((0, 0, 10, 10)).mean()))
        return map_slide(opened, **given)

    monkeypatch.setattr(worker_search, "map_slide", look)
    (slide,) = project.fields.add([file], plane=2).added
    run(PredictRequest(project=str(project.path), device="cpu", fields=[slide]), Listener(), 0.0)  # type: ignore[arg-type]
    assert seen == [220]


def nothing() -> RawProposals:
    return RawProposals(np.zeros((0, 4)), np.zeros(0), [])


def test_only_an_area_is_searched_and_a_region_keeps_its_own(project: Project) -> None:
    project.regions.add(1, Shape.rectangle(0, 0, 100, 100))
    result = search(project, area=(10.0, 10.0, 200.0, 200.0))
    assert result["slides"]["tiles"] == 1
    assert all(max(box[:2]) < 300 for box in pending(project))
    assert not any(box[0] + box[2] / 2 < 100 and box[1] + box[3] / 2 < 100 for box in pending(project))
    search(project)
    assert 0.9 * len(BOXES) < len(pending(project)) < len(BOXES), "the rest, and that area not again"
    with pytest.raises(LLDError, match="one whole slide"):
        run(PredictRequest(project=str(project.path), area=(0, 0, 9, 9), fields=[]), Listener(), 0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("area", [(90000.0, 10.0, 200.0, 200.0), (-300.0, -300.0, 200.0, 200.0)])
def test_an_area_outside_of_the_slide_is_refused_with_the_size_of_the_slide(
    project: Project, area: tuple[float, float, float, float]
) -> None:
    slide = project.fields.get(1)
    with pytest.raises(LLDError, match=rf"outside of the slide .*{slide.width} x {slide.height} pixels"):
        search(project, area=area)
    assert project.searches.latest(1) is None


def test_an_area_partly_outside_of_the_slide_is_searched_where_it_lies_on_it(project: Project) -> None:
    assert search(project, area=(-100.0, -100.0, 300.0, 300.0))["slides"]["tiles"] == 1


def test_tiles_of_glass_cost_nothing(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(slide: Slide, **_options: Any) -> SlideMap:
        seen = mapped(slide)
        seen.kinds[:, : seen.kinds.shape[1] // 2] = SlideMap.GLASS
        return seen

    search(project)
    monkeypatch.setattr(worker_search, "map_slide", half)
    result = search(project)
    tiling = Tiling.of(WIDTH, HEIGHT, SIDE)
    assert result["slides"]["glass_tiles"] == 3 * tiling.rows
    assert result["slides"]["tiles"] == len(tiling) - 3 * tiling.rows
    assert pending(project)[:, 0].min() > 2 * tiling.core, "what was suggested there before is gone"


def test_a_broken_tile_is_named_and_passed_over_and_tried_again(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Slide.read

    def broken(self: Slide, box: Any, level: int = 0) -> Any:
        if box[0] == 0 and box[1] == 0:
            raise ImageError("broken")
        return read(self, box, level)

    monkeypatch.setattr(Slide, "read", broken)
    listener = Listener()
    result = search(project, listener)
    assert len(result["slides"]["damaged"]) == 1
    notices = [Reason.read(message.reason) for message in listener.messages if message.type == "notice"]
    assert "1 part of the slide could not be read" in " ".join(notices)
    assert 0.8 * len(BOXES) < len(pending(project)) < len(BOXES)
    search_of = project.searches.latest(1)
    assert search_of is not None
    assert [t.state for t in project.searches.tiles(search_of).values()].count(TileState.DAMAGED) == 1
    monkeypatch.setattr(Slide, "read", read)
    assert search(project)["slides"]["tiles"] == 1
    assert_each_once(pending(project))


def test_a_slide_taken_away_meanwhile_keeps_what_was_found(project: Project) -> None:
    if sys.platform == "win32":
        pytest.skip("an open file cannot be moved here")
    path = Path(project.fields.get(1).source_path)

    class Thief(Listener):
        def send(self, message: Any) -> None:
            super().send(message)
            if message.type == "searched" and path.exists():
                path.rename(path.with_name("gone.tif"))

    with pytest.raises(LLDError, match="no longer where it was"):
        search(project, Thief())
    project.refresh()
    assert len(pending(project)) > 0
    with pytest.raises(LLDError, match="no longer at"):
        search(project)


def test_a_full_disk_is_one_sentence_and_what_was_found_is_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: Any = type(project.searches)
    add, calls = searches.add, []

    def full(self: Any, *given: Any, **options: Any) -> Any:
        calls.append(given)
        if len(calls) == 3:
            raise ProjectError("The project cannot be written: the disk is full.")
        return add(self, *given, **options)

    monkeypatch.setattr(searches, "add", full)
    with pytest.raises(ProjectError, match="the disk is full"):
        search(project)
    project.refresh()
    search_of = project.searches.latest(1)
    assert search_of is not None
    assert len(project.searches.tiles(search_of)) == 2
    search(project)
    assert_each_once(pending(project))


def test_a_slide_of_no_project_is_searched_into_a_file(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_search, "seen_side", lambda *_: SIDE)
    (tmp_path / "elsewhere").mkdir()
    slide, out = tmp_path / "elsewhere" / "film.tif", tmp_path / "found.json"
    shutil.copyfile(project.fields.get(1).source_path, slide)
    field = tmp_path / "elsewhere" / "field.png"
    Image.fromarray(np.full((60, 60, 3), 200, np.uint8)).save(field)
    known = {"project": str(project.path), "model": "starter", "out": str(out), "device": "cpu"}
    result = run(PredictRequest(**known, images=[str(slide.parent)]), Listener(), 0.0).result  # type: ignore[arg-type]
    content = json.loads(out.read_text("utf-8"))
    assert [one["file_name"] for one in content["images"]] == ["field.png", "film.tif"]
    of_slide = [one for one in content["annotations"] if one["image_id"] == 2]
    assert_each_once(np.array([one["bbox"] for one in of_slide]))
    assert [one["id"] for one in content["annotations"]] == list(range(1, result["count"] + 1))
    assert result["slides"]["tiles"] > 1
    assert not project.suggestions.find(), "nothing of it comes into the project"
    area = {"area": (10.0, 10.0, 200.0, 200.0), "overwrite": True}
    run(PredictRequest(**known, **area, images=[str(slide)]), Listener(), 0.0)  # type: ignore[arg-type]
    some = json.loads(out.read_text("utf-8"))["annotations"]
    assert 0 < len(some) < len(of_slide)
    before = out.read_text("utf-8")
    with pytest.raises(CancelledError):
        run(PredictRequest(**known, images=[str(slide)], overwrite=True), Listener(stop_after=1), 0.0)  # type: ignore[arg-type]
    assert out.read_text("utf-8") == before, "a stopped search leaves what was there"
    with pytest.raises(LLDError, match="give that slide alone"):
        run(PredictRequest(**known, **area, images=[str(slide), str(field)]), Listener(), 0.0)  # type: ignore[arg-type]
    assert not list(Path(tempfile.gettempdir()).glob("napari-lld-slide-*")), "nothing is left behind"


def test_another_model_begins_anew(project: Project) -> None:
    with pytest.raises(CancelledError):
        search(project, Listener(stop_after=1))
    result = search(project, min_confidence=0.4)
    assert result["slides"]["tiles"] == len(Tiling.of(WIDTH, HEIGHT, SIDE)), (
        "as another least confidence does"
    )
    assert_each_once(pending(project))


# --- the store -------------------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from annotation_store import Project, Proposal
folder, instant = sys.argv[1], int(sys.argv[2])
step = 0
def strike():
    global step
    step += 1
    if step == instant:
        os.kill(os.getpid(), signal.SIGKILL)
def inside(self, *given):
    strike()  # the suggestions are written, the tile is not, nothing is committed
    return row(self, *given)
def after(self, *given):
    strike()
    return announce(self, *given)
with Project.open(folder, annotator="worker") as project:
    kind = type(project.searches)
    row, announce = kind._row, kind._announce
    kind._row, kind._announce = inside, after
    search = project.searches.latest(1) or project.searches.begin(1, model_id=None, about={})
    done = project.searches.tiles(search)
    for tile in range(4):
        if tile not in done:
            boxes = [(100.0 * tile + 10 * i, 10.0, 8.0, 8.0) for i in range(3)]
            project.searches.add(search, tile, [Proposal(box, 0.5) for box in boxes])
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_killed_at_any_moment_nothing_is_lost_or_doubled(project: Project) -> None:
    script = textwrap.dedent(KILLED)
    for instant in (1, 4, 99):
        before = len(project.suggestions.find(1))
        ended = subprocess.run(
            [sys.executable, "-c", script, str(project.path), str(instant)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        project.refresh()
        found = project.suggestions.find(1)
        search_of = project.searches.latest(1)
        assert search_of is not None
        tiles = project.searches.tiles(search_of)
        assert len(found) == 3 * len(tiles) >= before, "a tile is there with its suggestions, or not at all"
    assert sorted(one.box[0] for one in found) == [100.0 * t + 10 * i for t in range(4) for i in range(3)]
    assert ended.returncode == 0


def test_a_tile_is_stored_once_and_a_wrong_box_stores_nothing(project: Project) -> None:
    search_of = project.searches.begin(1, model_id=None, about={"any": "thing"})
    assert project.searches.latest(1) == search_of
    ids = project.searches.add(search_of, 0, [Proposal((1, 1, 9, 9), 0.5)])
    assert project.searches.add(search_of, 0, [Proposal((1, 1, 9, 9), 0.5)]) == []
    assert [one.id for one in project.suggestions.find(1)] == ids
    with pytest.raises(EditError):
        project.searches.add(search_of, 1, [Proposal((5000, 1, 9, 9), 0.5)])
    assert list(project.searches.tiles(search_of)) == [0]
    project.searches.mark(search_of, [0, 1, 2], TileState.EMPTY, replaces=ids)
    tiles = project.searches.tiles(search_of)
    assert [tiles[t].state for t in (0, 1, 2)] == [TileState.SEARCHED, TileState.EMPTY, TileState.EMPTY]
    assert not project.suggestions.find(1)


# --- the differential ------------------------------------------------------------------------------------


def test_the_order_is_spread_and_each_tile_is_as_likely_to_come_first() -> None:
    tiles = [tile for tile in range(900) if (tile % 30) > 10]
    seen = np.zeros(900)
    for seed in range(200):
        order = fair_order(tiles, 30, seed)
        assert sorted(order) == tiles
        seen[order[:57]] += 1  # a tenth
    assert order == fair_order(tiles, 30, 199)
    shares = seen[tiles] / 200
    assert abs(shares.mean() - 0.1) < 0.001
    assert shares.max() < 0.25, "no tile is preferred"
    rows, columns = np.divmod(order[:57], 30)
    assert len(set(zip((rows // 8).tolist(), (columns // 8).tolist(), strict=True))) >= 10, "spread over it"


def count(opened: Any, **options: Any) -> dict[str, Any]:
    request = DifferentialRequest(project=str(opened.path), field=1, device="cpu", **options)
    result = run(request, Listener(), 0.0).result  # type: ignore[arg-type]
    opened.refresh()
    return dict(result)


def test_it_stops_when_enough_are_there_and_goes_on_where_it_was(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def named(_model: Any, raw: Any, **_options: Any) -> list[Proposal]:
        kinds = ("Neutrophil", "Lymphocyte")
        return [
            Proposal(tuple(box), 0.9, {kinds[number % 4 == 0]: 1.0})
            for number, box in enumerate(raw.boxes.tolist())
        ]

    monkeypatch.setattr(worker_search, "calibrated", named)
    read: list[Any] = []
    pixels = Slide.read
    monkeypatch.setattr(Slide, "read", lambda *given: read.append(given[1]) or pixels(*given))
    some = count(project, to=60)
    assert len(read) <= some["tiles"] + 1, "no more is read than is probably needed"
    assert some["reached"]
    assert 60 <= some["counted"] < 200
    assert 0 < some["share_read"] < 0.6
    um = 13 / SIDE
    assert some["area_mm2"] == pytest.approx(some["pixels_judged"] * um * um / 1e6, abs=1e-3)
    places = Areas([tuple(box) for box in some["places"]])
    assert places.pixels == some["pixels_judged"]
    now = count_in(  # as the window counts while one reviews
        project.cells.pick(1, places.holds), project.suggestions.pick(1, places.holds), places.holds
    )
    assert now.white(project.schema).total() == some["counted"]
    assert len(now.suggestions) == some["unreviewed"] == some["counted"]
    again = count(project, to=60)
    assert again["searched_tiles"] == 0, "what was read is not read again"
    assert again["counts"] == some["counts"]
    more = count(project, to=10_000)
    assert not more["reached"]
    assert more["tiles"] == len(Tiling.of(WIDTH, HEIGHT, SIDE))
    assert more["share_read"] <= 1
    back = count(project, to=60)
    assert back["counts"] == some["counts"], "what else was searched has no say"
    assert back["intervals"] == some["intervals"]
    for name, number in back["counts"]:
        low, high = back["intervals"][name]
        assert low < number / back["counted"] < high


def test_neither_thick_nor_sparse_zones_are_counted(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def striped(slide: Any, **_options: Any) -> SlideMap:
        seen = mapped(slide)
        seen.kinds[:, 20:] = SlideMap.THICK
        seen.kinds[:, :5] = SlideMap.SPARSE
        return seen

    monkeypatch.setattr(worker_search, "map_slide", striped)
    found = count(project, to=10_000)
    whole = project.suggestions.find(1)
    inside = [s for s in whole if 250 <= s.box[0] + s.box[2] / 2 < 1000]
    # less the few that lie just beyond the last tile, at a seam whose other side was not read
    assert len(inside) - 5 <= found["unclassified"] <= len(inside) < len(whole)
    assert found["pixels_judged"] <= 750 * HEIGHT
    monkeypatch.setattr(
        worker_search,
        "map_slide",
        lambda slide, **_options: SlideMap(
            50,
            slide.width,
            slide.height,
            np.full((18, 34), 3, np.uint8),
            np.ones((18, 34)),
            np.ones((18, 34)),
        ),
    )
    with pytest.raises(LLDError, match="no monolayer"):
        count(project)


def test_a_field_is_refused(project: Project, tmp_path: Path) -> None:
    Image.fromarray(np.full((60, 60, 3), 200, np.uint8)).save(tmp_path / "field.png")
    (field,) = project.fields.add([tmp_path / "field.png"]).added
    with pytest.raises(LLDError, match="not a whole slide"):
        run(DifferentialRequest(project=str(project.path), field=field), Listener(), 0.0)  # type: ignore[arg-type]

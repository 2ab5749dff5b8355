"""What is annotated on a whole slide teaches, window by window; the rest of the slide stays unknown."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from annotation_store import BoxFeatures, Project
from annotation_store.records import Cell, Field, FieldKind, Shape
from training.engine.data import prepare_field
from training.networks.describer import cut_crop
from training.networks.scale import MARGIN, VIEW
from training.protocol import DescribeRequest, EvaluateRequest, RenewRequest, TrainRequest
from training.worker.annotated_fields import annotated_fields, readable
from training.worker.embedded import crop_of_slide, embedded
from training.worker.run import run
from training.worker.slide_windows import windows

SIDE = 24.0
SLIDE = Field(1, "slide", 1200, 1000, "hash", "", kind=FieldKind.SLIDE)


def cell(number: int, x: float, y: float, side: float = SIDE) -> Cell:
    """Return a cell centred at a point of the slide."""
    return Cell(number, 1, 1, (x - side / 2, y - side / 2, side, side), "Lymphocyte")


def centre(box: Any) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def test_each_cell_is_in_one_window_and_whole_in_it() -> None:
    rng = np.random.default_rng(1)
    places = rng.uniform(SIDE, (1200 - SIDE, 1000 - SIDE), (300, 2))
    cells = [cell(i, x, y) for i, (x, y) in enumerate(places)]
    regions = [Shape((100, 100, 500, 400)), Shape((400, 300, 300, 500)), Shape((900, 0, 1100, 0, 1000, 300))]
    laid = windows(SLIDE, SIDE, cells=cells, finished=regions)
    assert sorted(c.id for one in laid for c in one.cells) == list(range(300)), "each once"
    for one in laid:
        x, y, w, h = one.box
        assert max(w, h) == VIEW * SIDE, "the scale at which a slide is predicted"
        assert x >= 0
        assert y >= 0
        assert x + w <= 1200
        assert y + h <= 1000
        for c in one.cells:
            bx, by, bw, bh = c.box
            assert x <= bx
            assert y <= by
            assert bx + bw <= x + w
            assert by + bh <= y + h


def test_what_is_known_of_a_window_is_the_region_in_its_core_and_each_place_once() -> None:
    region = Shape((200, 150, 400, 300))
    laid = windows(SLIDE, SIDE, cells=[cell(1, 250, 200)], finished=[region, Shape((500, 300, 200, 300))])
    known = np.zeros((1000, 1200), int)
    for one in laid:
        x, y, w, h = (int(v) for v in one.box)
        for row in range(y + -y % 4, y + h, 4):
            for column in range(x + -x % 4, x + w, 4):
                inside = any(s.contains(column + 0.5, row + 0.5) for s in one.finished)
                known[row, column] += inside and not any(
                    s.contains(column + 0.5, row + 0.5) for s in one.ignore
                )
    wanted = np.zeros((1000, 1200), int)
    wanted[150:450, 200:600] = 1
    wanted[300:600, 500:700] = 1
    assert np.array_equal(known[::4, ::4] > 0, wanted[::4, ::4] > 0)
    assert known.max() == 1, "no place teaches twice that it is empty"


def test_boxes_outside_of_regions_get_windows_of_their_own() -> None:
    laid = windows(
        SLIDE,
        SIDE,
        cells=[cell(1, 60, 60), cell(2, 90, 80), cell(3, 1190, 990)],
        rejections=[(70, 60, 20, 20)],
    )
    assert [[c.id for c in one.cells] for one in laid] == [[1, 2], [3]]
    assert laid[0].rejections == ((70, 60, 20, 20),)
    assert all(not one.finished for one in laid)


# --- in a project ----------------------------------------------------------------------------------------

BOXES = [(240.0, 200.0, 28.0, 28.0), (300.0, 230.0, 34.0, 34.0), (262.0, 280.0, 26.0, 26.0)]
FAR = (610.0, 420.0, 30.0, 30.0)


def drawn(height: int = 600, width: int = 800) -> np.ndarray:
    """Draw a slide with a purple disc in each box."""
    image = np.random.default_rng(0).normal(0, 4, (height, width, 3)) + np.array([235, 225, 230])
    rows, columns = np.mgrid[:height, :width] + 0.5
    for x, y, w, h in (*BOXES, FAR):
        inside = ((columns - x - w / 2) / (w / 2)) ** 2 + ((rows - y - h / 2) / (h / 2)) ** 2 <= 1
        image[inside] = (95, 50, 140)
    return image.clip(0, 255).astype(np.uint8)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Make a project of one slide with a finished region of three cells, and a cell outside of it."""
    monkeypatch.setattr("annotation_store.images.slide.SLIDE_PIXELS", 400 * 400)
    with tifffile.TiffWriter(tmp_path / "slide.tif") as tiff:
        tiff.write(drawn(), tile=(128, 128), photometric="rgb", subifds=0)
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.fields.add([tmp_path / "slide.tif"])
        made.regions.add(1, Shape.rectangle(220, 180, 130, 140))
        for box in (*BOXES, FAR):
            made.cells.add(1, box, cell_class="Lymphocyte", attributes={"cell_size": "small"})
        yield made


class Listener:
    """Takes the place of a channel."""

    cancelled = False

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def check(self) -> None: ...

    def send(self, message: Any) -> None:
        self.messages.append(message)


def ran(request: Any) -> tuple[Any, list[Any]]:
    listener = Listener()
    return run(request, listener, time.monotonic()), listener.messages  # type: ignore[arg-type]


def test_a_window_is_learnt_from_as_a_field_is(project: Project) -> None:
    region, alone = annotated_fields(project)
    one = region.training_field(project)
    x, y, w, h = (int(v) for v in region.window or (0, 0, 0, 0))
    assert np.array_equal(one.pixels(), drawn()[y : y + h, x : x + w]), "read where it lies"
    for labelled, box in zip(one.cells, BOXES, strict=True):
        assert region.on_field(labelled.box) == pytest.approx(box)
    prepared = prepare_field(one, 448)
    scale = 448 / w
    left, top = round((220 - x) * scale), round((180 - y) * scale)
    assert prepared.known[top + 3, left + 3] == 1
    assert prepared.known[max(0, top - 3), left + 3] == 0, "the unmarked part of the window is unknown"
    assert prepared.known.mean() == pytest.approx(130 * 140 / (w * h), abs=0.01)
    truth = region.truth()
    assert (truth.width, truth.height) == (w, h)
    assert truth.counted == 3
    assert [c.box for c in alone.cells] == [FAR]
    assert region.patient == alone.patient, "a slide is never on both sides of a split"
    assert min(w, h) >= VIEW * (region.cell_side or 0) - 1
    assert MARGIN * (region.cell_side or 0) < w / 4


def test_a_crop_of_a_slide_is_that_of_the_whole_image(project: Project) -> None:
    for box in (*BOXES, (0.0, 0.0, 30.0, 40.0), (780.0, 570.0, 20.0, 30.0), (200.0, 100.0, 300.0, 260.0)):
        seen = crop_of_slide(project, project.fields.get(1), box)
        assert np.abs(seen.astype(int) - cut_crop(drawn(), box)).max() <= 1


def test_features_of_a_slide_are_kept_in_parts(project: Project) -> None:
    rng = np.random.default_rng(0)
    boxes = np.concatenate((rng.uniform(0, 50_000, (3000, 2)), np.full((3000, 2), 20)), 1).astype(np.float32)
    vectors = rng.normal(0, 1, (3000, 64)).astype(np.float32)
    for start in range(0, 3000, 500):
        some = slice(start, start + 500)
        project.features.save("trunk", {1: BoxFeatures(boxes[some], vectors[some])})
    for found in (project.features.of("trunk"), project.features.of("trunk", {1})):
        places = found[1].places()
        assert len(places) == 3000
        assert np.abs(found[1].vectors[list(places.values())]).max() > 1
    assert not project.features.of("other", {1})


def test_a_slide_teaches_is_embedded_renewed_described_and_measured(project: Project) -> None:
    folder = str(project.path)
    done, _ = ran(TrainRequest(project=folder, epochs=1, size=96, device="cpu", suggest=False, annotator="t"))
    project.refresh()
    card = project.models.active().card  # type: ignore[union-attr]
    assert card["learnt_fields"] == [1]
    assert card["learnt_from"]["cells"] == 4
    assert card["learnt_from"]["regions"] == 1
    assert done.model_id == 1
    seen = embedded(project)
    assert len(seen.entries) == 4
    assert not seen.damaged
    described, _ = ran(DescribeRequest(project=folder, field=1, boxes=[FAR]))
    assert described.result["boxes"][0]["class"]
    renewed, _ = ran(RenewRequest(project=folder))
    assert renewed.result["cells"] == 4
    with pytest.raises(Exception, match=r"trained on all held-out|No cells are held out"):
        ran(EvaluateRequest(project=folder))


def test_a_slide_that_is_not_there_is_left_out_and_named(project: Project, tmp_path: Path) -> None:
    shutil.move(tmp_path / "slide.tif", tmp_path / "moved.tif")
    project.slides.close()
    known, lost = readable(project, annotated_fields(project))
    assert not known
    assert "no longer at" in lost[1]
    with pytest.raises(Exception, match="no longer at"):
        ran(TrainRequest(project=str(project.path), epochs=1, size=96, device="cpu"))
    project.slides.relocate(tmp_path)
    assert len(readable(project, annotated_fields(project))[0]) == 2

"""Sizes that a file states of an image are bounded whole numbers, or a sentence says that they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project, formats
from annotation_store.errors import FormatError
from annotation_store.formats._exchange.image_places import walk

ENDLESS = "1" + "0" * 5000
ODD = ["-200", "0", "NaN", "1e308", "1e400", "Infinity", "-Infinity", ENDLESS, "1e9999"]
WORDS = ['"wide"', "true", "[200]", "{}"]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    folder = tmp_path / "films"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (120, 200, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    return folder


def coco(width: str) -> str:
    return (
        '{"images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": 120}],'
        '"categories": [{"id": 1, "name": "Monocyte"}],'
        '"annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 30, 30]}]}'.replace(
            "WIDTH", width
        )
    )


def labelstudio(width: str) -> str:
    return (
        '[{"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": [{"id": "x",'
        '"original_width": WIDTH,'
        '"original_height": 120, "type": "rectanglelabels", "from_name": "l", "to_name": "i",'
        '"value": {"x": 5, "y": 5, "width": 10, "height": 10, "rectanglelabels": ["Monocyte"]}}]}]}]'.replace(
            "WIDTH", width
        )
    )


def voc(width: str) -> str:
    return (
        f"<annotation><filename>a.png</filename><size><width>{width}</width><height>120</height></size>"
        "<object><name>Monocyte</name><bndbox><xmin>10</xmin><ymin>10</ymin><xmax>40</xmax><ymax>40</ymax>"
        "</bndbox></object></annotation>"
    )


def geojson(width: str) -> str:
    ring = [[10, 10], [40, 10], [40, 40], [10, 40], [10, 10]]
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": "Monocyte"}},
    }
    about = {"field": "a.png", "width": "WIDTH", "height": 120}
    collection = {"type": "FeatureCollection", "napari_lld": about, "features": [feature]}
    return json.dumps(collection).replace('"WIDTH"', width)


def bring(project: Project, name: str, text: str, films: Path) -> Any:
    suffix = {"coco": "json", "labelstudio": "json", "voc": "xml", "geojson": "geojson"}[name]
    file = films.parent / f"a.{suffix}"
    file.write_text(text, "utf-8")
    return formats.read(name, project, file, images=films)


@pytest.mark.parametrize("width", [*ODD, *WORDS])
def test_coco_says_that_a_width_is_not_a_size(blank: Any, films: Path, width: str) -> None:
    report = bring(blank(), "coco", coco(width), films)
    assert report.skipped == ["a.png: its width in the file is not a size, and is ignored."]
    assert report.cells == 1


@pytest.mark.parametrize("width", ["200", '"200"', "200.0"])
def test_a_size_in_quotes_or_with_a_point_is_one(blank: Any, films: Path, width: str) -> None:
    report = bring(blank(), "coco", coco(width), films)
    assert (report.cells, report.skipped) == (1, [])


@pytest.mark.parametrize("width", ["-200", "0", "NaN", "1e400", ENDLESS, "null"])
def test_label_studio_says_it_once_and_takes_the_size_of_the_image(
    blank: Any, films: Path, width: str
) -> None:
    report = bring(blank(), "labelstudio", labelstudio(width), films)
    assert report.skipped == ["a.png: its width in the file is not a size, and is ignored."]
    assert report.cells == 1


@pytest.mark.parametrize("width", ["-200", "1e308", "2e9"])
@pytest.mark.parametrize(("name", "text"), [("voc", voc), ("geojson", geojson)])
def test_voc_and_geojson_say_it_without_hundreds_of_digits(
    blank: Any, films: Path, name: str, text: Any, width: str
) -> None:
    report = bring(blank(), name, text(width), films)
    assert "a.png: its width in the file is not a size, and is ignored." in report.skipped
    assert report.cells == 1
    assert max(map(len, report.skipped)) < 200


def test_a_voc_file_that_states_0_for_unknown_is_imported_without_a_word(blank: Any, films: Path) -> None:
    report = bring(blank(), "voc", voc("0"), films)
    assert (report.cells, report.skipped) == (1, [])


@pytest.mark.parametrize("text", ["[1, 2, 3]", "{}", '[{"type": "Topology"}]', "[null]"])
def test_what_has_no_feature_is_not_geojson_whether_its_image_is_there_or_not(
    blank: Any, films: Path, text: str
) -> None:
    for name in ("a.geojson", "elsewhere.geojson"):
        file = films.parent / name
        file.write_text(text, "utf-8")
        with pytest.raises(FormatError, match=f"{name} is not GeoJSON"):
            formats.read("geojson", blank(), file, images=films)


def test_links_that_lead_to_themselves_are_no_error(tmp_path: Path) -> None:
    try:
        (tmp_path / "self.png").symlink_to("self.png")
    except OSError:
        pytest.skip("this account cannot make links")
    (tmp_path / "a.txt").touch()
    assert [path.name for path in walk(tmp_path)] in (["a.txt"], ["a.txt", "self.png"])

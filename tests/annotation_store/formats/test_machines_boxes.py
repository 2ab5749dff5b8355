"""What a machine found is a suggestion in every format, whatever its program calls the confidence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotation_store import load_schema
from annotation_store.formats import cells_csv, geojson, voc
from annotation_store.formats._exchange.document import Document, Skipped
from annotation_store.formats._exchange.images import Images
from annotation_store.formats._exchange.pairing import Pairing
from annotation_store.formats.coco.reader import from_coco
from annotation_store.formats.labelstudio.reader import parse as parse_tasks

LLD = load_schema("lld")
FILE = Path("a.xml")
RING = [[1, 2], [4, 2], [4, 6], [1, 6], [1, 2]]


def of_voc(inner: str) -> Document:
    document = Document("a.xml", [], Skipped())
    box = "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>4</xmax><ymax>6</ymax></bndbox>"
    text = f"<annotation><object><name>Monocyte</name>{box}{inner}</object></annotation>"
    voc.parse(text.encode(), LLD, "a.xml", document, Pairing.for_files(Images(), FILE, [FILE]), FILE)
    return document


def voc_element(name: str, value: Any) -> Document:
    return of_voc(f"<{name}>{json.dumps(value)}</{name}>".replace('"', ""))


def voc_attribute(name: str, value: Any) -> Document:
    text = f"<attribute><name>{name}</name><value>{json.dumps(value)}</value></attribute>".replace('"', "")
    return of_voc(f"<attributes>{text}</attributes>")


def of_geojson(**properties: Any) -> Document:
    document = Document("a.geojson", [], Skipped())
    feature = {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [RING]},
        "properties": {"objectType": "detection", "classification": {"name": "Monocyte"}, **properties},
    }
    geojson.parse(feature, FILE, LLD, document, Pairing.for_files(Images(), FILE, [FILE]))
    return document


def table(name: str, value: Any) -> Document:
    word = "" if value is None else value
    return cells_csv.parse(f"field,x,y,w,h,class,{name}\na.png,1,2,3,4,Monocyte,{word}\n".encode(), LLD, "t")


def of_coco(**more: Any) -> Document:
    one = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], **more}
    image = {"id": 1, "file_name": "a.png", "width": 100, "height": 80}
    data = {"images": [image], "categories": [{"id": 1, "name": "Monocyte"}], "annotations": [one]}
    return from_coco(data, LLD)


def prediction(name: str, value: Any) -> Document:
    place = {"x": 1, "y": 2, "width": 3, "height": 4, "rectanglelabels": ["Monocyte"]}
    size = {"original_width": 100, "original_height": 100}
    results = [{"id": "a", "type": "rectanglelabels", "value": place, **size}]
    task = {"data": {"image": "a.png"}, "predictions": [{"result": results, name: value}]}
    return parse_tasks([task], LLD, "tasks.json", Images())


@pytest.mark.parametrize("name", ["score", "conf", "Confidence", "PROBABILITY"])
@pytest.mark.parametrize(("value", "confidence"), [(0.7, 0.7), (None, 0), ("NaN", 0)])
@pytest.mark.parametrize(
    "reader",
    [
        voc_element,
        voc_attribute,
        table,
        prediction,
        lambda name, value: of_coco(**{name: value}),
        lambda name, value: of_coco(attributes={name: value}),
        lambda name, value: of_geojson(measurements={name: value}),
        lambda name, value: of_geojson(measurements=[{"name": name, "value": value}]),
        lambda name, value: of_geojson(metadata={name: value}),
        lambda name, value: of_geojson(**{name: value}),
    ],
)
def test_a_box_with_a_confidence_is_a_suggestion(
    reader: Callable[[str, Any], Document], name: str, value: Any, confidence: float
) -> None:
    (field,) = reader(name, value).fields
    assert not field.cells
    assert not field.unknown_boxes
    assert not field.lost
    ((_, found),) = field.proposals
    assert (found.box, found.confidence) == ((1, 2, 3, 4), confidence)
    assert found.class_probabilities == {"Monocyte": 1.0}


def test_a_voc_file_of_a_machine_finishes_nothing() -> None:
    assert voc_element("confidence", 0.7).fields[0].regions == []
    assert of_voc("").fields[0].regions is None


def test_of_several_columns_of_confidence_the_one_with_a_value_counts() -> None:
    rows = "a.png,1,2,3,4,,0.9\na.png,5,5,3,4,0.5,0.9\na.png,9,9,3,4,,\n"
    document = cells_csv.parse(f"field,x,y,w,h,confidence,Score\n{rows}".encode(), LLD, "t")
    assert [found.confidence for _, found in document.fields[0].proposals] == [0.9, 0.5, 0]
    (sentence,) = document.skipped.sentences()
    assert "the columns confidence and Score" in sentence
    (sentence,) = table("Score", None).skipped.sentences()
    assert sentence.startswith("1 rows leave the column Score empty")

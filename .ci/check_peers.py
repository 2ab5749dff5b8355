"""Read what napari-lld exported with the programs that it is written for, in an environment of theirs.

uv run --no-project --with datumaro --with label-studio-sdk --with geopandas python .ci/check_peers.py FOLDER

FOLDER holds cells.json (coco), voc, yolo, geojson and tasks.json (labelstudio) of one project.
"""

import json
import logging
import shutil
import sys
import tempfile
from pathlib import Path

import datumaro
import geopandas
from label_studio_sdk.label_interface import LabelInterface

logging.disable(logging.WARNING)  # datumaro: that boxes have no outlines, once for each
folder = Path(sys.argv[1])
cells = len(json.loads((folder / "cells.json").read_text("utf-8"))["annotations"])


def boxes(dataset: datumaro.Dataset) -> int:
    """Count the boxes of a dataset."""
    return sum(one.type is datumaro.AnnotationType.bbox for item in dataset for one in item.annotations)


def by_datumaro() -> None:
    """Read COCO, VOC and YOLO."""
    with tempfile.TemporaryDirectory() as place:
        coco = Path(place)  # as datumaro lays it out: annotations/ and images/
        (coco / "annotations").mkdir()
        shutil.copy(folder / "cells.json", coco / "annotations" / "instances_default.json")
        shutil.copytree(folder / "voc" / "JPEGImages", coco / "images" / "default")
        found = {"coco": boxes(datumaro.Dataset.import_from(str(coco), "coco"))}
    found["voc"] = boxes(datumaro.Dataset.import_from(str(folder / "voc"), "voc"))
    found["yolo"] = boxes(datumaro.Dataset.import_from(str(folder / "yolo"), "yolo"))
    print(f"datumaro: {found}")
    assert set(found.values()) == {cells}, found


def by_geopandas() -> None:
    """Read QuPath's GeoJSON, of which each field has a file."""
    frames = [geopandas.read_file(file) for file in sorted((folder / "geojson").glob("*.geojson"))]
    outlines = sum(int((frame.geometry.is_valid & (frame.geometry.area > 0)).sum()) for frame in frames)
    names = [name for frame in frames for name in frame["classification"].dropna()]
    regions = sum("Region*" in str(name) for name in names)
    print(f"geopandas: {outlines} outlines in {len(frames)} files, {regions} of them regions")
    assert outlines - regions == cells, (outlines, regions)


def by_label_studio() -> None:
    """Hold each task to the configuration that goes with it."""
    interface = LabelInterface((folder / "tasks_config.xml").read_text("utf-8"))
    tasks = json.loads((folder / "tasks.json").read_text("utf-8"))
    found = 0
    for task in tasks:
        for annotation in task["annotations"]:
            assert interface.validate_annotation(annotation), task["data"]
            found += sum(result["type"] == "rectanglelabels" for result in annotation["result"])
    print(f"Label Studio: {len(tasks)} tasks, {found} boxes")
    assert found >= cells, found


by_datumaro()
by_geopandas()
by_label_studio()

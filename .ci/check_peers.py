"""Read what napari-lld exported with the programs that it is written for, in an environment of theirs.

uv run --no-project --with datumaro --with label-studio-sdk --with geopandas --with datasets \
    python .ci/check_peers.py FOLDER

FOLDER holds cells.json (coco), voc, yolo, geojson, huggingface and tasks.json (labelstudio) of one project.
"""

import json
import logging
import os
import shutil
import sys
import tempfile
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}  # read at import

import datasets
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


def by_datasets() -> None:
    """Read the image folder as a folder of images, and as a data set whose card names its parts."""
    with tempfile.TemporaryDirectory() as cache:
        for place in (("imagefolder", str(folder / "huggingface")), (str(folder / "huggingface"), None)):
            parts = datasets.load_dataset(place[0], data_dir=place[1], cache_dir=cache)
            rows = [row for part in parts.values() for row in part]
            found = sum(len(row["objects"]["bbox"]) for row in rows)
            print(f"datasets: {found} boxes on {len(rows)} images in {', '.join(parts)}")
            assert found == cells, found
            assert set(parts) == {"train", "validation"}, parts
            for row in rows:
                (xs, ys) = (row["areas"]["polygon"][0][i::2] for i in (0, 1))
                assert row["image"].size == (max(xs), max(ys)), "the first area is the whole field"
                assert row["areas"]["kind"][0] == "unknown"


by_datumaro()
by_geopandas()
by_label_studio()
by_datasets()

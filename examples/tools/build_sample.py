"""Rebuild the sample bundled in `napari_lld/sample` from the shared data sets' `val` fields.

    python examples/tools/build_sample.py --data ../shared/data          # writes napari_lld/sample
    python examples/tools/build_sample.py --quick                        # checks the bundled sample instead

Twelve composed fields of `pbc` and six natural ones of `txl`, none of which any bundled weights were
trained on: full truth in `truth.json` (to simulate a reviewer and to evaluate) and one region of about a
fifth of each field with the cells centred in it in `sparse.json`, both COCO in the schema `lld`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import shutil
from pathlib import Path
from typing import Any

from annotation_store.schema.wbcatt_to_lld import wbcatt_to_lld

TARGET = Path(__file__).parents[2] / "napari_lld" / "sample"
LLD_CLASSES = (
    "None", "Myeloblast", "Lymphoblast", "Neutrophil", "Atypical lymphocyte", "Promonocyte", "Monoblast",
    "Lymphocyte", "Myelocyte", "Abnormal promyelocyte", "Monocyte", "Metamyelocyte", "Eosinophil", "Basophil",
)  # fmt: skip
TXL_PICKS = {(360, 363): 1, (416, 416): 1, (575, 575): 2, (640, 480): 2}
"""How many natural fields of each source (told apart by their size)."""


def by_hash(name: str) -> str:
    """Return a fixed pseudo-random order that depends on nothing but the file's name."""
    return hashlib.sha256(name.encode()).hexdigest()


def pick(coco: dict[str, Any], source: str) -> list[dict[str, Any]]:
    """Choose the sample's images, in hash order: 12 of pbc; of txl, those with most white cells first."""
    images = sorted(coco["images"], key=lambda i: by_hash(i["file_name"]))
    if source == "pbc":
        return images[:12]
    whites: dict[int, int] = {}
    for a in coco["annotations"]:
        whites[a["image_id"]] = whites.get(a["image_id"], 0) + (a["category_id"] == 1)
    picked = []
    for size, n in TXL_PICKS.items():
        pool = [i for i in images if (i["width"], i["height"]) == size]
        picked += sorted(pool, key=lambda i: -min(whites.get(i["id"], 0), 2))[:n]
    return picked


def centred_in(box: list[float], region: list[float]) -> bool:
    """Return whether a box's centre lies in a region; both are x, y, w, h."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return region[0] <= x <= region[0] + region[2] and region[1] <= y <= region[1] + region[3]


def draw_region(name: str, width: int, height: int, boxes: list[list[float]]) -> list[float]:
    """Draw a rectangle of about a fifth of the field that holds at least one cell, seeded by the name.

    A hematologist starts where there is something to see; among random rectangles the first that holds a
    cell is taken.
    """
    rng = random.Random(name)
    region = [0.0, 0.0, 0.0, 0.0]
    for _ in range(1000):
        aspect = rng.uniform(0.7, 1.4)
        area = rng.uniform(0.18, 0.24) * width * height
        w = min(width * 0.9, (area * aspect) ** 0.5)
        h = min(height * 0.9, area / w)
        region = [round(v, 1) for v in (rng.uniform(0, width - w), rng.uniform(0, height - h), w, h)]
        if any(centred_in(b, region) for b in boxes):
            break
    return region


def build(data: Path, target: Path) -> None:
    """Write fields, truth and sparse labels."""
    shutil.rmtree(target / "fields", ignore_errors=True)
    (target / "fields").mkdir(parents=True)
    images, truth, sparse = [], [], []
    for source in ("pbc", "txl"):
        coco = json.loads((data / source / "val.json").read_text(encoding="utf-8"))
        names = {c["id"]: c["name"] for c in coco["categories"]}
        for number, image in enumerate(pick(coco, source)):
            name = f"{source}_{number:02d}.jpg"
            shutil.copyfile(data / source / "images" / image["file_name"], target / "fields" / name)
            cells = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
            if source == "txl":
                cells = [a for a in cells if names[a["category_id"]] == "WBC"]
            region = draw_region(name, image["width"], image["height"], [a["bbox"] for a in cells])
            size = {k: image[k] for k in ("width", "height")}
            entry = {"id": len(images) + 1, "file_name": name, **size, "annotated_regions": [region]}
            images.append(entry)
            for a in cells:
                label = names[a["category_id"]]
                cell = {
                    "id": len(truth) + 1,
                    "image_id": entry["id"],
                    "category_id": LLD_CLASSES.index(label) if label in LLD_CLASSES else None,
                    "bbox": a["bbox"],
                    "area": a["area"],
                    "iscrowd": 0,
                    "attributes": wbcatt_to_lld(a.get("attributes", {})),
                }
                truth.append(cell)
                if centred_in(a["bbox"], region):
                    sparse.append(cell)
    head = {
        "info": {
            "description": "napari-lld sample: 12 composed fields (PBC), 6 natural ones (TXL-PBC)",
            "licences": "see LICENCES.md",
        },
        "categories": [{"id": i, "name": n} for i, n in enumerate(LLD_CLASSES)],
    }
    whole = [{k: v for k, v in i.items() if k != "annotated_regions"} for i in images]
    for file, entries, cells in (("truth.json", whole, truth), ("sparse.json", images, sparse)):
        text = json.dumps({**head, "images": entries, "annotations": cells}, indent=1)
        (target / file).write_text(text + "\n", encoding="utf-8")
    print(f"{len(images)} fields, {len(truth)} cells, {len(sparse)} of them in the regions: {target}")


def check(target: Path) -> None:
    """Count what the bundled sample holds; stop where a field, cell or region is missing."""
    truth, sparse = (json.loads((target / f).read_text("utf-8")) for f in ("truth.json", "sparse.json"))
    missing = [i["file_name"] for i in truth["images"] if not (target / "fields" / i["file_name"]).is_file()]
    bare = [i["file_name"] for i in sparse["images"] if len(i["annotated_regions"]) != 1]
    if missing or bare:
        raise SystemExit(f"The bundled sample is incomplete: {missing or bare}")
    size = sum(f.stat().st_size for f in target.rglob("*") if f.is_file())
    print(f"{len(truth['images'])} fields, {len(truth['annotations'])} cells, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with pbc/ and txl/")
    parser.add_argument("--out", type=Path, default=TARGET)
    parser.add_argument("--quick", action="store_true", help="check the bundled sample, build nothing")
    options = parser.parse_args()
    if options.quick:
        check(TARGET)
    else:
        build(options.data, options.out)

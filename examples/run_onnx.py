"""Run a model written by ``napari-lld export-model``, with only ONNX Runtime, NumPy and OpenCV.

    python examples/run_onnx.py model.onnx field.png …

It prints the cells of each image with their probabilities. The preprocessing is that of ``napari-lld
predict``, and is explained in docs/onnx.md; all parameters come from the metadata of the file.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

Cell = dict[str, Any]
"""``"box"`` (x, y, width, height), ``"confidence"``, and probabilities: ``"class"`` by name, ``"attributes"``
by attribute and value."""


class Model:
    """An exported model."""

    def __init__(self, file: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        about = json.loads(self._session.get_modelmeta().custom_metadata_map["napari_lld"])
        self.field, self.crop, self.suppression = about["field"], about["crop"], about["suppression"]
        self.heads = about["heads"]

    def predict(
        self, images: Sequence[np.ndarray], min_confidence: float = 0.25
    ) -> list[list[dict[str, Any]]]:
        """Detect and classify the cells of images ``(H, W, 3)`` uint8 RGB of the same scale."""
        cell_side = self.seen_side(images)
        return [
            self.describe(image, *self.find(image, cell_side, min_confidence), cell_side) for image in images
        ]

    def find(
        self, image: np.ndarray, cell_side: float | None, min_confidence: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return boxes ``(n, 4)`` x, y, width, height and confidences ``(n,)``, most confident first."""
        height, width = image.shape[:2]
        factor = self.working_factor(width, height, cell_side)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        if size != (width, height):
            image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR)
        else:
            factor = 1.0
        stride = self.field["stride"]
        padded = np.full(
            (-(-size[1] // stride) * stride, -(-size[0] // stride) * stride, 3), self.field["pad"], np.uint8
        )
        padded[: size[1], : size[0]] = image
        side = self.crop["side"]
        nothing = np.zeros((0, 3, side, side), np.float32)
        boxes, confidence = self.run(["boxes", "confidence"], as_input([padded]), nothing, np.zeros(0))
        kept = self.suppress(boxes[0], confidence[0], min_confidence)
        corners = (boxes[0][kept] / factor).clip(0, [width, height, width, height])
        found = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1)
        inside = (found[:, 2:] >= 1).all(1)
        return found[inside], confidence[0][kept][inside]

    def describe(
        self, image: np.ndarray, boxes: np.ndarray, confidences: np.ndarray, cell_side: float | None
    ) -> list[Cell]:
        """Return class and attributes of the cells in boxes."""
        height, width = image.shape[:2]
        against = float(max(width, height))
        if cell_side is not None:
            ordinary = cell_side / self.crop["ordinary_side"]
            if not 1 / self.crop["same_scale"] <= ordinary / against <= self.crop["same_scale"]:
                against = ordinary
        cells: list[Cell] = [
            {"box": box.tolist(), "confidence": float(p), "class": {}, "attributes": {}}
            for box, p in zip(boxes, confidences, strict=True)
        ]
        if not self.heads or not cells:
            return cells
        crops = as_input([self.cut(image, box) for box in boxes])
        sizes = np.log2(np.maximum(boxes[:, 2:].max(1), 1e-3) / against) + 3
        stride = self.field["stride"]
        nothing = np.zeros((1, 3, stride, stride), np.float32)
        outputs = self.run([head["output"] for head in self.heads], nothing, crops, sizes)
        for head, probabilities in zip(self.heads, outputs, strict=True):
            for cell, row in zip(cells, probabilities, strict=True):
                values = dict(zip(head["values"], row.tolist(), strict=True))
                if head["output"] == "class":
                    cell["class"] = values
                elif max(cell["box"][2:]) >= self.crop["least_attribute_side"]:
                    cell["attributes"][head["name"]] = values
        return cells

    def run(
        self, names: list[str], pixels: np.ndarray, crops: np.ndarray, sizes: np.ndarray
    ) -> list[np.ndarray]:
        """Run the graph for the named outputs; inputs that they do not need may be empty or small."""
        inputs = {"pixels": pixels, "crops": crops, "sizes": sizes.astype(np.float32)}
        wanted = {item.name for item in self._session.get_inputs()}
        return list(self._session.run(list(names), {name: inputs[name] for name in wanted}))

    def working_factor(self, width: int, height: int, cell_side: float | None) -> float:
        """Return the scale factor from image pixels to working pixels of the detector."""
        field, (least, greatest) = self.field, self.field["cell_sides"]
        factor = float(field["size"]) / max(width, height)
        if cell_side is None:
            return factor
        shown = cell_side * factor / field["size"]
        inside = min(field["inside"], math.sqrt(greatest / least))
        if shown < least:
            most = min(field["most_magnified"], math.sqrt(field["most_pixels"] / (width * height)))
            return max(factor, min(factor * least * inside / shown, most))
        return factor * greatest / inside / shown if shown > greatest else factor

    def seen_side(self, images: Sequence[np.ndarray]) -> float | None:
        """Estimate the side of a white cell in pixels: at half the default scale, at that, or magnified."""
        sample = images[:: max(1, len(images) // 6)][:6]
        least, greatest = self.field["cell_sides"]
        sides: list[float] = []
        for zoom, most in ((0.5, greatest), (1, math.inf)):
            sides, shown = self._sides(sample, zoom)
            if len(shown) >= max(1, len(sample) / 2) and least <= float(np.median(shown)) <= most:
                return float(np.median(sides))
        first, _ = self._sides(sample[:2], 1)
        more, _ = self._sides(sample[:2], 3)
        if len(more) > len(first):
            more += self._sides(sample[2:], 3)[0]
            if len(more) >= 3 * max(1, len(sides)):
                sides = more
        return float(np.median(sides)) if sides else None

    def _sides(self, images: Sequence[np.ndarray], zoom: float) -> tuple[list[float], list[float]]:
        """Return the sides of likely cells in pixels, and times `zoom` relative to the longer image side."""
        least, greatest = self.field["cell_sides"]
        inside = min(self.field["inside"], math.sqrt(greatest / least))
        at = {0.5: greatest / inside / 0.5, 3: least * inside / 3}.get(zoom)
        sides, shown = [], []
        for image in images:
            longer = max(image.shape[:2])
            found = self.find(image, None if at is None else longer * at, 0.5)[0]
            of_image = found[:, 2:].max(1, initial=0).tolist()
            sides += of_image
            shown += [zoom * side / longer for side in of_image]
        return sides, shown

    def suppress(self, boxes: np.ndarray, confidence: np.ndarray, least: float) -> list[int]:
        """Return the indices of the most confident boxes that do not overlap."""
        order = [i for i in np.argsort(-confidence, kind="stable") if confidence[i] >= least]
        order = order[: self.suppression["candidates"]]
        area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        kept: list[int] = []
        for i in order:
            low = np.maximum(boxes[i, :2], boxes[kept, :2])
            high = np.minimum(boxes[i, 2:], boxes[kept, 2:])
            common = (high - low).clip(0).prod(1)
            if (common <= self.suppression["iou"] * (area[i] + area[kept] - common)).all():
                kept.append(int(i))
            if len(kept) == self.suppression["most"]:
                break
        return kept

    def cut(self, image: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Crop the square around a box from the full-resolution image, and resize it."""
        side = self.crop["side"]
        x, y, w, h = (float(v) for v in box)
        reach = max(w, h, 1.0) * self.crop["context"] / 2
        cx, cy = x + w / 2, y + h / 2
        factor = side / (2 * reach)
        if factor < 0.5:  # a large cell: downsample by averaging
            n = max(1, math.ceil(2 * reach))
            rows = np.clip(np.arange(n) + math.floor(cy - reach), 0, image.shape[0] - 1)
            columns = np.clip(np.arange(n) + math.floor(cx - reach), 0, image.shape[1] - 1)
            return cv2.resize(image[np.ix_(rows, columns)], (side, side), interpolation=cv2.INTER_AREA)
        shift = side / 2 - 0.5
        matrix = np.array(
            [[factor, 0, shift - factor * (cx - 0.5)], [0, factor, shift - factor * (cy - 0.5)]]
        )
        return cv2.warpAffine(
            image, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def as_input(images: Sequence[np.ndarray]) -> np.ndarray:
    """Convert images of one size to ``(N, 3, H, W)``, 0 to 1."""
    return np.ascontiguousarray(np.stack(images).transpose(0, 3, 1, 2).astype(np.float32) / 255)


def read(file: Path) -> np.ndarray:
    """Read an image as RGB."""
    pixels = cv2.imdecode(np.frombuffer(file.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise SystemExit(f"{file} is not an image that OpenCV reads")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def quick(folder: Path) -> None:
    """Export the bundled starter, and run it on a sample field."""
    from napari_lld import sample
    from napari_lld.cli import run

    project, model = folder / "project", folder / "model.onnx"
    for words in (["new", str(project)], ["export-model", str(project), str(model)]):
        if run(words):
            raise SystemExit(f"napari-lld {words[0]} failed")
    show(Model(model), sample.fields()[:1], 0.25)


def show(model: Model, files: Sequence[Path], min_confidence: float) -> None:
    """Print the cells of images."""
    images = [read(file) for file in files]
    for file, cells in zip(files, model.predict(images, min_confidence), strict=True):
        print(f"{file}: {len(cells)} cells")
        for cell in cells:
            print(" ", json.dumps(cell))


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path, nargs="?", help="file written by export-model")
    parser.add_argument("images", type=Path, nargs="*")
    parser.add_argument("--min-confidence", type=float, default=0.25)
    parser.add_argument("--quick", action="store_true", help="try it with the starter on sample fields")
    args = parser.parse_args()
    if args.quick:
        with tempfile.TemporaryDirectory() as folder:
            quick(Path(folder))
        return
    if args.model is None:
        parser.error("give a model and images")
    show(Model(args.model), args.images, args.min_confidence)


if __name__ == "__main__":
    main()

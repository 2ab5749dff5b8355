"""Scores common to all arms: COCO's average precision, best F1, correctly classified cells."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from annotation_store.records import Proposal
from training.evaluation.ground_truth import FieldTruth
from training.evaluation.matching import evaluate_field
from training.evaluation.metrics import macro_f1, merged, precision_recall


def score_classes(
    truths: Sequence[FieldTruth], proposals: Sequence[Sequence[Proposal]], classes: Sequence[str]
) -> dict[str, Any]:
    """Score detections per class against full ground truth.

    Returns
    -------
    dict
        ``map50``, ``map`` (0.5 to 0.95), ``ap50_of`` (class to number), and ``precision`` and ``recall``,
        means over classes, at the single ``confidence`` with the highest mean F1.
    """
    images, annotations, results = [], [], []
    for number, (truth, found) in enumerate(zip(truths, proposals, strict=True), 1):
        images.append({"id": number, "width": truth.width, "height": truth.height})
        for cell in truth.cells:
            if cell.cell_class not in classes:
                continue
            x, y, w, h = cell.box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": classes.index(cell.cell_class) + 1,
                    "bbox": [x, y, w, h],
                    "area": w * h,
                    "iscrowd": 0,
                }
            )
        for item in found:
            for name, p in item.class_probabilities.items():
                if name in classes and item.confidence * p >= 1e-3:
                    results.append(
                        {"image_id": number, "category_id": classes.index(name) + 1, "bbox": list(item.box),
                         "score": item.confidence * p}
                    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(
            {"info": {}, "images": images, "annotations": annotations,
             "categories": [{"id": i + 1, "name": name} for i, name in enumerate(classes)]}
        )  # fmt: skip
        judge = COCOeval_faster(coco, coco.loadRes(results), "bbox")
        judge.params.maxDets = [1, 10, 300]
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"]  # (IoU, recall, class, area, most)
    of_class = [float(precision[0, :, k, 0, -1].mean()) for k in range(len(classes))]

    per_field = [
        evaluate_field(truth, found, classes=classes) for truth, found in zip(truths, proposals, strict=True)
    ]
    rankings = [merged(item.classes[name] for item in per_field) for name in classes]
    best = (-1.0, 0.0, 0.0, 0.0)
    for confidence in np.linspace(0.01, 0.99, 99):
        pairs = [
            (p if np.isfinite(p) else 1.0, r)
            for p, r in (precision_recall(ranking, confidence) for ranking in rankings)
        ]
        f1 = float(np.mean([2 * p * r / max(p + r, 1e-9) for p, r in pairs]))
        best = max(best, (f1, float(confidence), *(float(np.mean(v)) for v in zip(*pairs, strict=True))))
    return {
        "map50": float(np.mean(of_class)),
        "map": float(precision[:, :, :, 0, -1].mean()),
        "ap50_of": dict(zip(classes, of_class, strict=True)),
        "confidence": best[1],
        "precision": best[2],
        "recall": best[3],
    }


def naming(truths: Sequence[FieldTruth], proposals: Sequence[Sequence[Proposal]]) -> dict[str, Any]:
    """Return the share of cells of each class that were detected and classified correctly.

    Returns
    -------
    dict
        ``found`` (share of all cells), ``cells`` (class to number), ``recall`` (class to share that was
        detected *and* classified correctly) and ``macro_f1`` over the classes, where a missed cell counts as
        an error.
    """
    results = [evaluate_field(truth, found) for truth, found in zip(truths, proposals, strict=True)]
    pairs = [(c.cell_class, p.best_class) for r in results for c, p in r.matched]
    pairs += [(cell.cell_class, None) for result in results for cell in result.missed]
    missed = sum(len(result.missed) for result in results)
    known = [(true, predicted) for true, predicted in pairs if true is not None]
    cells = Counter(true for true, _ in known)
    right = Counter(true for true, predicted in known if true == predicted)
    return {
        "found": 1 - missed / max(1, len(pairs)),
        "cells": dict(sorted(cells.items())),
        "recall": {name: right[name] / count for name, count in sorted(cells.items())},
        "macro_f1": macro_f1([true for true, _ in known], [predicted for _, predicted in known]),
    }

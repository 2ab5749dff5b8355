"""Numbers of a round: proposals against the bundled truth, outside the regions that were annotated."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from annotation_store.records import Proposal
from annotation_store.schema import Schema
from napari_lld.demo.report.data import AttributeScores, Scores, Tally
from training.evaluation.ground_truth import FieldTruth
from training.evaluation.matching import evaluate_field
from training.evaluation.metrics import summarise

LEAST = 0.01
"""Confidence down to which proposals are asked for: average precision needs the doubtful ones too."""

SUGGESTED = 0.25
"""Confidence from which a proposal is suggested, and counts for class and attributes."""


def read_proposals(file: Path) -> dict[str, list[Proposal]]:
    """Read what ``predict --out`` wrote, by name of field."""
    document = json.loads(file.read_text(encoding="utf-8"))
    names = {image["id"]: Path(image["file_name"]).name for image in document["images"]}
    proposals: dict[str, list[Proposal]] = {name: [] for name in names.values()}
    for annotation in document["annotations"]:
        x, y, w, h = (float(value) for value in annotation["bbox"])
        proposals[names[annotation["image_id"]]].append(
            Proposal(
                (x, y, w, h),
                float(annotation["score"]),
                annotation.get("class_probabilities") or {},
                annotation.get("attribute_probabilities") or {},
                annotation.get("novelty"),
            )
        )
    return proposals


def score(
    truths: Sequence[FieldTruth], proposals: Mapping[str, Sequence[Proposal]], schema: Schema
) -> Scores:
    """Score proposals on some fields, whose truth leaves out what was annotated (`FieldTruth.outside`)."""
    groups = {group.name: tuple(group.classes) for group in schema.groups}
    names = [attribute.name for attribute in schema.attributes]
    results = [
        evaluate_field(truth, proposals.get(truth.name, ()), classes=schema.class_names, groups=groups)
        for truth in truths
    ]
    sums = summarise(results, attributes=names, threshold=SUGGESTED)
    cells = [c for r in results for c in (*(cell for cell, _ in r.matched), *r.missed)]
    found_pairs = [(cell, p) for result in results for cell, p in result.matched if p.confidence >= SUGGESTED]
    classes = [
        (cell.cell_class, p.best_class) for cell, p in found_pairs if cell.cell_class in schema.class_names
    ]
    attributes = {}
    for attribute in schema.attributes:
        pairs = [
            (cell.attributes[attribute.name], p.best_attributes.get(attribute.name))
            for cell, p in found_pairs
            if attribute.name in cell.attributes
        ]
        attributes[attribute.name] = AttributeScores(
            n=len(pairs),
            macro_f1=sums["attributes"][attribute.name]["f1"],
            values=tallies(pairs, [value.name for value in attribute.values]),
        )
    return Scores(
        fields=len(truths),
        cells=len(cells),
        classed=sum(cell.cell_class in schema.class_names for cell in cells),
        ap50=sums["ap50"],
        map50=sums["map50"],
        class_macro_f1=sums["class_f1"],
        classes={name: tally for name, tally in tallies(classes, schema.class_names).items() if tally.n},
        attributes=attributes,
        attribute_macro_f1=sums["attribute_f1"],
    )


def tallies(pairs: Sequence[tuple[str | None, str | None]], values: Sequence[str]) -> dict[str, Tally]:
    """Count each value over pairs of what is true and what was said."""
    table = {}
    for value in values:
        true = sum(t == value for t, _ in pairs)
        count = sum(s == value for _, s in pairs)
        both = sum(t == value and s == value for t, s in pairs)
        table[value] = Tally(
            n=true,
            precision=both / count if count else None,
            recall=both / true if true else None,
            f1=2 * both / (true + count) if true else None,
        )
    return table

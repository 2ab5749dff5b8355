"""Detailed metrics: per class, value and domain, intervals, calibration, confusion matrices; no torch.

Intervals are cluster bootstraps over patients (fields, if the patient is unknown), see
`training.evaluation.bootstrap`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from annotation_store.records import Proposal
from annotation_store.schema.reserved import UNSURE
from training.evaluation.bootstrap import LEVEL, RESAMPLES, Bootstrap, interval
from training.evaluation.ground_truth import TrueCell
from training.evaluation.matching import FieldResult, Ranking
from training.evaluation.metrics import expected_calibration_error, merged, predicted_heads, summarise
from training.evaluation.ranks import rank_measures
from training.evaluation.reliability import curve

BINS = 15
SUGGESTED = 0.25
"""Default confidence from which a proposal is shown as a suggestion; calibration is measured on these."""

Pairs = list[tuple[str, str | None]]
"""True and predicted name of each cell; ``None`` = the cell was not found."""


def describe(
    results: Sequence[FieldResult],
    *,
    classes: Sequence[str] = (),
    attributes: Mapping[str, Sequence[str]] | None = None,
    ordered: Collection[str] = (),
    uncalibrated: Sequence[FieldResult] | None = None,
    threshold: float = 0.5,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return `training.evaluation.metrics.summarise` and more detailed metrics.

    Parameters
    ----------
    classes, attributes
        The schema's classes, and its attributes with their values, in its order.
    ordered
        The attributes whose values are listed in an order: see `training.evaluation.ranks`.
    uncalibrated
        Results of the same raw proposals without calibration; ``None`` = not reported.
    threshold
        As for `summarise`.

    Returns
    -------
    dict
        The summary, in which each row of ``attributes`` has ``intervals`` and ``values`` (value to ``f1``,
        ``n``, ``interval``) as well (of an ordered one also what `training.evaluation.ranks` measures), and

        ``intervals``
            ``ap50``, ``precision``, ``recall``, ``class_f1``, ``attribute_f1``: ``[low, high]`` of 95%;
            ``null`` where fewer than two patients allow none; ``patients``, ``of_fields`` (how many of these
            are fields whose patient is not known), ``resamples``, ``level``.
        ``classes``
            Class to ``ap50`` and ``truths``; ``f1``, ``precision``, ``recall`` on found cells with ``n``;
            ``intervals``.
        ``calibration``
            ``bins``; ``cells`` (suggestions), ``class`` and ``attributes`` (most probable values, on found
            cells): ``before``, ``after`` (expected calibration error), ``n``, and the ``curve`` after it (see
            `training.evaluation.reliability.curve`).
        ``confusion``
            ``class`` and ``attributes`` (name to the same): ``truth``, ``said`` (predictions), ``counts``
            (one row per true value). Among ``said``, ``null`` = not found, ``""`` = found without a
            prediction; ``null`` among ``truth`` = there was no cell.
    """
    attributes = attributes or {}
    numbers = summarise(results, attributes=list(attributes), threshold=threshold)
    bootstrap = Bootstrap([result.patient for result in results], resamples, seed)
    class_pairs = [_class_pairs(result, classes, threshold) for result in results]
    pairs = {name: [_attribute_pairs(r, name, threshold) for r in results] for name in attributes}
    tables = {name: _tables(field_pairs, attributes[name]) for name, field_pairs in pairs.items()}
    class_tables = _tables(class_pairs, classes)
    spread = {name: _F1(bootstrap.sums(table), found_only=True) for name, table in tables.items()}
    class_spread = _F1(bootstrap.sums(class_tables), found_only=True)
    rows = {
        name: {
            **numbers["attributes"][name],
            "intervals": {
                "f1": spread[name].macro_interval,
                "f1_end_to_end": _F1(bootstrap.sums(table), found_only=False).macro_interval,
                "accuracy": spread[name].accuracy_interval,
            },
            "values": _per_value(table, spread[name], attributes[name]),
        }
        for name, table in tables.items()
    }
    predicted = predicted_heads(results, attributes)
    for name in set(rows) - predicted:
        rows[name]["intervals"] = dict.fromkeys(rows[name]["intervals"])
        for of_value in rows[name]["values"].values():
            of_value |= {"f1": None, "interval": None}
    for name in set(ordered) & set(tables):
        for measure, (value, bounds) in rank_measures(tables[name][:, :, :-2], bootstrap).items():
            rows[name][measure], rows[name]["intervals"][measure] = value, bounds
    detection = _detection(bootstrap, results, threshold)
    present = [spread[name].macro for name, row in rows.items() if row["f1"] is not None]
    numbers["attributes"] = rows
    numbers["intervals"] = {
        **detection,
        "class_f1": class_spread.macro_interval,
        "attribute_f1": interval(_mean(np.array(present), 0)) if present else None,
        "patients": bootstrap.clusters,
        "of_fields": bootstrap.fields,
        "resamples": resamples,
        "level": LEVEL,
    }
    numbers["classes"] = _per_class(results, class_tables, class_spread, classes, numbers, bootstrap)
    if "class" not in predicted:
        numbers["intervals"]["class_f1"] = None
        for of_class in numbers["classes"].values():
            of_class |= dict.fromkeys(("f1", "precision", "recall"))
            of_class["intervals"] = dict.fromkeys(of_class["intervals"])
    numbers["calibration"] = _calibration(results, uncalibrated, classes, list(attributes), threshold)
    numbers["confusion"] = {
        "class": _confusion(
            [pair for field_pairs in class_pairs for pair in field_pairs]
            + [(None, p.best_class) for r in results for p in r.spurious if p.confidence >= threshold],
            classes,
        ),
        "attributes": {
            name: _confusion(
                [pair for pairs_of_field in field_pairs for pair in pairs_of_field], attributes[name]
            )
            for name, field_pairs in pairs.items()
        },
    }
    numbers["domains"] = _per_domain(results, list(attributes), threshold)
    return numbers


# --- predictions per true value ------------------------------------------------------------------------


def _outcomes(result: FieldResult, threshold: float) -> list[tuple[TrueCell, Proposal | None]]:
    """Return each true cell with the proposal that found it, or ``None``."""
    outcomes: list[tuple[TrueCell, Proposal | None]] = [
        (cell, p if p.confidence >= threshold else None) for cell, p in result.matched
    ]
    return outcomes + [(cell, None) for cell in result.missed]


def _class_pairs(result: FieldResult, classes: Sequence[str], threshold: float) -> Pairs:
    known = set(classes)
    return [
        # "" = found without a predicted class: it is not a class of any schema
        (cell.cell_class, None if p is None else p.best_class or "")
        for cell, p in _outcomes(result, threshold)
        if cell.cell_class is not None and cell.cell_class in known
    ]


def _attribute_pairs(result: FieldResult, name: str, threshold: float) -> Pairs:
    return [
        (cell.attributes[name], None if p is None else p.best_attributes.get(name) or "")
        for cell, p in _outcomes(result, threshold)
        if cell.attributes.get(name, UNSURE) != UNSURE
    ]


def _tables(fields: Sequence[Pairs], names: Sequence[str]) -> np.ndarray:
    """Count ``(fields, K true, K + 2 predicted)``; the last two: another value, not found."""
    index = {name: i for i, name in enumerate(names)}
    tables = np.zeros((len(fields), len(names), len(names) + 2))
    for table, pairs in zip(tables, fields, strict=True):
        for truth, predicted in pairs:
            if truth in index:
                table[index[truth], -1 if predicted is None else index.get(predicted, -2)] += 1
    return tables


def _confusion(pairs: Sequence[tuple[str | None, str | None]], names: Sequence[str]) -> dict[str, Any]:
    """Return a confusion matrix of the names that occur, in the schema's order."""
    truths: list[str | None] = [name for name in names if any(t == name for t, _ in pairs)]
    predicted: list[str | None] = [name for name in names if any(name in pair for pair in pairs)]
    if any(p == "" for _, p in pairs):
        predicted.append("")
    predicted.append(None)
    if any(t is None for t, _ in pairs):
        truths.append(None)
    counts = Counter(pairs)
    return {"truth": truths, "said": predicted, "counts": [[counts[t, p] for p in predicted] for t in truths]}


# --- intervals -------------------------------------------------------------------------------------------


def _mean(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean of the finite numbers; NaN if there are none."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0).sum(axis)
    return np.asarray(
        np.divide(total, finite.sum(axis), out=np.full(total.shape, np.nan), where=finite.any(axis))
    )


class _F1:
    """F1 of resampled tables ``(R, K, K + 2)``, all at once."""

    def __init__(self, tables: np.ndarray, *, found_only: bool) -> None:
        k = tables.shape[1]
        true_positives = tables[:, range(k), range(k)] if k else np.zeros((len(tables), 0))
        truth = (tables[:, :, :-1] if found_only else tables).sum(2)
        predicted = tables[:, :, :k].sum(1)
        total_counts = truth + predicted
        self.each = np.where(truth > 0, 2 * true_positives / np.maximum(total_counts, 1e-12), np.nan)
        self.recall = np.where(truth > 0, true_positives / np.maximum(truth, 1e-12), np.nan)
        self.precision = np.where(predicted > 0, true_positives / np.maximum(predicted, 1e-12), np.nan)
        self.macro = _mean(self.each, 1)
        self.macro_interval = interval(self.macro)
        total = truth.sum(1)
        self.accuracy_interval = interval(
            np.where(total > 0, true_positives.sum(1) / np.maximum(total, 1e-12), np.nan)
        )


def _detection(bootstrap: Bootstrap, results: Sequence[FieldResult], threshold: float) -> dict[str, Any]:
    """Return the intervals of AP50, precision and recall."""
    found = [result.found for result in results]
    hits = bootstrap.sums(np.array([float(f.hits[f.scores >= threshold].sum()) for f in found]))
    predicted = bootstrap.sums(np.array([float((f.scores >= threshold).sum()) for f in found]))
    truths = bootstrap.sums(np.array([float(f.truths) for f in found]))
    return {
        "ap50": interval(_average_precisions(bootstrap, found)),
        "precision": interval(np.where(predicted > 0, hits / np.maximum(predicted, 1), np.nan)),
        "recall": interval(np.where(truths > 0, hits / np.maximum(truths, 1), np.nan)),
    }


def _average_precisions(bootstrap: Bootstrap, rankings: Sequence[Ranking]) -> np.ndarray:
    """Return the average precision of each resample; as `average_precision`, without its 101 steps.

    The area under the precision envelope differs from its mean at 101 recalls by less than 0.01.
    """
    truths = bootstrap.sums(np.array([float(r.truths) for r in rankings]))
    of_field = np.repeat(bootstrap.cluster_of_row, [len(r.scores) for r in rankings])
    all_ = merged(rankings)
    order = np.argsort(-all_.scores, kind="stable")
    hits = all_.hits[order].astype(np.float32)
    # equal scores are taken together, so that the order of the fields changes nothing
    new = np.flatnonzero(np.diff(all_.scores[order], prepend=np.nan) != 0)
    last = int(np.flatnonzero(hits)[-1]) + 1 if hits.any() else 0  # what follows adds no recall
    last = int(np.append(new, len(hits))[np.searchsorted(new, last)])
    order, hits, new = order[:last], hits[:last], new[new < last]
    if not last:
        return np.where(truths > 0, 0.0, np.nan)
    result = np.full(len(truths), np.nan)
    step = max(1, 2_000_000 // max(1, last))  # a few MB at a time
    for start in range(0, len(truths), step):
        weights = bootstrap.counts[start : start + step].astype(np.float32)[:, of_field[order]]
        right = np.add.reduceat(weights * hits, new, axis=1)
        predicted = np.add.reduceat(weights, new, axis=1)
        precision = np.cumsum(right, 1) / np.maximum(np.cumsum(predicted, 1), 1)
        envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
        total = truths[start : start + step]
        area = (right * envelope).sum(1)
        result[start : start + step] = np.where(total > 0, area / np.maximum(total, 1), np.nan)
    return result


def _per_value(table: np.ndarray, spread: _F1, names: Sequence[str]) -> dict[str, Any]:
    overall = _F1(table.sum(0, keepdims=True), found_only=True)
    counts = table[:, :, :-1].sum((0, 2))
    return {
        name: {
            "f1": _number(overall.each[0, i]),
            "n": int(counts[i]),
            "interval": interval(spread.each[:, i]),
        }
        for i, name in enumerate(names)
        if counts[i]
    }


def _per_class(
    results: Sequence[FieldResult],
    table: np.ndarray,
    spread: _F1,
    classes: Sequence[str],
    numbers: Mapping[str, Any],
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    overall = _F1(table.sum(0, keepdims=True), found_only=True)
    empty = Ranking(np.zeros(0), np.zeros(0, bool), 0)
    rows = {}
    for i, name in enumerate(classes):
        rankings = [result.classes.get(name, empty) for result in results]
        truths = sum(r.truths for r in rankings)
        if not truths:
            continue
        rows[name] = {
            "ap50": numbers["ap50_of"].get(name),
            "truths": truths,
            "f1": _number(overall.each[0, i]),
            "precision": _number(overall.precision[0, i]),
            "recall": _number(overall.recall[0, i]),
            "n": int(table[:, i, :-1].sum()),
            "intervals": {
                "ap50": interval(_average_precisions(bootstrap, rankings)),
                "f1": interval(spread.each[:, i]),
                "precision": interval(spread.precision[:, i]),
                "recall": interval(spread.recall[:, i]),
            },
        }
    return rows


_DOMAIN_METRICS = ("fields", "cells", "ap50", "precision", "recall", "class_f1", "class_n", "attribute_f1")


def _per_domain(
    results: Sequence[FieldResult], attributes: Sequence[str], threshold: float
) -> dict[str, Any]:
    domains: dict[str, list[FieldResult]] = defaultdict(list)
    for result in results:
        domains[result.domain].append(result)
    if len(domains) < 2:
        return {}  # it would repeat the summary
    rows = {}
    for domain in sorted(domains):
        numbers = summarise(domains[domain], attributes=attributes, threshold=threshold)
        rows[domain] = {key: numbers[key] for key in _DOMAIN_METRICS}
        rows[domain]["attribute_n"] = sum(
            row["n"] for row in numbers["attributes"].values() if row["f1"] is not None
        )
    return rows


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


# --- calibration -----------------------------------------------------------------------------------------


def _calibration(
    after: Sequence[FieldResult],
    before: Sequence[FieldResult] | None,
    classes: Sequence[str],
    attributes: Sequence[str],
    threshold: float,
) -> dict[str, Any]:
    known = set(classes)
    shown = merged(result.found for result in after)
    n = int((shown.scores >= SUGGESTED).sum())

    def suggestions(results: Sequence[FieldResult]) -> Ranking:
        # calibration keeps the order, so the same proposals come first before and after
        ranking_of_all = merged(result.found for result in results)
        top = np.argsort(-ranking_of_all.scores, kind="stable")[:n]
        return Ranking(ranking_of_all.scores[top], ranking_of_all.hits[top], ranking_of_all.truths)

    def predicted_class(cell: TrueCell, p: Proposal) -> tuple[float, bool] | None:
        if cell.cell_class not in known or not p.class_probabilities:
            return None
        return max(p.class_probabilities.values()), p.best_class == cell.cell_class

    def predicted_value(name: str) -> Callable[[TrueCell, Proposal], tuple[float, bool] | None]:
        def compare(cell: TrueCell, p: Proposal) -> tuple[float, bool] | None:
            value, probabilities = cell.attributes.get(name, UNSURE), p.attribute_probabilities.get(name)
            if value == UNSURE or not probabilities:
                return None
            return max(probabilities.values()), p.best_attributes.get(name) == value

        return compare

    is_confident = {id(cell): p.confidence >= threshold for r in after for cell, p in r.matched}

    def of_found(compare: Callable[[TrueCell, Proposal], tuple[float, bool] | None]) -> dict[str, Any]:
        def ranking(results: Sequence[FieldResult]) -> Ranking:
            compared = [
                pair
                for result in results
                for cell, p in result.matched
                if is_confident.get(id(cell)) and (pair := compare(cell, p)) is not None
            ]
            return Ranking(
                np.array([score for score, _ in compared]), np.array([hit for _, hit in compared], bool), 0
            )

        return _calibration_errors(ranking(after), None if before is None else ranking(before))

    return {
        "bins": BINS,
        "cells": _calibration_errors(suggestions(after), None if before is None else suggestions(before)),
        "class": of_found(predicted_class),
        "attributes": {name: of_found(predicted_value(name)) for name in attributes},
    }


def _calibration_errors(after: Ranking, before: Ranking | None) -> dict[str, Any]:
    return {
        "before": None if before is None else _number(expected_calibration_error(before, BINS)),
        "after": _number(expected_calibration_error(after, BINS)),
        "n": len(after.scores),
        "curve": curve(after),
    }

"""How measured numbers are written for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_lld.cli._console import new_table, number, plural, say, say_table
from training.evaluation.units import of_units

_OF_RANKS = (("places off, on average", "rank_error"), ("kappa, weighted by squares", "weighted_kappa"))
"""Of an attribute whose values have an order."""

NOT_FOUND, NO_CELL, SILENT = "not found", "no cell", "no prediction"


def say_metrics(metrics: Mapping[str, Any]) -> None:
    """Write what a model scored (`evaluation.metrics.summarise`), with the number of cells behind each value.

    Where there is more (`evaluation.extra_metrics.describe`): 95% intervals, classes, domains,
    calibration and confusion too.
    """
    of_training = "held_out" in metrics
    if of_training:  # beside it stands what was active before
        if metrics["held_out"] is None:
            say(str(metrics.get("note", "Not yet measured.")))
            return
        caution = metrics.get("caution")
        metrics = metrics["held_out"]
        say(f"Measured on held-out cells{f'. {caution}' if caution else ' that no model was trained on.'}")
    cells = int(metrics.get("cells") or 0)
    if not cells:
        say("Not measured: there are no annotated cells to compare with.")
        return
    fields = int(metrics.get("fields") or 0)
    empty = fields - int(metrics.get("fields_with_cells") or fields)
    without = f" ({empty} fields without cells)" if empty else ""
    say(f"On {plural(fields, 'field')} with {plural(cells, 'cell')}{without}:")
    spread: Mapping[str, Any] = metrics.get("intervals") or {}
    table = new_table("measure", "value", *(["95% interval"] if spread else []), "n")

    def row(name: str, value: Any, between: Any, n: Any) -> None:
        table.add_row(name, number(value), *([_interval(between)] if spread else []), str(n))

    row("white cells, AP50", metrics.get("ap50"), spread.get("ap50"), cells)
    for key in ("precision", "recall"):
        if key in metrics:
            threshold = number(metrics.get("threshold"), 2)
            row(f"  {key} from confidence {threshold}", metrics[key], spread.get(key), cells)
    if metrics.get("map50") is not None:
        row("class, mAP50", metrics["map50"], None, "")
        classes = metrics.get("classes", {})
        for name, value in metrics.get("ap50_of", {}).items():
            more = classes.get(name, {})
            row(f"  {name}", value, more.get("intervals", {}).get("ap50"), more.get("truths", ""))
    if metrics.get("class_n"):
        row("class, macro-F1 of found cells", metrics["class_f1"], spread.get("class_f1"), metrics["class_n"])
        for name, more in metrics.get("classes", {}).items():
            if more["n"]:
                row(f"  {name}", more["f1"], more["intervals"]["f1"], more["n"])
    if metrics.get("attribute_f1") is not None:
        row("attributes, macro-F1 of found cells", metrics["attribute_f1"], spread.get("attribute_f1"), "")
        for name, one in metrics.get("attributes", {}).items():
            if one.get("n"):
                row(f"  {_words(name)}", one["f1"], one.get("intervals", {}).get("f1"), one["n"])
                for title, key in (("from the class alone", "look_up"), ("within a class", "within_class")):
                    if one.get(key) is not None:
                        row(f"    {title}", one[key], None, "")
                for title, key in _OF_RANKS:
                    if one.get(key) is not None:
                        row(f"    {title}", one[key], one.get("intervals", {}).get(key), "")
    say_table(table)
    if spread:
        whose = of_units(int(spread["patients"]), spread.get("of_fields"))
        if spread["patients"] > 1:
            say(f"Intervals: {plural(int(spread['resamples']), 'resample')} of the cells {whose}.")
        else:
            say(f"No confidence intervals: all cells are {whose}.")
    if metrics.get("domains"):
        _say_domains(metrics["domains"])
    if metrics.get("calibration"):
        _say_calibration(metrics["calibration"])
    if metrics.get("confusion") and of_training:  # eight tables after each round are too many
        say("napari-lld evaluate also shows the confusion matrices.")
    elif metrics.get("confusion"):
        _say_confusion("class", metrics["confusion"]["class"])
        for name, confusion in metrics["confusion"]["attributes"].items():
            _say_confusion(_words(name), confusion)


def _say_domains(domains: Mapping[str, Any]) -> None:
    """Write how the numbers differ between microscopes, cameras and stains; beside an F1 its n."""
    table = new_table(
        "domain", "fields", "cells", "AP50", "precision", "recall", "class F1", "n", "attributes F1", "n"
    )
    for name, one in domains.items():
        table.add_row(
            name or "unknown",
            str(one["fields"]),
            str(one["cells"]),
            *(number(one[key]) for key in ("ap50", "precision", "recall", "class_f1")),
            str(one["class_n"]),
            number(one["attribute_f1"]),
            str(one["attribute_n"]),
        )
    say_table(table)


def _say_calibration(calibration: Mapping[str, Any]) -> None:
    table = new_table(f"calibration error ({calibration['bins']} bins)", "before", "after", "n")
    rows = [("suggestions", calibration["cells"]), ("class", calibration["class"])]
    rows += [(_words(name), one) for name, one in calibration["attributes"].items()]
    for name, one in rows:
        if one["n"]:
            table.add_row(name, number(one["before"]), number(one["after"]), str(one["n"]))
    say_table(table)


def _say_confusion(name: str, confusion: Mapping[str, Any]) -> None:
    """Write a confusion matrix: a row per true name, a column per prediction."""
    if not any(truth is not None for truth in confusion["truth"]):
        return
    predicted: Sequence[str | None] = confusion["said"]
    table = new_table(
        f"{name}: truth ↓ predicted →", *(NOT_FOUND if s is None else s or SILENT for s in predicted)
    )
    for truth, counts in zip(confusion["truth"], confusion["counts"], strict=True):
        # a cell that does not exist cannot be missed
        cells = [
            "" if truth is None and s is None else str(c) for s, c in zip(predicted, counts, strict=True)
        ]
        table.add_row(NO_CELL if truth is None else truth, *cells)
    say_table(table)


def _interval(between: Sequence[float] | None) -> str:
    return "" if between is None else f"{number(between[0])}–{number(between[1])}"


def _words(name: str) -> str:
    return name.replace("_", " ")

"""Format measured numbers for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_lld.cli._console import new_table, number, plural, say, say_table
from training.evaluation.units import of_units

_OF_AN_ATTRIBUTE = (
    ("from the class alone", "look_up"),
    ("within a class", "within_class"),
    # of one whose values have an order
    ("mean error in steps", "rank_error"),
    ("kappa, quadratic weights", "weighted_kappa"),
)

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
    measures = _Measures(metrics)
    measures.of_finding()
    measures.of_classes()
    measures.of_attributes()
    say_table(measures.table)
    if not_predicted := measures.not_predicted():
        say(f"Not predicted by this model, so not scored: {', '.join(not_predicted)}.")
    _say_intervals(metrics.get("intervals") or {})
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


class _Measures:
    """The table of what was measured: a row for each measure, with its interval where there are any."""

    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self._metrics = metrics
        self._spread: Mapping[str, Any] = metrics.get("intervals") or {}
        self.table = new_table("measure", "value", *(["95% interval"] if self._spread else []), "n")

    def of_finding(self) -> None:
        """Add how well white cells are found."""
        metrics, cells = self._metrics, self._metrics["cells"]
        self._row("white cells, AP50", metrics.get("ap50"), self._spread.get("ap50"), cells)
        for key in ("precision", "recall"):
            if key in metrics:
                threshold = number(metrics.get("threshold"), 2)
                self._row(f"  {key} from confidence {threshold}", metrics[key], self._spread.get(key), cells)

    def of_classes(self) -> None:
        """Add how well classes are told apart, all and each."""
        classes = self._metrics.get("classes", {})
        if self._metrics.get("map50") is not None:
            self._row("class, mAP50", self._metrics["map50"])
            for name, value in self._metrics.get("ap50_of", {}).items():
                more = classes.get(name, {})
                self._row(f"  {name}", value, _interval_of(more, "ap50"), more.get("truths", ""))
        if self._metrics.get("class_n"):
            f1, n = self._metrics["class_f1"], self._metrics["class_n"]
            self._row("class, macro-F1 of found cells", f1, self._spread.get("class_f1"), n)
            for name, more in classes.items():
                if more["n"] and more["f1"] is not None:
                    self._row(f"  {name}", more["f1"], _interval_of(more, "f1"), more["n"])

    def of_attributes(self) -> None:
        """Add how well attributes are described, all and each."""
        described = {
            name: measured
            for name, measured in self._metrics.get("attributes", {}).items()
            if measured.get("n")
        }
        if not described:
            return
        f1 = self._metrics.get("attribute_f1")
        self._row("attributes, macro-F1 of found cells", f1, self._spread.get("attribute_f1"))
        for name, measured in described.items():
            self._row(f"  {_words(name)}", measured["f1"], _interval_of(measured, "f1"), measured["n"])
            for title, key in _OF_AN_ATTRIBUTE if measured["f1"] is not None else ():
                if measured.get(key) is not None:
                    self._row(f"    {title}", measured[key], _interval_of(measured, key))

    def not_predicted(self) -> list[str]:
        """List what found cells have, and the model does not predict."""
        of_class = self._metrics.get("class_n") and self._metrics.get("class_f1") is None
        attributes = self._metrics.get("attributes", {})
        return [
            *(["class"] if of_class else []),
            *(_words(name) for name, row in attributes.items() if row.get("n") and row["f1"] is None),
        ]

    def _row(self, name: str, value: Any, between: Sequence[float] | None = None, n: Any = "") -> None:
        interval = "" if between is None else f"{number(between[0])}–{number(between[1])}"
        self.table.add_row(name, number(value), *([interval] if self._spread else []), str(n))


def _interval_of(measured: Mapping[str, Any], key: str) -> Sequence[float] | None:
    interval: Sequence[float] | None = measured.get("intervals", {}).get(key)
    return interval


def _say_intervals(spread: Mapping[str, Any]) -> None:
    """Describe the basis of the intervals."""
    if not spread:
        return
    units = of_units(int(spread["patients"]), spread.get("of_fields"))
    if spread["patients"] > 1:
        say(f"Intervals: {plural(int(spread['resamples']), 'resample')} of the cells {units}.")
    else:
        say(f"No confidence intervals: all cells are {units}.")


def _say_domains(domains: Mapping[str, Any]) -> None:
    """Write how the numbers differ between microscopes, cameras and stains; beside an F1 its n."""
    table = new_table(
        "domain", "fields", "cells", "AP50", "precision", "recall", "class F1", "n", "attributes F1", "n"
    )
    for name, measured in domains.items():
        table.add_row(
            name or "unknown",
            str(measured["fields"]),
            str(measured["cells"]),
            *(number(measured[key]) for key in ("ap50", "precision", "recall", "class_f1")),
            str(measured["class_n"]),
            number(measured["attribute_f1"]),
            str(measured["attribute_n"]),
        )
    say_table(table)


def _say_calibration(calibration: Mapping[str, Any]) -> None:
    table = new_table(f"calibration error ({calibration['bins']} bins)", "before", "after", "n")
    rows = [("suggestions", calibration["cells"]), ("class", calibration["class"])]
    rows += [(_words(name), measured) for name, measured in calibration["attributes"].items()]
    for name, measured in rows:
        if measured["n"]:
            table.add_row(name, number(measured["before"]), number(measured["after"]), str(measured["n"]))
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


def _words(name: str) -> str:
    return name.replace("_", " ")

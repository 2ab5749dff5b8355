"""How measured numbers are written for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_lld.cli._console import new_table, number, plural, say, say_table


def say_metrics(metrics: Mapping[str, Any]) -> None:
    """Write what a model scored (`training.evaluate.summarise`), with the cells each number stands on."""
    if "held_out" in metrics:  # of a training: beside it stands what was active before
        if metrics["held_out"] is None:
            say(str(metrics.get("note", "Not yet measured.")))
            return
        metrics = metrics["held_out"]
        say("Measured on held-out cells, which no model has learned from.")
    cells = int(metrics.get("cells") or 0)
    if not cells:
        say("Not measured: there is no true cell to measure on.")
        return
    say(f"On {plural(int(metrics.get('fields') or 0), 'field')} with {plural(cells, 'cell')}:")
    table = new_table("measure", "value", "n")
    table.add_row("white cells, AP50", number(metrics.get("ap50")), str(cells))
    for key in ("precision", "recall"):
        if key in metrics:
            threshold = number(metrics.get("threshold"), 2)
            table.add_row(f"  {key} from confidence {threshold}", number(metrics[key]), str(cells))
    if metrics.get("map50") is not None:
        table.add_row("class, mAP50", number(metrics["map50"]), "")
        for name, value in metrics.get("ap50_of", {}).items():
            table.add_row(f"  {name}", number(value), "")
    if metrics.get("class_n"):
        table.add_row("class, macro-F1 of found cells", number(metrics["class_f1"]), str(metrics["class_n"]))
    if metrics.get("attribute_f1") is not None:
        table.add_row("attributes, macro-F1 of found cells", number(metrics["attribute_f1"]), "")
        for name, row in metrics.get("attributes", {}).items():
            if row.get("n"):
                table.add_row(f"  {name.replace('_', ' ')}", number(row["f1"]), str(row["n"]))
    say_table(table)

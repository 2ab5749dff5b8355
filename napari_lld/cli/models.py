"""``napari-lld models``: what a project's models are worth, and which of them suggests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_lld.cli._console import UsageError, new_table, number, say, say_json, say_table
from napari_lld.cli._options import Json, ProjectPath, open_project

if TYPE_CHECKING:
    from annotation_store.records import Model

_NUMBERS = ("cells", "ap50", "precision", "recall", "class_f1", "attribute_f1", "ece")


def models(
    project: ProjectPath,
    activate: Annotated[
        str | None,
        typer.Option(metavar="ID|starter", help="Make this model active; no other model is deleted."),
    ] = None,
    roll_back: Annotated[
        bool,
        typer.Option("--roll-back", help="Reactivate the model that was active before, or the starter."),
    ] = False,
    as_json: Json = False,
) -> None:
    """List a project's models with what was measured on held-out cells; choose which one suggests."""
    from napari_lld.session.model_facts import rollback
    from training.models.folder import damage

    if activate is not None and roll_back:
        raise UsageError("--activate and --roll-back each choose a model; give one of them")
    choice = None if activate is None else _parse_model(activate)
    with open_project(project, read_only=activate is None and not roll_back) as opened:
        if roll_back:
            back = rollback(opened.models.all())
            if back is None:
                raise UsageError(
                    f"{project} already uses the starter; there is no earlier model to go back to"
                )
            choice = back.model.id if back.model is not None else "starter"
        if isinstance(choice, int):
            numbers = [known_model.id for known_model in opened.models.all()]
            if choice not in numbers:
                have = f"it has {', '.join(map(str, numbers))}; give one of them, or" if numbers else "give"
                raise UsageError(f"{project} has no model {choice}; {have} starter")
            why = None if opened.models.get(choice).retired else damage(opened.models.folder(choice))
            if why is not None:
                raise UsageError(
                    f"{why} The active model was not changed; give the number of another model, or "
                    "--activate starter."
                )
        if choice is not None:
            opened.models.activate(choice if isinstance(choice, int) else None)
        rows = [
            {**_row(model), "damaged": damage(opened.models.folder(model.id))}
            for model in opened.models.all()
        ]
    active = next((row["id"] for row in rows if row["active"]), "starter")
    if as_json:
        say_json({"project": project.absolute(), "active": active, "models": rows})
        return
    if choice is not None:
        say("The bundled starter is active now." if active == "starter" else f"Model {active} is active now.")
    if not rows:
        say("No model yet: suggestions come from the bundled starter.")
        return
    _show(rows)
    if active == "starter" and choice is None:
        say("None of them is active: suggestions come from the bundled starter.")


def _parse_model(text: str) -> int | str:
    if text == "starter":
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise UsageError(f"--activate {text}: give a model's number, or 'starter'")


def _row(model: Model) -> dict[str, Any]:
    from napari_lld.session.model_facts import comparison, held_out, model_numbers

    measured = held_out(model)
    return {
        "id": model.id,
        "parent": model.parent,
        "created": model.created,
        "active": model.active,
        "held_out": {name: measured.get(name) for name in _NUMBERS} if measured else None,
        "note": None if measured else model_numbers(model),
        "why_not_active": model.card.get("why_not_active"),
        "retired": model.retired,
        "comparison": comparison(model) or None,
    }


def _state(row: dict[str, Any]) -> str:
    if row["retired"]:
        return " retired"
    return " damaged" if row["damaged"] else ""


def _show(rows: list[dict[str, Any]]) -> None:
    table = new_table(
        "model",
        "made",
        "from",
        "held-out cells",
        "AP50",
        "precision",
        "recall",
        "class F1",
        "attributes F1",
        "ECE",
    )
    for row in rows:
        measured = row["held_out"] or {}
        table.add_row(
            f"{row['id']}{' active' if row['active'] else ''}{_state(row)}",
            row["created"].strftime("%Y-%m-%d %H:%M"),
            row["parent"],
            *(number(measured.get(name)) for name in _NUMBERS),
        )
    say_table(table)
    for row in rows:
        if row["retired"]:
            say(f"Model {row['id']} is retired: {row['retired']}.")
        elif row["damaged"]:
            out = "--roll-back goes back to the model before it" if row["active"] else "it cannot be used"
            say(f"Model {row['id']}: {row['damaged']} {out[0].upper()}{out[1:]}.")
        if row["why_not_active"]:
            say(f"Model {row['id']} was not made active: {row['why_not_active']}")
        for sentence in filter(None, (row["comparison"], row["note"] if not row["why_not_active"] else None)):
            say(f"Model {row['id']}: {sentence}")

"""Options of a command, made from the dataclass of its action (`napari_lld.options`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from napari_lld.options import options_of


def asks(action: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter ``options`` by the options of an action."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
        place = [one.name for one in own].index("options")
        own[place : place + 1] = asked = _parameters(action)

        @functools.wraps(command)
        def run(**given: Any) -> None:
            command(options=action(**{one.name: given.pop(one.name) for one in asked}), **given)

        # typer asks both what a command takes
        run.__signature__ = signature.replace(parameters=own)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in own}
        return run

    return decorate


def _parameters(action: type) -> list[inspect.Parameter]:
    """Make a parameter for each option: a switch can only be turned on."""
    return [
        inspect.Parameter(
            option.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=option.default,
            annotation=Annotated[
                option.type,
                typer.Option(
                    f"--{option.name.replace('_', '-')}",
                    help=option.about.help,
                    show_default=option.default not in ("", None),
                ),
            ],
        )
        for option in options_of(action)
    ]

"""Options of a command, made from the dataclass of its action (`napari_lld.options`)."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Annotated, Any

import typer

from napari_lld.cli._console import UsageError
from napari_lld.options import Option, options_of

_PAIRS = Mapping[str, str]
_choice: Callable[[Mapping[str, str]], Any] = functools.partial(StrEnum, "Choice")


def with_options(action: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replace a command's parameter ``options`` by the options of an action."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in signature.parameters.values()
        ]
        place = [parameter.name for parameter in parameters].index("options")
        option_list = list(options_of(action))
        parameters[place : place + 1] = [_parameter(option) for option in option_list]

        @functools.wraps(command)
        def run(**values: Any) -> None:
            options = {option.name: _read(option, values.pop(option.name)) for option in option_list}
            command(options=action(**options), **values)

        # typer asks both what a command takes
        run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _parameter(option: Option) -> inspect.Parameter:
    """Make the parameter of an option: a switch can be turned on, or off where it is on by default."""
    about, default = option.about, option.default
    kind: Any = option.type
    if about.choices:
        kind = _choice({choice.upper(): choice for choice in about.choices})
        kind = kind | None if default is None else kind
    elif kind == _PAIRS:
        kind, default = list[str] | None, None
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if option.required else default,
        annotation=Annotated[
            kind,
            typer.Option(
                f"{option.flag}/--no-{option.flag.removeprefix('--')}" if default is True else option.flag,
                help=about.help,
                metavar=about.metavar,
                min=about.least if option.whole else None,
                max=about.most if option.whole else None,
                show_default=not option.required and default not in ("", None),
            ),
        ],
    )


def _read(option: Option, value: Any) -> Any:
    """Convert the value of an option to the type of the action."""
    if isinstance(value, StrEnum):
        return value.value
    if option.type == _PAIRS:
        return _pairs(option.flag, value or ())
    least, most = option.about.least, option.about.most
    if isinstance(value, float) and least is not None and most is not None and not least <= value <= most:
        raise UsageError(f"{option.flag} {value:g}: give a number between {least:g} and {most:g}")
    return value


def _pairs(flag: str, texts: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE``, which may be repeated."""
    pairs = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"{flag} {text}: give NAME=VALUE")
        pairs[name] = value
    return pairs

"""Read untrusted YAML: no aliases, no deep nesting, words as they are written."""

from __future__ import annotations

from typing import Any

import yaml

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DEPTH = 30


class BadYamlError(ValueError):
    """A text is not valid YAML; the message gives the reason, without a full stop."""


def load_yaml(text: str) -> Any:
    """Read YAML into Python's own types.

    Raises
    ------
    BadYamlError
        It is not YAML, or has aliases.
    """
    _refuse_traps(text)
    try:
        return yaml.load(text, Loader=_LOADER)  # noqa: S506 - a safe one
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad(error) from error


def load_words(text: str) -> Any:
    """Read YAML into `Pairs`, lists and texts: each scalar as it is written, or ``None`` if it is null.

    ``No`` is not a boolean then, ``1e5`` no number, and no key of a mapping is lost.

    Raises
    ------
    BadYamlError
        It is not YAML, or has aliases.
    """
    _refuse_traps(text)
    try:
        node = yaml.compose(text, Loader=_LOADER)
        return None if node is None else _words(node)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad(error) from error


class Pairs(list[tuple[Any, Any]]):
    """A mapping as it is written: keys may come twice."""

    def get(self, key: str) -> Any:
        """Return the value of the first key of that name, or ``None``."""
        return next((value for name, value in self if name == key), None)


def _refuse_traps(text: str) -> None:
    """Reject aliases, of which a few lines expand to gigabytes, and depths, for which parsers take hours."""
    depth = 0
    try:
        # the parser distinguishes an alias from an ampersand or an asterisk
        for event in yaml.parse(text, Loader=_LOADER):
            if isinstance(event, yaml.AliasEvent):
                raise BadYamlError("it uses aliases; write every value out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH:
                raise BadYamlError("it is nested too deeply")
    except (yaml.YAMLError, RecursionError) as error:
        raise _bad(error) from error


def _words(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return Pairs((_words(key), _words(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_words(item) for item in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def _bad(error: Exception) -> BadYamlError:
    if isinstance(error, BadYamlError):
        return error
    reason, place = str(error), ""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem:
        reason, mark = error.problem, error.problem_mark or error.context_mark
        place = "" if mark is None else f", line {mark.line + 1}, column {mark.column + 1}"
    elif isinstance(error, yaml.reader.ReaderError):
        reason, place = error.reason, f", position {error.position + 1}"
    return BadYamlError((" ".join(reason.split())[:120] or type(error).__name__) + place)

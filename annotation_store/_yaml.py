"""Reading YAML that strangers wrote: no aliases, no depths, words as they are written."""

from __future__ import annotations

from typing import Any

import yaml


class BadYamlError(ValueError):
    """A text is no YAML that can be read; the message says why, without a full stop."""


def load_yaml(text: str) -> Any:
    """Read YAML into Python's own types.

    Raises
    ------
    BadYamlError
        It is no YAML, or has aliases.
    """
    _refuse_aliases(text)
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad(error) from error


def load_words(text: str) -> Any:
    """Read YAML into dicts (of lists of pairs, so that no key is lost), lists and texts.

    A mapping is a list of pairs in a `Pairs`; a scalar is the text that stands there (``No`` is no boolean,
    ``1e5`` no number), or ``None`` where it is null.

    Raises
    ------
    BadYamlError
        It is no YAML, or has aliases.
    """
    _refuse_aliases(text)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _words(node)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise _bad(error) from error


class Pairs(list[tuple[Any, Any]]):
    """A mapping as it is written: keys may come twice."""

    def get(self, key: str) -> Any:
        """Give the value of the first key of that name, or ``None``."""
        return next((value for name, value in self if name == key), None)


def _refuse_aliases(text: str) -> None:
    # the parser tells an alias from an ampersand or an asterisk; a few lines of them expand to gigabytes
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise BadYamlError("it uses aliases; write every value out")
    except (yaml.YAMLError, RecursionError) as error:
        raise _bad(error) from error


def _words(node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return Pairs((_words(key), _words(value)) for key, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return [_words(item) for item in node.value]
    return None if node.tag == "tag:yaml.org,2002:null" else str(node.value)


def _bad(error: Exception) -> BadYamlError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return error if isinstance(error, BadYamlError) else BadYamlError(reason)

"""Rewrite the words of the command line before typer parses them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

LISTS = {"predict": ("--images",)}
"""Options that take several words (``--images a.png b.png``), by command; typer knows only one word each."""


def rewrite(words: Sequence[str], commands: Collection[str]) -> tuple[list[str], bool]:
    """Make ``napari-lld`` and ``napari-lld PATH`` mean *open*, and find ``--debug`` wherever it stands.

    An argument of the whole program would swallow the name of the command, so the words are rewritten
    before they are parsed.

    Parameters
    ----------
    words
        The words after the program's name.
    commands
        The names of the commands.

    Returns
    -------
    list of str, bool
        The words for the parser, and whether ``--debug`` was among them.
    """
    end = words.index("--") if "--" in words else len(words)
    debug = "--debug" in words[:end]
    rest = [word for word in words[:end] if word != "--debug"] + list(words[end:])
    if not rest:
        return ["open"], debug
    first = rest[0]
    if first == "--":
        return ["open", *rest], debug
    if first.startswith("-"):
        return rest, debug
    if first not in commands:
        misspelt = len(rest) > 1 and not rest[1].startswith("-") and not Path(first).exists()
        return (rest if misspelt else ["open", *rest]), debug
    if first == "find":
        return [first, *_query_last(rest[1:])], debug
    return [first, *_repeat_lists(rest[1:], LISTS.get(first, ()))], debug


def _query_last(words: Sequence[str]) -> list[str]:
    """Put a query that begins with a minus (``-class:missing``) where it cannot be taken for an option."""
    if "--" in words:
        return list(words)
    queries = [word for word in words if len(word) > 2 and word[0] == "-" != word[1]]
    return [word for word in words if word not in queries] + (["--", *queries] if queries else [])


def _repeat_lists(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Write ``--images a b`` as ``--images a --images b``; a list ends at the next option."""
    expanded: list[str] = []
    current: str | None = None
    bare = False  # whether the option's own first word is still to come
    for place, word in enumerate(words):
        if word == "--":
            return expanded + list(words[place:])
        if word in options:
            current, bare = word, True
            expanded.append(word)
        elif word.startswith("-") and len(word) > 1:
            current = None
            expanded.append(word)
        elif current is not None and not bare:
            expanded += [current, word]
        else:
            bare = False
            expanded.append(word)
    return expanded

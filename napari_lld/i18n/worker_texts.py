"""Sentences of the packages below in the window: what they name of the command line is named as here.

The store, the formats and the trainer name options of the command line (``--images``). The window names its
own controls instead; a test goes through all their sentences and asks for each option they name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from annotation_store import formats
from napari_lld.i18n.sentences import in_language
from napari_lld.i18n.translate import tr

_OPTION = re.compile(r"--option (\w+)=([\w.]+)( or \w+=[\w.]+)*")
_BOTH = re.compile(
    r"\((?:in\sthe\swindow|im\sFenster):\s([^;()]+);\s(?:in\sthe\sterminal|im\sTerminal):\s[^()]+\)"
)
_COMMAND = re.compile(
    r"'napari-lld [^']*'|napari-lld\scheck\s(?:[^'\n]+? )?--repair|napari-lld [a-z]+( --?\w[\w-]*| [A-Z]+\b)*"
)


def _controls() -> Mapping[str, str]:
    """Label each option of the command line as the window does."""
    return {
        "--images": tr("“Images”"),
        "--regions": tr("“Unmarked area”"),
        "--skip-unknown": tr("“Leave that out, and import the rest”"),
        "--patient-from": tr("“Patient from name”"),
        "--overwrite": tr("another name"),
        "--device": tr("Preferences › “Train and predict on”:"),
        "--size": tr("size of training"),
        "--seed": tr("seed"),
        "--init": tr("the model"),
        "--debug": tr("☰ › Log …"),
        "--wait": tr("“Train”"),
        "--truth": tr("a fully annotated file"),
        "--out": tr("“To”"),
    }


def in_the_window(sentence: str) -> str:
    """Write a sentence of the store, which the command line shows too, for the window and in its language."""
    sentence = in_language(sentence)
    if "--" not in sentence:
        return sentence
    sentence = _BOTH.sub(r"(\1)", sentence)
    commands: list[str] = []

    def keep(match: re.Match[str]) -> str:
        commands.append(match[0])
        return f"\0{len(commands) - 1}\0"

    # a whole command is for a terminal, and is named as such
    sentence = _COMMAND.sub(keep, sentence)
    sentence = _OPTION.sub(_option, sentence)
    sentence = re.sub(r"\b(with|mit) --images", tr("under “Images”"), sentence)
    controls = _controls()
    sentence = re.sub(r"--[a-z][a-z-]*", lambda match: controls.get(match[0], match[0]), sentence)

    def in_terminal(match: re.Match[str]) -> str:
        command = commands[int(match[1])]
        if match.string[: match.start()].endswith("("):
            return tr("in a terminal: {command}", command=command)
        return tr("{command} in a terminal", command=command)

    return re.sub("\0(\\d+)\0", in_terminal, sentence)


def _option(match: re.Match[str]) -> str:
    """Label an option of a format by its control, and the value by its words."""
    name, value = match[1], match[2]
    for option in (candidate for form in formats.FORMATS.values() for candidate in form.options):
        if option.name == name:
            words = option.values.get(value, value)
            return tr("Options › “{title}”: {value}", title=tr(option.title), value=tr(words))
    return tr("Options › “{title}”: {value}", title=name, value=value)

"""Compiles the catalogues of the window's texts, for a wheel and for a checkout alike; hatchling calls it."""

from pathlib import Path
from typing import Any

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledCatalogues(BuildHookInterface):
    """Writes ``de.mo``, which Python's gettext reads, beside ``de.po``, which people read."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002
        """Compile, before files are collected."""
        for text in (Path(self.root) / "napari_lld" / "i18n" / "locale").glob("*.po"):
            with text.open("rb") as source, text.with_suffix(".mo").open("wb") as compiled:
                write_mo(compiled, read_po(source, locale=text.stem))

"""Pages of the documentation that follow from the code; MkDocs calls it (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the changelog, which lies beside docs/."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    files.append(File.generated(config, "changelog.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill what follows from the code; let links to files beside docs/ lead to their pages here."""
    filled = {"command-line.md": command_line, "adr/index.md": decisions}.get(page.file.src_uri)
    markdown = markdown.replace("](../CHANGELOG.md)", "](changelog.md)")
    return re.sub(r"\[([^\]]+)\]\(\.\./[A-Z]+\.md\)", r"\1", markdown) + (filled() if filled else "")


def command_line() -> str:
    """Return what each command says of itself."""
    os.environ.update(TYPER_USE_RICH="0", TERMINAL_WIDTH="100", COLUMNS="100")
    from typer.testing import CliRunner

    from napari_lld.cli._app import app

    def helped(*words: str) -> str:
        said = CliRunner().invoke(app, [*words, "--help"], prog_name="napari-lld", catch_exceptions=False)
        return said.output.strip()

    parts = ["\n```text", helped(), "```\n"]
    for command in app.registered_commands:
        if not command.hidden:
            name = command.name or ""
            parts += [f"## {name}\n", "```text", helped(name), "```\n"]
    return "\n".join(parts)


def decisions() -> str:
    """Return the list of all decision records."""
    lines = []
    for file in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = file.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({file.name})\n")
    return "\n" + "".join(lines)

"""Pages of the documentation that follow from the code; MkDocs calls it (`hooks` in mkdocs.yml)."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "examples" / "tools"))

from notebooks import SCRIPTS, cells_of  # noqa: E402 - it lies there


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what lies beside docs/: the changelog, and a page for each example."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    files.append(File.generated(config, "changelog.md", content=text))
    for script in SCRIPTS:
        files.append(File.generated(config, f"examples/{script.stem}.md", content=example(script)))
    return files


def example(script: Path) -> str:
    """Return an example as a page: its text, and its code in blocks."""
    title, *cells = cells_of(script)
    files = f"`examples/{script.name}` · `examples/notebooks/{script.stem}.ipynb`"
    parts = [title.source, f"{files}, with `--quick` in half a minute."]
    parts += [f"```python\n{one.source}\n```" if one.cell_type == "code" else one.source for one in cells]
    return "\n\n".join(parts) + "\n"


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Fill what follows from the code; let links to files beside docs/ lead to their pages here."""
    pages = {"command-line.md": command_line, "adr/index.md": decisions, "examples.md": examples}
    filled = pages.get(page.file.src_uri)
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


def examples() -> str:
    """Return the list of all examples."""
    lines = []
    for script in SCRIPTS:
        heading, _, about = cells_of(script)[0].source.partition("\n\n")
        title, first = heading.removeprefix("# "), about.partition("\n")[0]
        lines.append(f"- [{title}](examples/{script.stem}.md): {first[0].lower() + first[1:]}\n")
    return "\n" + "".join(lines)


def decisions() -> str:
    """Return the list of all decision records."""
    lines = []
    for file in sorted((ROOT / "docs" / "adr").glob("[0-9]*.md")):
        title = file.read_text("utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({file.name})\n")
    return "\n" + "".join(lines)

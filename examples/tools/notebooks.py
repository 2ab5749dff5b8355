"""Write a notebook for each example, of the same code and text: ``examples/notebooks/*.ipynb``.

    python examples/tools/notebooks.py            # writes them
    python examples/tools/notebooks.py --quick    # only says whether they are those that it would write

The scripts are the source, in cells that begin with ``# %%``: Jupyter, VS Code and Spyder run them too.
"""

from __future__ import annotations

import argparse
import ast
import sys
from pathlib import Path

import jupytext
import nbformat

EXAMPLES = Path(__file__).parents[1]
SCRIPTS = sorted(file for file in EXAMPLES.glob("*.py") if "\n# %%\n" in file.read_text("utf-8"))


def cells_of(script: Path) -> list[nbformat.NotebookNode]:
    """Return the cells of a script; its docstring is the first one, with the script's name for a title."""
    cells = jupytext.reads(script.read_text("utf-8"), fmt="py:percent").cells
    about = ast.get_docstring(ast.parse(cells[0].source)) or ""
    usage = f"    python examples/{script.name} [--quick]\n\n"
    title = script.stem.replace("_", " ").capitalize().replace("python", "Python")
    return [nbformat.v4.new_markdown_cell(f"# {title}\n\n{about.replace(usage, '')}"), *cells[1:]]


def notebook(script: Path) -> str:
    """Return the notebook of a script, without outputs, the same each time."""
    made = nbformat.v4.new_notebook(
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(cells_of(script)):
        make = nbformat.v4.new_code_cell if cell.cell_type == "code" else nbformat.v4.new_markdown_cell
        made.cells.append(make(cell.source, id=f"cell-{number}"))
    nbformat.validate(made)
    return nbformat.writes(made, indent=1) + "\n"


def main() -> int:
    """Write the notebooks, or name those that are not up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="check instead of writing")
    check = parser.parse_args().quick
    wanted = {EXAMPLES / "notebooks" / f"{script.stem}.ipynb": notebook(script) for script in SCRIPTS}
    stale = [file for file, text in wanted.items() if not file.is_file() or file.read_text("utf-8") != text]
    stale += [file for file in (EXAMPLES / "notebooks").glob("*.ipynb") if file not in wanted]
    for file in stale:
        if check:
            print(f"{file.name} is not made from its script: run python examples/tools/notebooks.py")
        elif file in wanted:
            file.parent.mkdir(exist_ok=True)
            file.write_text(wanted[file], "utf-8", newline="\n")
        else:
            file.unlink()
    print(f"{len(wanted)} notebooks, {len(stale)} {'out of date' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

"""Find habits of wording that `.ci/prose.toml` lists, in all texts that people read.

python .ci/prose.py    # one line for each; exit 1 if there is any
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = ROOT / ".ci" / "prose.toml"
_HISTORY = ("docs/adr/", "docs/benchmarks", "CHANGELOG.md", "tests/", "annotation_store/_db/migrations/")
_READ = {".py", ".md", ".html", ".po", ".yaml"}


def rules(file: Path = RULES) -> list[tuple[re.Pattern[str], str, list[str]]]:
    """Read the rules: what not to write, what instead, and the files that a rule is not for."""
    listed = tomllib.loads(file.read_text("utf-8"))["rule"]
    return [(re.compile(rule["pattern"]), rule["write"], rule.get("except", [])) for rule in listed]


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line numbers and texts: of Python, string literals only."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), 1)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, " ".join(node.value.split())


def openings(path: Path, listed: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Yield line number, opening word and better words of each function whose docstring opens oddly."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            word = (ast.get_docstring(node) or "").split(maxsplit=1)[:1]
            if word and (write := listed.get(word[0].rstrip(",.:"))):
                yield node.lineno, word[0], write


def found(paths: list[Path]) -> Iterator[str]:
    """Yield one line for each habit found."""
    listed = rules()
    opening = tomllib.loads(RULES.read_text("utf-8"))["opening"]
    for path in paths:
        if path.suffix == ".py":
            for number, word, write in openings(path, opening):
                yield f"{path.relative_to(ROOT)}:{number}: docstring opens with {word!r}; write {write}"
        for number, text in texts(path):
            for pattern, write, exempt in listed:
                for hit in pattern.finditer(text) if str(path.relative_to(ROOT)) not in exempt else ():
                    yield f"{path.relative_to(ROOT)}:{number}: {hit[0]!r}; write {write}"


def main() -> int:
    """Read all files that git knows."""
    names = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [
        ROOT / name
        for name in names.splitlines()
        if Path(name).suffix in _READ and not name.startswith((*_HISTORY, ".ci/"))
    ]
    lines = list(found([path for path in paths if path.is_file()]))
    print("\n".join(lines))
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

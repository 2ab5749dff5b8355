"""The texts of the window: which go through `tr`, which were forgotten, what a catalogue lacks.

python .ci/texts.py            # what is wrong, one line each; exit 1 if anything is
python .ci/texts.py --missing  # the entries that the catalogues lack, to be copied into them; stale ones

Sentences of the store and the trainer (errors, and what imports and exports leave out) have catalogues of
their own, ``de.sentences.json``: see `napari_lld.i18n.sentences`.
"""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

from annotation_store import formats

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "napari_lld"
REASONS = (
    "ranking/*.py",
    "evaluation/gate.py",
    "evaluation/unchecked_films.py",
    "evaluation/units.py",
    "inference/stain_proposals.py",
    "worker/annotated_fields.py",
    "worker/comparison.py",
    "worker/budget.py",
    "worker/lock.py",
    "worker/search.py",
    "worker/suggest.py",
)
"""Of `training`: they speak in reasons, which the window says in its language."""
_NOT_SHOWN = {"cli", "demo", "report", "sample"}  # the command line and the report speak English
_NOT_TEXT = {"translate.py", "key_table.py"}
_NAMES = {"layer list", "layer controls", "nucleated red cell", "Unknown area", "unknown area"}
"""Names of things of napari or of the schema, by which they are found: never translated."""
_TABLES = {"as_rows", "stylesheet"}
"""Functions that write for other programs, the same in every language."""

_TRANSLATES = {"tr": 1, "later": 1, "trn": 2, "Reason": 2}
"""How many of its first arguments are the text."""
_COMMAND_TEXTS = {1: "title", 4: "group", 6: "help"}  # `Command` translates these itself
_SHOWS = {
    "setText", "setToolTip", "setWindowTitle", "setPlaceholderText", "addItem", "addTab", "addRow",
    "addAction", "addMenu", "setTitle", "setTabText", "setTabToolTip", "setAccessibleName", "setItemText",
    "setPrefix", "setSuffix", "setLabelText", "setPlainText", "QLabel", "QPushButton", "QCheckBox",
    "QRadioButton", "QAction", "QGroupBox", "label", "button", "tool_button", "notify",
}  # fmt: skip
_REASONS_OF_ERRORS = {
    "_clash", "_lacks_here", "_lacks_there", "_lookalikes", "_odd_side", "_one_image", "missing",
    "too_large", "unfit",
}  # fmt: skip
"""Functions that return what errors give as the reason."""
_NOUNS = {
    "number (id)", "letter", "colour", "key", "attribute", "class {0}", "group {0}", "attribute {0}",
    "kind {0} of {1}", "value {0} of {1}", "value of {0}", "class in group {0}", "class or group",
    "other titles", "'Reading 1'", "is nested too deeply", "holds {0}, which is not a number",
    "holds {0}, which is too large a number",
}  # fmt: skip
"""What sentences are filled with."""
_OF_PYDANTIC = {
    "Field required", "Extra inputs are not permitted", "Input should be {0}",
    "Input should be a valid integer", "Input should be a finite number",
    "Input should be a valid integer, got a number with a fractional part",
    "Input should be a valid integer, unable to parse string as an integer",
    "Input should be a valid number", "Input should be a valid number, unable to parse string as a number",
    "Input should be a valid string", "Input should be a valid list", "Input should be a valid tuple",
    "Input should be a valid boolean", "Input should be a valid boolean, unable to interpret input",
    "Input should be a valid dictionary", "Input should be a valid dictionary or instance of {0}",
    "Input should be greater than {0}", "Input should be greater than or equal to {0}",
    "Input should be less than {0}", "Input should be less than or equal to {0}",
    "String should have at least {0} character", "String should have at least {0} characters",
    "String should have at most {0} character", "String should have at most {0} characters",
    "String should match pattern {0}",
}  # fmt: skip
"""What is wrong with an entry of a schema or of a model's card, as pydantic says it."""
_RULES = {"annotation_store/schema/model.py", "training/models/card.py"}
"""Modules whose ``ValueError`` pydantic hands on as the reason."""
_FREE = {"setObjectName", "setStyleSheet", "setProperty", "getattr", "setattr", "strftime", "property"}
_SENTENCE = re.compile(r"[^\W\d_]{2,},? [^\W\d_]{2,}")
_FOR_PROGRAMS = {
    "ColourError", "GarbageError", "EngineError", "UnusableError", "OnnxError",  # caught within
    "ValueError", "TypeError", "KeyError", "IndexError", "RuntimeError", "OSError", "NotImplementedError",
    "AssertionError", "AttributeError",
}  # fmt: skip
_FEWEST_LETTERS = 8
_LETTER = re.compile(r"[^\W\d_]")
_PLACE = re.compile(r"\{\{n\}\}|\{\d+\}")
_COMMAND_IN_TEXT = re.compile(r"\[[a-z]+\.[a-z_]+\]")
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass
class Found:
    """What one module says."""

    path: Path
    messages: set[tuple[str, ...]] = field(default_factory=set)
    forgotten: list[ast.expr] = field(default_factory=list)


def read(path: Path) -> Found:
    """Read one module."""
    found = Found(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for statement in tree.body:
        _walk(statement, found, shown=False)
    return found


def sources() -> Iterator[Path]:
    """Give the modules whose texts are shown in the window."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.relative_to(PACKAGE).parts[0] not in _NOT_SHOWN and path.name not in _NOT_TEXT:
            yield path
    for pattern in REASONS:
        yield from sorted((ROOT / "training").glob(pattern))


def _walk(node: ast.AST, found: Found, *, shown: bool) -> None:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Raise() | ast.Assert():
            return  # docstrings, and sentences for programmers
        case ast.Assign(targets=[ast.Name(id="cure")]):
            return  # of an error
        case ast.Subscript(slice=index):
            _walk(node.value, found, shown=shown)
            _walk(index, found, shown=False)
            return
        case ast.Compare():
            for child in ast.iter_child_nodes(node):
                _walk(child, found, shown=False)
            return
        case ast.AnnAssign(annotation=annotation, value=value):
            for note in ast.walk(annotation):  # Annotated[…, About(later("…"))]
                if isinstance(note, ast.Call):
                    _walk(note, found, shown=False)
            if value is not None:
                _walk(value, found, shown=shown)
            return
        case ast.FunctionDef(args=arguments):
            for default in (*arguments.defaults, *(d for d in arguments.kw_defaults if d is not None)):
                _walk(default, found, shown=shown)
            for statement in node.body if node.name not in _TABLES else ():
                _walk(statement, found, shown=False)
            return
        case ast.Call(func=function):
            _walk_call(node, _name(function), found)
            return
        case ast.JoinedStr(values=values):
            plain = "".join(str(v.value) if isinstance(v, ast.Constant) else " {} " for v in values)
            if _is_text(plain, shown=shown):
                found.forgotten.append(node)
                return
            for value in values:
                if isinstance(value, ast.FormattedValue):
                    _walk(value.value, found, shown=shown)
            return
        case ast.Constant(value=str(text)):
            if _is_text(text, shown=shown):
                found.forgotten.append(node)
            return
        case ast.Dict(keys=keys, values=values):
            for key in keys:
                if key is not None:
                    _walk(key, found, shown=False)
            for value in values:
                _walk(value, found, shown=shown)
            return
    for child in ast.iter_child_nodes(node):
        _walk(child, found, shown=shown)


def _walk_call(node: ast.Call, name: str, found: Found) -> None:
    if name in _TRANSLATES:
        texts = [_literal(argument) for argument in node.args[: _TRANSLATES[name]]]
        if all(text is not None for text in texts):
            found.messages.add(tuple(str(text) for text in texts))
        elif isinstance(node.args[0], ast.JoinedStr):
            found.forgotten.append(node.args[0])
        for argument in (*node.args[_TRANSLATES[name] :], *(k.value for k in node.keywords)):
            _walk(argument, found, shown=True)
        return
    command = name == "Command"
    arguments = [(str(i), a) for i, a in enumerate(node.args)] + [
        (k.arg or "", k.value) for k in node.keywords
    ]
    _walk(node.func, found, shown=False)
    for place, argument in arguments:
        texts_of = _COMMAND_TEXTS.get(int(place)) if place.isdigit() else place
        if command and texts_of in _COMMAND_TEXTS.values():
            text = _literal(argument)
            if text:
                found.messages.add((text,))
            elif text is None:
                _walk(argument, found, shown=True)
        elif name not in _FREE:
            # Of what shows several things, only what has words is a text: `addItem(title, "key")`.
            _walk(argument, found, shown=name in _SHOWS and place in ("0", "1") and not _is_key(name, place))


def _is_key(name: str, place: str) -> bool:
    """Whether an argument of what shows texts is none itself: an id, a level, a role."""
    keyed = {"notify": "0", "button": "0", "tool_button": "0", "label": "1", "addItem": "1"}
    return keyed.get(name) == place


def _is_text(text: str, *, shown: bool) -> bool:
    return text not in _NAMES and bool((_WORD if shown else _SENTENCE).search(text))


def _literal(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def catalogue(path: Path) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Read what a catalogue translates: English text, with its plural if it has one, to the translations."""
    with path.open("rb") as file:
        entries = {_forms(entry.id): _forms(entry.string) for entry in read_po(file, locale=path.stem)}
    return {source: told for source, told in entries.items() if source[0] and all(told)}


def _forms(text: str | Sequence[str]) -> tuple[str, ...]:
    return (text,) if isinstance(text, str) else tuple(text)


def sentences() -> dict[str, str]:
    """Collect the sentences of the store and the trainer, with a place where each stands."""
    found = dict.fromkeys(_NOUNS | _OF_PYDANTIC, "a word")
    trees = {
        path: ast.parse(path.read_text(encoding="utf-8"))
        for package in ("annotation_store", "training")
        for path in sorted((ROOT / package).rglob("*.py"))
    }
    functions = _functions(node for tree in trees.values() for node in ast.walk(tree))
    for path, tree in trees.items():
        of_node = _stored if path.name == "cautions.py" else _spoken
        near = functions | _functions(ast.walk(tree))  # a name may stand for others elsewhere
        for node in ast.walk(tree):
            spoken = [sentence for text in of_node(node) for sentence in _returned(text, near)]
            if str(path.relative_to(ROOT)) in _RULES:
                spoken += _rule(node)
            if isinstance(node, ast.FunctionDef) and node.name in _REASONS_OF_ERRORS:
                spoken += _returns(node)
            for text in filter(None, map(_template, spoken)):
                if len(_LETTER.findall(text)) >= _FEWEST_LETTERS:
                    found.setdefault(text, f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}")
    return found


def _functions(nodes: Iterable[ast.AST]) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in nodes if isinstance(node, ast.FunctionDef)}


def _returned(text: ast.expr, functions: Mapping[str, ast.FunctionDef]) -> list[ast.expr]:
    """Return the sentences that a called function returns, with the words that the call gives it."""
    function = functions.get(_name(text.func)) if isinstance(text, ast.Call) else None
    if function is None or not isinstance(text, ast.Call):
        return [text]
    names = [argument.arg for argument in function.args.args]
    given = {n: a.values for n, a in zip(names, text.args, strict=False) if isinstance(a, ast.JoinedStr)}
    return [_filled(sentence, given) for sentence in _returns(function)]


def _returns(function: ast.FunctionDef) -> list[ast.expr]:
    """Return the texts that a function returns."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return)]
    return [value for value in values if isinstance(value, ast.Constant | ast.JoinedStr)]


def _filled(sentence: ast.expr, given: Mapping[str, list[ast.expr]]) -> ast.expr:
    if not isinstance(sentence, ast.JoinedStr):
        return sentence
    parts: list[ast.expr] = []
    for part in sentence.values:
        name = (
            part.value.id if isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.Name) else ""
        )
        parts += given.get(name, [part])
    return ast.JoinedStr(_joined(parts))


def _joined(parts: Sequence[ast.expr]) -> list[ast.expr]:
    """Join texts that follow each other."""
    joined: list[ast.expr] = []
    for part in parts:
        if joined and isinstance(part, ast.Constant) and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + str(part.value))
        else:
            joined.append(part)
    return joined


def _spoken(node: ast.AST) -> Sequence[ast.expr]:
    """Return what an error says, or a note of an import or export."""
    match node:
        case (
            ast.Raise(exc=ast.Call(func=function, args=[first, *_]))
            | ast.Return(value=ast.Call(func=function, args=[first, *_]))
        ):
            name = _name(function)
            return [first] if name.endswith("Error") and name not in _FOR_PROGRAMS else []
        case ast.Call(func=ast.Attribute(attr="count" | "note" | "left_out"), args=arguments):
            return [one for one in arguments if " " in (_template(one) or "")]
    return []


def _rule(node: ast.AST) -> Sequence[ast.expr]:
    """Return the reason of a rule that an entry breaks."""
    match node:
        case ast.Raise(exc=ast.Call(func=ast.Name(id="ValueError"), args=[text])):
            return [text]
    return []


def _stored(node: ast.AST) -> Sequence[ast.expr]:
    """Return a sentence that a model's card keeps."""
    match node:
        case ast.Return(value=ast.expr() as text) | ast.Assign(value=text):
            return [text]
        case ast.Call(func=ast.Attribute(attr="append"), args=[text]):
            return [text]
    return []


def _template(node: ast.expr) -> str | None:
    """Write a literal or an f-string as `napari_lld.i18n.sentences` reads it; ``None`` for all else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.replace("{", "{{").replace("}", "}}")
    if not isinstance(node, ast.JoinedStr):
        return None
    places = iter(range(len(node.values)))
    return "".join(
        (_template(value) or "") if isinstance(value, ast.Constant) else f"{{{next(places)}}}"
        for value in node.values
    )


def _complaints_about_sentences() -> Iterator[str]:
    said = sentences()
    for path in sorted((PACKAGE / "i18n" / "locale").glob("*.sentences.json")):
        catalogue = json.loads(path.read_text(encoding="utf-8"))
        for text in said.keys() - catalogue.keys():
            yield f"{said[text]}: {path.name} lacks {text!r}"
        for text in catalogue.keys() - said.keys():
            yield f"{path.name}: nobody says any more {text!r}"
        for text, translation in catalogue.items():
            if set(_PLACE.findall(text)) != set(_PLACE.findall(translation)):
                yield f"{path.name}: other places than in {text!r}: {translation!r}"


def complaints() -> Iterator[str]:
    """Say what is wrong."""
    yield from _complaints_about_sentences()
    for path in sources():
        found = read(path)
        for node in found.forgotten:
            told = ast.unparse(node)
            yield f"{path.relative_to(ROOT)}:{node.lineno}: not through tr(): {told[:90]}"
    for path in sorted((PACKAGE / "i18n" / "locale").glob("*.po")):
        for source, translation in catalogue(path).items():
            wanted = {name for text in source for name in _names(text)}
            for form in translation:
                if _COMMAND_IN_TEXT.findall(form) != _COMMAND_IN_TEXT.findall(source[0]):
                    yield f"{path.name}: other commands in brackets than in {source!r}: {form!r}"
                if not set(_names(form)) <= wanted or (wanted - {"count"}) - set(_names(form)):
                    yield f"{path.name}: other names in braces than in {source!r}: {form!r}"


def stale(path: Path) -> list[tuple[str, ...]]:
    """Give what a catalogue translates though nobody says it any more; it does no harm."""
    said = _said()
    return [source for source in catalogue(path) if source not in said]


def missing(path: Path) -> list[tuple[str, ...]]:
    """Give what a catalogue has no translation of."""
    return sorted(_said() - catalogue(path).keys())


def _said() -> set[tuple[str, ...]]:
    messages = {message for source in sources() for message in read(source).messages}
    return {message for message in messages | {(text,) for text in _of_formats()} if message[0]}


def _of_formats() -> Iterator[str]:
    """Give what forms show of the formats: the registry describes them."""
    for form in formats.FORMATS.values():
        yield form.title
        for option in form.options:
            yield from option.texts()


def _names(text: str) -> list[str]:
    return re.findall(r"\{(\w+)", text)


def main() -> int:
    """Say what is wrong, or what is missing."""
    if "--missing" in sys.argv:
        for path in sorted((PACKAGE / "i18n" / "locale").glob("*.po")):
            for source in stale(path):
                print(f"# nobody says any more: {source[0]!r}\n", flush=True)
            lacking = Catalog(locale=path.stem)
            for message in missing(path):
                lacking.add(message if len(message) == 2 else message[0])
            write_po(sys.stdout.buffer, lacking, width=120, omit_header=True)
        return 0
    wrong = list(complaints())
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

"""The classes of a YOLO data set by number: from its YAML file of any name, or a list of names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from annotation_store.errors import FormatError
from annotation_store.files.yaml_reader import BadYamlError, Pairs, load_words
from annotation_store.formats._io.text import decoded, lines, read_file, shown

_USUAL = ("data.yaml", "data.yml", "dataset.yaml")
_LISTS = ("classes.txt", "obj.names", "labels/classes.txt")
SUFFIXES = (".yaml", ".yml")
_MAX_BYTES = 1_000_000
_MOST = 100_000


@dataclass(frozen=True, slots=True)
class DataSet:
    """What is known of a data set besides its labels and images.

    Attributes
    ----------
    root
        The folder that holds them.
    names
        The class names by number.
    point_columns
        How many columns of key points follow a box (of pose data sets).
    """

    root: Path
    names: Mapping[int, str]
    point_columns: int = 0


def data_set_of(path: Path) -> DataSet:
    """Read the YAML that is named, or find the one of a folder.

    Raises
    ------
    FormatError
        There is none, or several that differ: numbers are not guessed.
    """
    if path.is_file():
        if path.suffix.lower() in SUFFIXES:
            return of_yaml(path)
        if path.suffix.lower() == ".names" or path.name in _LISTS:
            return DataSet(path.parent, _read_list(path))
        path = path.parent
    root = path.parent if path.name == "labels" else path
    for place in (root, root.parent):
        if (data_set := in_folder(place)) is not None:
            return DataSet(root, data_set.names, data_set.point_columns)
    raise FormatError(
        f"The folder {root} has no data.yaml, which names the classes. "
        "Copy the data.yaml of the data set there, or choose its YAML file."
    )


def in_folder(folder: Path) -> DataSet | None:
    """Find what lists the classes in a folder: ``data.yaml``, else the only other list that is there.

    Raises
    ------
    FormatError
        Several differ.
    """
    for name in _USUAL:
        if (folder / name).is_file():
            return of_yaml(folder / name)
    lists = {name: DataSet(folder, _read_list(folder / name)) for name in _LISTS if (folder / name).is_file()}
    if not folder.is_dir():
        raise FormatError(f"There is no folder {folder}: check the path.")
    try:
        beside = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    except OSError as error:
        raise FormatError(
            f"The folder {folder} cannot be read ({error.strerror}): check the path, and its permissions."
        ) from error
    for path in beside:
        try:
            lists[path.name] = of_yaml(path)
        except FormatError:  # settings of a training, or anything else
            continue
    if len({tuple(sorted(data_set.names.items())) for data_set in lists.values()}) > 1:
        raise FormatError(
            f"In {folder}, {' and '.join(map(shown, lists))} list different classes: "
            "choose the correct one instead of the folder."
        )
    return next(iter(lists.values()), None)


def _read_list(path: Path) -> dict[int, str]:
    names = [line.strip() for line in lines(read_file(path, limit=_MAX_BYTES), str(path))]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise FormatError(f"The file {path} is empty: it must list the classes, one per line.")
    return {number: name for number, name in enumerate(names) if name}


def of_yaml(path: Path) -> DataSet:
    """Read a YAML that lists classes."""
    content = _content(read_file(path, limit=_MAX_BYTES), str(path))
    root = path.parent
    root_name = content.get("path")
    if isinstance(root_name, str) and root_name.strip():
        root = _resolve_root(root, root_name.strip())
    return DataSet(root, _names(content.get("names"), str(path)), _point_columns(content.get("kpt_shape")))


def _resolve_root(folder: Path, stated: str) -> Path:
    """Return the folder that a YAML states, if it lies inside the YAML's own or beside it."""
    try:
        target = (folder / stated.replace("\\", "/")).resolve()
        if target.is_dir() and target.is_relative_to(folder.resolve().parent):
            return target
    except (OSError, ValueError, RuntimeError):  # a name that the system cannot even look for
        pass
    return folder


def parse_names(data: bytes, source: str) -> dict[int, str]:
    """Read the names in a ``data.yaml``: a list, or a mapping from numbers, quoted or not."""
    return _names(_content(data, source).get("names"), source)


def _content(data: bytes, source: str) -> Pairs:
    try:
        content = load_words(decoded(data, source))
    except BadYamlError as error:
        raise FormatError(f"The file {source} cannot be read as YAML ({error}): correct it.") from error
    return content if isinstance(content, Pairs) else Pairs()


def _names(content: Any, source: str) -> dict[int, str]:
    if isinstance(content, list) and not isinstance(content, Pairs):
        content = Pairs((str(number), name) for number, name in enumerate(content))
    if not isinstance(content, Pairs) or not content:
        raise FormatError(f"The file {source} has no names: it must list the classes.")
    if len(content) > _MOST:
        raise FormatError(
            f"The file {source} has more than {_MOST:,} classes: check that it is the right one."
        )
    names: dict[int, str | None] = {}
    for key, value in content:
        number = _whole(key)
        if number is None or not isinstance(value, str | None):
            raise FormatError(
                f"The keys of names in {source} must be whole numbers, each with a text: correct "
                f"{shown(key)}."
            )
        if number in names:
            raise FormatError(f"The file {source} names the class {number} twice: correct it.")
        names[number] = value
    # null is a number without a name; the plain word None is not a null in YAML, and a class of LLD
    return {number: name for number, name in names.items() if name is not None}


def _whole(key: Any) -> int | None:
    text = key.strip() if isinstance(key, str) else ""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _point_columns(shape: Any) -> int:
    numbers = [_whole(n) for n in shape] if isinstance(shape, list) and len(shape) == 2 else []
    points, per_point = numbers if len(numbers) == 2 else (None, None)
    return points * per_point if points and per_point and points * per_point < 10_000 else 0

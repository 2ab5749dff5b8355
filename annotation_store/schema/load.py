"""Loading a schema from a preset, a YAML file, or the categories of a COCO file."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from annotation_store.errors import SchemaError
from annotation_store.files.yaml_reader import BadYamlError, load_yaml
from annotation_store.schema.from_coco import schema_from_coco
from annotation_store.schema.limits import too_large, unfit
from annotation_store.schema.model import Schema

_PRESETS = ("lld", "wbcatt")
_MAX_BYTES = 2_000_000


def preset_names() -> tuple[str, ...]:
    """List the schemas that come with the package."""
    return _PRESETS


def load_schema(name_or_path: str | Path) -> Schema:
    """Load a preset by name (``"lld"``, ``"wbcatt"``) or a schema file.

    Parameters
    ----------
    name_or_path
        The name of a preset, the path of a YAML file, or the path of a COCO ``.json`` file, whose
        categories and attribute values become the schema.

    Raises
    ------
    SchemaError
        The file is missing, unreadable, or not a valid schema; the text names the wrong part.
    """
    if isinstance(name_or_path, str) and name_or_path in _PRESETS:
        return _preset(name_or_path)
    path = Path(name_or_path)
    if not path.is_file():
        raise SchemaError(
            f"There is no schema {str(name_or_path)!r}: give {' or '.join(_PRESETS)}, "
            "a YAML schema file, or a COCO .json file."
        )
    if path.suffix.lower() == ".json":
        # only here, so that a schema does not depend on the formats
        from annotation_store.files.json_reader import read_json

        document = read_json(path)
        if isinstance(document, dict) and "categories" not in document and "classes" in document:
            return _validate(document, str(path))
        return schema_from_coco(document, name=path.stem, source=str(path))
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SchemaError(f"{path} is too large for a schema file: give a YAML file of a few kilobytes.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SchemaError(
            f"The schema file {path} cannot be read ({error}): check it is a text file."
        ) from error
    return _parse(text, str(path))


@cache
def _preset(name: str) -> Schema:
    text = (resources.files("annotation_store.schema") / f"{name}.yaml").read_text(encoding="utf-8")
    return _parse(text, name)


def _parse(text: str, source: str) -> Schema:
    try:
        data = load_yaml(text)
    except BadYamlError as error:
        raise SchemaError(
            f"The schema file {source} cannot be read as YAML ({error}): correct it."
        ) from error
    return _validate(data, source)


def _validate(data: Any, source: str) -> Schema:
    if not isinstance(data, dict):
        raise SchemaError(
            f"The schema file {source} does not define a schema: it needs name, classes and attributes."
        )
    if reason := too_large(data):
        raise SchemaError(f"The schema file {source} is too large: {reason}.")
    try:
        schema = Schema.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "schema"
        message = first["msg"].removeprefix("Value error, ")
        raise SchemaError(f"The schema file {source} is not valid: {where}: {message}.") from error
    if reason := unfit(schema):
        raise SchemaError(f"The schema file {source} is not valid: {reason}.")
    return schema

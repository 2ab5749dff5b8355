"""Read and validate model cards as untrusted files: every number and list has bounds; no torch.

The content of a card decides how much memory is allocated and what is divided by, so nothing uses it before
it is validated here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from annotation_store.errors import LLDError
from annotation_store.files import strict_json
from training.networks.architectures import STARTER_ARCHITECTURE, ArchitectureName

FORMAT = "napari-lld model"
FORMAT_VERSION = 3
"""Newest version that is read: 2 = models that describe cells by their stain, 3 = also by their colours,
unknown to older versions."""

TRUNK: Literal["trunk"] = "trunk"
APPEARANCE: Literal["appearance"] = "appearance"
COLOURS: Literal["trunk and colours"] = "trunk and colours"
DescriberName = Literal["trunk", "trunk and colours", "appearance"]
"""How a model describes cells: by a trunk (also of cards without this entry), by a trunk and their colours
(`training.networks.colours`), or by their stain (`training.networks.appearance`)."""

VERSIONS: dict[DescriberName, int] = {TRUNK: 1, APPEARANCE: 2, COLOURS: FORMAT_VERSION}
"""Oldest version of the format that can describe cells so."""

_MAX_BYTES = 20_000_000
_MAX_VALUES = 20_000
"""Maximum number of values of all heads; a head has a row of weights per value."""


class ModelError(LLDError):
    """A model's files are missing, foreign, changed, or of a later version."""


_Word = Annotated[str, Field(min_length=1, max_length=500)]
_Words = Annotated[list[_Word], Field(max_length=10_000)]
_Temperature = Annotated[float, Field(ge=0.01, le=100)]
_Count = Annotated[float, Field(ge=0, le=1e12)]


class _Bounded(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, strict=False)


class VocabularyCard(_Bounded):
    """The vocabulary of the model's heads."""

    classes: _Words
    groups: Annotated[dict[_Word, _Words], Field(max_length=1_000)] = {}
    attributes: Annotated[dict[_Word, _Words], Field(max_length=1_000)]
    digest: Annotated[str, Field(max_length=200)] = ""

    @model_validator(mode="after")
    def _sensible(self) -> VocabularyCard:
        heads = [self.classes, *self.attributes.values()]
        if any(len(set(words)) != len(words) for words in heads):
            raise ValueError("a name is listed twice")
        if sum(map(len, heads)) > _MAX_VALUES:
            raise ValueError("it has more names than a schema may have")
        if not set().union(*self.groups.values()) <= set(self.classes):
            raise ValueError("a group contains an unknown class")
        if "class" in self.attributes or not set(self.groups).isdisjoint(self.classes):
            raise ValueError("a name is used for two things")
        return self


class CalibrationCard(_Bounded):
    """Calibration of its raw scores; divisors are never near zero."""

    slope: Annotated[float, Field(ge=0.01, le=100)]
    intercept: Annotated[float, Field(ge=-100, le=100)]
    temperatures: Annotated[dict[_Word, _Temperature], Field(max_length=1_001)] = {}
    note: Annotated[str, Field(max_length=2_000)] = ""


class HeadSetsCard(_Bounded):
    """Prediction sets of one head."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    mass: Annotated[float | None, Field(ge=0.5, le=2)] = None
    cells: Annotated[int, Field(ge=0)] = 0
    patients: Annotated[int, Field(ge=0)] = 0
    coverage: Annotated[float | None, Field(ge=0, le=1)] = None
    size: Annotated[float | None, Field(ge=0)] = None
    of_fields: Annotated[int | None, Field(ge=0)] = None
    values: Annotated[int | None, Field(ge=0)] = None


class SetsCard(_Bounded):
    """Prediction sets of a model."""

    heads: Annotated[dict[_Word, HeadSetsCard], Field(max_length=1_001)] = {}


class ModelCard(_Bounded):
    """The part of a card that decides how the weights are used."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=64, le=4096)]
    cell_sides: Annotated[tuple[float, float] | None, Field(default=None)]
    detector: ArchitectureName = STARTER_ARCHITECTURE
    describer: DescriberName = TRUNK
    vocabulary: VocabularyCard
    calibration: CalibrationCard
    sets: SetsCard | None = None
    taught: Annotated[dict[_Word, dict[_Word, _Count]], Field(max_length=1_001)] = {}
    taught_before: Annotated[dict[_Word, dict[_Word, _Count]], Field(max_length=1_001)] = {}
    source: Annotated[int | None, Field(default=None, ge=0, lt=2**60)]

    @model_validator(mode="after")
    def _in_order(self) -> ModelCard:
        if self.cell_sides is not None and not 0 < self.cell_sides[0] < self.cell_sides[1] <= 10:
            raise ValueError("cell_sides is not a range")
        return self


def read_card(card: Path) -> dict[str, Any]:
    """Read and validate a card.

    Raises
    ------
    ModelError
        It is not the card of a model, or has an invalid entry.
    """
    content = _load(card)
    try:
        known = content["format"] == FORMAT
        version = content["version"]
    except (KeyError, TypeError) as error:
        raise _foreign(card) from error
    if not known or not isinstance(version, int):
        raise _foreign(card)
    if version > FORMAT_VERSION:
        raise ModelError(f"{card} was written by a newer napari-lld; update napari-lld to use this model.")
    try:
        ModelCard.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part)[:40] for part in first["loc"][:4]) or "the card"
        why = first["msg"].removeprefix("Value error, ")[:120]
        raise ModelError(
            f"{card} has an invalid entry ({where}: {why}): use another copy of the model."
        ) from error
    return content


def _load(card: Path) -> dict[str, Any]:
    try:
        if card.stat().st_size > _MAX_BYTES:
            raise ModelError(f"{card} is too large for a model card: use another copy of the model.")
        content = strict_json.loads(card.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{card} cannot be read ({error.strerror or error}): check its permissions."
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise _foreign(card) from error
    except ValueError as error:
        raise ModelError(f"{card} {error}: use another copy of the model.") from error
    if not isinstance(content, dict):
        raise _foreign(card)
    return content


def _foreign(card: Path) -> ModelError:
    return ModelError(f"{card} is not the model card of a napari-lld model.")

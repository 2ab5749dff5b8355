"""Translate reasons (`training.reasons`) to the user's language; no Qt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from napari_lld.i18n.schema_texts import word
from napari_lld.i18n.translate import tr, trn
from training.reasons import Reason


def in_words(reasons: Iterable[Reason]) -> list[str]:
    """Translate the reasons of a ranking."""
    return [_format(reason) for reason in reasons]


def _value(value: Any) -> Any:
    """Translate a reason within a reason, or a name of the schema."""
    if isinstance(value, Reason):
        return _format(value)
    return word(value) if isinstance(value, str) else value


def _format(reason: Reason) -> str:
    values: dict[str, Any] = {k: _value(v) for k, v in reason.values.items()}
    if len(reason.texts) == 2:
        one, many = reason.texts
        return trn(one, many, **values)
    return tr(reason.texts[0], **values)

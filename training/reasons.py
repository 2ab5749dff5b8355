"""A reason to look: an English sentence that knows what it was made from."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_TEMPLATE = re.compile(r"(?:[^{}]|\{\w+(?::\.0%)?\})*")
"""Names in braces and shares: what comes from a file may ask for no more."""


class Reason(str):
    """A sentence without a full stop, in English; whoever shows it can say it in another language.

    ``Reason("{count} likely cell", "{count} likely cells", count=3)`` is ``"3 likely cells"``.

    Parameters
    ----------
    texts
        A template, or two: for a `count` of one, and for any other.
    values
        What stands for the names in braces; reasons too.
    """

    __slots__ = ("texts", "values")
    texts: tuple[str, ...]
    values: dict[str, Any]

    def __new__(cls, *texts: str, **values: Any) -> Reason:
        """Compose the sentence."""
        text = texts[0] if values.get("count") == 1 else texts[-1]
        self = super().__new__(cls, text.format(**values) if values else text)
        self.texts, self.values = texts, values
        return self

    def stored(self) -> str | list[Any]:
        """Return the form for JSON: the sentence, or its templates and, last, its values."""
        if not self.values:
            return str(self)
        values = {k: v.stored() if isinstance(v, Reason) else v for k, v in self.values.items()}
        return [*self.texts, values]

    @classmethod
    def read(cls, content: object) -> Reason:
        """Read what was stored; sentences without values are those of earlier versions too.

        Raises
        ------
        ValueError, KeyError
            It is no reason.
        """
        if isinstance(content, str):
            return cls(content)
        if not isinstance(content, list) or not 2 <= len(content) <= 3 or not isinstance(content[-1], dict):
            raise ValueError(f"{content!r} is not a reason")
        texts, values = [str(text) for text in content[:-1]], content[-1]
        if not all(map(_is_template, texts)):
            raise ValueError(f"{texts!r} contain more than names")
        if len(texts) == 2 and not isinstance(values["count"], int):
            raise ValueError(f"{values['count']!r} is not a count")
        return cls(*texts, **{k: cls.read(v) if isinstance(v, list) else v for k, v in values.items()})


@lru_cache(256)
def _is_template(text: str) -> bool:
    """Return whether a template may be filled; ten thousand fields have the same dozen."""
    return _TEMPLATE.fullmatch(text) is not None

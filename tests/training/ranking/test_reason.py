"""Reasons are English sentences, and are stored as what they were made from."""

from __future__ import annotations

import json

import pytest

from training.reasons import Reason

CELLS = Reason("{count} likely cell", "{count} likely cells", count=17)
BETWEEN = Reason(
    "{cells}, {some} of them between {first} and {second}",
    cells=CELLS,
    some=5,
    first="Myeloblast",
    second="Lymphoblast",
)


def test_a_reason_is_its_english_sentence() -> None:
    assert BETWEEN == "17 likely cells, 5 of them between Myeloblast and Lymphoblast"
    assert Reason("{count} likely cell", "{count} likely cells", count=1) == "1 likely cell"
    assert Reason("At {share:.0%}", share=0.968) == "At 97%"
    assert json.dumps([BETWEEN]) == f'["{BETWEEN}"]'


@pytest.mark.parametrize("reason", [CELLS, BETWEEN, Reason("Not looked at"), Reason("{braces} as they are")])
def test_what_was_stored_is_read_with_all_it_was_made_from(reason: Reason) -> None:
    again = Reason.read(json.loads(json.dumps(reason.stored())))
    assert (again, again.texts, again.values) == (reason, reason.texts, reason.values)


@pytest.mark.parametrize(
    "content",
    [
        3,
        None,
        [],
        ["{count} cell", "{count} cells", {"count": "3"}],
        ["{count} cell", "{count} cells", {}],
        ["{name:9999999}", {"name": "wide"}],
        ["{name.__class__}", {"name": "deep"}],
        ["{name:.0%}", {"name": "no number"}],
        [{"name": 1}, {"name": 1}],
        ["{name}", {"name": [1]}],
    ],
)
def test_what_is_no_reason_is_refused(content: object) -> None:
    with pytest.raises((ValueError, KeyError)):
        Reason.read(content)

"""The reasons of the ranking in the window's language."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import Project, Proposal
from napari_lld.i18n.reasons import in_words
from napari_lld.session.field_order import FieldOrder
from napari_lld.session.session import Session
from training import ranking
from training.reasons import Reason

pytestmark = pytest.mark.usefixtures("german")


def test_a_reason_is_said_in_german_with_the_reasons_in_it_and_in_english_to_other_programs() -> None:
    reasons = [
        Reason(
            "{cells}, {some} of them between {first} and {second}",
            cells=Reason("{count} likely cell", "{count} likely cells", count=count),
            some=5,
            first="Myeloblast",
            second="Lymphoblast",
        )
        for count in (17, 1)
    ]
    assert in_words(reasons) == [
        "17 wahrscheinliche Zellen, 5 davon zwischen Myeloblast und Lymphoblast",
        "1 wahrscheinliche Zelle, 5 davon zwischen Myeloblast und Lymphoblast",
    ]
    assert reasons[0] == "17 likely cells, 5 of them between Myeloblast and Lymphoblast"


def test_the_window_says_the_stored_order_in_german_and_that_of_an_earlier_version_as_it_is(
    small_project: Path,
) -> None:
    with Project.open(small_project, annotator="Ada") as project:
        first, second = (field.id for field in project.fields.all())
        project.suggestions.replace(first, [Proposal((1.0, 1.0, 10.0, 10.0), 0.9)], model_id=None)
        ranking.update(project)
    session = Session()
    session.open(small_project, annotator="Ada")
    session.fields.order = FieldOrder.RANK
    session.fields.arrange()
    assert "1 wahrscheinliche Zelle" in session.fields.why_look(first)
    assert session.fields.why_look(second) == "Noch ohne Vorhersage des Modells"
    assert session.project is not None
    old = {"field": first, "score": 1.0, "seconds": 5.0, "reasons": ["{4} cells, maybe"], "reserve": False}
    session.project.rankings.store("stain", [old])
    session.fields.arrange()
    assert session.fields.why_look(first) == "{4} cells, maybe"
    session.close()


@pytest.mark.parametrize(
    ("stored", "shown"),
    [
        (
            ["Labelled {label}, the model says {other} at {share:.0%}"],
            "Annotiert: Lymphozyt, vorhergesagt: Monozyt mit 91%",
        ),
        (
            ["{attribute}: labelled {label}, the model says {other} at {share:.0%}"],
            "Chromatin: annotiert Lymphozyt, vorhergesagt Monozyt mit 91%",
        ),
        ("Not looked at by the model yet", "Noch ohne Vorhersage des Modells"),
        ("The model is fairly sure of it", "Das Modell ist ziemlich sicher"),
    ],
)
def test_a_reason_that_an_earlier_version_stored_is_translated(stored: str | list[str], shown: str) -> None:
    values = {"attribute": "Chromatin", "label": "Lymphocyte", "other": "Monocyte", "share": 0.91}
    reason = Reason.read(stored if isinstance(stored, str) else [*stored, values])
    assert in_words([reason]) == [shown]

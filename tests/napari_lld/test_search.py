"""Searching for cells by words: what a query finds, what it refuses, what it proposes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from annotation_store import Entry, Project
from annotation_store.records import Field, Origin
from annotation_store.schema import Schema, load_schema
from napari_lld.session.gallery_items import read_items
from napari_lld.session.search import EVERYTHING, QueryError, completions, last_term, parse
from napari_lld.session.session import Session

LLD = load_schema("lld")
FILM = Field(1, "film_07.png", 100, 100, "", "", patient="P-12")


@dataclass
class Thing:
    """One cell as the gallery holds it."""

    word: str | None = "Neutrophil"
    probability: float | None = 0.55
    unknown: bool = False
    values: dict[str, str] = field(default_factory=dict)
    entry: Entry = field(default_factory=lambda: Entry("cell", 1, 1, (0, 0, 9, 9)))

    def value(self, attribute: str) -> str | None:
        return self.values.get(attribute)


def cell(**of: Any) -> Thing:
    about = {name: of.pop(name) for name in list(of) if name in ("word", "probability", "unknown", "values")}
    return Thing(**about, entry=Entry("cell", 1, 1, (0, 0, 9, 9), **of))


@pytest.mark.parametrize(
    ("query", "found", "not_found"),
    [
        ("class:neutrophil", cell(), cell(word="Monocyte")),
        ("class:Monocyte,neutro", cell(), cell(word="Basophil")),
        ("class:blast", cell(word="Myeloblast"), cell(word="Lymphocyte")),
        ("class:missing", cell(word=None), cell()),
        ("class:unsure", cell(word="unsure"), cell()),
        ("vacuoles:present", cell(values={"cytoplasmic_vacuoles": "prominent"}), cell()),
        ("cell-size:missing", cell(), cell(values={"cell_size": "small"})),
        (
            '"cell size":small,large',
            cell(values={"cell_size": "large"}),
            cell(values={"cell_size": "medium"}),
        ),
        ("flag:second", cell(second_opinion=True), cell(bookmark=True)),
        ("flag:bookmark,cut", cell(cut=True), cell()),
        ('comment:"a twin"', cell(comment="Perhaps a Twin"), cell(comment="a second twin")),
        ("certainty<60", cell(), cell(probability=0.6)),
        ("certainty>=55%", cell(), cell(probability=None)),
        ("certainty:50..60", cell(), cell(probability=0.7)),
        ("unknown", cell(unknown=True), cell()),
        ("-unknown", cell(), cell(unknown=True)),
        (
            "unchecked",
            Thing(entry=Entry("suggestion", 1, 1, (0, 0, 9, 9), unchecked=True)),
            Thing(entry=Entry("suggestion", 1, 1, (0, 0, 9, 9))),
        ),
        (
            "unchecked",
            Thing(entry=Entry("suggestion", 1, 1, (0, 0, 9, 9), unchecked=True)),
            cell(unchecked=True),
        ),
        ('"unchecked"', cell(comment="unchecked"), cell()),
        ("-class:neutrophil", cell(word=None), cell()),
        ("origin:imported", cell(origin=Origin.IMPORTED), cell(origin=Origin.BY_HAND)),
        ('origin:"by hand"', cell(origin=Origin.BY_HAND), cell(origin=Origin.SUGGESTED)),
        ("reader:ada", cell(annotator="Ada"), cell(annotator="Ben")),
        ("kind:smudge", cell(artefact_kind="smudge"), cell()),
        ("film_07", cell(), cell()),
        ("twin", cell(comment="twin"), cell()),
        ("segmented", cell(comment="segmented"), cell()),
        ("neutro", cell(), cell(word="Monocyte")),
        ('"unknown"', cell(comment="unknown"), cell(unknown=True)),
        ("patient:p-12", cell(), None),
        ("", cell(), None),
    ],
)
def test_a_query_finds_what_it_says(query: str, found: Thing, not_found: Thing | None) -> None:
    asked = parse(query, LLD)
    assert asked.matches(found, FILM)
    if query != "film_07":
        assert not_found is None or not asked.matches(not_found, FILM)
    else:
        assert not asked.matches(found, None)


def test_all_terms_of_a_query_must_hold() -> None:
    asked = parse('class:neutrophil vacuoles:present flag:second comment:"twin" certainty<60 unknown', LLD)
    whole = cell(
        values={"cytoplasmic_vacuoles": "prominent"}, unknown=True, second_opinion=True, comment="a twin"
    )
    assert asked.matches(whole, FILM)
    whole.probability = 0.9
    assert not asked.matches(whole, FILM)
    assert parse("  ", LLD) == EVERYTHING


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("class:Plasmacell", ("Plasmacell", "Neutrophil", "missing")),
        ("class:unknown", ("“unknown” is not a class", "write unknown alone")),
        ("class:Neutrophil,Unknown", ("Unknown", "alone")),
        ("colour:red", ("colour", "class", "certainty", "Cell size")),
        ("vacuoles:huge", ("huge", "Absent", "Prominent")),
        ("flag:blue", ("blue", "second opinion", "bookmark")),
        ("origin:moon", ("moon", "imported")),
        ("certainty<high", ("high", "percentage")),
        ("certainty>101", ("101",)),
        ("certainty<20..30", ("20..30",)),
        ("certainty:90..20", ("90..20", "certainty:20..90")),
        ("certainty:0.9..0.2", ("certainty:0.2..0.9",)),
        ("certainty:0.2..0.9", ("percentages", "certainty:20..90")),
        ("certainty>0.9", ("percentages", "certainty>90")),
        ('"', ("not closed",)),
        ('comment:"a twin unknown', ("not closed", 'comment:"a twin"')),
        ("class<5", ("certainty",)),
        ("class:", ("class:",)),
        ("nuclear:open", ("nuclear", "Nuclear chromatin", "Nuclear shape")),
        ("x" * 1001, ("1000",)),
        ("x" * 900 + ":a", ("x" * 60 + "”",)),
    ],
)
def test_an_unknown_word_is_named_with_the_words_there_are(query: str, named: tuple[str, ...]) -> None:
    with pytest.raises(QueryError) as caught:
        parse(query, LLD)
    for word in named:
        assert word in str(caught.value)


def test_unknown_is_a_class_only_where_one_is_spelled_so() -> None:
    classes = [
        {"id": 0, "name": "Unknown", "letter": "U", "key": "u", "colour": "#d55e00"},
        {"id": 1, "name": "Unknown blast", "letter": "B", "key": "b", "colour": "#0072b2"},
    ]
    schema = Schema.model_validate({"name": "own", "classes": classes})
    asked = parse("class:unknown", schema)
    assert asked.matches(cell(word="Unknown"), FILM)
    assert not asked.matches(cell(word="Unknown blast"), FILM)


def test_the_last_term_is_completed_in_the_words_of_the_schema() -> None:
    assert "class:" in completions("cl", LLD)
    assert completions("flag:cut class:neu", LLD) == ["class:Neutrophil"]
    assert completions("-class:Monocyte,atyp", LLD) == ['-class:Monocyte,"Atypical lymphocyte"']
    assert "Cytoplasmic-vacuoles:" in completions("vac", LLD)
    assert completions("vacuoles:pro", LLD) == ["vacuoles:Prominent"]
    assert completions("patient:", LLD, [FILM, FILM]) == ["patient:P-12"]
    assert last_term("class:neutrophil ") == ""
    for proposed in completions("", LLD):
        if not proposed.endswith(":"):
            parse(proposed, LLD)
        else:
            for whole in completions(proposed, LLD):
                parse(whole, LLD)


def test_it_is_written_in_the_users_language_and_in_english(german: None) -> None:
    for query in (
        "flag:cut",
        "Kennzeichen:angeschnitten",
        "sicherheit<60",
        "-unbekannt",
        "ungeprüft",
        "class:fehlt",
    ):
        parse(query, LLD)
    with pytest.raises(QueryError, match="Kennzeichen"):
        parse("Farbe:rot", LLD)


def test_cells_are_found_by_comment_cut_origin_and_reader(
    session: Session, suggest: Callable[[Path], list[int]], small_project: Path
) -> None:
    suggest(small_project)
    session.refresh()
    project = session.project
    assert project is not None
    project.cells.add(1, (5, 5, 20, 20), comment="twin", cell_class="Monocyte")
    project.cells.add(1, (95, 5, 60, 20))
    taken = project.suggestions.find(1)[0].id
    project.suggestions.accept(taken)

    def found(query: str) -> list[int]:
        asked = parse(query, project.schema)
        return [item.entry.id for item in read_items(project, None) if asked.matches(item, FILM)]

    assert found("comment:twin") == [1]
    assert found("flag:cut") == [2]
    assert found("origin:suggested") == [3]
    assert found("kind:cell reader:Ada") == [1, 2, 3]
    assert not found("reader:Ben")
    with Project.open(small_project, annotator="Ben", reading=1) as other:
        other.cells.change(1, comment="no twin")
    assert found("reader:Ben") == [1]

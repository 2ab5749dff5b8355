"""The window's texts in another language."""

from __future__ import annotations

import gettext
import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import annotation_store
from annotation_store import SchemaError
from annotation_store.copies.report import Brought
from annotation_store.schema import load_schema
from napari_lld.commands.registry import Commands, session_commands
from napari_lld.i18n.edit_texts import COMMANDS, edit_in_words
from napari_lld.i18n.sentences import in_language
from napari_lld.i18n.translate import decimal, languages, tr, trn, use_language
from napari_lld.i18n.worker_texts import in_the_window
from napari_lld.session.session import Session
from napari_lld.tasks.merging import comes_in

_spec = importlib.util.spec_from_file_location("texts", Path(__file__).parents[2] / ".ci" / "texts.py")
assert _spec is not None
assert _spec.loader is not None
texts = importlib.util.module_from_spec(_spec)
sys.modules["texts"] = texts  # where dataclasses look
_spec.loader.exec_module(texts)
CATALOGUES = sorted((texts.PACKAGE / "i18n" / "locale").glob("*.po"))


@pytest.fixture(autouse=True)
def _english_again() -> Iterator[None]:
    yield
    use_language("en")


def test_a_german_system_shows_german_texts_and_any_other_english() -> None:
    assert "de" in languages()
    assert use_language("de-AT", "en") == "de"
    assert tr("Next field") == "Nächstes Feld"
    assert use_language("xx_YY", "fr") == "en"
    assert tr("Next field") == "Next field"


def test_a_text_without_a_translation_is_shown_in_english_with_its_values() -> None:
    use_language("de")
    assert tr("{name} was never {share:.0%} heard", name="This", share=0.5) == "This was never 50% heard"
    assert tr("braces {stay} without values") == "braces {stay} without values"
    assert tr("") == ""


def test_numbers_choose_the_plural_form_of_the_language() -> None:
    assert [trn("{count} cell", "{count} cells", n) for n in (0, 1, 2)] == ["0 cells", "1 cell", "2 cells"]
    use_language("de")
    assert [trn("{count} cell", "{count} cells", n) for n in (0, 1, 2)] == ["0 Zellen", "1 Zelle", "2 Zellen"]


def test_commands_speak_the_language_without_being_told() -> None:
    use_language("de")
    commands = Commands(Session())
    commands.add(session_commands(commands.session))
    assert commands["field.next"].title == "Nächstes Feld"


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_checkout_says_what_its_catalogues_say_without_a_step_by_hand(path: Path) -> None:
    """Where it fails, ``uv sync`` builds the checkout anew."""
    with path.with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    known = texts.catalogue(path)
    assert len(known) > 100
    for source, told in known.items():
        one = len(source) == 1
        said = [compiled.gettext(*source)] if one else [compiled.ngettext(*source, n) for n in (1, 2)]
        assert said == list(told)


def test_numbers_have_the_decimal_sign_of_the_language() -> None:
    values = {"share": 0.125, "count": 1500, "name": "films.lld"}
    text = "{share:.1%} of {count} in {name}"
    assert tr(text, **values) == "12.5% of 1500 in films.lld"
    use_language("de")
    assert tr(text, **values) == "12,5% of 1500 in films.lld"
    assert trn("{count} at {share:.2f}", "{count} at {share:.2f}", 2, share=0.5) == "2 at 0,50"
    assert decimal(0.5, ".1%") == "50,0%"


def test_an_edit_is_said_in_the_language_of_the_window() -> None:
    assert edit_in_words("Undo: Label 4 cells") == "Undone: Label 4 cells"
    use_language("de")
    assert edit_in_words("Undo: Label 4 cells") == "Rückgängig gemacht: 4 Zellen annotieren"
    assert edit_in_words("Undo: Redo: Box cell") == "Rückgängig gemacht: Wiederholt: Zelle einrahmen"
    assert edit_in_words("Import cells_{x}.json") == "Import von cells_{x}.json"
    assert edit_in_words("Import Undo: Box cell.json") == "Import von Undo: Box cell.json"
    assert edit_in_words("Reject 1 suggestions") == "1 Vorschlag ablehnen"
    assert edit_in_words("An edit of another program") == "An edit of another program"


def test_every_edit_of_the_store_has_its_words() -> None:
    """A command that the store writes for a user is told in the user's language."""
    source = "".join(
        p.read_text(encoding="utf-8") for p in Path(annotation_store.__file__).parent.glob("_*/*.py")
    )
    verbs = "Add|Box|Change|Delete|Describe|Draw|Fields|Finish|Keep|Label|Mark|Move|Not|Reopen|Take"
    written = set(re.findall(rf'"((?:{verbs}) [a-z][a-z\' ]+)"', source))
    assert "Box cell" in written
    assert written - set(COMMANDS) <= {"Change schema"}


def test_every_edit_of_the_store_that_holds_a_value_has_its_words() -> None:
    sources = Path(annotation_store.__file__).parent.rglob("*.py")
    written = {
        text
        for path in sources
        for text in re.findall(
            r'f"((?:Undo|Redo|Import|Label|Accept|Correct|Reject)[^"]*)"', path.read_text()
        )
    }
    assert len(written) >= 4
    use_language("de")
    for text in written:
        command = re.sub(r"\{[^}]*\}", "7", text)
        assert edit_in_words(command) != command


def test_every_text_of_the_window_goes_through_tr_and_translations_keep_the_names_in_braces() -> None:
    assert not list(texts.complaints())


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_every_text_of_the_window_is_translated(path: Path) -> None:
    """What it lists is written by ``python .ci/texts.py --missing``, to be filled in."""
    assert not texts.missing(path)
    assert not texts.stale(path)


def test_sentences_of_the_store_are_german_with_their_names_numbers_and_reasons() -> None:
    use_language("de")
    assert in_the_window("The region 7 was deleted: keep what is here.").startswith("Die Region 7 wurde")
    assert "3 Zellen stehen zweimal" in in_the_window("3 cells are in the file twice: not added again.")
    nested = in_the_window("The file a b.csv contains the column {x} twice. The area was left out.")
    assert nested == "Die Datei a b.csv enthält die Spalte {x} zweimal. Die Fläche wurde weggelassen."
    two = in_the_window("Nobody translates this. A field does not overlap itself: choose another one.")
    assert two.startswith("Nobody translates this. Ein Feld überlappt")
    assert in_the_window("Gespeichert.\nNoch etwas.") == "Gespeichert.\nNoch etwas."
    use_language("en")
    assert in_the_window("The region 7 was deleted: keep what is here.").startswith("The region 7")


@pytest.mark.parametrize(
    ("english", "german"),
    [
        (
            "The original a.png is missing or was changed: run napari-lld check /a b/p --repair.",
            "Das Original a.png fehlt oder wurde verändert: "
            "Führen Sie napari-lld check /a b/p --repair in einem Terminal aus.",
        ),
        (
            "The project /p no longer has class Mono (and has class Monocyte instead). Give both projects "
            "the same words first (napari-lld schema PROJECT --set FILE.yaml --map OLD=NEW), then try again. "
            "Nothing was changed.",
            "Das Projekt /p hat nicht mehr: Klasse Mono (stattdessen: Klasse Monocyte). Geben Sie zuerst "
            "beiden Projekten dieselben Wörter (in einem Terminal: napari-lld schema PROJECT "
            "--set FILE.yaml --map OLD=NEW), dann versuchen Sie es noch einmal. Nichts wurde geändert.",
        ),
        (
            "The schemas of the two projects cannot be joined (letter X is Blast in this project, and Band "
            "in /p): change one of them with 'napari-lld schema /p --set FILE.yaml', then try again. "
            "Nothing was changed.",
            "Die Schemas der beiden Projekte lassen sich nicht vereinen (Buchstabe X gehört in diesem "
            "Projekt zu Blast und in /p zu Band): Ändern Sie eines davon mit "
            "'napari-lld schema /p --set FILE.yaml' in einem Terminal, dann versuchen Sie es "
            "noch einmal. Nichts wurde geändert.",
        ),
        (
            "None of the 2 images of a.json was found in /b: give their folder with --images "
            "(c.png: the image was not found.)",
            "Keines der 2 Bilder von a.json wurde in /b gefunden: Geben Sie ihren Ordner unter „Bilder“ an "
            "(c.png: Das Bild wurde nicht gefunden.)",
        ),
    ],
)
def test_reasons_and_commands_within_german_sentences_are_german(english: str, german: str) -> None:
    use_language("de")
    assert in_the_window(english) == german


def test_several_words_of_a_schema_are_named_in_german() -> None:
    use_language("de")
    sentence = (
        "This project no longer has attribute size, class Blast, group Any, kind smudge of Artefact, "
        "value large of size."
    )
    assert in_the_window(sentence) == (
        "Dieses Projekt hat nicht mehr: Attribut size, Klasse Blast, Gruppe Any, Art smudge von Artefact, "
        "Wert large von size."
    )
    brought = Brought(Path("p"), readings=["Reading 1"], words=["class Mono", "value large of size"])
    assert comes_in(brought).splitlines()[1:] == [
        "Neue Befundungen: Befundung 1",
        "Das Schema bekommt: Klasse Mono, Wert large von size",
    ]


CLASS = {"id": 1, "name": "Blast", "colour": "#000000", "letter": "B"}
SCHEMA = {"name": "one", "classes": [CLASS], "attributes": [{"name": "size", "values": [{"name": "small"}]}]}
WRONG: list[tuple[dict[str, object], str]] = [
    ({"classes": [CLASS | {"id": "one"}]}, "Das muss eine ganze Zahl sein; der Text ist keine"),
    ({"classes": [CLASS | {"id": 1.5}]}, "Das muss eine ganze Zahl sein, ohne Nachkommastellen"),
    ({"classes": [CLASS | {"id": []}]}, "Das muss eine ganze Zahl sein"),
    ({"classes": [CLASS | {"name": 3}]}, "Das muss ein Text sein"),
    ({"classes": [CLASS | {"name": ""}]}, "Der Text braucht mindestens 1 Zeichen"),
    ({"classes": [CLASS | {"letter": "long"}]}, "Der Text darf höchstens 2 Zeichen haben"),
    ({"classes": [CLASS | {"colour": "red"}]}, "Der Text muss dem Muster"),
    ({"classes": [CLASS | {"artefact": "perhaps"}]}, "Das muss wahr oder falsch sein"),
    ({"classes": 3}, "Das muss eine Liste sein"),
    ({"classes": [3]}, "Das müssen Namen mit Werten sein"),
    ({"classes": [{}]}, "Diese Angabe fehlt"),
    ({"more": 3}, "Diese Angabe ist nicht vorgesehen"),
    ({"classes": [CLASS, CLASS]}, "doppelt"),
    (
        {"classes": [CLASS, CLASS | {"name": "Other"}]},
        "haben beide Nummer (id) 1: Vergeben Sie das nur einmal",
    ),
    ({"classes": [CLASS | {"kinds": ["x"]}]}, "ist aber nicht als Artefakt gekennzeichnet"),
    ({"groups": [{"name": "Any", "classes": ["Blast"]}]}, "braucht zwei Klassen oder mehr"),
    ({"attributes": [{"name": "size", "values": []}]}, "hat keine Werte"),
    ({"attributes": [{"name": "class", "values": [{"name": "a"}]}]}, "darf nicht class heißen"),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG, ids=[told for _, told in WRONG])
def test_what_is_wrong_with_a_schema_is_said_in_german(
    wrong: dict[str, object], told: str, tmp_path: Path
) -> None:
    file = tmp_path / "schema.yaml"
    file.write_text(json.dumps(SCHEMA | wrong), encoding="utf-8")
    with pytest.raises(SchemaError) as caught:
        load_schema(file)
    use_language("de")
    sentence = in_the_window(str(caught.value))
    assert told in sentence
    assert not re.search(r"\b(should|not|given|same|required|has)\b", sentence)


def test_every_sentence_of_the_store_and_the_trainer_is_known_by_its_own_translation() -> None:
    """Filled with words, none is taken for another one."""
    use_language("de")
    catalogue = json.loads((texts.PACKAGE / "i18n" / "locale" / "de.sentences.json").read_text("utf-8"))
    assert len(catalogue) > 400
    for english, german in catalogue.items():
        words = {place: f"⟨{place.strip('{}')}⟩" for place in re.findall(r"\{\d+\}", english)} | {
            "{{n}}": "12"
        }
        given, expected = english, german
        for place, word in words.items():
            given, expected = given.replace(place, word), expected.replace(place, word)
        given, expected = (one.replace("{{", "{").replace("}}", "}") for one in (given, expected))
        assert in_language(given) == expected


@pytest.mark.parametrize(
    "line",
    [
        'button.setText("Open")',
        'label(f"{n} cells")',
        'label("Yes" if sure else "No")',
        'return "Nothing is there."',
        'tr(f"{n} cells")',
        'session.notify("hint", "Gone")',
        'Command("a.b", f"Value {n}", run)',
    ],
)
def test_a_text_that_was_forgotten_is_found(line: str, tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(f"def show():\n    {line}\n")
    assert texts.read(module).forgotten


def test_german_sentences_ask_politely_and_all_in_one_form() -> None:
    verbs = "prüfen|wählen|angeben|exportieren|verwenden|öffnen|speichern|korrigieren|versuchen|ausführen"
    infinitive = re.compile(rf"(?:[:;.] |^)(?:bitte )?[^:;.?]*\b(?:{verbs})\.?$")
    finite = re.compile(r"\b(?:Sie|kann|können|muss|lässt|lassen sich)\b")
    content = json.loads((CATALOGUES[0].parent / "de.sentences.json").read_text("utf-8"))
    found = [one for one in content.values() if infinitive.search(one)]
    assert not [one for one in found if not finite.search(infinitive.search(one)[0])]  # type: ignore[index]

"""Call what a model has learned by the names that a project's schema has now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from training.evaluation.prediction_sets import Sets
from training.networks.vocabulary import Vocabulary

if TYPE_CHECKING:
    from annotation_store.project import Project
    from annotation_store.schema.renaming import Renamed
    from training.models.model import LearnedModel, Taught

_T = TypeVar("_T")


def names_now(project: Project, words: Vocabulary) -> Renamed:
    """Return the present names of the words of a model, as it was read from its files."""
    return project.schema_versions.renamings().of(words.classes, words.attributes, words.digest)


def rename(model: LearnedModel, words: Vocabulary) -> None:
    """Rename the outputs of a model, one by one.

    Weights, memory and calibration stay: they know outputs by position. What is listed by name follows.

    Parameters
    ----------
    words
        As many values in as many heads as the model's.
    """
    old = model.vocabulary
    if old.same_words(words):
        return
    heads = dict(zip(old.head_names, words.head_names, strict=True))
    values = {
        name: dict(zip(before, now, strict=True))
        for name, before, now in zip(old.head_names, old.heads, words.heads, strict=True)
    }
    model.taught = _counts(model.taught, heads, values)
    model.taught_before = _counts(model.taught_before, heads, values)
    model.calibration = replace(model.calibration, temperatures=_keys(model.calibration.temperatures, heads))
    model.sets = Sets(_keys(model.sets.heads, heads))
    model.vocabulary = words


def card_now(project: Project, card: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model's card with what it lists by class, attribute or value under their present names.

    The card as it is if nothing was renamed since, or if it is too damaged to tell.
    """
    try:
        old = Vocabulary.from_dict(card["vocabulary"])
        names = names_now(project, old)
        words = old.renamed(names)
    except (KeyError, TypeError, ValueError, AttributeError):
        return card
    if old.same_words(words):
        return card
    changed: dict[str, Any] = {"vocabulary": words.to_dict()}
    heads = dict(zip(old.head_names, words.head_names, strict=True))
    for part in ("taught", "taught_before"):
        if isinstance(counts := card.get(part), Mapping):
            values = {"class": names.classes} | {name: now for name, (_, now) in names.attributes.items()}
            changed[part] = {
                heads[name]: _renamed_keys(of_head, values[name])
                for name, of_head in counts.items()
                if name in heads
            }
    if isinstance(sets := card.get("sets"), Mapping):
        changed["sets"] = {**sets, "heads": _renamed_keys(sets.get("heads"), heads)}
    if isinstance(metrics := card.get("metrics"), Mapping):
        changed["metrics"] = _metrics_now(metrics, names)
    return {**card, **changed}


def _metrics_now(metrics: Mapping[str, Any], names: Renamed) -> dict[str, Any]:
    """Rename the classes, attributes and values in metrics (`training.evaluation`), at any depth."""
    now: dict[str, Any] = {}
    for key, part in metrics.items():
        if not isinstance(part, Mapping):
            now[key] = part
        elif key in ("classes", "ap50_of"):
            now[key] = _renamed_keys(part, names.classes)
        elif key == "class":
            now[key] = _of_head(part, names.classes)
        elif key == "attributes":
            now[key] = {}
            for name, of_attribute in part.items():
                new_name, values = names.attributes.get(name, (name, {}))
                now[key][new_name] = _of_head(of_attribute, values)
        else:
            now[key] = _metrics_now(part, names)
    return now


def _of_head(part: Any, names: Mapping[str, str]) -> Any:
    """Rename the values in the metrics, or the confusion matrix, of one head."""
    if not isinstance(part, Mapping):
        return part
    now = dict(part)
    if "values" in part:
        now["values"] = _renamed_keys(part["values"], names)
    for side in ("truth", "said"):
        if isinstance(listed := part.get(side), list):
            now[side] = [names.get(name, name) if isinstance(name, str) else name for name in listed]
    return now


def _renamed_keys(entries: Any, names: Mapping[str, str]) -> Any:
    if not isinstance(entries, Mapping):
        return entries
    return {names.get(name, name): entry for name, entry in entries.items()}


def _counts(taught: Taught, heads: Mapping[str, str], values: Mapping[str, Mapping[str, str]]) -> Taught:
    named = {name: _keys(counts, values[name]) for name, counts in taught.items() if name in heads}
    return _keys(named, heads)


def _keys(entries: Mapping[str, _T], names: Mapping[str, str]) -> dict[str, _T]:
    return {names[name]: entry for name, entry in entries.items() if name in names}

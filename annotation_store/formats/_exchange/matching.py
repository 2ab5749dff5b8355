"""Find the image of each field of a document by name; an image is never used for two different names."""

from __future__ import annotations

from collections.abc import Sequence

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import Document, FieldIn
from annotation_store.formats._exchange.image_names import Rank, comparable, states_folders
from annotation_store.formats._exchange.images import Images, Match
from annotation_store.validation import clean_name

_SHOWN = 3


def matching_images(document: Document, images: Images) -> tuple[dict[int, Match], dict[int, str]]:
    """Find the images of a document; return them, and why fields have none, by the index of the field.

    Raises
    ------
    FormatError
        No image was found.
    """
    matches, reasons = find_images(document.fields, images)
    reasons |= _leave_out_rivals(document, matches)
    for index, match in matches.items():
        document.fields[index].name = images.short(document.fields[index].name, match)
    if document.fields and not matches:
        raise FormatError(
            f"None of the {len(document.fields)} images of {document.source} was found in {images.where()}: "
            f"give their folder with --images ({next(iter(reasons.values()))})"
        )
    return matches, reasons


def find_images(fields: Sequence[FieldIn], images: Images) -> tuple[dict[int, Match], dict[int, str]]:
    """Find an image for each field by itself, and why others have none, by the index of the field."""
    matches: dict[int, Match] = {}
    reasons: dict[int, str] = {}
    for index, field in enumerate(fields):
        match = (
            images.find(field.name, beside=field.beside, stem=field.stem)
            if field.image is None
            else Match(Rank.EXACT, field.image, images.field_named(field.name))
        )
        if match.found:
            matches[index] = match
        else:
            reasons[index] = images.missing(field.name, match)
    in_stated_folders = any(
        match.path and states_folders(fields[index].name) for index, match in matches.items()
    )
    if reasons and not in_stated_folders:
        _find_by_name_alone(fields, images, matches, reasons)
    return matches, reasons


def _find_by_name_alone(
    fields: Sequence[FieldIn], images: Images, matches: dict[int, Match], reasons: dict[int, str]
) -> None:
    """Find images that lie in one folder, where none lies in the folder that the annotations state.

    A name must be the only one of its last part among the fields.
    """
    names: dict[str, dict[str, str]] = {}
    for field in fields:
        names.setdefault(_last_part(field.name), {}).setdefault(comparable(field.name), field.name)
    for index in list(reasons):
        name = fields[index].name
        match = images.find_by_name_alone(name)
        rivals = list(names[_last_part(name)].values())
        if match.alike:
            reasons[index] = images.missing(name, match)
        elif match.found and len(rivals) > 1:
            reasons[index] = _one_image(name, rivals, match)
        elif match.found:
            matches[index] = match
            del reasons[index]


def _last_part(name: str) -> str:
    return comparable(name).rpartition("/")[2]


def _leave_out_rivals(document: Document, matches: dict[int, Match]) -> dict[int, str]:
    """Keep the best of several names for one image, or none of them."""
    claims: dict[object, list[int]] = {}
    for index, match in matches.items():
        claims.setdefault(match.path.resolve() if match.path else match.field, []).append(index)
    reasons: dict[int, str] = {}
    for indices in claims.values():
        names = [document.fields[index].name for index in indices]
        if len(set(map(comparable, names))) < 2:
            continue
        ranks = [matches[index].rank for index in indices]
        best = [index for index, rank in zip(indices, ranks, strict=True) if rank == min(ranks)]
        winner = best[0] if len(best) == 1 else None
        for index in indices:
            if index != winner:
                reasons[index] = _one_image(document.fields[index].name, names, matches.pop(index))
    return reasons


def _one_image(name: str, names: list[str], match: Match) -> str:
    """Explain why a name has no image: another has the same."""
    bearer = match.path or (match.field.name if match.field else "")
    rivals = " and ".join(clean_name(one) for one in list(dict.fromkeys(names))[:_SHOWN])
    return f"{clean_name(name)}: left out; for {rivals} there is one image, {bearer}."

"""Find the image of each field of a document by name; an image is never used for two different names."""

from __future__ import annotations

from annotation_store.errors import FormatError
from annotation_store.formats._exchange.document import Document
from annotation_store.formats._exchange.images import Images, Match, same_name
from annotation_store.validation import clean_name

_SHOWN = 3


def matching_images(document: Document, images: Images) -> tuple[dict[int, Match], dict[int, str]]:
    """Find the images of a document; return them, and why fields have none, by the index of the field.

    Raises
    ------
    FormatError
        No image was found.
    """
    matches: dict[int, Match] = {}
    reasons: dict[int, str] = {}
    for index, field in enumerate(document.fields):
        match = (
            images.find(field.name, beside=field.beside, stem=field.stem)
            if field.image is None
            else Match(0, field.image, images.field_named(field.name))
        )
        if match.found:
            matches[index] = match
        else:
            reasons[index] = images.missing(field.name, match)
    reasons |= _leave_out_rivals(document, matches)
    for index, match in matches.items():
        document.fields[index].name = images.short(document.fields[index].name, match)
    if document.fields and not matches:
        raise FormatError(
            f"None of the {len(document.fields)} images of {document.source} was found in {images.where()}: "
            f"give their folder with --images ({next(iter(reasons.values()))})"
        )
    return matches, reasons


def _leave_out_rivals(document: Document, matches: dict[int, Match]) -> dict[int, str]:
    """Keep the best of several names for one image, or none of them."""
    claims: dict[object, list[int]] = {}
    for index, match in matches.items():
        claims.setdefault(match.path.resolve() if match.path else match.field, []).append(index)
    reasons: dict[int, str] = {}
    for indices in claims.values():
        names = [document.fields[index].name for index in indices]
        if len(indices) < 2 or all(same_name(name, names[0]) for name in names):
            continue
        ranks = [matches[index].rank for index in indices]
        best = [index for index, rank in zip(indices, ranks, strict=True) if rank == min(ranks)]
        winner = best[0] if len(best) == 1 else None
        for index in indices:
            if index != winner:
                match = matches.pop(index)
                bearer = match.path or (match.field.name if match.field else "")
                rivals = " and ".join(clean_name(name) for name in list(dict.fromkeys(names))[:_SHOWN])
                reasons[index] = (
                    f"{clean_name(document.fields[index].name)}: left out; for {rivals} there is one image, "
                    f"{bearer}."
                )
    return reasons

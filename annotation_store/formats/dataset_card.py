"""Describe an export for others: a dataset card for people, Croissant for programs.

The card is Markdown with the YAML head that Hugging Face reads; Croissant is JSON-LD, version 1.1
(https://docs.mlcommons.org/croissant/docs/croissant-spec.html). In a folder they are ``README.md`` and
``croissant.json``; beside a file their names begin with the file's. Both follow from what is exported,
so that the same project gives the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from annotation_store.files.outputs import write_file
from annotation_store.formats import cells_csv, huggingface
from annotation_store.formats._exchange.export import What
from annotation_store.formats._io.file_names import Names
from annotation_store.records import ExportReport
from annotation_store.schema import Schema
from annotation_store.schema.reserved import UNSURE

if TYPE_CHECKING:
    from annotation_store.project import Project

_BATCH = 5_000
"""Cells read at a time."""

CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
_KINDS = {
    ".json": "application/json",
    ".jsonl": "application/jsonl",
    ".geojson": "application/geo+json",
    ".csv": "text/csv",
    ".xml": "application/xml",
    ".txt": "text/plain",
    ".yaml": "application/yaml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
    ".bmp": "image/bmp",
}
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


@dataclass(frozen=True, slots=True)
class CardFacts:
    """The contents of a card; it holds no name of a patient, a file or a person.

    Attributes
    ----------
    title
        The name that the user gave the file or folder.
    suggestions
        How many suggestions went out; 0 = an export of cells.
    patients, domains
        Of the fields that say it: how many patients, and how many fields of each domain.
    classes
        Cells of each class; ``None`` = class missing.
    values
        For each attribute, cells of each value; ``None`` = missing.
    annotated_share
        Share of the area of the annotated fields that finished regions cover, 0 to 1.
    parts
        Train, validation and test, as far as they are there, each with its files: see `huggingface`.
    """

    title: str
    form: str
    anonymous: bool
    fields: int
    annotated: int
    suggestions: int
    patients: int
    domains: Mapping[str, int]
    classes: Mapping[str | None, int]
    values: Mapping[str, Mapping[str | None, int]]
    annotated_share: float
    schema: Schema
    parts: Mapping[str, str] = field(default_factory=dict)


def facts(project: Project, report: ExportReport, *, form: str, what: What, anonymise: bool) -> CardFacts:
    """Count what an export of the current reading holds; cells a few thousand at a time, suggestions not."""
    names = Names.of_project(project, anonymise=anonymise)
    fields = {field.id: field for field in project.fields.all()}
    inside: Counter[int] = Counter()
    for region in project.regions.all():
        if region.finished:
            inside[region.field_id] += max(1, round(region.shape.area))
    annotated = set(inside)
    classes: Counter[str | None] = Counter()
    values: dict[str, Counter[str | None]] = {name: Counter() for name in project.schema.attribute_names}
    for batch in project.cells.batches(_BATCH) if what == "cells" else ():
        for cell, _ in batch:
            annotated.add(cell.field_id)
            classes[cell.cell_class] += 1
            for attribute, counts in values.items():
                counts[cell.attributes.get(attribute)] += 1
    area = sum(fields[i].width * fields[i].height for i in inside)
    return CardFacts(
        title=report.path.stem if report.path.suffix else report.path.name,
        form=form,
        anonymous=anonymise,
        fields=len(fields),
        annotated=len(annotated),
        suggestions=report.suggestions if what == "suggestions" else 0,
        patients=len({field.patient for field in fields.values() if field.patient}),
        domains=Counter(domain for f in fields.values() if (domain := names.domain(f.domain))),
        classes=classes,
        values=values,
        annotated_share=min(1.0, inside.total() / area) if area else 0.0,
        schema=project.schema,
        parts=huggingface.parts(report.path) if form == "huggingface" else {},
    )


def places(out: Path, *, folder: bool) -> tuple[Path, Path]:
    """Return where the card and Croissant of an export go."""
    if folder:
        return out / "README.md", out / "croissant.json"
    return out.with_name(f"{out.name}.card.md"), out.with_name(f"{out.name}.croissant.json")


def write(facts: CardFacts, out: Path) -> None:
    """Write the card and Croissant of an export that has been written.

    Raises
    ------
    OutputError
        One cannot be written; the export itself is complete.
    """
    card, croissant = places(out, folder=out.is_dir())
    write_file(croissant, json.dumps(croissant_of(facts, out), ensure_ascii=False, indent=2) + "\n")
    write_file(card, card_of(facts))


# -- the card ------------------------------------------------------------------------------------


def card_of(facts: CardFacts) -> str:
    """Return the dataset card as Markdown."""
    head: dict[str, Any] = {
        "pretty_name": facts.title,
        "task_categories": ["object-detection", "image-classification"],
        "tags": ["hematology", "blood film", "white blood cells", "sparse annotation", "napari-lld"],
    }
    if facts.parts:
        files = [{"split": part, "path": path} for part, path in facts.parts.items()]
        head["configs"] = [{"config_name": "default", "data_files": files}]
    lines = [
        "---",
        yaml.safe_dump(head, sort_keys=False, allow_unicode=True).rstrip(),
        "---",
        "",
        f"# {_cell(facts.title)}",
        "",
        f"{_things(facts)} {facts.fields} fields of view of blood films"
        + (f", of {facts.patients} patient{'s' * (facts.patients != 1)}" if facts.patients else "")
        + f". Written by napari-lld {version('napari-lld')} as `{facts.form}`. "
        "**Research use only, not for diagnosis.**",
        "",
        "## What is annotated",
        "",
        _coverage(facts),
        "",
        "**What is not annotated is unknown, and not background**: cells there have no box. Leave it out of "
        "the loss, or crop it away, when you train on these files.",
        "",
    ]
    if facts.parts:
        lines += [
            "`areas` holds what is known, as polygons to paint in order: *unknown*, the whole field, then "
            "*annotated*, then *ignore*.",
            "",
        ]
    if facts.domains:
        lines += ["## Domains", "", "| domain | fields |", "|---|---|"]
        lines += [f"| {_cell(name)} | {count} |" for name, count in sorted(facts.domains.items())]
        lines.append("")
    if facts.suggestions:
        return "\n".join([*lines, *_end(facts)])
    lines += ["## Classes", "", "| class | cells |", "|---|---|"]
    order = [
        *facts.schema.class_names,
        *sorted(set(filter(None, facts.classes)) - set(facts.schema.class_names)),
    ]
    lines += [
        f"| {_cell(_title(facts.schema, name))} | {facts.classes[name]} |"
        for name in order
        if facts.classes.get(name)
    ]
    if facts.classes.get(None):
        lines.append(f"| class missing | {facts.classes[None]} |")
    if facts.values:
        lines += ["", "## Attributes", "", "| attribute | values |", "|---|---|"]
        for attribute in facts.schema.attributes:
            counts = facts.values[attribute.name]
            named = [
                f"{_cell(value)} {counts[value]}"
                for value in (*attribute.value_names, UNSURE)
                if counts.get(value)
            ]
            missing = [f"missing {counts[None]}"] if counts.get(None) else []
            lines.append(
                f"| {_cell(attribute.title or attribute.name)} | {', '.join(named + missing) or 'none'} |"
            )
    return "\n".join([*lines, "", *_end(facts)])


def _things(facts: CardFacts) -> str:
    """Return the start of the first sentence: how many cells or suggestions were exported."""
    if (count := facts.suggestions) > 0:
        return f"{count} suggestion{'s' * (count != 1)} of a model, not reviewed, on"
    count = sum(facts.classes.values())
    return f"{count} cell{'s' * (count != 1)} on {facts.annotated} annotated of"


def _end(facts: CardFacts) -> list[str]:
    return [
        "## Privacy",
        "",
        "Names of patients, slides and files are keyed hashes; comments are left out. What stands in a "
        "picture stays there."
        if facts.anonymous
        else "**Names of files, patients and slides are those of the project**: look before you pass this "
        "on, or export it anew without names.",
        "",
        "## What this card does not say",
        "",
        "The licence, who may be asked, how the films were made and how patients agreed: add it before you "
        "publish.",
        "",
    ]


def _coverage(facts: CardFacts) -> str:
    if not facts.annotated_share:
        return "No region is finished: nothing is said about where all cells have a box."
    share = f"{facts.annotated_share:.0%}" if facts.annotated_share >= 0.01 else "less than 1%"
    return (
        f"In finished regions every white cell has a box; they cover {share} of the area of the fields that "
        "have any."
    )


def _title(schema: Schema, name: str) -> str:
    return schema.class_title(name) if schema.is_class(name) or schema.is_group(name) else name


def _cell(text: str) -> str:
    """Return text that a table of Markdown takes for text."""
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;")


# -- Croissant -----------------------------------------------------------------------------------


def croissant_of(facts: CardFacts, out: Path) -> dict[str, Any]:
    """Return the Croissant description of an export, read from what was written."""
    description = (
        f"White blood cells: {_things(facts)} {facts.fields} fields of view of blood films. What is not "
        "annotated is unknown, and not background. Research use only, not for diagnosis."
    )
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": facts.title,
        "description": description,
        "conformsTo": CONFORMS_TO,
        "keywords": ["hematology", "blood film", "white blood cells"],
        "distribution": _folder_entries(out) if out.is_dir() else [_file(out, out.name, "annotations")],
        "recordSet": [] if out.is_dir() else _records(out),
    }


def _file(path: Path, place: str, name: str) -> dict[str, Any]:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return {
        "@type": "cr:FileObject",
        "@id": name,
        "name": name,
        "contentUrl": place,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": _KINDS.get(path.suffix.lower(), "application/octet-stream"),
        "sha256": digest.hexdigest(),
    }


def _folder_entries(out: Path) -> list[dict[str, Any]]:
    """Describe a folder: single files one by one, files of one kind in one folder as a set."""
    by_kind: dict[tuple[str, str], list[Path]] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        place = path.relative_to(out)
        if place.as_posix() not in ("README.md", "croissant.json"):
            by_kind.setdefault((place.parent.as_posix(), path.suffix.lower()), []).append(place)
    entries: list[dict[str, Any]] = []
    for (parent, suffix), paths in sorted(by_kind.items()):
        if parent == ".":
            entries += [_file(out / place, place.as_posix(), place.as_posix()) for place in paths]
            continue
        entries.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{parent}/*{suffix}",
                "name": f"{parent}/*{suffix}",
                "description": f"{len(paths)} files",
                "encodingFormat": _KINDS.get(suffix, "application/octet-stream"),
                "includes": f"{parent}/*{suffix}",
            }
        )
    return entries


def _records(out: Path) -> list[dict[str, Any]]:
    """Describe what the records of a file are, for the files whose records Croissant can read."""
    if out.suffix.lower() == ".csv":
        with out.open(encoding="utf-8-sig", newline="") as file:
            columns = next(csv.reader(file), [])
        return [_record_set("cells", {name: ("column", name, cells_csv.is_number(name)) for name in columns})]
    with out.open(encoding="utf-8") as file:
        if file.read(1) != "{" or out.suffix.lower() != ".json":
            return []
    # one set of records: mlcroissant reads all that are of one file into one table
    of_cells = ("id", "image_id", "category_id")
    paths = {name: ("jsonPath", f"$.annotations[*].{name}", True) for name in of_cells}
    return [_record_set("cells", paths)]


def _record_set(name: str, columns: Mapping[str, tuple[str, str, bool]]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "dataType": "sc:Float" if number else "sc:Text",
                "source": {"fileObject": {"@id": "annotations"}, "extract": {how: where}},
            }
            for column, (how, where, number) in columns.items()
        ],
    }

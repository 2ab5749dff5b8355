"""Copies of one project, what people do in them, and how they come together."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from annotation_store import EditError, Project, Proposal, RegionState, Shape, formats
from annotation_store.copies.merge import merge

CLASSES = ("Monocyte", "Lymphocyte", "Neutrophil", "None", None)
STATES = (RegionState.DRAFT, RegionState.FINISHED)


def copied(folder: Path, name: str) -> Path:
    """Copy a project's folder by hand, beside it."""
    return Path(shutil.copytree(folder, folder.parent / name))


def together(folder: Path, *others: Path) -> Path:
    """Bring others into a project, one after the other; return it."""
    for other in others:
        merge(folder, [other], annotator="Ada")
    return folder


def exported(folder: Path, out: Path) -> dict[str, bytes]:
    """Return what the readings with marks export, by reading and format, the conflicts and the fields."""
    result: dict[str, bytes] = {}
    out.mkdir(parents=True, exist_ok=True)
    with Project.open(folder, annotator="Nobody", read_only=True) as project:
        fields = {field.id: field for field in project.fields.all()}
        conflicts = set[str]()
        for reading in project.readings.all():
            project.readings.use(reading.id)
            # one in which nobody did anything stays in the project that receives, and is not brought there
            if not any(project.cells.all(i) or project.regions.all(i) for i in fields):
                continue
            # whose name was there first depends on who receives; whose reading it is does not
            name = f"{reading.name.split(' (')[0]} of {reading.annotator}"
            for form, end in (("coco", ".json"), ("csv", ".csv"), ("labelstudio", ".json")):
                file = out / f"{form}{end}"
                formats.write(form, project, file, overwrite=True)
                result[f"{name} {form}"] = file.read_bytes()
            conflicts |= {
                json.dumps([name, fields[c.field_id].content_hash, c.here, c.there, c.state], sort_keys=True)
                for c in project.conflicts.all(states=("open", "kept", "taken"))
                if c.cell_id is not None or c.region_id is not None
            }
        described = sorted(
            [f.content_hash, f.name, f.patient, f.quality, f.domain, f.stain] for f in fields.values()
        )
    result["conflicts"] = json.dumps(sorted(conflicts)).encode()
    result["fields"] = json.dumps(described).encode()
    return result


def act(project: Project, what: int, a: int, b: int, images: Path) -> None:
    """Do one of the things that people do; what cannot be done here is left."""
    fields = project.fields.all()
    field = fields[a % len(fields)].id
    cells, regions = project.cells.all(field), project.regions.all(field)
    cell: Any = cells[b % len(cells)] if cells else None
    region: Any = regions[b % len(regions)] if regions else None
    with suppress(EditError):
        match what:
            case 0 | 1:
                values = {"cell_size": "small"} if b % 2 else {}
                project.cells.add(
                    field, (a % 70, b % 50, 20, 20), cell_class=CLASSES[b % 3], attributes=values
                )
            case 2 if cell:
                project.cells.change(cell.id, cell_class=CLASSES[a % 5])
            case 3 if cell:
                name = ("cell_size", "nuclear_chromatin")[a % 2]
                project.cells.change(cell.id, attributes={name: "unsure" if b % 3 else None})
            case 4 if cell:
                project.cells.change(cell.id, box=(a % 70, cell.box[1], 20, 20 + b % 3))
            case 5 if cell:
                project.cells.change(cell.id, comment="xy"[a % 2], bookmark=bool(b % 2))
            case 6 if cell:
                project.cells.delete(cell.id)
            case 7:
                project.undo(field)
            case 8:
                project.redo(field)
            case 9:
                project.regions.add(field, Shape.rectangle(a % 50, 0, 30, 30), state=STATES[b % 2])
            case 10 if region:
                project.regions.change(region.id, state=STATES[a % 2])
            case 11 if region:
                project.regions.change(region.id, shape=Shape.rectangle(a % 50, 0, 30, 40))
            case 12 if region:
                project.regions.delete(region.id)
            case 13:
                found = project.suggestions.find(field)
                if not found:
                    box = (a % 60, 5, 20, 20)
                    chances = {"Monocyte": 0.7, "Lymphocyte": 0.3}
                    project.suggestions.replace(field, [Proposal(box, 0.5, chances)], model_id=None)
                elif b % 3:
                    project.suggestions.accept(found[0].id)
                else:
                    project.suggestions.reject(found[0].id)
            case 14:
                project.fields.update(field, **{("patient", "quality")[a % 2]: ("u", "v", None)[b % 3]})
            case 15:
                files = sorted(images.glob("new*.png"))
                project.fields.add([files[a % len(files)]], about={"stain": "WG"[b % 2]})
            case 16:
                waiting = project.conflicts.all()
                if waiting:
                    project.conflicts.resolve(waiting[a % len(waiting)].id, take=bool(b % 2))

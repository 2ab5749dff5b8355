"""Fields of one slide never lie on both sides of a split, whoever splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from annotation_store import Project
from annotation_store.splits import split_fields, units_of_fields
from napari_lld.report.facts import ReportFacts
from training.agreement.project import match_project_readings
from training.evaluation.gate import units_of
from training.evaluation.patient_split import held_out_key
from training.models.lineage import Lineage
from training.protocol import TrainRequest
from training.worker.annotated_fields import annotated_fields, held_before
from training.worker.roles import roles

SLIDES, FIELDS = 4, 3


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Make a project of four slides with three fields each, three cells a field, and no patient."""
    images = tmp_path / "images"
    images.mkdir()
    for i in range(SLIDES * FIELDS):
        Image.fromarray(np.full((60, 60, 3), i, np.uint8)).save(images / f"f{i}.png")
    with Project.create(tmp_path / "project", "lld", annotator="tester") as made:
        made.fields.add([images])
        made.fields.update_many({f.id: {"slide": f"S{i % SLIDES}"} for i, f in enumerate(made.fields.all())})
        for field in made.fields.all():
            made.regions.add_whole_field(field.id)
            for x in (2, 22, 42):
                made.cells.add(field.id, (x, 5, 10, 10), cell_class="Monocyte")
        yield made


def sides_of_slides(project: Project, sides: Mapping[int, Any]) -> dict[str, set[Any]]:
    found: dict[str, set[Any]] = defaultdict(set)
    for field in project.fields.all():
        found[field.slide or ""].add(sides[field.id])
    return found


def whole(project: Project, sides: Mapping[int, Any], *, of: int) -> bool:
    """Whether each slide lies on one side, and there are so many sides."""
    return all(len(some) == 1 for some in sides_of_slides(project, sides).values()) and (
        len(set(sides.values())) == of
    )


def held(project: Project) -> set[str]:
    """Choose what a training holds out."""
    request = TrainRequest(project=str(project.path), holdout=0.25)
    return set(roles(project, request, annotated_fields(project), Lineage.of(project, None)).held)


def test_a_training_holds_out_whole_slides(project: Project) -> None:
    chosen = held(project)
    assert whole(project, {k.field.id: k.patient in chosen for k in annotated_fields(project)}, of=2)


def test_exports_keep_slides_whole(project: Project) -> None:
    for seed in range(5):
        assert whole(project, split_fields(project.fields.all(), {"train": 0.5, "val": 0.5}, seed=seed), of=2)


def test_gate_sets_bulk_and_intervals_count_slides_as_wholes(project: Project) -> None:
    known = annotated_fields(project)
    results: Iterable[Any] = [
        SimpleNamespace(patient=k.truth().unit, found=SimpleNamespace(truths=3)) for k in known
    ]
    rows = units_of(list(results)).values()
    assert whole(project, {known[i].field.id: n for n, some in enumerate(rows) for i in some}, of=SLIDES)


def test_what_the_engine_folds_by_keeps_slides_whole(project: Project) -> None:
    fields = {k.field.id: k.training_field(project).patient for k in annotated_fields(project)}
    assert whole(project, fields, of=SLIDES)


def test_agreement_resamples_whole_slides(project: Project) -> None:
    assert whole(project, match_project_readings(project).split_units, of=SLIDES)


def test_the_report_takes_whole_slides_for_held_out(project: Project) -> None:
    number = project.models.reserve_id()
    project.models.folder(number).mkdir(parents=True)
    card = {"held_out": [held_out_key(project, unit) for unit in held(project)]}
    project.models.add(number, parent="starter", card=card, activate=True)
    facts = ReportFacts.of_project(project)
    assert whole(project, facts.units, of=SLIDES)
    assert whole(project, {i: i in facts.held_fields for i in facts.fields}, of=2)


def test_a_slide_whose_fields_an_older_model_held_out_one_by_one_stays_held_out(project: Project) -> None:
    """A slide of which it learnt from one field is not: the model knows its cells."""
    fields = project.fields.all()
    cut = [f for f in fields if f.slide in ("S0", "S1") and f.id != fields[1].id]
    listed = [held_out_key(project, f"field:{f.content_hash}") for f in cut]
    number = project.models.reserve_id()
    project.models.folder(number).mkdir(parents=True)
    project.models.add(number, parent="starter", card={"held_out": listed}, activate=True)
    assert held_before(project, annotated_fields(project))[0] == {"slide S0"}


def test_areas_of_a_slide_stay_together(project: Project) -> None:
    field = project.fields.all()[0]
    project.fields.update(field.id, slide=None)
    areas = [project.fields.add_area(field.id, (x, 0, 30, 30)) for x in (0, 20)]
    of = units_of_fields(project.fields.all())
    assert of[areas[0]] == of[areas[1]] == "slide f0"

"""The whole loop on a few of the sample fields with the real worker: three rounds, and what is left."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from faster_coco_eval import COCO

from annotation_store import Project, SuggestionState

CODE = """
import json, sys
from dataclasses import asdict
from pathlib import Path
import napari_lld.cli._app, napari_lld.cli.demo
from napari_lld import demo, sample
class Quiet:
    stage = tick = hear = round = lambda *_: None
fields = [path for path in sample.fields() if path.stem in ("pbc_00", "pbc_03", "txl_00", "txl_02")]
settings = demo.Settings(fields, sample.truth(), sample.sparse(), epochs=1, size=160, seconds=20)
outcome = demo.run_demo(Path(sys.argv[1]), settings, Quiet())
names = "torch torchvision ultralytics qtpy PyQt6 PySide6 napari vispy".split()
loaded = [name for name in names if name in sys.modules]
print(json.dumps({"loaded": loaded, "outcome": asdict(outcome)}, default=str))
"""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "out"


@pytest.fixture(scope="module")
def told(out: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, str(out)], capture_output=True, text=True, timeout=560, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_neither_qt_nor_torch_is_loaded_into_its_process(told: Any) -> None:
    assert told["loaded"] == []


def test_three_rounds_are_told_with_their_numbers(told: Any) -> None:
    first, second, third = told["outcome"]["rounds"]
    assert [one["model"] for one in (first, second, third)] == ["starter", "model 1", "model 2"]
    assert first["cells"] < second["cells"] <= third["cells"], "the review adds cells"
    assert first["suggestions"] > 0
    assert first["everywhere"]["cells"] > first["unseen"]["cells"] > 0
    for one in (first, second, third):
        for scores in (one["everywhere"], one["unseen"]):
            assert 0 <= scores["ap50"] <= 1
            assert 0 <= scores["map50"] <= 1
            assert 0 <= scores["attribute_macro_f1"] <= 1


def test_the_project_opens_and_keeps_the_review(out: Path, told: Any) -> None:
    reviewed_fields, unseen = told["outcome"]["reviewed"], told["outcome"]["unseen"]
    with Project.open(out / "project", read_only=True) as project:
        assert project.check() == []
        assert len(project.fields.all()) == 4
        assert len(project.models.all()) == 2
        done = project.suggestions.find(states=(SuggestionState.ACCEPTED, SuggestionState.CORRECTED))
        names = {project.fields.get(one.field_id).name for one in done}
        assert names
        assert names <= set(reviewed_fields)
        added = [cell for cell in project.cells.all() if cell.suggestion_id is not None]
        assert len(added) == len(done)
    assert {name[:3] for name in reviewed_fields} == {name[:3] for name in unseen} == {"pbc", "txl"}


def test_the_export_is_a_coco_file_with_the_cells(out: Path, told: Any) -> None:
    coco = COCO(str(out / "export.json"))
    assert len(coco.imgs) == 4
    assert len(coco.anns) >= told["outcome"]["rounds"][-1]["cells"]


def test_the_report_refers_to_nothing_outside_and_calls_composed_fields_so(out: Path, told: Any) -> None:
    report = (out / "report.html").read_text("utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|\#)""", report)
    assert "@import" not in report
    assert "url(" not in report
    assert len(report) < 10_000_000
    assert "Research use only, not for diagnosis" in report
    assert report.count("data:image/jpeg;base64,") == 8, "four fields, before and after"
    assert "<svg" in report
    kinds = dict(re.findall(r'<h4>(\S+) <span class="tag \w+">(\w+)', report))
    assert kinds == {
        "pbc_00.jpg": "composed",
        "pbc_03.jpg": "composed",
        "txl_00.jpg": "natural",
        "txl_02.jpg": "natural",
    }

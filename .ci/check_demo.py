"""Check what `napari-lld demo` left behind: a project that opens, a COCO file others can read, a report."""

import json
import re
import sys
from pathlib import Path

from faster_coco_eval import COCO

from annotation_store import Project, SuggestionState

out = Path(sys.argv[1])

with Project.open(out / "project", read_only=True) as project:
    problems = project.check()
    fields, cells, models = project.fields.all(), project.cells.all(), project.models.all()
    touched = project.suggestions.find(states=(SuggestionState.ACCEPTED, SuggestionState.CORRECTED))
assert not problems, problems
assert len(fields) == 18, len(fields)
assert len(models) == 2, "two rounds make two models"
assert len(cells) > 36, "the review adds cells to the 36 of the regions"
assert touched, "some suggestions were accepted or corrected"

coco = COCO(str(out / "export.json"))
assert len(coco.imgs) == len(fields)
assert len(coco.anns) == len(cells)
described = [
    a for a in json.loads((out / "export.json").read_text("utf-8"))["annotations"] if a["attributes"]
]
assert described, "attributes are exported"

report = (out / "report.html").read_text("utf-8")
assert "research use only" in report.lower()
assert report.count("<svg") + report.count("data:image/") >= 18, "every field is drawn"
outside = re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)[^"']*""", report)
assert not outside, f"the report refers to {outside[:3]}"
print(
    f"demo: {len(fields)} fields, {len(cells)} cells, {len(models)} models, report {len(report) / 1e6:.1f} MB"
)

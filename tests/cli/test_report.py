"""The report from the command line: one file, without names unless they are asked for."""

from __future__ import annotations

from pathlib import Path

from annotation_store import Project


def test_a_report_has_no_names_and_a_title_of_its_own_unless_asked(
    cli, small_project: Path, tmp_path: Path
) -> None:
    with Project.open(small_project, annotator="Ada <b>") as project:
        field = project.fields.all()[0]
        project.fields.update(field.id, patient="Jane Doe")
        project.work_time.add(field.id, 3700)
    out = tmp_path / "report.html"
    answer = cli("report", small_project, out)
    assert (answer.code, answer.out.strip()) == (0, f"Wrote {out}.")
    html = out.read_text(encoding="utf-8")
    assert "<h1>Annotation project</h1>" in html
    assert "Patient 1" in html
    assert "Ada &lt;b&gt;" in html
    for name in ("Jane Doe", field.name, small_project.name):
        assert name not in html
    assert cli("report", small_project, out, "--overwrite", "--names", "--title", "Ward 4 & 5").code == 0
    html = out.read_text(encoding="utf-8")
    assert "<h1>Ward 4 &amp; 5</h1>" in html
    assert "Jane Doe" in html


def test_a_place_that_cannot_be_is_refused_in_one_line(cli, small_project: Path, tmp_path: Path) -> None:
    cli("report", small_project, tmp_path / "nowhere" / "r.html").refuses("does not exist")
    cli("report", small_project, tmp_path).refuses("is a folder")
    cli("report", tmp_path / "nothing", tmp_path / "r.html").refuses("nothing")

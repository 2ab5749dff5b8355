"""One registry, and a page that says what is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotation_store import Project, formats
from annotation_store.errors import FormatError

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text("utf-8")


def test_the_page_has_every_format_and_every_option() -> None:
    for name, form in formats.FORMATS.items():
        section = PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert section, name
        for option in form.options:
            assert f"`{option.name}`" in section, (name, option.name)


def test_names_by_direction() -> None:
    assert "crops" not in formats.names(reading=True)
    assert set(formats.names(reading=True)) < set(formats.names(writing=True)) == set(formats.FORMATS)


def test_what_is_not_there_is_refused(project: Project, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="choose one of coco"):
        formats.write("dicom", project, tmp_path / "x")
    with pytest.raises(FormatError, match="but not imported"):
        formats.read("crops", project, tmp_path)
    with pytest.raises(FormatError, match=r"no option 'vall': it has .*, val=0.2, test"):
        formats.write("yolo", project, tmp_path / "x", options={"vall": "0.1"})
    with pytest.raises(FormatError, match="it has none"):
        formats.write("csv", project, tmp_path / "x", options={"val": "0.1"})
    with pytest.raises(FormatError, match="give cells or suggestions"):
        formats.write("csv", project, tmp_path / "x", what="models")
    assert list(tmp_path.glob("x*")) == []


@pytest.mark.parametrize("name", formats.names(reading=True))
def test_a_path_that_is_not_there(project: Project, tmp_path: Path, name: str) -> None:
    with pytest.raises(FormatError, match=r"There is no (file|folder)"):
        formats.read(name, project, tmp_path / "missing")

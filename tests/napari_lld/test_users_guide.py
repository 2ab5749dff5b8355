"""The user's guide says what the program does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from napari.components import ViewerModel

from annotation_store.schema import load_schema
from napari_lld.commands.key_table import with_keys
from napari_lld.controllers.desk import Desk

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "users-guide.md"


def test_its_table_of_keys_is_that_of_the_registry(qapp: object) -> None:
    """With UPDATE_DOCS=1 in the environment the table is written anew."""
    desk = Desk(ViewerModel())
    desk.commands.use_schema(load_schema("lld"))
    text = GUIDE.read_text(encoding="utf-8")
    wanted = with_keys(text, desk.commands)
    desk.close()
    if os.environ.get("UPDATE_DOCS"):
        GUIDE.write_text(wanted, encoding="utf-8")
        return
    assert text == wanted, "run: UPDATE_DOCS=1 pytest tests/napari_lld/test_users_guide.py"


@pytest.mark.parametrize("page", ["docs/users-guide.md", "docs/tutorial.md", "README.md"])
def test_pictures_and_links_exist(page: str) -> None:
    place = ROOT / page
    targets = re.findall(r"\]\(([^)#]+)\)", place.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert target.startswith("https://") or (place.parent / target).exists(), target


def test_every_picture_is_shown_and_small() -> None:
    pages = "".join(
        page.read_text(encoding="utf-8") for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md")
    )
    pictures = list((ROOT / "docs" / "images").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert f"images/{picture.name})" in pages, picture.name
        assert picture.stat().st_size < 250_000, picture.name

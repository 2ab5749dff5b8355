"""The user's guide says what the program does."""

from __future__ import annotations

import os
import re
from pathlib import Path

from napari.components import ViewerModel

from annotation_store.schema import load_schema
from napari_lld.desk import Desk
from napari_lld.key_table import with_keys

GUIDE = Path(__file__).parents[2] / "docs" / "users-guide.md"


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


def test_its_pictures_and_links_exist() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", GUIDE.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (GUIDE.parent / target).exists(), target

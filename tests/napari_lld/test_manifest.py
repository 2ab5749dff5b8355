"""The npe2 manifest, and the sample data it offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from npe2 import PluginManifest

import napari_lld

MANIFEST = Path(napari_lld.__file__).parent / "napari.yaml"


def test_the_manifest_is_valid() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.contributions.widgets[0].display_name == "Annotate"  # type: ignore[index]


@pytest.mark.parametrize("name", ["natural_field", "composed_field"])
def test_sample_data_is_a_field_with_its_cells(name: str) -> None:
    from napari.layers import Layer

    from napari_lld.sample import napari_samples

    image, boxes = (Layer.create(*data) for data in getattr(napari_samples, name)())
    assert image.rgb
    assert len(boxes.data) >= 1
    assert len(boxes.features) == len(boxes.data)


def test_sample_data_needs_no_torch() -> None:
    code = (
        "import sys; from napari_lld.sample.napari_samples import natural_field; natural_field()\n"
        "print('torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_what_the_window_remembers_survives_a_damaged_file(tmp_path: Path) -> None:
    from napari_lld.session import user_state

    user_state.remember("window_size", [800, 600])
    assert user_state.recall("window_size") == [800, 600]
    user_state.state_file().write_text("{", encoding="utf-8")
    assert user_state.recall("window_size", "none") == "none"
    assert user_state.recent_projects() == []

"""What each package may load; the static side of the same rules is in import-linter's contracts."""

import subprocess
import sys

import pytest

QT = ("qtpy", "PyQt6", "PySide6")


@pytest.mark.parametrize(
    ("module", "kept_out"),
    [
        ("annotation_store.formats", ("torch", *QT, "napari")),
        ("training", ("torch", *QT, "napari")),
        ("training.client", ("torch", *QT, "napari")),
        ("training.agreement", ("torch", *QT, "napari", "sklearn", "skimage", "statsmodels")),
        ("training.ranking", ("torch", *QT, "napari", "sklearn", "skimage")),
        ("training.protocol", ("torch", *QT, "napari")),
        ("napari_lld", ("torch", *QT)),
        ("napari_lld.session.session", ("torch", *QT, "napari")),
        ("napari_lld.commands.registry", ("torch", *QT, "napari")),
        ("napari_lld.cli", ("torch", *QT, "napari")),
        ("napari_lld.demo", ("torch", *QT, "napari")),
        ("napari_lld.widgets", ("torch", "ultralytics")),
    ],
)
def test_importing_a_package_loads_only_what_lies_below_it(module: str, kept_out: tuple[str, ...]) -> None:
    code = f"import sys, {module}; print([m for m in {kept_out!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"

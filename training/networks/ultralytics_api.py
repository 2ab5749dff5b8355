"""Import Ultralytics offline and quiet; no other module imports it.

By default it phones home, installs packages and writes a settings file. This is disabled here, and its
settings folder is a temporary one of this process, so that it works with a read-only home folder and does not
read or write the user's own Ultralytics settings.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import yaml
from PIL import Image

from annotation_store.files.temporary import keep_until_exit
from training.networks.architectures import Architecture

_folder = str(keep_until_exit("yolo"))
os.environ.update(
    YOLO_OFFLINE="true",
    YOLO_AUTOINSTALL="false",
    YOLO_VERBOSE="false",
    YOLO_CONFIG_DIR=_folder,
    MPLCONFIGDIR=_folder,
)
_threads_requested = "OMP_NUM_THREADS" in os.environ

import ultralytics  # noqa: E402
from ultralytics.nn.tasks import DetectionModel  # noqa: E402
from ultralytics.utils import LOGGER, SETTINGS, patches  # noqa: E402
from ultralytics.utils.loss import v8DetectionLoss  # noqa: E402
from ultralytics.utils.tal import make_anchors  # noqa: E402

if not _threads_requested:
    # it sets this variable to 1, which the next task of this process would take for the user's choice
    os.environ.pop("OMP_NUM_THREADS", None)
LOGGER.setLevel(logging.ERROR)
# it replaces this by its own function, which needs another package for any file that is not an image
Image.open = getattr(patches, "_image_open", Image.open)
for _name, _value in dict(SETTINGS).items():
    if isinstance(_value, bool) and _value:  # sync and every integration
        dict.__setitem__(SETTINGS, _name, False)

__all__ = [
    "VERSION",
    "DetectionModel",
    "layout_of",
    "make_anchors",
    "v8DetectionLoss",
]

VERSION: str = ultralytics.__version__


def layout_of(architecture: Architecture) -> dict[str, Any]:
    """Load a configuration with one class and without the end-to-end branch."""
    file = Path(ultralytics.__file__).parent / "cfg" / "models" / architecture.layout
    layout: dict[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    layout.update(scale=architecture.scale, nc=1, end2end=False)
    return layout

"""The bundled fields, their truth, and one sparse region each; see LICENCES.md for where they come from."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent


def fields() -> list[Path]:
    """List the 18 sample images: ``pbc_*`` are composed, ``txl_*`` natural."""
    return sorted((_HERE / "fields").iterdir())


def truth() -> Path:
    """Return the COCO file (schema `lld`) with every white cell of the sample."""
    return _HERE / "truth.json"


def sparse() -> Path:
    """Return the COCO file (schema `lld`) with one region per field and the cells centred in it."""
    return _HERE / "sparse.json"

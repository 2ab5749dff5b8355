"""Translate WBCAtt's eleven attributes to LLD's seven.

A mapping of labels, not a new annotation: the cells were not looked at again. The nucleolus has no
counterpart and stays missing. Both vocabularies are those of the published data sets (Tsutsui et al.,
NeurIPS 2023; LLD, Medical Image Analysis 106, 103760).
"""

from __future__ import annotations

from collections.abc import Mapping

_VALUES: dict[tuple[str, str], dict[str, str]] = {
    ("cell_size", "cell_size"): {"big": "large", "small": "small"},
    ("chromatin_density", "nuclear_chromatin"): {"densely": "coarse", "loosely": "open"},
    ("nucleus_shape", "nuclear_shape"): {
        "unsegmented-round": "regular",
        "unsegmented-indented": "irregular",
        "unsegmented-band": "irregular",
        "segmented-bilobed": "irregular",
        "segmented-multilobed": "irregular",
        "irregular": "irregular",
    },
    ("nuclear_cytoplasmic_ratio", "cytoplasm"): {"high": "scanty", "low": "abundant"},
    ("cytoplasm_colour", "cytoplasmic_basophilia"): {
        "light blue": "slight",
        "blue": "moderate",
        "purple blue": "moderate",
    },
    ("cytoplasm_vacuole", "cytoplasmic_vacuoles"): {"no": "absent", "yes": "prominent"},
}


def wbcatt_to_lld(attributes: Mapping[str, str | None]) -> dict[str, str]:
    """Translate one cell's WBCAtt attributes; what has no counterpart is left out (missing).

    Parameters
    ----------
    attributes
        WBCAtt attribute name to value, ``None`` if missing.

    Returns
    -------
    dict
        LLD attribute name to value.
    """
    return {
        lld: words[value]
        for (wbcatt, lld), words in _VALUES.items()
        if (value := attributes.get(wbcatt)) is not None and value in words
    }

"""How colours look to the colour-blind."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
SIMULATED = {
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968),
        (0.280085, 0.672501, 0.047413),
        (-0.011820, 0.042940, 0.968881),
    ),
    "protanopia": (
        (0.152286, 1.052583, -0.204868),
        (0.114503, 0.786281, 0.099216),
        (-0.003882, -0.048116, 1.051998),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779),
        (-0.078411, 0.930809, 0.147602),
        (0.004733, 0.691367, 0.303900),
    ),
}


def distances(colours: npt.NDArray[np.float64], matrix: object) -> npt.NDArray[np.float64]:
    """Give how different colours look (CIEDE2000) to somebody who sees so."""
    from skimage.color import deltaE_ciede2000, rgb2lab

    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.array(matrix).T, 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(seen[None])[0]
    return np.asarray(deltaE_ciede2000(lab[:, None], lab[None]), dtype=np.float64)

"""Propose boxes from the stain alone, without a model: for a cold start, and if the starter fails.

Nuclei of white cells stain deep purple, red cells and background do not. Colour deconvolution
(Ruifrok and Johnston 2001, `skimage.color.rgb2hed`) gives the amount of the nuclear stain, a threshold the
nuclei, a watershed on the distance to their edge separates those that touch, and the lobes of one nucleus
are joined again because a cell is wider than the gaps between its lobes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.color import rgb2hsv
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.morphology import disk
from skimage.segmentation import watershed
from skimage.transform import resize

from annotation_store.records import Box, Proposal, Shape
from training.inference.stain_proposals import STAIN_CONFIDENCE

_WORKING_SIDE = 480
_DARK_NUCLEI = 0.35
"""Minimum nuclear stain of the field's darkest hundredth to propose nuclei where a model found none.
On the fixed fifth of ``txl``: 0.13 to 0.31 without a white cell, 0.51 to 1.1 with one (``docs/adr/0005``)."""

_CYTOPLASM = 1.4
"""Side of a cell over that of its nucleus (a compromise between lymphocytes and granulocytes)."""

# In radii of a nucleus, the field's own scale: gaps between lobes that are closed, and how far apart two
# nuclei must be. Chosen on the fixed fifth of train: pbc precision 1.0, recall 1.0; txl 0.5 and 0.8.
_GAP = 1.0
_APART = 2.5
_OF_DARKEST = 0.45
"""Minimum stain of a nucleus, as a share of the field's maximum."""


def nuclear_stain(pixels: np.ndarray) -> np.ndarray:
    """Return the amount of nuclear stain of each pixel.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8 or float 0 to 1.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` float, 0 = none: optical density in green (what purple absorbs and pink hardly does)
        less that in blue, where purple is bright.
    """
    rgb = pixels.astype(np.float32) / 255 if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    density = -np.log10(np.clip(rgb, 1 / 255, 1))
    purple = density[..., 1] - 0.5 * density[..., 2]
    red_cells = rgb2hsv(rgb)[..., 0]  # hue: red and orange near 0 or 1, purple 0.6 to 0.9
    weight = np.where((red_cells > 0.55) & (red_cells < 0.93), 1.0, 0.35)
    return np.asarray(np.clip(purple * weight, 0, None))


def propose_from_stain(pixels: np.ndarray, *, most: int = 300) -> list[Proposal]:
    """Propose boxes of white cells from the colour of their nuclei.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8.
    most
        Maximum number of boxes.

    Returns
    -------
    list
        Proposals without class or attributes, largest nuclei first; the confidence is not calibrated.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, _WORKING_SIDE / max(height, width))
    shape = (max(1, round(height * scale)), max(1, round(width * scale)))
    small = resize(pixels, shape, anti_aliasing=scale < 1)
    stain = ndimage.gaussian_filter(nuclear_stain(small), 1.5)
    if float(stain.max()) < 0.05:
        return []  # nothing is stained
    threshold = max(0.12, float(threshold_otsu(stain)), _OF_DARKEST * float(np.percentile(stain, 99.8)))
    nuclei = ndimage.binary_opening(stain > threshold, disk(2))
    if not nuclei.any():
        return []
    # the field's own scale: half the width of a thick nucleus
    radius = float(
        np.percentile(ndimage.maximum_filter(ndimage.distance_transform_edt(nuclei), 9)[nuclei], 90)
    )
    reach = int(np.clip(round(_GAP * radius), 2, 20))
    joined = ndimage.binary_closing(np.pad(nuclei, reach), disk(reach))[reach:-reach, reach:-reach]
    distance = ndimage.gaussian_filter(ndimage.distance_transform_edt(joined), max(2.0, 0.3 * radius))
    apart = max(4, round(_APART * radius))
    peaks = peak_local_max(distance, min_distance=apart, labels=label(joined), exclude_border=False)
    seeds = np.zeros(joined.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    cells = watershed(-distance, seeds, mask=joined)
    parts = [p for p in regionprops(cells) if p.area > 0.0006 * joined.size]
    if not parts:
        return []
    typical = float(np.median([p.area for p in parts]))
    boxes = []
    for part in sorted(parts, key=lambda p: -p.area):
        if part.area < 0.25 * typical:
            continue  # platelets and specks
        y0, x0, y1, x1 = (v / scale for v in part.bbox)
        grow_x, grow_y = (x1 - x0) * (_CYTOPLASM - 1) / 2, (y1 - y0) * (_CYTOPLASM - 1) / 2
        left, top = max(0.0, x0 - grow_x), max(0.0, y0 - grow_y)
        right, bottom = min(float(width), x1 + grow_x), min(float(height), y1 + grow_y)
        boxes.append((left, top, right - left, bottom - top))
    return [Proposal(box, STAIN_CONFIDENCE) for box in boxes[:most]]


def white_balanced(pixels: np.ndarray) -> np.ndarray:
    """Make the background, the bright tenth of a field, nearly white: ``(H, W, 3)`` uint8."""
    background = np.percentile(pixels[::4, ::4].reshape(-1, 3), 90, axis=0)
    return np.asarray((pixels * (245 / np.maximum(background, 40))).clip(0, 255), np.uint8)


def unboxed_nuclei(pixels: np.ndarray, inside: Shape, known: Sequence[Box]) -> list[Box]:
    """Return boxes of dark nuclei in an area that are not covered by a known box.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8: the field.
    inside
        The searched area, in pixels of the field.
    known
        Boxes of cells, ignore areas and rejected suggestions: a nucleus is known if its centre lies in one of
        them, or the centre of one in its box.
    """
    nuclei = [proposal.box for proposal in propose_if_nuclei(pixels) if inside.contains_centre(proposal.box)]
    return [
        box
        for box in nuclei
        if not any(_is_centred_in(box, proposal) or _is_centred_in(proposal, box) for proposal in known)
    ]


def _is_centred_in(box: Box, other: Box) -> bool:
    """Return whether the centre of a box lies in another one."""
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    return other[0] <= x <= other[0] + other[2] and other[1] <= y <= other[1] + other[3]


def propose_if_nuclei(pixels: np.ndarray) -> list[Proposal]:
    """Propose from the stain on a field where a model finds nothing, if there are dark nuclei.

    Its lamp or stain then differs from the training data. Most fields where nothing is found are empty: red
    cells and platelets alone give no proposals.
    """
    balanced = white_balanced(pixels)
    if float(np.percentile(nuclear_stain(balanced[::2, ::2]), 99)) < _DARK_NUCLEI:
        return []
    return propose_from_stain(balanced)

"""Training data: fields and cells with their labels, in the form that the training loop takes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import skimage.draw

from annotation_store.records import Box, Shape
from training.models.memory import choose, whole_cells
from training.networks.describer import cut_crop, size_feature
from training.networks.detector import to_working_scale
from training.networks.scale import STARTER_SIDES, field_side
from training.networks.vocabulary import Vocabulary, shares

PATCH_CONTEXT = 2.0
"""Side of a patch over the side of its cell: a crop can be rotated by any angle inside."""

MAX_PATCH_SIDE = 256
"""Maximum side of a patch in pixels; a larger one is resized."""

MAX_PATCHES_PER_VALUE = 500
"""Maximum number of patches of each value: 50 to 200 KB each."""


@dataclass(frozen=True)
class LabelledCell:
    """A boxed cell with its labels; see `annotation_store.records.Cell`.

    Attributes
    ----------
    weights
        Weights in the score and in the box terms of the detector's loss: less than 1 for a pseudo-label.
    shares
        If readings disagree: ``"class"`` or an attribute's name to each value's share of the votes, the
        majority first, which is also `cell_class` or in `attributes`.
    """

    box: Box
    cell_class: str | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    weights: tuple[float, float] = (1.0, 1.0)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingField:
    """A field with its annotations, in the field's pixels.

    Attributes
    ----------
    pixels
        Returns ``(H, W, 3)`` uint8.
    regions
        Finished regions.
    rejections
        Boxes rejected as not a cell.
    patient
        The unit of splits: see `annotation_store.splits.units`.
    cell_side
        Median side of a white cell there, if known: see `training.networks.scale`.
    """

    name: str
    pixels: Callable[[], np.ndarray]
    cells: tuple[LabelledCell, ...] = ()
    regions: tuple[Shape, ...] = ()
    ignore: tuple[Shape, ...] = ()
    rejections: tuple[Box, ...] = ()
    patient: str = ""
    cell_side: float | None = None


@dataclass
class PreparedField:
    """A field at the working scale.

    Attributes
    ----------
    image
        ``(h, w, 3)`` uint8.
    boxes
        ``(n, 4)`` x1, y1, x2, y2 in working pixels.
    known
        ``(h, w)`` uint8, 1 = known area.
    focus
        ``(m, 2)`` x, y of candidate centres of training windows: cells and known area.
    weights
        ``(n, 2)`` float32: weight of each box in the score and in the box terms of the loss.
    """

    image: np.ndarray
    boxes: np.ndarray
    known: np.ndarray
    focus: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Labels:
    """Labels of cells: one row for each cell, and more if readings disagree (``docs/adr/0012``).

    The first row of a cell has the majority value of each head, the second the value with the next most
    votes, and so on.

    Attributes
    ----------
    allowed
        Per head ``(m, K)`` bool, see `Vocabulary.targets`.
    weights
        ``(m, heads)`` float32: the share of the votes of a row's value; 1 if readings agree. Those of a cell
        sum to 1 for each head.
    cell_ids
        ``(m,)`` int: the cell of each row, ascending.
    """

    allowed: list[np.ndarray]
    weights: np.ndarray
    cell_ids: np.ndarray

    @classmethod
    def single(cls, allowed: Sequence[np.ndarray]) -> Labels:
        """Create labels of cells with one reading: per head ``(n, K)`` bool."""
        n = len(allowed[0]) if allowed else 0
        return cls(list(allowed), np.ones((n, len(allowed)), np.float32), np.arange(n))

    def rows_of(self, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of cells, and the index among these of each row's cell."""
        first, end = (
            np.searchsorted(self.cell_ids, cells),
            np.searchsorted(self.cell_ids, cells, side="right"),
        )
        indices = np.repeat(np.arange(len(cells)), end - first)
        rows = [np.arange(a, b) for a, b in zip(first, end, strict=True)]
        return np.concatenate([np.zeros(0, int), *rows]), indices

    def joined(self, other: Labels, cells: int) -> Labels:
        """Append those of other cells to those of the first `cells`."""
        return Labels(
            [np.concatenate(both) for both in zip(self.allowed, other.allowed, strict=True)],
            np.concatenate((self.weights, other.weights)),
            np.concatenate((self.cell_ids, cells + other.cell_ids)),
        )


@dataclass
class CellPatches:
    """All cells with at least one label, for the describer.

    Attributes
    ----------
    patches
        ``n`` squares ``(side, side, 3)`` uint8 of the field's own pixels, the cell in the middle.
    sizes
        ``(n,)`` float32, see `size_feature`.
    labels
        Of these cells.
    """

    patches: list[np.ndarray]
    sizes: np.ndarray
    labels: Labels

    def __len__(self) -> int:
        return len(self.sizes)


def fill_shape(mask: np.ndarray, shape: Shape, scale: float, value: int) -> None:
    """Set the pixels of `mask` ``(h, w)`` whose centres lie in the scaled shape."""
    if shape.is_rectangle:
        fill_box(mask, (shape.coords[0], shape.coords[1], shape.coords[2], shape.coords[3]), scale, value)
        return
    points = np.array(shape.points) * scale - 0.5
    rows, columns = skimage.draw.polygon(points[:, 1], points[:, 0], mask.shape)
    mask[rows, columns] = value


def fill_box(mask: np.ndarray, box: Box, scale: float, value: int) -> None:
    """Set the pixels of `mask` ``(h, w)`` whose centres lie in the scaled box."""
    x, y, w, h = (v * scale for v in box)
    x0, x1 = (max(0, math.ceil(v - 0.5)) for v in (x, x + w))
    y0, y1 = (max(0, math.ceil(v - 0.5)) for v in (y, y + h))
    mask[y0:y1, x0:x1] = value


def known_area(
    shape: tuple[int, int],
    scale: float,
    cells: Sequence[LabelledCell],
    regions: Sequence[Shape],
    ignore: Sequence[Shape],
    rejections: Sequence[Box],
) -> np.ndarray:
    """Draw the known area of a field: ``(h, w)`` uint8, 1 where the absence of a box means background.

    It consists of finished regions (also empty ones) and boxes rejected as not a cell, except where a cell
    covers them, without the ignore areas.
    """
    rejected = np.zeros(shape, np.uint8)
    for box in rejections:
        fill_box(rejected, box, scale, 1)
    for cell in cells:
        fill_box(rejected, cell.box, scale, 0)
    known = rejected
    for region in regions:
        fill_shape(known, region, scale, 1)
    for area in ignore:
        fill_shape(known, area, scale, 0)
    return known


def prepare_field(
    field: TrainingField, size: int, sides: tuple[float, float] = STARTER_SIDES
) -> PreparedField:
    """Scale a field to the working scale: see `training.networks.scale.working_factor`."""
    image, scale = to_working_scale(field.pixels(), size, field.cell_side, sides)
    known = known_area(image.shape[:2], scale, field.cells, field.regions, field.ignore, field.rejections)
    boxes = np.array([cell.box for cell in field.cells], np.float32).reshape(-1, 4) * scale
    boxes[:, 2:] += boxes[:, :2]
    rows, columns = np.nonzero(known)
    step = max(1, len(rows) // 64)
    inside = np.stack((columns[::step], rows[::step]), 1).astype(np.float32) + 0.5
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    # balance: as many centres on the cells as on the area around them, if there are any
    share = max(1, len(inside) // max(1, len(centres)))
    focus = np.concatenate((inside, np.repeat(centres, share, 0)))
    if not len(focus):
        focus = np.array([[image.shape[1] / 2, image.shape[0] / 2]], np.float32)
    weights = np.array([cell.weights for cell in field.cells], np.float32).reshape(-1, 2)
    return PreparedField(image, boxes, known, focus, weights)


def labelled_cells(
    fields: Sequence[TrainingField], vocabulary: Vocabulary, *, most: int, seed: int = 0
) -> tuple[list[list[int]], Labels]:
    """Choose the training cells: all that have a label, or `most` of each value if there are more.

    Returns
    -------
    tuple
        For each field, the indices of the chosen among its cells; their labels, in that order.
    """
    cells = [(i, j, cell) for i, entry in enumerate(fields) for j, cell in enumerate(entry.cells)]
    rows = [
        (number, *row) for number, (_, _, cell) in enumerate(cells) for row in _label_rows(cell, vocabulary)
    ]
    rows = [entry for entry in rows if any(target.any() for target in entry[1])]
    allowed = [
        np.array([entry[1][head] for entry in rows], bool).reshape(-1, len(values))
        for head, values in enumerate(vocabulary.heads)
    ]
    chosen: list[list[int]] = [[] for _ in fields]
    if not rows:
        return chosen, Labels.single(allowed)
    cell_ids = np.array([number for number, *_ in rows])
    # a group counts as its first member: precise enough to choose by
    firsts = [np.where(head.any(1), head.argmax(1) if head.size else -1, -1) for head in allowed]
    selected = whole_cells(choose(np.stack(firsts, 1), most, seed=seed), cell_ids)
    chosen_cells, cell_ids = np.unique(cell_ids[selected], return_inverse=True)
    for number in chosen_cells:
        chosen[cells[number][0]].append(cells[number][1])
    weights = np.array([weight for _, _, weight in rows], np.float32)
    return chosen, Labels([head[selected] for head in allowed], weights[selected], cell_ids)


def _label_rows(cell: LabelledCell, vocabulary: Vocabulary) -> Iterator[tuple[list[np.ndarray], list[float]]]:
    """Yield the rows of a cell's labels: the allowed values of each head, and their weights."""
    names = vocabulary.head_names
    shares = {name: list(pairs.items()) for name, pairs in cell.shares.items() if name in names}
    yield (
        vocabulary.targets(cell.cell_class, cell.attributes),
        [shares[name][0][1] if name in shares else 1.0 for name in names],
    )
    for row in range(1, max(map(len, shares.values()), default=0)):
        row_shares = {name: pairs[row] for name, pairs in shares.items() if len(pairs) > row}
        values = {name: value for name, (value, _) in row_shares.items()}
        yield (
            vocabulary.targets(values.get("class"), values),
            [row_shares[name][1] if name in row_shares else 0.0 for name in names],
        )


def each_cell(
    field: TrainingField, indices: Sequence[int], crop: Callable[[np.ndarray, Box], np.ndarray]
) -> Iterator[tuple[np.ndarray, float]]:
    """Yield the crop and the size feature of cells of a field, given by their indices."""
    if not indices:
        return
    pixels = field.pixels()
    height, width = pixels.shape[:2]
    against = field_side(width, height, field.cell_side)
    for index in indices:
        box = field.cells[index].box
        yield crop(pixels, box), size_feature(max(box[2:]), against)


def cut_patch(pixels: np.ndarray, box: Box) -> np.ndarray:
    """Crop the square of `PATCH_CONTEXT` times a box's side, in the field's own pixels.

    A training crop is then interpolated once, as in prediction. Outside the field its edge is repeated.
    """
    x, y, w, h = box
    side = max(2, math.ceil(max(w, h) * PATCH_CONTEXT))
    if side > MAX_PATCH_SIDE:
        return cut_crop(pixels, box, MAX_PATCH_SIDE, PATCH_CONTEXT)
    left, top = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
    rows = np.clip(np.arange(top, top + side), 0, pixels.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, pixels.shape[1] - 1)
    return np.ascontiguousarray(pixels[np.ix_(rows, columns)])


def cut_patches(fields: Sequence[TrainingField], vocabulary: Vocabulary) -> CellPatches:
    """Crop a patch of each cell with a class or an attribute in the vocabulary.

    They are held in memory: `MAX_PATCHES_PER_VALUE` cells of each value at most.
    """
    chosen, labels = labelled_cells(fields, vocabulary, most=MAX_PATCHES_PER_VALUE)
    patches = [
        patch_and_size
        for field, indices in zip(fields, chosen, strict=True)
        for patch_and_size in each_cell(field, indices, cut_patch)
    ]
    return CellPatches(
        [patch for patch, _ in patches], np.array([size for _, size in patches], np.float32), labels
    )


def log_priors(allowed: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Return the log frequency of each value: ``(K,)`` float32 from ``(n, K)`` bool.

    A group counts for its members in equal parts. One is added to each count (Laplace smoothing), so that a
    value without cells is rare and not impossible.

    Parameters
    ----------
    weights
        ``(n,)``: the weight of each row; ``None`` = 1.
    """
    counts = shares(allowed, weights).sum(0) + 1.0
    return np.asarray(np.log(counts / counts.sum()), np.float32)

"""SAM's instance masks of one window, kept as cells: lossless for masks that overlap.

The pixels that lie in the same set of masks form a cell; a mask is a union of cells. A map of cell
ids and a mask x cell table hold what a stack of masks holds, in a hundredth of the bytes, and every
sum over a mask becomes a sum over its cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.sphere.plan import WindowPlan

MAX_CELLS = np.iinfo(np.uint16).max  # beside cell 0, the pixels in no mask
_BOUNDARY_MEMORY = 2**26  # bytes that boundaries are found in: masks may be any number
_BOUNDARY_PIXELS = 2**20  # pixels that are looked at together, for the same reason


@dataclass(frozen=True, eq=False)
class WindowMasks:
    """The M masks of one window of H x W pixels.

    cells: uint16 (H, W), the cell of each pixel; 0 = in no mask. Numbered by first pixel in
    row-major order, so that equal masks give equal bytes.
    incidence: bool (M, K), K = number of cells with cell 0: cell c belongs to mask m. Column 0 is
    False.
    area: int32 (M,), px. box: int32 (M, 4), first and last column and row of a mask as
    x0, y0, x1, y1, all inclusive, zeros for an empty mask (as segment-anything has it).
    predicted_iou, stability: float32 (M,), SAM's scores.

    >>> masks = np.zeros((2, 4, 6), bool)
    >>> masks[0, :, :4] = masks[1, :, 2:] = True
    >>> window = WindowMasks.of(masks, np.ones(2), np.ones(2))
    >>> window.cells[0].tolist(), window.area.tolist()
    ([1, 1, 2, 2, 3, 3], [16, 16])
    >>> bool((window.masks() == masks).all())
    True
    """

    cells: np.ndarray
    incidence: np.ndarray
    area: np.ndarray
    box: np.ndarray
    predicted_iou: np.ndarray
    stability: np.ndarray

    def __len__(self) -> int:
        return len(self.incidence)

    def masks(self) -> np.ndarray:
        """bool (M, H, W)."""
        return self.incidence[:, self.cells]

    @classmethod
    def of(cls, masks: np.ndarray, predicted_iou: np.ndarray, stability: np.ndarray) -> WindowMasks:
        """From bool (M, H, W) masks and float (M,) scores; the order of the masks is kept.

        Raises InputError for more than 65,535 cells.
        """
        n, height, width = masks.shape
        cells, incidence = _cells(masks.reshape(n, height * width))
        pixels = np.bincount(cells, minlength=incidence.shape[1])
        return cls(
            cells=cells.reshape(height, width),
            incidence=incidence,
            area=(incidence @ pixels).astype(np.int32),
            box=_boxes(masks),
            predicted_iou=np.asarray(predicted_iou, np.float32).reshape(n),
            stability=np.asarray(stability, np.float32).reshape(n),
        )

    def without(self, ignored: np.ndarray) -> WindowMasks:
        """The masks cut to what is not ignored, bool (H, W); those with nothing left are gone."""
        masks = self.masks() & ~ignored
        some = masks.any(axis=(1, 2))
        return WindowMasks.of(masks[some], self.predicted_iou[some], self.stability[some])


def _cells(masks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """bool (M, pixels) -> cells uint16 (pixels,), incidence bool (M, K)."""
    # Neighbouring pixels mostly lie in the same masks: only the first of each run is looked up.
    starts = np.zeros(masks.shape[1], bool)
    starts[:1] = True
    for mask in masks:  # one row at a time stays in the processor's cache
        starts[1:] |= mask[1:] != mask[:-1]
    first = np.flatnonzero(starts)
    heads = np.packbits(masks[:, first], axis=0).T.copy()  # (runs, bytes): a run's set of masks
    ids = {bytes(heads.shape[1]): 0}
    runs = np.array([ids.setdefault(head.tobytes(), len(ids)) for head in heads])
    if len(ids) - 1 > MAX_CELLS:
        raise InputError(
            f"{len(masks)} masks cut the window into {len(ids) - 1} cells, "
            f"the most is {MAX_CELLS}: use a narrower --window or fewer masks"
        )
    lengths = np.diff(first, append=masks.shape[1])
    bits = np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), -1)
    incidence = np.unpackbits(bits.T.copy(), axis=0, count=len(masks)).astype(bool)
    return np.repeat(runs.astype(np.uint16), lengths), incidence


def _boxes(masks: np.ndarray) -> np.ndarray:
    """bool (M, H, W) -> int32 (M, 4), x0, y0, x1, y1 inclusive; zeros for an empty mask."""
    box = np.zeros((len(masks), 4), np.int32)
    for corner, axis in enumerate((1, 2)):  # over the rows: x, over the columns: y
        line = np.logical_or.reduce(masks, axis=axis)
        box[:, corner] = line.argmax(axis=1)
        box[:, corner + 2] = line.shape[1] - 1 - line[:, ::-1].argmax(axis=1)
        box[~line.any(axis=1)] = 0
    return box


def mask_boundaries(masks: WindowMasks, ignored: np.ndarray | None = None) -> np.ndarray:
    """B_SAM of one image: bool (H, W), the union of the boundaries of all its masks.

    A mask's boundary is every pixel of it with a 4-neighbour outside it; the image's border is no
    boundary. In cells: a pixel whose cell lies in a mask that a neighbour's cell does not lie in.

    ignored: bool (H, W), pixels that are left out; like the image's border, they make no boundary.
    """
    return _boundaries(masks.cells, _bits(masks), ignored)


def _bits(masks: WindowMasks) -> np.ndarray:
    """uint8 (K, bytes): the masks of each cell."""
    return np.packbits(masks.incidence.T, axis=1)


def _boundaries(cells: np.ndarray, bits: np.ndarray, ignored: np.ndarray | None) -> np.ndarray:
    """`mask_boundaries` of a map of cells, of which `bits` says the masks."""
    boundary = np.zeros(cells.shape, bool)
    rows = max(1, _BOUNDARY_PIXELS // cells.shape[1])
    for top in range(0, len(cells), rows):
        strip = slice(top, top + rows + 1)  # the row below too: it neighbours the strip's last one
        left_out = None if ignored is None else ignored[strip]
        _mark_boundaries(boundary[strip], cells[strip], bits, left_out)
    return boundary


def _mark_boundaries(
    boundary: np.ndarray, cells: np.ndarray, bits: np.ndarray, ignored: np.ndarray | None
) -> None:
    """Into boundary, bool (H, W): see `mask_boundaries`. bits: uint8 (K, bytes)."""
    pairs = (
        ((slice(None), slice(None, -1)), (slice(None), slice(1, None))),
        ((slice(None, -1), slice(None)), (slice(1, None), slice(None))),
    )
    for here, there in pairs:
        a_cells, b_cells = cells[here], cells[there]
        differ = a_cells != b_cells
        if ignored is not None:
            differ &= ~(ignored[here] | ignored[there])
        at = np.nonzero(differ)
        step = max(1, _BOUNDARY_MEMORY // max(1, 4 * bits.shape[1]))
        for first in range(0, len(at[0]), step):
            some = (at[0][first : first + step], at[1][first : first + step])
            a, b = bits[a_cells[some]], bits[b_cells[some]]
            boundary[here][some] |= (a & ~b).any(axis=1)
            boundary[there][some] |= (b & ~a).any(axis=1)


def overlap_boundaries(
    windows: Sequence[WindowMasks], plan: WindowPlan, ignored: np.ndarray | None = None
) -> list[np.ndarray]:
    """B_SAM of each overlap from its two windows, at no further SAM run (boundaries: windows).

    The union of the boundaries of both windows' masks: per overlap of `plan` a bool array of its
    raster. Where windows are resampled, both windows' masks are brought to the raster first and
    boundaries are found there: those of a window would be broken lines, or thick ones. What not
    both windows show makes no boundary then. ignored: of the panorama, as in `mask_boundaries`.
    """
    if not plan.overlaps:
        return []
    if plan.resampled:
        return _on_rasters(windows, plan, ignored)
    boundaries = np.empty((len(windows), *plan.window_shape), bool)
    parts = [None] * len(windows) if ignored is None else plan.cut_labels(ignored)
    for masks, left_out, boundary in zip(windows, parts, boundaries, strict=True):
        boundary[...] = mask_boundaries(masks, left_out)
    return [np.logical_or(*plan.pair(boundaries, overlap)) for overlap in plan.overlaps]


def _on_rasters(
    windows: Sequence[WindowMasks], plan: WindowPlan, ignored: np.ndarray | None
) -> list[np.ndarray]:
    """`overlap_boundaries` of masks that are brought to the rasters of the overlaps."""
    bits = [_bits(masks) for masks in windows]
    cells = plan.reproject(np.stack([masks.cells for masks in windows]))
    found = []
    for overlap in plan.overlaps:
        left_out = ~np.asarray(plan.shown(overlap))
        if ignored is not None:
            left_out |= ignored[plan.overlap_pixels(overlap)]
        sides = [
            _boundaries(place.of(cells[k]), bits[k], left_out) for k, place in plan.meeting(overlap)
        ]
        found.append(np.logical_or(*sides))
    return found

"""The proportions of a panorama and its cyclic windows: the only place that computes columns.

A panorama is `H x W`; windows are full height, `window` wide, and start every `stride` columns.
The panorama is a circle, so with `wrap` the last windows run over the seam (docs/method.md). What
says nothing of pictures works on the last axis, for numpy arrays and torch tensors alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Literal, TypeVar

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.raster import Raster

Array = TypeVar("Array", bound=Any)  # numpy.ndarray or torch.Tensor

# The paper's panorama, as in DensePASS and WildPASS2K: 360 x 70.3 degrees.
PAPER_HEIGHT, PAPER_WIDTH = 400, 2048  # px
ASPECT = PAPER_WIDTH / PAPER_HEIGHT  # width to height: 5.12
ASPECT_TOLERANCE = 0.03  # small panoramas of whole pixels are so far off


def panorama_width(height: int) -> int:
    """Width of a panorama of the paper's proportions, px: a multiple of 8, 2048 at 400.

    A window is a quarter of it and a stride an eighth, so that both are whole pixels.
    """
    return 8 * round(height * ASPECT / 8)


def has_aspect(height: int, width: int, aspect: float) -> bool:
    """Whether a picture is `aspect` times as wide as high, within `ASPECT_TOLERANCE`."""
    return abs(width / height / aspect - 1) <= ASPECT_TOLERANCE


def is_band(height: int, width: int) -> bool:
    """Whether a picture has the paper's proportions: 360 x 70.3 degrees."""
    return has_aspect(height, width, ASPECT)


def is_sphere(height: int, width: int) -> bool:
    """Whether a picture has the proportions of a whole panorama: 360 x 180 degrees."""
    return has_aspect(height, width, 2)


@dataclass(frozen=True)
class Overlap:
    """Columns that two neighbouring windows share.

    left, right: indices of the two windows. start: first shared column of the panorama.
    width: number of shared columns; they are the last ones of `left` and the first of `right`.
    """

    left: int
    right: int
    start: int
    width: int


@dataclass(frozen=True)
class Windows:
    """Sliding windows over one panorama size.

    height, width: of the panorama, px. window: width of a window, px. stride: px.
    wrap: the last windows run over the seam; otherwise the last one ends at the border.

    Raises InputError for sizes that make no windows.

    >>> windows = Windows.of(400, 2048)
    >>> len(windows), windows.window, windows.starts[:3]
    (8, 512, (0, 256, 512))
    >>> panorama = np.random.default_rng(0).random((3, 400, 2048))
    >>> windows.cut(panorama).shape, bool((windows.join(windows.cut(panorama)) == panorama).all())
    ((8, 3, 400, 512), True)
    """

    height: int
    width: int
    window: int
    stride: int
    wrap: bool = True

    def __post_init__(self) -> None:
        if min(self.height, self.width, self.window, self.stride) < 1:
            raise InputError(f"windows need positive sizes, got {self}")
        if self.window > self.width:
            raise InputError(
                f"window {self.window} is wider than the panorama ({self.width}): "
                "use a smaller --window"
            )
        if self.stride > self.window:
            raise InputError(
                f"stride {self.stride} is larger than the window {self.window} and would leave "
                "columns out: use a stride of at most the window"
            )

    @classmethod
    def of(cls, height: int, width: int, wrap: bool = True) -> Windows:
        """The paper's proportions: a window of a quarter, a stride of an eighth of the width."""
        return cls(height, width, window=width // 4, stride=width // 8, wrap=wrap)

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """First column of each window."""
        if self.wrap:
            return tuple(range(0, self.width, self.stride))
        last = self.width - self.window
        return tuple(sorted({*range(0, last + 1, self.stride), last}))

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def window_shape(self) -> tuple[int, int]:
        """Height and width of each window, px."""
        return self.height, self.window

    def scaled(self, height: int, width: int) -> Windows:
        """The same windows, in proportion, on panoramas of another size.

        Window and stride are scaled by the ratio of the widths and rounded to whole pixels.
        """
        window = max(1, round(self.window * width / self.width))
        stride = max(1, round(self.stride * width / self.width))
        return Windows(height, width, window, min(stride, window), self.wrap)

    @cached_property
    def overlaps(self) -> tuple[Overlap, ...]:
        """Each window's overlap with the next one to its right; none where they only touch."""
        n = len(self)
        found = []
        for left in range(n if self.wrap and n > 1 else n - 1):
            right = (left + 1) % n
            step = (self.starts[right] - self.starts[left]) % self.width
            shared = self.window - step
            if shared > 0:
                found.append(Overlap(left, right, self.starts[right], shared))
        return tuple(found)

    @cached_property
    def columns(self) -> np.ndarray:
        """int64 (n, window): the panorama column of each window column."""
        return (np.asarray(self.starts)[:, None] + np.arange(self.window)) % self.width

    def overlap_columns(self, overlap: Overlap) -> np.ndarray:
        """int64 (overlap.width,): the panorama columns of one overlap."""
        return (overlap.start + np.arange(overlap.width)) % self.width

    @property
    def overlap_shapes(self) -> tuple[tuple[int, int], ...]:
        """Height and width of each overlap's raster, px."""
        return tuple((self.height, overlap.width) for overlap in self.overlaps)

    @property
    def resampled(self) -> bool:
        """Windows are cut out: their pixels are the panorama's own."""
        return False

    def reproject(self, windows: Array) -> Array:
        """The windows as they are: their pixels are the panorama's own."""
        return windows

    def meeting(self, overlap: Overlap) -> tuple[tuple[int, Raster], tuple[int, Raster]]:
        """Both windows of an overlap, and where it lies on each: its last columns, its first."""
        height, width = self.height, overlap.width
        last = Raster(0, self.window - width, height, width)
        return (overlap.left, last), (overlap.right, Raster(0, 0, height, width))

    def made_of(self, window: int) -> tuple[np.ndarray, np.ndarray, None]:
        """Rows, int64 (1, H, 1), and columns, int64 (1, 1, window), of a window's pixels."""
        return np.arange(self.height)[None, :, None], self.columns[window][None, None], None

    def overlap_pixels(self, overlap: Overlap) -> tuple[np.ndarray, np.ndarray]:
        """Rows, int64 (H, 1), and columns, int64 (1, overlap.width), of one overlap's raster."""
        return np.arange(self.height)[:, None], self.overlap_columns(overlap)[None]

    def shown(self, overlap: Overlap) -> None:
        """Both windows show all of an overlap."""

    def search(self, overlap: Overlap) -> Literal["column", "row"]:
        """The nearest SAM boundary is sought in a pixel's column, as in the paper."""
        return "column"

    @cached_property
    def sources(self) -> tuple[np.ndarray, np.ndarray]:
        """For each panorama column, the window it is taken from and the column within it.

        int64 (width,) each. The windows that tile the panorama (every `window // stride`-th) if
        they do, else, column by column, the window whose centre is nearest (ties: the first).
        """
        column = np.arange(self.width)
        if self.width % self.window == 0 and self.window % self.stride == 0:
            source = (column // self.window) * (self.window // self.stride)
        else:
            source = np.zeros(self.width, np.int64)
            nearest = np.full(self.width, self.window)  # twice the distance is less than this
            for window, start in enumerate(self.starts):
                own = (start + np.arange(self.window)) % self.width
                distance = np.abs(2 * np.arange(self.window) - (self.window - 1))
                closer = distance < nearest[own]
                source[own[closer]], nearest[own[closer]] = window, distance[closer]
        return source, (column - np.asarray(self.starts)[source]) % self.width

    def cut(self, panorama: Array) -> Array:
        """(..., H, W) -> (n, ..., H, window)."""
        self._check_width(panorama.shape[-1])
        taken = panorama[..., self.columns]  # (..., H, n, window)
        return _move_axis(taken, -2, 0)

    def cut_labels(self, labels: Array) -> Array:
        """`cut`: it takes every pixel as it is."""
        return self.cut(labels)

    def cut_overlaps(self, panorama: Array) -> list[Array]:
        """(..., H, W) -> per overlap (..., H, overlap.width)."""
        return [panorama[..., self.overlap_columns(overlap)] for overlap in self.overlaps]

    def cut_images(self, image_HWC: np.ndarray) -> np.ndarray:
        """A picture, uint8 (H, W, 3) -> its windows, uint8 (n, H, window, 3), contiguous."""
        self._check_width(image_HWC.shape[1])
        height, _, channels = image_HWC.shape
        cut = np.empty((len(self), height, self.window, channels), image_HWC.dtype)
        for window, columns in zip(cut, self.columns, strict=True):
            window[...] = image_HWC[:, columns]
        return cut

    def cut_overlap_images(self, image_HWC: np.ndarray) -> list[np.ndarray]:
        """A picture, uint8 (H, W, 3) -> per overlap uint8 (H, overlap.width, 3), contiguous."""
        self._check_width(image_HWC.shape[1])
        return [np.take(image_HWC, self.overlap_columns(o), axis=1) for o in self.overlaps]

    def pair(self, windows: Array, overlap: Overlap) -> tuple[Array, Array]:
        """(n, ..., H, window) -> both windows' view of one overlap, (..., H, overlap.width)."""
        left = windows[overlap.left][..., self.window - overlap.width :]
        right = windows[overlap.right][..., : overlap.width]
        return left, right

    def join(self, windows: Array) -> Array:
        """(n, ..., H, window) -> (..., H, W), each column from its source window."""
        source, inside = self.sources
        first = np.flatnonzero(np.diff(source, prepend=-1))
        runs = np.append(first, self.width)
        parts = [
            windows[int(source[a])][..., int(inside[a]) : int(inside[a]) + int(b - a)]
            for a, b in pairwise(runs)
        ]
        return concatenate(parts)

    def join_labels(self, labels: Array) -> Array:
        """`join`: it takes every pixel as it is."""
        return self.join(labels)

    def _check_width(self, width: int) -> None:
        if width != self.width:
            raise InputError(f"the panorama is {width} wide, its windows expect {self.width}")


def widen(panorama: Array, margin: int, axis: int = -1) -> Array:
    """The circle continues past both ends of `axis`, W columns: margin + W + margin of them."""
    width = panorama.shape[axis]
    return _columns(panorama, np.arange(-margin, width + margin) % width, axis)


def turn(panorama: Array, columns: int, axis: int = -1) -> Array:
    """The panorama turned on its circle, `axis`; what was at column 0 is then at `columns`."""
    if isinstance(panorama, np.ndarray):
        return np.roll(panorama, columns, axis)
    return panorama.roll(columns, axis)


def _columns(array: Any, columns: np.ndarray, axis: int) -> Any:
    return array[(slice(None),) * (axis % array.ndim) + (columns,)]


def _move_axis(array: Any, source: int, target: int) -> Any:
    if isinstance(array, np.ndarray):
        return np.moveaxis(array, source, target)
    return array.movedim(source, target)


def concatenate(parts: list[Any], axis: int = -1) -> Any:
    """Arrays or tensors, one after the other along `axis`."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=axis)
    import torch  # only when a tensor came in: data itself needs no torch

    return torch.cat(parts, dim=axis)

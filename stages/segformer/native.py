"""From the panorama that a network saw back to the photograph's own pixels.

A photograph that was fitted (`goodsam.data.panoramas`) shows the network its central band, resized.
Class probabilities are brought back bilinearly, and only then the likeliest class is taken: labels
that are enlarged as they are would have steps for edges. The panorama is a circle, so that columns
are interpolated across the seam too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from goodsam.data.classes import IGNORE
from goodsam.data.panoramas import band_share

MapKind = Literal["confidence", "trust", "probabilities"]
_ELEMENTS = 2**24  # of the interpolated probabilities held at once, 64 MiB


@dataclass(frozen=True)
class Maps:
    """What is known of N photographs of one size, in their own pixels.

    labels: uint8 (N, H, W), 255 where nothing is known. confidence: uint8 (N, H, W), the label's
    probability, 255 for 1 and 0 where there is no label. trust: likewise, 255 where SAM's masks
    and the teacher assistant agree. probabilities: float16 (N, C, h, w), of the panoramas that the
    network saw, at their size. None where it was not asked for.
    """

    labels: np.ndarray
    confidence: np.ndarray | None = None
    trust: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    def of(self, index: int) -> dict[MapKind, np.ndarray]:
        """What there is of one photograph besides its labels."""
        kinds: tuple[MapKind, ...] = ("confidence", "trust", "probabilities")
        found = {kind: getattr(self, kind) for kind in kinds}
        return {kind: maps[index] for kind, maps in found.items() if maps is not None}


def as_bytes(shares: torch.Tensor) -> np.ndarray:
    """float, 0 to 1 -> uint8, 0 to 255."""
    return shares.mul(255).round_().to(torch.uint8).cpu().numpy()


def native_labels(probabilities_NCHW: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """uint8 (N, height, width): as `native_maps`, the labels alone."""
    return native_maps(probabilities_NCHW, size).labels


def native_maps(
    probabilities_NCHW: torch.Tensor, size: tuple[int, int], wanted: Collection[MapKind] = ()
) -> Maps:
    """The labels of photographs of `size`, 255 outside the band, and their confidence if wanted.

    Across the seam whatever the windows do: a photograph that is fitted is a whole circle, and was
    resized as one.

    probabilities: of the fitted panoramas, float32.
    """
    (height, width), (h, w) = size, probabilities_NCHW.shape[-2:]
    labels = np.full((len(probabilities_NCHW), height, width), IGNORE, np.uint8)
    confidence = np.zeros_like(labels) if "confidence" in wanted else None
    rows, y = _inside(height, h, band_share(size, (h, w)))
    x = torch.from_numpy((np.arange(width) + 0.5) / width * w - 0.5)
    left = x.floor().long()
    across = (x - left).to(probabilities_NCHW)
    left, right = (column.to(across.device) % w for column in (left, left + 1))
    upper = np.clip(np.floor(y).astype(int), 0, max(h - 2, 0))
    lower = np.minimum(upper + 1, h - 1)
    down = torch.from_numpy(y - upper).to(probabilities_NCHW)
    each = len(probabilities_NCHW) * probabilities_NCHW.shape[1] * width
    step = max(1, _ELEMENTS // each)
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        weight = down[part, None]
        above, below = (probabilities_NCHW[:, :, index[part]] for index in (upper, lower))
        lines = above.lerp(below, weight)
        found = lines[..., left].lerp(lines[..., right], across)
        labels[:, rows[part]] = found.argmax(dim=1).to(torch.uint8).cpu().numpy()
        if confidence is not None:
            confidence[:, rows[part]] = as_bytes(found.amax(dim=1))
    return Maps(labels, confidence)


def native_mask(
    mask_HW: np.ndarray | None, size: tuple[int, int], fitted: tuple[int, int], band: float
) -> np.ndarray:
    """bool (height, width) of a picture of `size`: true where the network has not looked.

    mask: bool, of the panorama that the network sees, of the size `fitted`; true where pixels are
    left out, the nearest one counts. band: the share of the picture's height that it shows.
    """
    (height, width), (h, w) = size, fitted
    unseen = np.ones(size, bool)
    rows, y = _inside(height, h, band)
    unseen[rows] = False
    if mask_HW is not None:
        nearest = np.rint(y).astype(int)
        columns = ((np.arange(width) + 0.5) / width * w).astype(int)
        unseen[rows] = mask_HW[nearest[:, None], columns]
    return unseen


def _inside(height: int, h: int, band: float) -> tuple[np.ndarray, np.ndarray]:
    """The photograph's rows whose centres lie in the band, and where these are in its `h` rows."""
    top = height * (1 - band) / 2
    y = (np.arange(height) + 0.5 - top) / (height * band)
    rows = np.flatnonzero((y > 0) & (y < 1))
    return rows, np.clip(y[rows] * h - 0.5, 0, h - 1)

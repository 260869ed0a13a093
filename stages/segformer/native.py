"""From the panorama that a network saw back to the photograph's own pixels.

A photograph that was fitted (`goodsam.data.panoramas`) shows the network its central band, resized.
Class probabilities are brought back bilinearly, and only then the likeliest class is taken: labels
that are enlarged as they are would have steps for edges. The panorama is a circle, so that columns
are interpolated across the seam too.
"""

from __future__ import annotations

import numpy as np
import torch

from goodsam.data.classes import IGNORE
from goodsam.data.panoramas import band_share

_ELEMENTS = 2**24  # of the interpolated probabilities held at once, 64 MiB


def native_labels(probabilities_NCHW: torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """uint8 (N, height, width): the labels of photographs of `size`, 255 outside the band.

    Across the seam whatever the windows do: a photograph that is fitted is a whole circle, and was
    resized as one.

    probabilities: of the fitted panoramas, float32.
    """
    (height, width), (h, w) = size, probabilities_NCHW.shape[-2:]
    labels = np.full((len(probabilities_NCHW), height, width), IGNORE, np.uint8)
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
        found = lines[..., left].lerp(lines[..., right], across).argmax(dim=1)
        labels[:, rows[part]] = found.to(torch.uint8).cpu().numpy()
    return labels


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

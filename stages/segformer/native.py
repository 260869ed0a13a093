"""From the panorama that a network saw back to the photograph's own pixels.

A photograph that was fitted (`goodsam.data.panoramas`) shows the network its central band, resized.
Class probabilities are brought back bilinearly, and only then the likeliest class is taken: labels
that are enlarged as they are would have steps for edges. The panorama is a circle, so that columns
are interpolated across the seam too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from goodsam.data.classes import IGNORE
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import Placement, band_share
from goodsam.stages.segformer.between import Between, Part

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
    probabilities_NCHW: torch.Tensor,
    size: tuple[int, int],
    wanted: Collection[MapKind] = (),
    placement: Placement | None = None,
) -> Maps:
    """The labels of photographs of `size`, 255 outside the band, and their confidence if wanted.

    probabilities: of the fitted panoramas, float32. placement: of the photographs on their spheres.
    """
    labels = np.full((len(probabilities_NCHW), *size), IGNORE, np.uint8)
    confidence = np.zeros_like(labels) if "confidence" in wanted else None
    between = Between(probabilities_NCHW)
    for part in native_parts(probabilities_NCHW, size, placement):
        found, largest = between.likeliest(part, confidence is not None)
        labels[:, part.rows] = np.where(part.inside, _numpy(found), IGNORE)
        if confidence is not None and largest is not None:
            confidence[:, part.rows] = np.where(part.inside, as_bytes(largest), 0)
    return Maps(labels, confidence)


def native_parts(
    maps_NCHW: torch.Tensor, size: tuple[int, int], placement: Placement | None = None
) -> Iterator[Part]:
    """Photographs of `size`, some rows at a time, as they lie in the panoramas of the maps.

    Rows outside the panorama are left out.
    """
    (height, width), (h, w) = size, maps_NCHW.shape[-2:]
    step = max(1, _ELEMENTS // (len(maps_NCHW) * maps_NCHW.shape[1] * width))
    device = maps_NCHW.device
    if placement is None or placement.upright:
        rows, y, x = _rows_and_columns(size, (h, w), placement)
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            yield Part.at(rows[part], np.ones((1, 1), bool), y[part, None], x[None], (h, w), device)
        return
    for first in range(0, height, step):
        rows = np.arange(first, min(first + step, height))
        y, x = placement.band_places(size, (h, w), slice(first, first + step))
        inside = (y > -0.5) & (y < h - 0.5)
        kept = inside.any(axis=1)
        if kept.any():
            yield Part.at(rows[kept], inside[kept], y[kept], x[kept], (h, w), device)


def unseen_pixels(
    geometry: Geometry | None, size: tuple[int, int], placement: Placement | None = None
) -> np.ndarray | None:
    """bool (H, W) of a photograph of `size`, true where labels are 255; None: nowhere.

    Outside the band of a photograph that is fitted, and where the run left pixels out: on a
    panorama of another size that is not fitted, in proportion. placement: on its sphere.
    """
    if geometry is None:
        return None
    mask, fitted = geometry.ignored_mask, (geometry.windows.height, geometry.windows.width)
    if placement is None and (size == fitted or (mask is None and not geometry.fit)):
        return mask
    return native_mask(mask, size, fitted, geometry.fit, placement)


def native_mask(
    mask_HW: np.ndarray | None,
    size: tuple[int, int],
    fitted: tuple[int, int],
    fit: bool = True,
    placement: Placement | None = None,
) -> np.ndarray:
    """bool (height, width) of a picture of `size`: true where the network has not looked.

    mask: bool, of the panorama that the network sees, of the size `fitted`; true where pixels are
    left out, the nearest one counts. fit: the picture was fitted; otherwise the panorama shows all
    of it. placement: of the photograph on its sphere.
    """
    h, w = fitted
    unseen = np.ones(size, bool)
    if placement is not None and not placement.upright:
        y, x = placement.band_places(size, fitted)
        unseen = (y <= -0.5) | (y >= h - 0.5)
        if mask_HW is not None:
            nearest = np.clip(np.rint(y).astype(int), 0, h - 1), np.rint(x).astype(int) % w
            unseen |= mask_HW[nearest]
        return unseen
    rows, y, x = _rows_and_columns(size, fitted, placement, fit)
    unseen[rows] = False
    if mask_HW is not None:
        columns = np.floor(x + 0.5).astype(int) % w
        unseen[rows] = mask_HW[np.rint(y).astype(int)[:, None], columns]
    return unseen


def _rows_and_columns(
    size: tuple[int, int],
    fitted: tuple[int, int],
    placement: Placement | None,
    fit: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of an upright photograph that lie in the band, where these are there, and columns.

    Rows, int (R,); places of these, (R,), and of all columns, (width,), in the panorama.
    """
    (height, width), (h, w) = size, fitted
    if placement is not None:
        y, x = placement.band_rows_and_columns(size, fitted)
        rows = np.flatnonzero((y > -0.5) & (y < h - 0.5))
        return rows, np.clip(y[rows], 0, h - 1), x
    x = (np.arange(width) + 0.5) / width * w - 0.5
    band = band_share(size, fitted) if fit else 1.0
    top = height * (1 - band) / 2
    y = (np.arange(height) + 0.5 - top) / (height * band)
    rows = np.flatnonzero((y > 0) & (y < 1))
    return rows, np.clip(y[rows] * h - 0.5, 0, h - 1), x


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.cpu().numpy()

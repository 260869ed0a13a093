"""The confusion matrix of a set, and the scores that it says.

Rows are the truth; pixels of truth 255 are left out. All shares are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError


def confusion(
    prediction: np.ndarray, truth: np.ndarray, n_classes: int, areas: np.ndarray | None = None
) -> np.ndarray:
    """int64 (C, C + 1): pixels by truth (row) and prediction (column); truth 255 is left out.

    prediction, truth: uint8 (H, W). The last column counts the pixels whose prediction is 255: no
    class was given where there is one, which is wrong, as in Cityscapes' own scoring. areas: by how
    much each pixel counts, broadcast to (H, W); what is returned is float64 then. Raises InputError
    for other sizes or ids beyond the classes.
    """
    if prediction.shape != truth.shape:
        (h, w), (th, tw) = prediction.shape, truth.shape
        raise InputError(f"the prediction is {w} x {h}, the truth {tw} x {th}: sizes must agree")
    counted = truth != IGNORE
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    columns[columns == IGNORE] = n_classes
    for ids, most, what in ((rows, n_classes - 1, "truth"), (columns, n_classes, "prediction")):
        if ids.size and ids.max() > most:
            raise InputError(f"the {what} holds id {ids.max()}, beyond the {n_classes} classes")
    weights = None if areas is None else np.broadcast_to(areas, truth.shape)[counted]
    cells = n_classes * (n_classes + 1)
    pairs = np.bincount(rows * (n_classes + 1) + columns, weights, cells)
    return pairs.reshape(n_classes, n_classes + 1)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says.

    confusion: (C, C + 1), rows truth, the last column for pixels that were given no class; (C, C)
    where there are none. int64, or float64 where pixels count by their area. names: C class names.
    """

    confusion: np.ndarray
    names: tuple[str, ...]

    @cached_property
    def iou(self) -> np.ndarray:
        """float64 (C,), percent: hits over union; nan for a class that the truth lacks."""
        hits = np.diag(self.confusion).astype(float)
        truth, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)[: len(hits)]
        union = truth + predicted - hits
        return np.divide(100 * hits, union, out=np.full(len(hits), np.nan), where=truth > 0)

    @property
    def per_class(self) -> dict[str, float | None]:
        """IoU by class name in percent; None for a class that does not occur in the truth."""
        return by_name(self.names, self.iou)

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in the truth, percent; nan if there are none."""
        occurring = self.iou[~np.isnan(self.iou)]
        return float(occurring.mean()) if occurring.size else math.nan

    @property
    def pixel_accuracy(self) -> float:
        """Percent of the counted pixels that are right; nan if there are none."""
        total = float(self.confusion.sum())
        return 100 * float(np.trace(self.confusion)) / total if total else math.nan


def by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    """Values by class name, None for nan: what JSON can hold."""
    pairs = zip(names, values, strict=True)
    return {name: None if math.isnan(value) else float(value) for name, value in pairs}

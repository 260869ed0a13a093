"""The boundary F-score: how near predicted boundaries run to the true ones.

A pixel is boundary of its class when a 4-neighbour belongs to another one; the image's border does
not count, nor does the edge of what the truth leaves out. A boundary pixel is right when the other
map has a boundary pixel of the same class within `radius` (Euclidean). Per class, precision is the
share of right ones among the predicted, recall among the true, both counted over the whole set, and
F = 2 P R / (P + R) (Csurka et al., BMVC 2013, who take the mean over images instead).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from goodsam.data.classes import IGNORE

RADIUS = 3  # px, at the native size of the labels
_BITS = 64  # classes that are looked at together, one bit each


def boundary_counts(
    prediction: np.ndarray, truth: np.ndarray, n_classes: int, radius: int = RADIUS
) -> np.ndarray:
    """int64 (C, 4): predicted boundary pixels, those right, true boundary pixels, those found.

    prediction, truth: uint8 (H, W). Pixels of truth 255 are in no class; those of prediction 255
    are in none of the C, and have a boundary to them.
    """
    unknown = truth == IGNORE
    predicted = np.where(unknown, IGNORE, np.where(prediction == IGNORE, n_classes, prediction))
    maps = [
        np.where(_edges(labels) & (labels < n_classes), labels, IGNORE)
        for labels in (predicted, truth)
    ]
    counts = np.zeros((n_classes, 4), dtype=np.int64)
    for first in range(0, n_classes, _BITS):
        near = [_dilated(edges, first, radius) for edges in maps]
        for side, (own, other) in enumerate(zip(maps, reversed(near), strict=True)):
            rows, columns = np.nonzero((own >= first) & (own < min(first + _BITS, n_classes)))
            classes = own[rows, columns].astype(np.int64)
            hit = (other[rows, columns] >> (classes - first).astype(np.uint64)) & np.uint64(1)
            counts[:, 2 * side] += np.bincount(classes, minlength=n_classes)
            counts[:, 2 * side + 1] += np.bincount(classes[hit > 0], minlength=n_classes)
    return counts


@dataclass(frozen=True)
class BoundaryScores:
    """What the counts of `boundary_counts` say, summed over a set. counts: int64 (C, 4)."""

    counts: np.ndarray
    radius: int

    @cached_property
    def f(self) -> np.ndarray:
        """float64 (C,), percent; nan for a class without a true boundary."""
        predicted, right, true, found = self.counts.T.astype(float)
        precision, recall = right / np.maximum(predicted, 1), found / np.maximum(true, 1)
        f = 200 * precision * recall / np.maximum(precision + recall, 1e-12)
        return np.where(true > 0, f, np.nan)

    @property
    def mean(self) -> float:
        """Mean F over the classes with a true boundary, percent; nan if there are none."""
        occurring = self.f[~np.isnan(self.f)]
        return float(occurring.mean()) if occurring.size else float("nan")


def _edges(labels: np.ndarray) -> np.ndarray:
    """bool (H, W): pixels with a 4-neighbour of another class, where both are known."""
    edges = np.zeros(labels.shape, dtype=bool)
    known = labels != IGNORE
    for one, other in (
        (np.s_[1:], np.s_[:-1]),
        (np.s_[:, 1:], np.s_[:, :-1]),
    ):
        differ = (labels[one] != labels[other]) & known[one] & known[other]
        edges[one] |= differ
        edges[other] |= differ
    return edges


def _dilated(edges: np.ndarray, first: int, radius: int) -> np.ndarray:
    """uint64 (H, W): bit c set where a pixel of `edges` with class first + c is within `radius`."""
    here = (edges >= first) & (edges < first + _BITS) & (edges != IGNORE)
    bits = np.where(here, np.uint64(1) << (edges - first).astype(np.uint64) % _BITS, np.uint64(0))
    h, w = edges.shape
    near = np.zeros_like(bits)
    for dy in range(-min(radius, h - 1), min(radius, h - 1) + 1):
        reach = min(int((radius**2 - dy**2) ** 0.5), w - 1)
        for dx in range(-reach, reach + 1):
            target = near[max(dy, 0) : h + min(dy, 0), max(dx, 0) : w + min(dx, 0)]
            target |= bits[max(-dy, 0) : h - max(dy, 0), max(-dx, 0) : w - max(dx, 0)]
    return near

"""Scoring as the field does it: one confusion matrix over the whole set.

Images keep their native size, and the mean is taken over the classes that occur in the truth of the
set. A labelled pixel that was given no class is wrong. Which classes: the protocol says. All shares
are in percent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from goodsam.data.classes import IGNORE, NINETEEN, Protocol
from goodsam.data.errors import InputError
from goodsam.data.panoramas import (
    Conversions,
    Placement,
    Sample,
    pair_predictions,
    read_image,
    read_labels,
    read_truth,
    says_label_ids,
)
from goodsam.data.ranges import Range, check_range
from goodsam.stages.score.area import pixel_areas
from goodsam.stages.score.boundary import RADIUS, BoundaryScores, boundary_counts
from goodsam.stages.score.confusion import Scores, confusion

Progress = Callable[[str], None]
Size = tuple[int, int]
Unseen = Callable[..., np.ndarray | None]  # of a size, and of a placement if there is one
Placed = Callable[[Path, Size], Placement | None]


_RADIUS = Range(0, 32)  # px
Predicted = tuple[Sample, np.ndarray, np.ndarray | None]  # the labels, and what is unseen


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set, and of each of its images on its own, by name.

    boundary: the boundary F-score of the set; None where it was not asked for. counted: percent of
    all labelled pixels that lie where the network has looked, and were scored. by_area: each pixel
    of a whole sphere has counted by its area, but for the boundary F-score.
    """

    scores: Scores
    per_image: dict[str, Scores]
    protocol: Protocol = NINETEEN
    boundary: BoundaryScores | None = None
    counted: float = 100.0
    by_area: bool = False

    def ranked(self) -> list[str]:
        """The names of the images from the best to the worst mIoU; those without truth last."""

        def order(name: str) -> tuple[float, str]:
            miou = self.per_image[name].miou
            return (math.inf if math.isnan(miou) else -miou, name)

        return sorted(self.per_image, key=order)


def evaluate(
    predict: Callable[..., np.ndarray],
    samples: Sequence[Sample],
    protocol: Protocol = NINETEEN,
    progress: Progress = lambda name: None,
    conversions: Conversions | None = None,
    *,
    ignore: np.ndarray | None = None,
    unseen: Unseen = lambda size: None,
    placed: Placed = lambda path, size: None,
    boundary_radius: int = RADIUS,
    by_area: bool = False,
) -> Evaluation:
    """Score `predict` (uint8 (H, W, 3) -> uint8 (H, W) train ids) on labelled samples.

    ignore: bool (H, W), true where pixels of every image are left out. unseen: of an image's size,
    bool (H, W), true where `predict` has not looked: left out too. placed: how a photograph lies on
    its sphere; where that is not None, it is the second argument of `predict` and `unseen`.
    boundary_radius: px, of the boundary F-score; 0 leaves it out. by_area: pixels of whole spheres
    count by their area.
    Raises InputError for a sample without labels, or labels that do not belong to its image.
    """

    def predicted() -> Iterable[Predicted]:
        for sample in samples:
            image = read_image(sample.image, conversions)
            size = (image.shape[0], image.shape[1])
            where = placed(sample.image, size)
            more = () if where is None else (where,)
            yield sample, predict(image, *more), unseen(size, *more)

    _check_labels(samples, protocol)
    return _score(predicted(), protocol, progress, ignore, boundary_radius, by_area)


def evaluate_predictions(
    predictions: Path,
    samples: Sequence[Sample],
    protocol: Protocol = NINETEEN,
    progress: Progress = lambda name: None,
    *,
    ignore: np.ndarray | None = None,
    boundary_radius: int = RADIUS,
    by_area: bool = False,
) -> Evaluation:
    """Score the label maps in a folder, ours or another program's, paired with samples by name."""
    _check_labels(samples, protocol)
    pairs = pair_predictions(samples, predictions)
    read = (
        (sample, read_labels(path, protocol.ids, says_label_ids(path, sample.name)), None)
        for sample, path in pairs
    )
    return _score(read, protocol, progress, ignore, boundary_radius, by_area)


def _check_labels(samples: Sequence[Sample], protocol: Protocol) -> None:
    if not samples:
        raise InputError("there are no images to evaluate")
    for sample in samples:
        if sample.labels is None:
            raise InputError(f"{sample.image}: has no labels; give their folder with --labels")
        if sample.label_ids and not protocol.of_cityscapes:
            raise InputError(
                f"{sample.labels}: Cityscapes ids, which the protocol {protocol.key!r} "
                f"({len(protocol.names)} classes) is not made of"
            )


def _score(
    predicted: Iterable[Predicted],
    protocol: Protocol,
    progress: Progress,
    ignore: np.ndarray | None,
    boundary_radius: int,
    by_area: bool,
) -> Evaluation:
    check_range("boundary_radius", boundary_radius, _RADIUS)
    per_image: dict[str, Scores] = {}
    count = len(protocol.names)
    edges = np.zeros((count, 4), dtype=np.int64)
    labelled = scored = 0.0
    for sample, prediction, unseen in predicted:
        assert sample.labels is not None  # `_check_labels`
        truth = read_truth(sample.labels, protocol, sample.label_ids)
        if truth.shape != prediction.shape:
            (h, w), (th, tw) = prediction.shape, truth.shape
            raise InputError(
                f"{sample.labels}: {tw} x {th}, and the prediction for {sample.name} is {w} x {h}; "
                "both must have the photograph's own size"
            )
        try:
            areas = pixel_areas((truth.shape[0], truth.shape[1])) if by_area else None
            each = 1.0 if areas is None else areas
            truth = masked(truth, ignore)
            labelled += float(((truth != IGNORE) * each).sum())
            truth = masked(truth, unseen)
            scored += float(((truth != IGNORE) * each).sum())
            classes = protocol.lookup[prediction]
            matrix = confusion(classes, truth, count, areas)
        except InputError as error:
            raise InputError(f"{sample.name}: {error}") from error
        if boundary_radius:
            edges += boundary_counts(classes, truth, count, boundary_radius)
        per_image[sample.name] = Scores(matrix, protocol.names)
        progress(sample.name)
    whole = Scores(
        np.asarray(sum(scores.confusion for scores in per_image.values())), protocol.names
    )
    boundary = BoundaryScores(edges, boundary_radius) if boundary_radius else None
    counted = 100 * scored / labelled if labelled else 0.0
    return Evaluation(whole, per_image, protocol, boundary, counted, by_area)


def masked(labels: np.ndarray, *left_out: np.ndarray | None) -> np.ndarray:
    """uint8 (H, W): `labels`, 255 where any of the masks, bool (H, W), is true; None masks nothing.

    InputError for a mask of another size.
    """
    for mask in left_out:
        if mask is None:
            continue
        if labels.shape != mask.shape:
            (h, w), (mh, mw) = labels.shape, mask.shape
            raise InputError(
                f"the labels are {w} x {h}, the ignore mask {mw} x {mh}: draw it at their size"
            )
        labels = np.where(mask, IGNORE, labels).astype(np.uint8)
    return labels

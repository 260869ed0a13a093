"""Scoring as the field does it: one confusion matrix over the whole set (METHOD: "Scoring").

Rows are the truth, pixels of truth 255 are left out, images keep their native size, and the mean
is taken over the classes that occur in the truth of the set. All shares are in percent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from data.classes import CITYSCAPES, IGNORE
from data.errors import InputError
from data.files import write_whole
from data.panoramas import (
    Conversions,
    Sample,
    pair_predictions,
    read_image,
    read_labels,
    read_panorama,
)
from data.windows import Windows
from stages.predict import Segmenter

Progress = Callable[[str], None]


def confusion(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """int64 (C, C): pixels by truth (row) and prediction (column); truth 255 is left out.

    prediction, truth: uint8 (H, W). Raises InputError for other sizes or ids beyond the classes.
    """
    if prediction.shape != truth.shape:
        (h, w), (th, tw) = prediction.shape, truth.shape
        raise InputError(f"the prediction is {w} x {h}, the truth {tw} x {th}: sizes must agree")
    counted = truth != IGNORE
    rows, columns = truth[counted].astype(np.int64), prediction[counted].astype(np.int64)
    for ids, what in ((rows, "truth"), (columns, "prediction")):
        if ids.size and ids.max() >= n_classes:
            raise InputError(f"the {what} holds id {ids.max()}, beyond the {n_classes} classes")
    pairs = np.bincount(rows * n_classes + columns, minlength=n_classes * n_classes)
    return pairs.reshape(n_classes, n_classes)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says. confusion: int64 (C, C), rows truth; names: C class names."""

    confusion: np.ndarray
    names: tuple[str, ...]

    @cached_property
    def iou(self) -> np.ndarray:
        """float64 (C,), percent: hits over union; nan for a class that the truth lacks."""
        hits = np.diag(self.confusion).astype(float)
        truth, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)
        union = truth + predicted - hits
        return np.where(truth > 0, 100 * hits / np.maximum(union, 1), np.nan)

    @property
    def per_class(self) -> dict[str, float | None]:
        """IoU by class name in percent; None for a class that does not occur in the truth."""
        values = zip(self.names, self.iou, strict=True)
        return {name: None if math.isnan(value) else float(value) for name, value in values}

    @property
    def miou(self) -> float:
        """Mean IoU over the classes that occur in the truth, percent; nan if there are none."""
        occurring = self.iou[~np.isnan(self.iou)]
        return float(occurring.mean()) if occurring.size else math.nan

    @property
    def pixel_accuracy(self) -> float:
        """Percent of the counted pixels that are right; nan if there are none."""
        total = int(self.confusion.sum())
        return 100 * float(np.trace(self.confusion)) / total if total else math.nan


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set, and of each of its images on its own, by name."""

    scores: Scores
    per_image: dict[str, Scores]

    def ranked(self) -> list[str]:
        """The names of the images from the best to the worst mIoU; those without truth last."""

        def order(name: str) -> tuple[float, str]:
            miou = self.per_image[name].miou
            return (math.inf if math.isnan(miou) else -miou, name)

        return sorted(self.per_image, key=order)


def evaluate(
    predict: Callable[[np.ndarray], np.ndarray],
    samples: Sequence[Sample],
    names: Sequence[str] = CITYSCAPES,
    progress: Progress = lambda name: None,
    conversions: Conversions | None = None,
) -> Evaluation:
    """Score `predict` (uint8 (H, W, 3) -> uint8 (H, W)) on labelled samples.

    Raises InputError for a sample without labels, or labels that do not belong to its image.
    """

    def predicted() -> Iterable[tuple[Sample, np.ndarray]]:
        for sample in samples:
            yield sample, predict(read_image(sample.image, conversions))

    _check_labels(samples, names)
    return _score(predicted(), names, progress)


def evaluate_predictions(
    predictions: Path,
    samples: Sequence[Sample],
    names: Sequence[str] = CITYSCAPES,
    progress: Progress = lambda name: None,
) -> Evaluation:
    """Score the label maps in a folder, ours or another program's, paired with samples by name."""
    _check_labels(samples, names)
    pairs = pair_predictions(samples, predictions)
    read = ((sample, read_labels(path, len(names))) for sample, path in pairs)
    return _score(read, names, progress)


def _check_labels(samples: Sequence[Sample], names: Sequence[str]) -> None:
    if not samples:
        raise InputError("there are no images to evaluate")
    for sample in samples:
        if sample.labels is None:
            raise InputError(f"{sample.image}: has no labels; give their folder with --labels")
        if "labelIds" in sample.labels.name and len(names) != len(CITYSCAPES):
            raise InputError(
                f"{sample.labels}: Cityscapes ids, but the model has {len(names)} other classes"
            )


def _score(
    predicted: Iterable[tuple[Sample, np.ndarray]], names: Sequence[str], progress: Progress
) -> Evaluation:
    per_image: dict[str, Scores] = {}
    for sample, prediction in predicted:
        assert sample.labels is not None  # `_check_labels`
        truth = read_labels(sample.labels, len(names))
        try:
            matrix = confusion(prediction, truth, len(names))
        except InputError as error:
            raise InputError(f"{sample.name}: {error}") from error
        per_image[sample.name] = Scores(matrix, tuple(names))
        progress(sample.name)
    whole = sum(scores.confusion for scores in per_image.values())
    return Evaluation(Scores(np.asarray(whole), tuple(names)), per_image)


@dataclass(frozen=True)
class Unlabelled:
    """What can be said without labels, none of it an accuracy.

    shares: percent of all pixels that each class was given. window_agreement: by image, percent of
    the overlaps' pixels to which both windows give the same label.
    """

    shares: dict[str, float]
    window_agreement: dict[str, float]


def inspect(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    fit: Windows | None = None,
    progress: Progress = lambda name: None,
    conversions: Conversions | None = None,
) -> Unlabelled:
    """Class shares, and how far overlapping windows agree, on images without labels.

    fit: the size that all images are fitted to; None takes each as it is.
    """
    if not samples:
        raise InputError("there are no images to evaluate")
    counts = np.zeros(len(segmenter.names), dtype=np.int64)
    agreement = {}
    for sample in samples:
        if fit is None:
            image = read_image(sample.image, conversions)
        else:
            image = read_panorama(sample.image, fit, True, conversions)
        counts += np.bincount(segmenter(image).ravel(), minlength=len(counts))
        agreement[sample.name] = segmenter.window_agreement(image)
        progress(sample.name)
    shares = 100 * counts / counts.sum()
    return Unlabelled(dict(zip(segmenter.names, map(float, shares), strict=True)), agreement)


def evaluation_record(
    evaluation: Evaluation, samples: Sequence[Sample], **provenance: Any
) -> dict[str, Any]:
    """The content of `eval.json`. provenance: whatever else the caller knows, such as the model."""
    scores = evaluation.scores
    return {
        "miou": _number(scores.miou),
        "pixel_accuracy": _number(scores.pixel_accuracy),
        "per_class": scores.per_class,
        "confusion": scores.confusion.tolist(),
        "classes": list(scores.names),
        "protocol": (
            f"{len(scores.names)} classes; one confusion matrix over the set, rows truth; 255 left "
            "out; native size, one scale, no flip; mean over the classes that occur in the truth; "
            "percent"
        ),
        **provenance,
        "files": [
            {
                "name": sample.name,
                "labels": None if sample.labels is None else sample.labels.name,
                "miou": _number(evaluation.per_image[sample.name].miou),
                "pixel_accuracy": _number(evaluation.per_image[sample.name].pixel_accuracy),
            }
            for sample in samples
        ],
    }


def unlabelled_record(unlabelled: Unlabelled, **provenance: Any) -> dict[str, Any]:
    """The content of `eval.json` where there are no labels."""
    agreement = [v for v in unlabelled.window_agreement.values() if not math.isnan(v)]
    return {
        "note": "No labels: agreement and shares say how the prediction behaves, not how right it "
        "is; they are no accuracy",
        "window_agreement": float(np.mean(agreement)) if agreement else None,
        "class_shares": unlabelled.shares,
        **provenance,
        "files": [
            {"name": name, "window_agreement": _number(value)}
            for name, value in unlabelled.window_agreement.items()
        ],
    }


def write_record(out: Path, record: dict[str, Any]) -> None:
    """Write `eval.json` and `eval.md` into `out`."""
    write_whole(out / "eval.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_whole(out / "eval.md", markdown(record))


def markdown(record: dict[str, Any]) -> str:
    """`eval.md`: the numbers of a record as tables."""
    count = len(record["files"])
    if "per_class" not in record:
        lines = [
            "# No labels, so no accuracy",
            "",
            f"{count} images. {record['note']}.",
            "",
            f"Windows agree on {_percent(record['window_agreement'])} % of their overlaps' pixels.",
            "",
            "| class | share of pixels, % |",
            "|---|---:|",
            *(f"| {name} | {_percent(v)} |" for name, v in record["class_shares"].items()),
        ]
    else:
        lines = [
            "# Evaluation",
            "",
            f"{count} images. {record['protocol']}.",
            "",
            "| class | IoU, % |",
            "|---|---:|",
            f"| **mean** | **{_percent(record['miou'])}** |",
            *(f"| {name} | {_percent(value)} |" for name, value in record["per_class"].items()),
            "",
            f"Pixel accuracy: {_percent(record['pixel_accuracy'])} %. "
            "A dash: the class does not occur in the truth.",
        ]
    return "\n".join(lines) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

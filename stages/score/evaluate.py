"""Scoring as the field does it: one confusion matrix over the whole set (METHOD: "Scoring").

Rows are the truth, pixels of truth 255 are left out, images keep their native size, and the mean
is taken over the classes that occur in the truth of the set. A labelled pixel that was given no
class is wrong. Which classes: the protocol says. All shares are in percent.
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

from goodsam.data.classes import IGNORE, NINETEEN, THIRTEEN, Protocol
from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.data.panoramas import (
    Conversions,
    Sample,
    pair_predictions,
    read_image,
    read_labels,
    read_truth,
)
from goodsam.stages.score.boundary import RADIUS, BoundaryScores, boundary_counts

Progress = Callable[[str], None]


def confusion(prediction: np.ndarray, truth: np.ndarray, n_classes: int) -> np.ndarray:
    """int64 (C, C + 1): pixels by truth (row) and prediction (column); truth 255 is left out.

    prediction, truth: uint8 (H, W). The last column counts the pixels whose prediction is 255: no
    class was given where there is one, which is wrong, as in Cityscapes' own scoring. Raises
    InputError for other sizes or ids beyond the classes.
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
    pairs = np.bincount(rows * (n_classes + 1) + columns, minlength=n_classes * (n_classes + 1))
    return pairs.reshape(n_classes, n_classes + 1)


@dataclass(frozen=True)
class Scores:
    """What a confusion matrix says.

    confusion: int64 (C, C + 1), rows truth, the last column for pixels that were given no class;
    (C, C) where there are none. names: C class names.
    """

    confusion: np.ndarray
    names: tuple[str, ...]

    @cached_property
    def iou(self) -> np.ndarray:
        """float64 (C,), percent: hits over union; nan for a class that the truth lacks."""
        hits = np.diag(self.confusion).astype(float)
        truth, predicted = self.confusion.sum(axis=1), self.confusion.sum(axis=0)[: len(hits)]
        union = truth + predicted - hits
        return np.where(truth > 0, 100 * hits / np.maximum(union, 1), np.nan)

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
        total = int(self.confusion.sum())
        return 100 * float(np.trace(self.confusion)) / total if total else math.nan


def by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float | None]:
    """Values by class name, None for nan: what JSON can hold."""
    pairs = zip(names, values, strict=True)
    return {name: None if math.isnan(value) else float(value) for name, value in pairs}


@dataclass(frozen=True)
class Evaluation:
    """Scores of a set, and of each of its images on its own, by name.

    boundary: the boundary F-score of the set; None where it was not asked for.
    """

    scores: Scores
    per_image: dict[str, Scores]
    protocol: Protocol = NINETEEN
    boundary: BoundaryScores | None = None

    def ranked(self) -> list[str]:
        """The names of the images from the best to the worst mIoU; those without truth last."""

        def order(name: str) -> tuple[float, str]:
            miou = self.per_image[name].miou
            return (math.inf if math.isnan(miou) else -miou, name)

        return sorted(self.per_image, key=order)


def evaluate(
    predict: Callable[[np.ndarray], np.ndarray],
    samples: Sequence[Sample],
    protocol: Protocol = NINETEEN,
    progress: Progress = lambda name: None,
    conversions: Conversions | None = None,
    *,
    ignore: np.ndarray | None = None,
    boundary_radius: int = RADIUS,
) -> Evaluation:
    """Score `predict` (uint8 (H, W, 3) -> uint8 (H, W) train ids) on labelled samples.

    ignore: bool (H, W), true where pixels of every image are left out. boundary_radius: px, of the
    boundary F-score; 0 leaves it out.
    Raises InputError for a sample without labels, or labels that do not belong to its image.
    """

    def predicted() -> Iterable[tuple[Sample, np.ndarray]]:
        for sample in samples:
            yield sample, predict(read_image(sample.image, conversions))

    _check_labels(samples, protocol)
    return _score(predicted(), protocol, progress, ignore, boundary_radius)


def evaluate_predictions(
    predictions: Path,
    samples: Sequence[Sample],
    protocol: Protocol = NINETEEN,
    progress: Progress = lambda name: None,
    *,
    ignore: np.ndarray | None = None,
    boundary_radius: int = RADIUS,
) -> Evaluation:
    """Score the label maps in a folder, ours or another program's, paired with samples by name."""
    _check_labels(samples, protocol)
    pairs = pair_predictions(samples, predictions)
    read = ((sample, read_labels(path, protocol.ids)) for sample, path in pairs)
    return _score(read, protocol, progress, ignore, boundary_radius)


def _check_labels(samples: Sequence[Sample], protocol: Protocol) -> None:
    if not samples:
        raise InputError("there are no images to evaluate")
    for sample in samples:
        if sample.labels is None:
            raise InputError(f"{sample.image}: has no labels; give their folder with --labels")
        if "labelIds" in sample.labels.name and protocol not in (NINETEEN, THIRTEEN):
            raise InputError(
                f"{sample.labels}: Cityscapes ids, which the protocol {protocol.key!r} "
                f"({len(protocol.names)} classes) is not made of"
            )


def _score(
    predicted: Iterable[tuple[Sample, np.ndarray]],
    protocol: Protocol,
    progress: Progress,
    ignore: np.ndarray | None,
    boundary_radius: int,
) -> Evaluation:
    per_image: dict[str, Scores] = {}
    count = len(protocol.names)
    edges = np.zeros((count, 4), dtype=np.int64)
    for sample, prediction in predicted:
        assert sample.labels is not None  # `_check_labels`
        truth = read_truth(sample.labels, protocol)
        try:
            if ignore is not None:
                truth = masked(truth, ignore)
            classes = protocol.lookup[prediction]
            matrix = confusion(classes, truth, count)
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
    return Evaluation(whole, per_image, protocol, boundary)


def masked(labels: np.ndarray, ignore: np.ndarray) -> np.ndarray:
    """uint8 (H, W): `labels`, 255 where `ignore` (bool (H, W)) is true. InputError: other size."""
    if labels.shape != ignore.shape:
        (h, w), (mh, mw) = labels.shape, ignore.shape
        raise InputError(f"the labels are {w} x {h}, the ignore mask {mw} x {mh}: sizes must agree")
    return np.where(ignore, IGNORE, labels).astype(np.uint8)


def evaluation_record(
    evaluation: Evaluation, samples: Sequence[Sample], **provenance: Any
) -> dict[str, Any]:
    """The content of `eval.json`. provenance: whatever else the caller knows, such as the model."""
    scores, boundary, protocol = evaluation.scores, evaluation.boundary, evaluation.protocol
    count = len(scores.names)
    record = {
        "miou": _number(scores.miou),
        "pixel_accuracy": _number(scores.pixel_accuracy),
        "per_class": scores.per_class,
        "confusion": scores.confusion[:, :count].tolist(),
        "given_no_class": scores.confusion[:, count:].sum(axis=1).tolist(),
        "classes": list(scores.names),
        "protocol": protocol.key,
        "protocol_note": " ".join(
            f"{count} classes; one confusion matrix over the set, rows truth; 255 left out, a "
            "prediction of 255 counts as wrong; native size, one scale, no flip; mean over the "
            f"classes that occur in the truth; percent. {protocol.note}".split()
        ),
    }
    if boundary is not None:
        record["boundary_f"] = {
            "radius_px": boundary.radius,
            "mean": _number(boundary.mean),
            "per_class": by_name(scores.names, boundary.f),
        }
    return {
        **record,
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


def write_record(out: Path, record: dict[str, Any], text: str) -> None:
    """Write `eval.json` and `eval.md` into `out`."""
    write_whole(out / "eval.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_whole(out / "eval.md", text)


def markdown(record: dict[str, Any]) -> str:
    """`eval.md`: the numbers of a record of `evaluation_record` as tables."""
    names = record["per_class"]
    edges = record.get("boundary_f")
    head, rule, mean = "| class | IoU, % |", "|---|---:|", f" **{_percent(record['miou'])}** |"
    rows = {name: f" {_percent(value)} |" for name, value in names.items()}
    if edges:
        head += f" boundary F at {edges['radius_px']} px, % |"
        rule += "---:|"
        mean += f" **{_percent(edges['mean'])}** |"
        rows = {n: f"{cell} {_percent(edges['per_class'][n])} |" for n, cell in rows.items()}
    lines = [
        "# Evaluation",
        "",
        f"{len(record['files'])} images. {record['protocol_note']}.",
        "",
        head,
        rule,
        f"| **mean** |{mean}",
        *(f"| {name} |{cells}" for name, cells in rows.items()),
        "",
        f"Pixel accuracy: {_percent(record['pixel_accuracy'])} %. "
        "A dash: the class does not occur in the truth.",
    ]
    if unanswered := sum(record["given_no_class"]):
        lines.append(f"Labelled pixels that were given no class, counted as wrong: {unanswered}.")
    return "\n".join(lines) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

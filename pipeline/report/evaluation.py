"""The report of `goodsam eval` with labels: scores, and the images behind them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import (
    class_bars,
    counted,
    folded,
    heading,
    looked_at,
    matrix,
    paragraph,
    section,
    settings_list,
    table,
    tiles,
)
from goodsam.pipeline.report.pictures import Shown
from goodsam.pipeline.tell import percent
from goodsam.stages.score.evaluate import Evaluation
from goodsam.stages.score.record import BY_AREA


def best_median_worst(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(`best` | `median` | `worst`, name of the image) by mIoU, each image once."""
    names = [n for n in evaluation.ranked() if not math.isnan(evaluation.per_image[n].miou)]
    if not names:
        return []
    picks = {"best": names[0], "worst": names[-1], "median": names[len(names) // 2]}
    chosen: dict[str, str] = {}
    for rank in ("best", "worst", "median"):
        if picks[rank] not in chosen.values():
            chosen[rank] = picks[rank]
    return [(rank, chosen[rank]) for rank in ("best", "median", "worst") if rank in chosen]


def evaluation_report(
    path: Path,
    evaluation: Evaluation,
    shown: Sequence[Shown],
    palette: np.ndarray,
    what: str,
    settings: Mapping[str, Any],
) -> None:
    """Write the report. what: the model or predictions that were scored."""
    scores, boundary, note = evaluation.scores, evaluation.boundary, evaluation.protocol.note
    present = sum(value is not None for value in scores.per_class.values())
    numbers = [
        ("mIoU", percent(scores.miou), f"mean over {counted(present, 'class')}"),
        ("pixel accuracy", percent(scores.pixel_accuracy), "of the labelled pixels"),
    ]
    bars = [
        heading("IoU by class"),
        class_bars(scores.names, palette, list(scores.per_class.values())),
    ]
    if boundary is not None:
        numbers.append(("boundary F", percent(boundary.mean), f"within {boundary.radius} px"))
        bars += [
            heading(f"Boundary F-score by class, at {boundary.radius} px"),
            class_bars(scores.names, palette, list(boundary.f)),
        ]
    write_report(
        path,
        "Evaluation",
        f"{what}, on {counted(len(evaluation.per_image), 'image')}.",
        section(
            "Scores",
            "One confusion matrix over the whole set, at native size; unlabelled pixels are left "
            "out, and the mean goes over the classes that occur in the truth. In percent.",
            *([paragraph(f"{note}.", "soft")] if note else []),
            *([paragraph(f"{BY_AREA}.", "soft")] if evaluation.by_area else []),
            tiles(numbers),
            *bars,
        ),
        looked_at(shown, palette, scores.names),
        section(
            "What is taken for what",
            "Each row is a class of the truth, each cell the percent of its pixels that were given "
            "the class of the column.",
            matrix(scores),
        ),
        section(
            "Images",
            "Each scored on its own, best first: for finding the hard ones, not for averaging.",
            folded(
                f"All {len(evaluation.per_image)}",
                table(
                    ["image", "mIoU", "pixel accuracy"],
                    [
                        [name, percent(own.miou), percent(own.pixel_accuracy)]
                        for name in evaluation.ranked()
                        for own in [evaluation.per_image[name]]
                    ],
                ),
            ),
        ),
        section("Settings", "", settings_list(settings)),
    )

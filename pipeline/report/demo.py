"""The report of `goodsam demo`: the method in pictures, and what it gained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from goodsam.pipeline.report.charts import line_charts
from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import (
    class_bars,
    class_legend,
    folded,
    look_for_yourself,
    paragraph,
    section,
    settings_list,
    strip,
    table,
    tiles,
    time_bars,
    viewer,
)
from goodsam.pipeline.report.pictures import Layer
from goodsam.pipeline.tell import duration, percent
from goodsam.stages.score.confusion import Scores


@dataclass(frozen=True)
class DemoRow:
    """A row of the demo's table: who was scored, how, and the outcome."""

    name: str
    scores: Scores
    note: str = ""


def demo_report(
    path: Path,
    *,
    story: Sequence[Layer],
    results: Sequence[DemoRow],
    before: str,
    after: str,
    palette: np.ndarray,
    panoramas: Mapping[str, Sequence[Layer]],
    metrics: Sequence[Mapping[str, float]],
    settings: Mapping[str, Any],
    seconds: Mapping[str, float],
    notes: Sequence[str] = (),
) -> None:
    """Write the report.

    story: the pictures that tell it, in order, all of one panorama. results: the rows of the table;
    before, after: the names of the two that are held against each other. panoramas: by title, the
    layers of further ones. metrics: rows of metrics.jsonl. seconds: by stage.
    """
    row = {result.name: result for result in results}
    first, last = row[before].scores, row[after].scores
    write_report(
        path,
        "GoodSAM on the street world",
        "No label of a panorama is used: SAM's masks are fused with what the teacher assistant "
        "says, and the student learns from both.",
        section(
            "The method in pictures",
            "",
            _gains(first, last, sum(seconds.values())),
            paragraph(""),
            strip(story, numbered=True),
            class_legend(last.names, palette),
        ),
        section(
            "Results",
            "mIoU over the classes that occur in the truth, and pixel accuracy, in percent, at "
            "native size.",
            table(
                ["", "mIoU", "pixel accuracy"],
                [
                    [
                        (result.name, result.note),
                        percent(result.scores.miou),
                        percent(result.scores.pixel_accuracy),
                    ]
                    for result in results
                ],
                chosen=[i for i, result in enumerate(results) if result.name == after],
            ),
            *(paragraph(note, "soft") for note in notes),
        ),
        section(
            "The student by class",
            "IoU in percent before and after. A dash: the class does not occur in the truth.",
            class_bars(
                last.names, palette, list(last.per_class.values()), list(first.per_class.values())
            ),
        ),
        look_for_yourself(*(viewer(title, layers) for title, layers in panoramas.items())),
        section(
            "Training",
            "Each loss and measure over the optimiser's steps, on its own scale, with a moving "
            "average.",
            line_charts(*_columns(metrics)),
        ),
        section("Time", "", time_bars(seconds)),
        section("Settings", "", folded("All of them", settings_list(settings))),
    )


def _gains(before: Scores, after: Scores, seconds: float) -> Markup:
    """The big numbers: what the student gained, and in what time."""
    moved = [
        (then, now)
        for then, now in zip(before.per_class.values(), after.per_class.values(), strict=True)
        if then is not None and now is not None
    ]
    up, down = sum(now > then for then, now in moved), sum(now < then for then, now in moved)
    return tiles(
        [
            (
                "student, mIoU",
                f"{percent(before.miou)} → {percent(after.miou)}",
                f"{after.miou - before.miou:+.2f} points, held-out panoramas",
            ),
            (
                "student, pixel accuracy",
                f"{percent(before.pixel_accuracy)} → {percent(after.pixel_accuracy)}",
                f"{after.pixel_accuracy - before.pixel_accuracy:+.2f} points",
            ),
            ("classes", f"{up} up, {down} down", f"of {len(moved)} in the truth"),
            ("time", duration(seconds), "all stages together"),
        ]
    )


def _columns(metrics: Sequence[Mapping[str, float]]) -> tuple[list[float], dict[str, list[float]]]:
    """Steps, and each measure that every row has and that ever changes, over them."""
    steps = [row["step"] for row in metrics]
    names = [key for key in (metrics[0] if metrics else {}) if not key.startswith("share/")]
    shared = [key for key in names if all(key in row for row in metrics)]
    series = {key: [float(row[key]) for row in metrics] for key in shared if key != "step"}
    return steps, {name: values for name, values in series.items() if len(set(values)) > 1}

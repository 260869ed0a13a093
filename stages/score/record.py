"""What an evaluation leaves on disk: `eval.json` and `eval.md`, with labels and without."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goodsam.data.files import write_whole
from goodsam.data.panoramas import Sample
from goodsam.stages.score.confusion import by_name
from goodsam.stages.score.evaluate import Evaluation
from goodsam.stages.score.unlabelled import Unlabelled

NOTE = (
    "No labels: agreement and shares say how the prediction behaves, not how right it is; they are "
    "no accuracy"
)
BY_AREA = (
    "Each pixel counts by its area on the sphere (the mean pixel is 1), except in the boundary "
    "F-score"
)
AGREEMENTS = {
    "window_agreement": "overlapping windows, of the pixels that two of them share",
    "roll_agreement": "the image and the image turned by half a circle",
    "teacher_agreement": "student and teacher assistant",
    "unchanged": "the student before and after the adaptation",
}


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
    if evaluation.by_area:
        record["by_area"] = True
        record["protocol_note"] += f" {BY_AREA}"
    if evaluation.counted < 100:
        record["counted_percent"] = evaluation.counted
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
        f"{len(record['files'])} images. {record['protocol_note'].rstrip('.')}.",
        "",
        head,
        rule,
        f"| **mean** |{mean}",
        *(f"| {name} |{cells}" for name, cells in rows.items()),
        "",
        f"Pixel accuracy: {_percent(record['pixel_accuracy'])} %. "
        "A dash: the class does not occur in the truth.",
    ]
    if "counted_percent" in record:
        lines.append(
            f"Scored: {record['counted_percent']:.2f} % of the labelled pixels, those that the "
            "network has seen (its run fitted photographs to a band, or left pixels out)."
        )
    if unanswered := sum(record["given_no_class"]):
        pixels = f"{unanswered:.0f}"
        lines.append(f"Labelled pixels that were given no class, counted as wrong: {pixels}.")
    return "\n".join(lines) + "\n"


def unlabelled_record(seen: Unlabelled, **provenance: Any) -> dict[str, Any]:
    """The content of `eval.json` where there are no labels."""
    return {
        "note": NOTE,
        "window_agreement": seen.mean("windows"),
        "roll_agreement": seen.mean("roll"),
        "teacher_agreement": seen.mean("teacher"),
        "unchanged": seen.mean("unchanged"),
        "class_shares": seen.shares,
        "class_shares_before": seen.shares_before or None,
        "largest_changes": [
            {"before": before, "after": after, "percent": share}
            for before, after, share in seen.largest_changes()
        ],
        **provenance,
        "files": [
            {
                "name": name,
                "window_agreement": _number(one.windows),
                "roll_agreement": _number(one.roll),
                "teacher_agreement": _number(one.teacher),
                "unchanged": _number(one.unchanged),
            }
            for name, one in seen.images.items()
        ],
    }


def unlabelled_markdown(record: dict[str, Any]) -> str:
    """`eval.md` of a record of `unlabelled_record`."""
    before = record["class_shares_before"]
    lines = [
        "# No labels, so no accuracy",
        "",
        f"{len(record['files'])} images. {record['note']}.",
        "",
        "| labelled alike by | pixels, % |",
        "|---|---:|",
        *(
            f"| {what} | {record[key]:.2f} |"
            for key, what in AGREEMENTS.items()
            if record[key] is not None
        ),
        "",
        f"| class | share of pixels, % |{' before, % |' if before else ''}",
        f"|---|---:|{'---:|' if before else ''}",
        *(
            f"| {name} | {share:.2f} |" + (f" {before[name]:.2f} |" if before else "")
            for name, share in record["class_shares"].items()
        ),
    ]
    changes = [one for one in record["largest_changes"] if one["percent"] >= 0.005]
    if changes:
        lines += ["", "| the student said | and says now | pixels, % |", "|---|---|---:|"]
        lines += [f"| {one['before']} | {one['after']} | {one['percent']:.2f} |" for one in changes]
    return "\n".join(lines) + "\n"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"

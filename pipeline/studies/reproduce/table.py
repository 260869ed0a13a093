"""The table: our row beside the published ones, in JSON, Markdown and HTML."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from goodsam.data.classes import CITYSCAPES
from goodsam.data.files import write_whole
from goodsam.pipeline.report.reproduce import reproduce_report
from goodsam.pipeline.studies.reproduce.plan import BENCHMARKS
from goodsam.pipeline.tell import percent

_LOUD = "NOT THE PAPER'S SETTING"


def markdown(record: dict[str, Any]) -> str:
    """`reproduce.md`: our row beside the published ones, and how ours came about."""
    header, rows = comparison(record)
    lines = [
        f"# {BENCHMARKS[record['benchmark']].title}: {record['preset']} next to the published rows",
        "",
        *(f"{line}\n" for line in remarks(record)),
        f"| {' | '.join(header)} |",
        f"|---|{'---:|' * (len(header) - 1)}",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        "| this run | mIoU | pixel accuracy |",
        "|---|---:|---:|",
        *(
            f"| {name} | {percent(row['miou'])} | {percent(row['pixel_accuracy'])} |"
            for name, row in record["rows"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def comparison(record: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table: published ones as printed, then ours; percent."""
    per_class = record["benchmark"] == "densepass"
    names = list(CITYSCAPES) if per_class else []
    rows = [
        [
            row["method"] + (f", {row['backbone']}" if row["backbone"] else ""),
            percent(row["miou"]),
            *(percent(row["per_class"].get(name)) for name in names),
        ]
        for row in record["published"]
    ]
    ours = record["ours"]
    rows.append(
        [
            f"{record['preset']}, this run",
            percent(ours["miou"]),
            *(percent(ours["per_class"][name]) for name in names),
        ]
    )
    return ["", "mIoU", *names], rows


def remarks(record: dict[str, Any]) -> list[str]:
    """What has to be said beside the table."""
    which = BENCHMARKS[record["benchmark"]]
    lines = [
        f"Published rows: {which.table} of the paper, as printed; percent. Ours: the student of "
        "this run at its last step, one confusion matrix over the set. Where the paper is silent "
        "(optimiser, schedule, length) the settings are ours."
    ]
    if record["protocol_note"]:
        lines.append(
            f"{record['protocol_note']}: our number and the printed ones may not mean the same."
        )
    if record["not_as_in_the_paper"]:
        lines.append(f"{_LOUD}: {'; '.join(record['not_as_in_the_paper'])}.")
    return lines


def write_table(out: Path, record: dict[str, Any]) -> None:
    write_whole(out / "reproduce.json", json.dumps(record, indent=1) + "\n")
    write_whole(out / "reproduce.md", markdown(record))
    header, rows = comparison(record)
    title = BENCHMARKS[record["benchmark"]].title
    first, *others = remarks(record)
    loud = [line for line in others if line.startswith(_LOUD)]
    reproduce_report(
        out / "reproduce.html",
        f"{title}: {record['preset']} next to the published rows",
        " ".join(line for line in others if line not in loud),
        note=first,
        warnings=loud,
        header=header,
        rows=rows,
        scores=record["rows"],
        settings=record["settings"],
    )

"""The report of `goodsam reproduce`: our row beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import section, settings_list, table, warning
from goodsam.pipeline.tell import percent


def reproduce_report(
    path: Path,
    title: str,
    lead: str,
    *,
    note: str,
    warnings: Sequence[str],
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    scores: Mapping[str, Mapping[str, float]],
    settings: Mapping[str, Any],
) -> None:
    """Write the report.

    note, warnings: what has to be said of the table, softly and loudly. header, rows: the table,
    ours last. scores: `miou` and `pixel_accuracy` of this run, percent, by name.
    """
    write_report(
        path,
        title,
        lead,
        section(
            "The table", note, *map(warning, warnings), table(header, rows, chosen=[len(rows) - 1])
        ),
        section(
            "This run",
            "Before and after the adaptation, in percent.",
            table(
                ["", "mIoU", "pixel accuracy"],
                [
                    [name, percent(row["miou"]), percent(row["pixel_accuracy"])]
                    for name, row in scores.items()
                ],
            ),
        ),
        section("Settings", "", settings_list(settings)),
    )

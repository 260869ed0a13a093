"""What came of the rows that are done, as numbers: by seed, over the seeds, and against another."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from goodsam.pipeline.studies.ablate.tables import Column, Row, Table

Records = Mapping[tuple[str, int], Mapping[str, Any]]
"""What came of each row on each seed, as `run_row` has it; those that are done."""


def values(row: Row, column: Column, seeds: Sequence[int], rows: Records) -> dict[int, float]:
    """The mIoU of a row by seed, percent, of the seeds that are done."""
    found = {}
    for seed in seeds:
        record = rows.get((row.name, seed))
        if record is not None and column in record["scores"]:
            found[seed] = record["scores"][column]["miou"]
    return found


def summary(row: Row, column: Column, seeds: Sequence[int], rows: Records) -> dict[str, Any]:
    """mean and sd (None for fewer than two seeds) of the mIoU, percent."""
    own = list(values(row, column, seeds, rows).values())
    return {
        "mean": statistics.fmean(own) if own else None,
        "sd": statistics.stdev(own) if len(own) > 1 else None,
        "n": len(own),
    }


def difference(
    table: Table, row: Row, column: Column, seeds: Sequence[int], rows: Records
) -> list[float]:
    """The row's mIoU less that of the reference on the same seed, by seed; empty for itself."""
    if row.name == table.reference:
        return []
    (reference,) = (r for r in table.rows if r.name == table.reference)
    base, own = values(reference, column, seeds, rows), values(row, column, seeds, rows)
    return [own[seed] - base[seed] for seed in seeds if seed in own and seed in base]

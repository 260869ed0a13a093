"""What masks of a measured quality are worth: a table of the quality, and curves against it."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from goodsam.pipeline.studies.ablate.records import Records, values
from goodsam.pipeline.studies.ablate.tables import COLUMNS, Row, Table

BEST_IOU = "mean best IoU"
MASKS = "masks a window"
_COLOUR, _OTHERS = "#2b6cb0", "#c05621"
_MARKERS = "s^vDPXph*<>"  # of the rows that are not on the curve


def measured(row: Row, seeds: Sequence[int], rows: Records) -> dict[str, float]:
    """The `MaskQuality` of a row by what it is called, the mean of the seeds that know it."""
    found: dict[str, list[float]] = {}
    for seed in seeds:
        record = rows.get((row.name, seed))
        for name, value in _numbers((record or {}).get("masks") or {}):
            found.setdefault(name, []).append(value)
    return {name: statistics.fmean(own) for name, own in found.items()}


def _numbers(quality: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    if quality:
        yield BEST_IOU, quality["best_iou"]
        yield MASKS, quality["masks"]
        yield "purity", quality["purity"]
        yield "covered", quality["covered"]
        yield from ((f"{area} px", mean) for area, (mean, _) in quality["by_area"].items())


def quality_table(table: Table, seeds: Sequence[int], rows: Records) -> str:
    """How good the masks of each row are, as Markdown; empty where that is not known of any."""
    known = {row.name: measured(row, seeds, rows) for row in table.rows}
    heads = max(known.values(), key=len)  # a small world may lack things of one size
    if not heads:
        return ""
    lines = [["masks", *heads], ["---", *["---:"] * len(heads)]]
    for name, own in known.items():
        if own:
            digits = {head: 1 if head == MASKS else 3 for head in heads}
            cells = (f"{own[head]:.{digits[head]}f}" if head in own else "" for head in heads)
            lines.append([name, *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def plot_quality(path: Path, table: Table, seeds: Sequence[int], rows: Records) -> None:
    """mIoU against the mean best IoU of the masks: the table's curve, other rows, its reference.

    A panel for each column: mean and range of the seeds. The reference is a level, since no masks
    enter its training. Needs matplotlib.
    """
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # slow to import
    from matplotlib.figure import Figure

    numbers = {row.name: measured(row, seeds, rows) for row in table.rows}
    quality = {name: found[BEST_IOU] for name, found in numbers.items() if found}
    figure = Figure(figsize=(3.6 * len(COLUMNS), 4.6), layout="constrained")
    FigureCanvasSVG(figure)
    panels = figure.subplots(1, len(COLUMNS))
    for axes, (column, title) in zip(panels, COLUMNS.items(), strict=True):
        markers = iter(_MARKERS)
        curve: list[tuple[float, float]] = []
        for row in table.rows:
            own = list(values(row, column, seeds, rows).values())
            if row.name == table.reference:
                if own:
                    level = statistics.fmean(own)
                    axes.axhline(level, color="#718096", linestyle="--", label=row.name)
                continue
            marker = "o" if row.name in table.curve else next(markers)
            if not own or row.name not in quality:
                continue
            x, mean = quality[row.name], statistics.fmean(own)
            label = None
            if row.name in table.curve:
                curve.append((x, mean))
            else:
                label = row.name
            colour = _OTHERS if label else _COLOUR
            axes.plot([x, x], [min(own), max(own)], color=colour, linewidth=1)
            axes.plot(x, mean, marker, color=colour, fillstyle="none", linestyle="", label=label)
        if curve:
            label = f"{table.curve[0]} … {table.curve[-1]}"
            axes.plot(*zip(*sorted(curve), strict=True), color=_COLOUR, label=label)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("mean best IoU of the true instances", fontsize=9)
        axes.set_ylabel("mIoU, %", fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(color="#e2e8f0")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=7)
    figure.savefig(path, format="svg", metadata={"Date": None})

"""Rows of several seeds to one table: Markdown, CSV, JSON and a plot, anew after each row."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from goodsam.data.files import write_whole
from goodsam.pipeline.studies.ablate.quality import plot_quality, quality_table
from goodsam.pipeline.studies.ablate.records import Records, difference, summary, values
from goodsam.pipeline.studies.ablate.tables import COLUMNS, Table
from goodsam.pipeline.tell import duration


def write_results(
    folder: Path, name: str, table: Table, seeds: Sequence[int], rows: Records
) -> str:
    """FOLDER/NAME.md, .csv, .json and .svg, and NAME-curve.svg; returns the Markdown."""
    text = markdown(table, seeds, rows)
    write_whole(folder / f"{name}.md", text)
    write_whole(folder / f"{name}.csv", _csv(table, seeds, rows))
    record = {
        "title": table.title,
        "note": table.note,
        "reference": table.reference,
        "seeds": list(seeds),
        "rows": [
            {
                "name": row.name,
                "printed": {str(c): value for c, value in row.printed.items()},
                "summary": {c: summary(row, c, seeds, rows) for c in row.shows},
                "seeds": {str(seed): rows.get((row.name, seed)) for seed in seeds},
            }
            for row in table.rows
        ],
    }
    write_whole(folder / f"{name}.json", json.dumps(record, indent=1))
    if importlib.util.find_spec("matplotlib") is not None:  # it comes with the extra `bench`
        _plot(folder / f"{name}.svg", table, seeds, rows)
        if table.curve:
            plot_quality(folder / f"{name}-curve.svg", table, seeds, rows)
    return text


def _spread(numbers: Sequence[float], signed: bool = False) -> str:
    if not numbers:
        return ""
    mean = f"{statistics.fmean(numbers):{'+' if signed else ''}.2f}"
    return mean if len(numbers) < 2 else f"{mean} ± {statistics.stdev(numbers):.2f}"


def markdown(table: Table, seeds: Sequence[int], rows: Records) -> str:
    """The table for people: mean ± standard deviation over the seeds, and the paper's values."""
    columns = [c for c in COLUMNS if any(c in row.shows for row in table.rows)]
    printed = [c for c in columns if any(c in row.printed for row in table.rows)]
    head = [
        "",
        *(COLUMNS[c] for c in columns),
        *(f"{COLUMNS[c]}, difference" for c in columns),
        *(f"{COLUMNS[c]} in the paper" for c in printed),
    ]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    for row in table.rows:
        lines.append(
            [
                row.name,
                *(_spread(list(values(row, c, seeds, rows).values())) for c in columns),
                *(_spread(difference(table, row, c, seeds, rows), signed=True) for c in columns),
                *(f"{row.printed[c]:.2f}" if c in row.printed else "" for c in printed),
            ]
        )
    body = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    done = sum((row.name, seed) in rows for row in table.rows for seed in seeds)
    total = len(table.rows) * len(seeds)
    seconds = sum(sum(record["seconds"].values()) for record in rows.values())
    sizes = next((record["panoramas"] for record in rows.values()), None)
    about = [
        f"mIoU in percent over the classes of the truth; mean ± standard deviation of "
        f"{len(seeds)} seed{'s' * (len(seeds) > 1)} ({', '.join(map(str, seeds))}). Differences "
        f"are to “{table.reference}”, seed by seed.",
    ]
    if sizes:
        about.append(
            f"{sizes['unlabelled']} unlabelled and {sizes['test']} test panoramas a seed; "
            f"{duration(seconds)} in all."
        )
    if done < total:
        about.append(f"UNFINISHED: {done} of {total} runs; start the same command again.")
    note = f"\n\n{table.note}" if table.note else ""
    quality = f"{quality_table(table, seeds, rows)}\n" if table.curve else ""
    return (
        f"## {table.title}\n\n{body}\n\n{' '.join(about)}{note}\n\n{quality}"
        f"{_classes(table, seeds, rows)}"
    )


def _classes(table: Table, seeds: Sequence[int], rows: Records) -> str:
    """The student's IoU by class, the mean of the seeds: what was won and what was lost."""
    shown = [row for row in table.rows if values(row, "student", seeds, rows)]
    if not shown:
        return ""
    means: list[dict[str, float]] = []
    names: list[str] = []
    for row in shown:
        found: dict[str, list[float]] = {}
        for seed in seeds:
            record = rows.get((row.name, seed))
            if record is not None:
                for name, value in record["scores"]["student"]["per_class"].items():
                    if value is not None:
                        found.setdefault(name, []).append(value)
        means.append({name: statistics.fmean(own) for name, own in found.items()})
        names += [name for name in found if name not in names]
    lines = [["student, by class", *(row.name for row in shown)]]
    lines.append(["---", *["---:"] * len(shown)])
    for name in names:
        lines.append([name, *(f"{mean.get(name, math.nan):.1f}" for mean in means)])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _csv(table: Table, seeds: Sequence[int], rows: Records) -> str:
    """One line a row, seed and column."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["row", "seed", "network", "miou", "pixel_accuracy", "printed"])
    for row in table.rows:
        for seed in seeds:
            record = rows.get((row.name, seed))
            for column, scores in (record["scores"] if record else {}).items():
                writer.writerow(
                    [
                        row.name,
                        seed,
                        column,
                        f"{scores['miou']:.3f}",
                        f"{scores['pixel_accuracy']:.3f}",
                        row.printed.get(column, ""),
                    ]
                )
    return text.getvalue()


def _plot(path: Path, table: Table, seeds: Sequence[int], rows: Records) -> None:
    """Mean and range of each row, and the paper's value beside it where there is one."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # slow to import
    from matplotlib.figure import Figure

    columns = [c for c in COLUMNS if any(c in row.shows for row in table.rows)]
    figure = Figure(figsize=(3.2 * len(columns) + 2.5, 0.32 * len(table.rows) + 1.3))
    FigureCanvasSVG(figure)
    places = list(range(len(table.rows)))
    for index, column in enumerate(columns):
        axes = figure.add_subplot(1, len(columns), index + 1)
        for place, row in zip(places, table.rows, strict=True):
            own = list(values(row, column, seeds, rows).values())
            if own:
                axes.plot([min(own), max(own)], [place, place], color="#2b6cb0", linewidth=2)
                axes.plot(statistics.fmean(own), place, "o", color="#2b6cb0")
            if column in row.printed:
                axes.plot(row.printed[column], place, "D", color="#c05621", fillstyle="none")
        axes.set_title(COLUMNS[column], fontsize=10)
        axes.set_xlabel("mIoU, %", fontsize=9)
        axes.set_ylim(len(places) - 0.5, -0.5)
        axes.set_yticks(
            places, [row.name for row in table.rows] if index == 0 else [""] * len(places)
        )
        axes.tick_params(labelsize=8)
        axes.grid(axis="x", color="#e2e8f0")
    paper = "; diamond: the paper's value" if any(row.printed for row in table.rows) else ""
    figure.suptitle(f"dot: mean, line: range of the seeds{paper}", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, format="svg", metadata={"Date": None})

"""The table: our row beside the published ones, in JSON, Markdown, HTML, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goodsam.data.files import write_whole
from goodsam.pipeline.report.reproduce import reproduce_report
from goodsam.pipeline.studies.reproduce.plan import BENCHMARKS, Benchmark
from goodsam.pipeline.studies.reproduce.published import Published
from goodsam.pipeline.tell import percent

_LOUD = "NOT THE PAPER'S SETTING"
_COLUMNS = ("mIoU", "source-free", "SAM at test", "printed in")
_TEXT = ("", *_COLUMNS[1:])  # the columns that hold no number
Rows = list[list[str]]


def published_table(rows: Sequence[Published], names: Sequence[str] = ()) -> tuple[list[str], Rows]:
    """Header and rows of published rows. names: the classes to show; percent."""
    return ["", *_COLUMNS, *names], [
        [
            row.title,
            percent(row.miou),
            {None: "-", True: "yes", False: "no"}[row.source_free],
            "yes" if row.sam_at_test else "no",
            row.source,
            *(percent(row.per_class.get(name)) for name in names),
        ]
        for row in rows
    ]


def comparison(record: dict[str, Any]) -> tuple[list[str], Rows]:
    """Header and rows of the table: published ones as printed, then ours; percent.

    Where several seeds were run, ours are means, and a column has the deviation of the mIoU.
    """
    benchmark, ours = BENCHMARKS[record["benchmark"]], record["ours"]
    names = list(ours["per_class"]) if benchmark.per_class else []
    header, rows = published_table(benchmark.rows, names)
    seeds = len(record["seeds"])
    mine = f"{record['preset']}, this run" + (f", mean of {seeds} seeds" if seeds > 1 else "")
    cells = (percent(ours["per_class"][name]) for name in names)
    rows.append([mine, percent(ours["miou"]), "yes", "no", "", *cells])
    if seeds > 1:
        spread = [""] * (len(rows) - 1) + [percent(ours["miou_sd"])]
        header.insert(2, f"± over {seeds} seeds")
        for row, deviation in zip(rows, spread, strict=True):
            row.insert(2, deviation)
    return header, rows


def markdown(record: dict[str, Any]) -> str:
    """`reproduce.md`: our row beside the published ones, and how ours came about."""
    lines = [
        f"# {_title(record)}",
        "",
        *(f"{line}\n" for line in remarks(record)),
        markdown_table(*comparison(record)),
        "",
        "| this run | mIoU | pixel accuracy |",
        "|---|---:|---:|",
        *(
            f"| {name} | {percent(row['miou'])} | {percent(row['pixel_accuracy'])} |"
            for name, row in record["rows"].items()
        ),
    ]
    return "\n".join(lines) + "\n"


def markdown_table(header: Sequence[str], rows: Rows) -> str:
    lines = [header, ["---" if cell in _TEXT else "---:" for cell in header], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def csv_table(header: Sequence[str], rows: Rows) -> str:
    """The table for programs: as it is shown, a cell that is not known empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", *header[1:]])
    writer.writerows([["" if cell == "-" else cell for cell in row] for row in rows])
    return text.getvalue()


def latex_table(header: Sequence[str], rows: Rows) -> str:
    r"""The table for a paper: a `tabular` with rules of the package booktabs, our row last."""
    columns = "".join("l" if cell in _TEXT else "r" for cell in header)
    lines = [" & ".join(map(_latex, cells)) + r" \\" for cells in (header, *rows)]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:-1],
            r"\midrule",
            lines[-1],
            r"\bottomrule",
            r"\end{tabular}",
            "",
        ]
    )


def _latex(cell: str) -> str:
    special = {"±": r"$\pm$", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}
    special |= {character: rf"\{character}" for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in cell)


def remarks(record: dict[str, Any]) -> list[str]:
    """What has to be said beside the table."""
    lines = [
        "Published rows as printed, each where the table says; percent. Ours: the student of this "
        "run at its last step, one confusion matrix over the set. Where the paper is silent "
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
    """Write `reproduce.json`, `.md`, `.html`, `.csv` and `.tex` into `out`."""
    header, rows = comparison(record)
    write_whole(out / "reproduce.json", json.dumps(record, indent=1) + "\n")
    write_whole(out / "reproduce.md", markdown(record))
    write_whole(out / "reproduce.csv", csv_table(header, rows))
    write_whole(out / "reproduce.tex", latex_table(header, rows))
    first, *others = remarks(record)
    loud = [line for line in others if line.startswith(_LOUD)]
    reproduce_report(
        out / "reproduce.html",
        _title(record),
        " ".join(line for line in others if line not in loud),
        note=first,
        warnings=loud,
        header=header,
        rows=rows,
        scores=record["rows"],
        settings=record["settings"],
    )


def _title(record: dict[str, Any]) -> str:
    benchmark: Benchmark = BENCHMARKS[record["benchmark"]]
    classes = len(record["ours"]["per_class"])
    return f"{benchmark.title}, {classes} classes: {record['preset']} beside the published rows"

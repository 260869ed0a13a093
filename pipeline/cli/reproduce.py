"""`goodsam reproduce`: the paper's tables, from your copies of the data."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from goodsam.pipeline.cli.options import Boundaries, Checkpoint, Json, Settings, sam_option

app = typer.Typer(
    no_args_is_help=True,
    help="Train as in the paper, and compare the result with its table. Start the same command "
    "again to resume.",
)

Benchmark = Literal["densepass", "wildpass"]
Preset = Annotated[str, typer.Option(help="One of the paper's: goodsam-m, goodsam-t, goodsam-s.")]
Training = Annotated[
    Path,
    typer.Option("--wildpass2k", help="The folder of WildPASS2K, whose panoramas are adapted to."),
]
Out = Annotated[
    Path, typer.Option(help="The folder for cache, run and table; an unfinished one is resumed.")
]
WhichSam = Annotated[str, sam_option("The SAM; the paper's is vit_h.")]
Assistant = Annotated[
    str | None,
    typer.Option(help="The TA: a SegFormer directory or hub name; the preset's if not given."),
]
Student = Annotated[
    str | None,
    typer.Option(help="The student: a SegFormer directory or hub name; the preset's if not given."),
]
Borders = Annotated[
    Boundaries,
    typer.Option(
        help="Where the boundaries of an overlap come from: SAM on the overlap (the paper), "
        "or the masks of its two windows."
    ),
]
Points = Annotated[
    int | None, typer.Option(help="Side of SAM's grid of prompts; 32 if not given.", min=1)
]
Workers = Annotated[
    int,
    typer.Option(
        help="Number of local worker processes for stage 1; 0: this process alone.", min=0
    ),
]
Device = Annotated[
    str | None,
    typer.Option(help="Where stage 2 computes: auto, cpu or cuda; the preset's if not given."),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Check every piece, estimate time and disk space, and stop."),
]


def _command(benchmark: Benchmark, test: str, does: str) -> None:
    """Register a benchmark's command; `--BENCHMARK` is where its labelled test set is."""
    Test = Annotated[Path, typer.Option(f"--{benchmark}", help=test)]

    @app.command(benchmark, help=does)
    def command(
        wildpass2k: Training,
        test: Test,
        out: Out,
        preset: Preset = "goodsam-m",
        sam: WhichSam = "vit_h",
        checkpoint: Checkpoint = None,
        teacher_assistant: Assistant = None,
        student: Student = None,
        set_: Settings = None,
        boundaries: Borders = "overlap",
        points_per_side: Points = None,
        workers: Workers = 0,
        device: Device = None,
        check: Check = False,
        json: Json = False,
    ) -> None:
        _run(
            benchmark, wildpass2k, test, out, json=json, check=check, preset=preset, sam=sam,
            checkpoint=checkpoint, teacher_assistant=teacher_assistant, student=student,
            settings=tuple(set_ or ()), boundaries=boundaries, points_per_side=points_per_side,
            workers=workers, device=device,
        )  # fmt: skip


_command(
    "densepass",
    "The folder of DensePASS, the labelled test set.",
    "Train on WildPASS2K, test on DensePASS, and print Table 1 with our row.",
)
_command(
    "wildpass",
    "The folder of WildPASS, the labelled test set, in Mapillary ids.",
    "Train on WildPASS2K, test on WildPASS (our class mapping), print Table 2 with our row.",
)


def _run(
    benchmark: Benchmark,
    training: Path,
    test: Path,
    out: Path,
    *,
    check: bool,
    json: bool,
    **pieces: Any,
) -> None:
    from goodsam.pipeline.studies.reproduce.cost import check_room, estimate
    from goodsam.pipeline.studies.reproduce.plan import Request, look, summary_lines
    from goodsam.pipeline.studies.reproduce.table import markdown
    from goodsam.pipeline.studies.reproduce.whole import reproduce
    from goodsam.pipeline.tell import say

    plan = look(Request(benchmark, training=training, test=test, out=out, **pieces))
    for line in summary_lines(plan):
        say(line)
    found = estimate(plan)
    say(str(found))
    check_room(found, out)
    if check:
        return
    record = reproduce(plan, say)
    print(json_module.dumps(record, indent=1) if json else markdown(record))

"""`goodsam reproduce`: published tables with a row of your own, from your copies of the data."""

import json as json_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from goodsam.pipeline.cli.options import Boundaries, Checkpoint, Json, Settings, sam_option

app = typer.Typer(
    no_args_is_help=True,
    help="Train as in the paper, and compare the result with the published rows. Start the same "
    "command again to resume.",
)

Benchmark = Literal["densepass", "densepass13", "wildpass", "stanford2d3d", "stanford2d3d-13"]
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
    typer.Option(help="The TA: a network's directory or hub name; the preset's if not given."),
]
Student = Annotated[
    str | None,
    typer.Option(help="The student: a network's directory or hub name; the preset's if not given."),
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
Seeds = Annotated[
    int,
    typer.Option(
        help="Number of trainings, each with a seed of its own; the table has their mean.", min=1
    ),
]
Check = Annotated[
    bool,
    typer.Option("--check", help="Check every piece, estimate time and disk space, and stop."),
]


def _command(benchmark: Benchmark, option: str, test: str, does: str) -> None:
    """Register a benchmark's command; `option` is where its labelled test set is."""
    Test = Annotated[Path, typer.Option(option, help=test)]

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
        seeds: Seeds = 1,
        workers: Workers = 0,
        device: Device = None,
        check: Check = False,
        json: Json = False,
    ) -> None:
        _run(
            benchmark, wildpass2k, test, out, json=json, check=check, preset=preset, sam=sam,
            checkpoint=checkpoint, teacher_assistant=teacher_assistant, student=student,
            settings=tuple(set_ or ()), boundaries=boundaries, points_per_side=points_per_side,
            seeds=seeds, workers=workers, device=device,
        )  # fmt: skip


_command(
    "densepass",
    "--densepass",
    "The folder of DensePASS, the labelled test set.",
    "Train on WildPASS2K, test on DensePASS (19 classes), and print the rows with ours.",
)
_command(
    "densepass13",
    "--densepass",
    "The folder of DensePASS, the labelled test set.",
    "Train on WildPASS2K, test on DensePASS by 13 classes, another benchmark than that of 19.",
)
_command(
    "wildpass",
    "--wildpass",
    "The folder of WildPASS, the labelled test set, in Mapillary ids.",
    "Train on WildPASS2K, test on WildPASS (our class mapping), and print the rows with ours.",
)


@app.command()
def stanford2d3d(
    stanford2d3d: Annotated[
        Path,
        typer.Option(help="The folder of Stanford2D3D, with area_1/pano/rgb/ and so on in it."),
    ],
    out: Out,
    teacher_assistant: Annotated[
        str,
        typer.Option(help="The TA: a network's directory or hub name; it knows the classes."),
    ],
    student: Annotated[
        str,
        typer.Option(help="The student: a network's directory or hub name, of the TA's classes."),
    ],
    fold: Annotated[
        int,
        typer.Option(
            help="Which areas are tested on: 1 (5a, 5b), 2 (2, 4) or 3 (1, 3, 6).", min=1, max=3
        ),
    ] = 1,
    classes: Annotated[
        Literal["8", "13"],
        typer.Option(help="The classes to score by: the 8 of the pinhole setting, or all 13."),
    ] = "8",
    preset: Preset = "goodsam-m",
    sam: WhichSam = "vit_h",
    checkpoint: Checkpoint = None,
    set_: Settings = None,
    boundaries: Borders = "overlap",
    points_per_side: Points = None,
    seeds: Seeds = 1,
    workers: Workers = 0,
    device: Device = None,
    check: Check = False,
    json: Json = False,
) -> None:
    """Train on the panoramas of some areas of Stanford2D3D, test on the others: rooms."""
    _run(
        "stanford2d3d" if classes == "8" else "stanford2d3d-13", stanford2d3d, stanford2d3d, out,
        json=json, check=check, preset=preset, sam=sam, checkpoint=checkpoint,
        teacher_assistant=teacher_assistant, student=student, settings=tuple(set_ or ()),
        boundaries=boundaries, points_per_side=points_per_side, seeds=seeds, workers=workers,
        device=device, fold=fold,
    )  # fmt: skip


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

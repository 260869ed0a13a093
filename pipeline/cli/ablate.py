"""`goodsam ablate`: tables of what each part is worth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from goodsam.data.errors import InputError
from goodsam.pipeline.cli.options import Boundaries, Checkpoint, sam_option

if TYPE_CHECKING:
    from goodsam.pipeline.studies.ablate.tables import Masks

TABLE_HELP = (
    "table3, table4, table5 or figure7: the paper's; effect: the method against simpler trainings; "
    "choices: what the paper leaves open in stage 2; masks: in stage 1; rates: learning rates and "
    "length; sizes: whole, by windows, squeezed; quality: what a better SAM is worth; peers: the "
    "recipe of street-robust against simpler ones; ingredients: one thing of it changed; recipe: "
    "peers, ingredients, quality, and ten times as long."
)

TableName = Literal[
    "table3",
    "table4",
    "table5",
    "figure7",
    "effect",
    "choices",
    "masks",
    "rates",
    "sizes",
    "quality",
    "peers",
    "ingredients",
    "recipe",
]

MasksName = Literal["sam", "true", "degraded"]

STREET_TEACHERS = ("w32=street-ta", "w16=street-student", "w8=street-w8")


def ablate(
    table: Annotated[TableName, typer.Argument(help=TABLE_HELP)],
    out: Annotated[
        Path,
        typer.Option(help="The folder that keeps the rows of all tables; none is done twice."),
    ] = Path("runs/ablate"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    first_seed: Annotated[
        int, typer.Option(help="The lowest of the seeds; the others follow it.", min=0)
    ] = 0,
    preset: Annotated[str, typer.Option(help="The settings that all rows begin with.")] = "demo",
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of stage 2 for all rows, as KEY=VALUE; may be repeated.",
        ),
    ] = None,
    unlabelled: Annotated[
        int, typer.Option(help="Unlabelled panoramas of each street world.", min=1)
    ] = 24,
    test: Annotated[int, typer.Option(help="Labelled panoramas of each street world.", min=1)] = 40,
    tuning: Annotated[
        bool, typer.Option("--tuning", help="Score on tuning scenes, not on test scenes.")
    ] = False,
    masks: Annotated[
        MasksName,
        typer.Option(
            help="The masks of rows that do not specify them: SAM's, the true instances of "
            "the street worlds, or these made worse as far as --quality says."
        ),
    ] = "sam",
    quality: Annotated[
        float | None,
        typer.Option(
            help="Quality of degraded masks, 0 (as bad as the demo SAM's) to 1 (the truth).",
            min=0,
            max=1,
        ),
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Your unlabelled panoramas, in place of street worlds.")
    ] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="Your labelled panoramas, to score on; goes with --images.")
    ] = None,
    sam: Annotated[str, sam_option("The SAM whose masks all rows have.")] = "street",
    checkpoint: Checkpoint = None,
    boundaries: Annotated[
        Boundaries,
        typer.Option(
            help="Where the boundaries of an overlap come from: SAM on the overlap (the paper), "
            "or the masks of its two windows."
        ),
    ] = "windows",
    teachers: Annotated[
        list[str] | None,
        typer.Option(
            "--teacher",
            help="A teacher assistant for table5, as NAME=SEGFORMER; may be repeated; "
            "the street world's three if not given.",
        ),
    ] = None,
) -> None:
    """Run the paper's ablations and our own: rows of settings, on several seeds, as one table.

    Writes TABLE.md, .csv, .json and .svg after every run, TABLE-tuning, TABLE-true-masks and
    TABLE-degraded-QUALITY apart. Rows that tables share are run once.
    """
    from goodsam.pipeline.studies.ablate.recipe import RECIPE_TABLES
    from goodsam.pipeline.studies.ablate.runs import Study
    from goodsam.pipeline.studies.ablate.tables import TABLES, table5
    from goodsam.pipeline.studies.ablate.whole import run_table
    from goodsam.pipeline.tell import say

    if table == "table5":
        chosen = table5(dict(_named(text) for text in teachers or STREET_TEACHERS))
    else:
        chosen = (TABLES | RECIPE_TABLES)[table]
    study = Study(
        out,
        preset=preset,
        settings=tuple(set_ or ()),
        sam=sam,
        checkpoint=checkpoint,
        boundaries=boundaries,
        masks=_masks(masks, quality),
        images=images,
        test=labelled,
        unlabelled=unlabelled,
        labelled=test,
        tuning=tuning,
    )
    numbers = range(first_seed, first_seed + seeds)
    kind = {"sam": [], "true": ["true-masks"], "degraded": [f"degraded-{quality}"]}[masks]
    name = "-".join([table, *["tuning"] * tuning, *kind])
    text = run_table(study, name, chosen, numbers, say)
    print(text)


def _named(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not equals or not name or not source:
        raise InputError(f"--teacher {text}: write it as NAME=SEGFORMER, e.g. B5=nvidia/...")
    return name, source


def _masks(name: MasksName, quality: float | None) -> Masks:
    from goodsam.stages.truth.degrade import of_quality

    if name == "degraded":
        if quality is None:
            raise InputError("--masks degraded: say how good they are, as --quality 0 to 1")
        return of_quality(quality)
    if quality is not None:
        raise InputError(
            f"--quality {quality:g}: goes with --masks degraded; add that or leave this out"
        )
    return name

"""`goodsam demo`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import Json


def demo(
    out: Annotated[Path, typer.Option(help="The folder to write everything into.")] = Path(
        "runs/demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the street world and the training.")] = 0,
    unlabelled: Annotated[int, typer.Option(help="Number of panoramas to adapt to.", min=1)] = 24,
    test: Annotated[
        int, typer.Option(help="Number of labelled panoramas to score on.", min=1)
    ] = 10,
    steps: Annotated[
        int | None, typer.Option(help="Training steps; the preset's if not given.", min=1)
    ] = None,
    json: Json = False,
) -> None:
    """Run the whole method on the embedded street world and write a report, in minutes."""
    from goodsam.pipeline.studies.demo import run_demo
    from goodsam.pipeline.tell import each_line_once, say

    with each_line_once():  # two trainings name the same networks
        result = run_demo(out, seed=seed, unlabelled=unlabelled, test=test, steps=steps, say=say)
    if json:
        print(json_module.dumps(result.record, indent=1))
    else:
        print(result.table)
        print(f"\nReport: {result.report}")

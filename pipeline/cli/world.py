"""`goodsam world`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def world(
    out: Annotated[Path, typer.Argument(help="The folder to write into.")],
    source: Annotated[int, typer.Option(help="Number of labelled pinhole images.", min=0)] = 200,
    unlabelled: Annotated[int, typer.Option(help="Number of unlabelled panoramas.", min=0)] = 16,
    test: Annotated[int, typer.Option(help="Number of labelled panoramas.", min=0)] = 12,
    seed: Annotated[
        int, typer.Option(help="Seed of the world; an equal one gives equal files.", min=0)
    ] = 0,
    height: Annotated[
        int, typer.Option(help="Height of all images but spheres, px.", min=32)
    ] = 200,
    gap: Annotated[
        float | None,
        typer.Option(
            help="How much the panoramas look different from the pinhole images, 0 to 1; 0.45 if "
            "not given."
        ),
    ] = None,
    sphere: Annotated[
        bool,
        typer.Option(
            "--sphere",
            help="Panoramas are whole spheres of the same scenes, as wide, and half as high as "
            "wide.",
        ),
    ] = False,
    tilt: Annotated[
        float,
        typer.Option(
            help="How far the cameras of spheres lean, degrees, each to a side of its own.",
            min=0,
            max=90,
        ),
    ] = 0.0,
) -> None:
    """Write the street world: source/ (Cityscapes layout), unlabelled/, test/ (DensePASS)."""
    from goodsam.data.street.picture import DEFAULT_GAP
    from goodsam.data.street.write import write_world
    from goodsam.pipeline.tell import progress_bar

    with progress_bar("street world", source + unlabelled + test) as update:
        write_world(
            out,
            source=source,
            unlabelled=unlabelled,
            test=test,
            seed=seed,
            height=height,
            gap=DEFAULT_GAP if gap is None else gap,
            whole=sphere,
            tilt=tilt,
            progress=lambda done, _: update(done),
        )
    print(f"{out}: {source} source images, {unlabelled} unlabelled and {test} test panoramas")

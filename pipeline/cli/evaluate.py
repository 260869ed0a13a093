"""`goodsam eval`."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.data.errors import InputError
from goodsam.pipeline.cli.options import (
    ByWindows,
    Device,
    Fit,
    FittedHeight,
    FittedLevel,
    FittedPitch,
    FittedRoll,
    IgnoreMask,
    Json,
    SeenBy,
    TruthClasses,
    WhichNetwork,
    Wrap,
)


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="A run directory, a network's directory, or a name on the hub (not with "
            "--predictions)."
        ),
    ],
    images: Annotated[
        Path | None, typer.Argument(help="A folder of panoramas, or a data set's root.")
    ] = None,
    out: Annotated[
        Path, typer.Option(help="The folder for eval.json, eval.md and report.html.")
    ] = Path("eval"),
    labels: Annotated[
        Path | None,
        typer.Option(help="The folder of label maps, if a data set's layout does not say it."),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Score label maps instead of a network: a folder that predict or label wrote, or "
            "another program's."
        ),
    ] = None,
    protocol: Annotated[
        Literal["19", "13", "wildpass", "stanford13", "stanford8", "structured8"] | None,
        typer.Option(help="The classes to score by; if not given 19, or the network's own."),
    ] = None,
    classes: TruthClasses = None,
    ignore_mask: IgnoreMask = None,
    boundary_radius: Annotated[
        int, typer.Option(help="Radius of the boundary F-score, px; 0 for none.", min=0, max=32)
    ] = 3,
    network: WhichNetwork = "student",
    windows: ByWindows = False,
    wrap: Wrap = False,
    plan: SeenBy = "own",
    by_area: Annotated[
        bool,
        typer.Option(
            "--by-area",
            help="Weight each pixel of a 2:1 photograph by its area on the sphere (not in the "
            "boundary F-score).",
        ),
    ] = False,
    fit: Fit = False,
    height: FittedHeight = None,
    level: FittedLevel = True,
    pitch: FittedPitch = 0.0,
    roll: FittedRoll = 0.0,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Score a network, or another program's label maps; without labels, describe its output."""
    from goodsam.pipeline import api

    if predictions is not None:
        if plan != "own":
            raise InputError(f"--plan {plan}: label maps are scored as they are; leave it out")
        result = api.evaluate_predictions(
            predictions,
            images if images is not None else Path(model),
            labels=labels,
            protocol=protocol,
            classes=classes,
            ignore_mask=ignore_mask,
            boundary_radius=boundary_radius,
            by_area=by_area,
            out=out,
        )
    elif images is None:
        raise InputError(
            "eval takes a model and a folder: goodsam eval RUN_OR_MODEL IMAGES --out DIR"
        )
    else:
        loaded = api.load(
            model,
            network=network,
            by_windows=windows,
            wrap=wrap,
            fit=fit,
            height=height,
            level=level,
            pitch=pitch,
            roll=roll,
            device=device,
        )
        result = api.evaluate(
            loaded,
            images,
            labels=labels,
            protocol=protocol,
            classes=classes,
            ignore_mask=ignore_mask,
            boundary_radius=boundary_radius,
            plan=plan,
            by_area=by_area,
            out=out,
        )
    if json:
        print(json_module.dumps(result.record, indent=1))
    else:
        print(result.to_markdown())
        print(f"Report: {out / 'report.html'}")

"""`goodsam predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import (
    ByWindows,
    Device,
    Fit,
    FittedHeight,
    FittedLevel,
    FittedPitch,
    FittedRoll,
    Images,
    Model,
    SeenBy,
    Verify,
    WhichNetwork,
    Wrap,
)


def predict(
    model: Model,
    images: Images,
    out: Annotated[
        Path,
        typer.Argument(
            help="The folder for labels/ and overlays/; where IMAGES is a video, a video."
        ),
    ],
    network: WhichNetwork = "student",
    windows: ByWindows = False,
    wrap: Wrap = False,
    plan: SeenBy = "auto",
    batch: Annotated[
        int,
        typer.Option(help="Number of images of the same size that are segmented together.", min=1),
    ] = 1,
    confidence: Annotated[
        bool,
        typer.Option(
            "--confidence",
            help="Also write confidence/: grey .png with the probability of each pixel's label; "
            "255 for certain.",
        ),
    ] = False,
    probabilities: Annotated[
        bool,
        typer.Option(
            "--probabilities",
            help="Also write probabilities/: float16 .npy, classes x height x width, at the size "
            "that the network sees.",
        ),
    ] = False,
    overlays: Annotated[
        bool,
        typer.Option(
            help="Write overlays/; label maps alone take a hundredth of the disk, and less time."
        ),
    ] = True,
    sound: Annotated[
        bool, typer.Option(help="Keep the sound of a video as it is, or drop it.")
    ] = True,
    fit: Fit = False,
    height: FittedHeight = None,
    level: FittedLevel = True,
    pitch: FittedPitch = 0.0,
    roll: FittedRoll = 0.0,
    verify: Verify = False,
    device: Device = "auto",
) -> None:
    """Write label maps and overlays at the images' own size, or a video with its overlays."""
    from goodsam.pipeline import api

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
    summary = api.predict(
        loaded,
        images,
        out,
        batch=batch,
        confidence=confidence,
        probabilities=probabilities,
        overlays=overlays,
        plan=plan,
        sound=sound,
        verify=verify,
    )
    print(f"{out}: {summary}")
    if summary.failed:
        raise typer.Exit(1)

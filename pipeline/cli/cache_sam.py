"""`goodsam cache-sam`: stage 1."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from goodsam.pipeline.cli.options import (
    Boundaries,
    Checkpoint,
    Commercial,
    Height,
    Images,
    Level,
    Pitch,
    Roll,
    Verify,
    sam_option,
)


def cache_sam(
    images: Images,
    cache: Annotated[
        Path, typer.Argument(help="The cache to make, NAME.zarr; an unfinished one is resumed.")
    ],
    sam: Annotated[str, sam_option("Which SAM to use; street is the demo's small one.")] = "vit_h",
    checkpoint: Checkpoint = None,
    window: Annotated[
        int | None,
        typer.Option(help="Width of a window, px; a quarter of the panorama's if not given."),
    ] = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Distance from one window to the next, px; half a window if not given."),
    ] = None,
    wrap: Annotated[
        bool, typer.Option(help="Let windows cross the seam between the last column and the first.")
    ] = True,
    plan: Annotated[
        Literal["auto", "band", "vertical", "tangent"],
        typer.Option(
            help="By which windows panoramas are seen: the paper's, of the 70.3° band, or those of "
            "whole 2:1 spheres, across and down or tangent; auto: tangent ones for 2:1 photographs "
            "if no other option says how."
        ),
    ] = "auto",
    boundaries: Annotated[
        Boundaries | None,
        typer.Option(
            help="Where an overlap's boundaries come from: SAM on the overlap (the paper, and the "
            "default), or the masks of its two windows, at no further SAM run; tangent windows "
            "have no others."
        ),
    ] = None,
    fit: Annotated[
        bool,
        typer.Option("--fit", help="Cut the 70.3° band from 2:1 panoramas and resize all images."),
    ] = False,
    height: Height = None,
    level: Level = True,
    pitch: Pitch = 0.0,
    roll: Roll = 0.0,
    ignore_mask: Annotated[
        Path | None,
        typer.Option(
            help="An image of the camera rig or border; where it is not black there are no "
            "masks, no loss in training and no labels in prediction."
        ),
    ] = None,
    exact: Annotated[
        bool,
        typer.Option(
            "--exact",
            help="Compute in float32 throughout, instead of bfloat16 or int8 where it is faster.",
        ),
    ] = False,
    points: Annotated[
        Literal["grid", "adaptive"],
        typer.Option(
            help="Prompt SAM at every point of the grid, or at fewer points where the masks agree."
        ),
    ] = "grid",
    points_per_side: Annotated[
        int | None,
        typer.Option(help="Side of the grid of prompts; 32 if not given, 16 for street.", min=1),
    ] = None,
    points_per_batch: Annotated[
        int | None,
        typer.Option(
            help="Prompts decoded together; more need more memory. 8 on a CPU, 256 on a GPU.", min=1
        ),
    ] = None,
    pred_iou_thresh: Annotated[
        float | None,
        typer.Option(
            help="Drop masks with a lower predicted IoU; 0.88 if not given, 0.5 for street."
        ),
    ] = None,
    stability_score_thresh: Annotated[
        float | None,
        typer.Option(
            help="Drop masks with a lower stability score; 0.95 if not given, 0.5 for street."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option(help="Number of local worker processes; 0: this process alone.", min=0)
    ] = 0,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Address of a Dask scheduler to give the work to, tcp://HOST:PORT."),
    ] = None,
    verify: Verify = False,
    commercial: Commercial = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only estimate how much there is to do and how long it will take."
        ),
    ] = False,
) -> None:
    """Stage 1: run SAM once over all windows of all panoramas, and keep its masks in a cache."""
    from goodsam.pipeline import api
    from goodsam.pipeline.tell import duration

    chosen = {
        "mode": "exact" if exact else "fast",
        "points": points,
        "points_per_side": points_per_side,
        "points_per_batch": points_per_batch,
        "pred_iou_thresh": pred_iou_thresh,
        "stability_score_thresh": stability_score_thresh,
    }
    settings: dict[str, Any] = {
        "sam": sam,
        "checkpoint": checkpoint,
        "fit": fit,
        "height": height,
        "level": level,
        "pitch": pitch,
        "roll": roll,
        "verify": verify,
        "commercial": commercial,
        "window": window,
        "stride": stride,
        "wrap": wrap,
        "plan": plan,
        "boundaries": boundaries,
        "ignore_mask": ignore_mask,
        **{key: value for key, value in chosen.items() if value is not None},
    }
    if dry_run:
        left = api.estimate_sam(images, cache, **settings)
        print(
            f"{left.panoramas} panoramas to do: {left.windows} windows and {left.overlaps} "
            f"overlaps; about {duration(left.seconds)} for one process like this one; "
            f"the cache: about {left.size / 2**20:.1f} MiB. Nothing was written."
        )
        return
    summary = api.cache_sam(images, cache, workers=workers, scheduler=scheduler, **settings).summary
    print(
        f"{cache}: {summary.done} panoramas done in {duration(summary.seconds)}, "
        f"{summary.skipped} were there, {len(summary.failed)} failed"
    )
    if summary.failed:
        raise typer.Exit(1)

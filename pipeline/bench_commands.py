"""`goodsam bench`: measure the parts."""

from __future__ import annotations

import json as json_module
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import Device, Json

app = typer.Typer(no_args_is_help=True, help="Measure the parts against their peers, in one run.")


@app.command("weights")
def bench_weights_(
    seed: Annotated[int, typer.Option(help="Of the tuning world.", min=0)] = 1,
    panoramas: Annotated[int, typer.Option(min=1)] = 8,
    images: Annotated[int, typer.Option(help="Held-out source images.", min=1)] = 64,
    json: Json = False,
) -> None:
    """The demo weights on a street world of any seed: TA, student, SAM, and labels fused."""
    from pipeline.bench.weights import bench_weights, weights_table
    from pipeline.progress import progress_bar

    with progress_bar("bench") as update:
        record = bench_weights(seed, panoramas, images, progress=update)
    print(json_module.dumps(record, indent=1) if json else weights_table(record))


@app.command("predict")
def bench_predict_(
    model: Annotated[
        str, typer.Option(help="A run or SegFormer; or b0 to b5, w16, w32 with random weights.")
    ] = "street-student",
    images: Annotated[
        Path | None, typer.Option(help="Folder of panoramas; rendered ones by default.")
    ] = None,
    count: Annotated[int, typer.Option(help="Images to use.", min=1)] = 4,
    height: Annotated[int, typer.Option(help="Of rendered panoramas, px.", min=32)] = 400,
    batch: Annotated[int, typer.Option(help="Images seen together by ours.", min=1)] = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """goodsam predict against plain transformers inference on the same images."""
    from pipeline.bench.predict import bench_predict, predict_table
    from pipeline.progress import progress_bar

    with progress_bar("bench") as update:
        record = bench_predict(
            model, images, count=count, height=height, batch=batch, device=device, progress=update
        )
    print(json_module.dumps(record, indent=1) if json else predict_table(record))


@app.command("stage1")
def stage1(
    sam: Annotated[str, typer.Option(help="street, vit_b, vit_l or vit_h.")] = "street",
    checkpoint: Annotated[
        Path | None, typer.Option(help="The SAM's weights; random ones for vit_* without.")
    ] = None,
    windows: Annotated[int, typer.Option(min=1, max=8)] = 1,
    points_per_side: Annotated[int | None, typer.Option(help="Prompt grid.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of the tuning world.", min=0)] = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Mask generation: segment-anything's, that of transformers, and ours in both modes."""
    from pipeline.bench.stage1 import bench_stage1, stage1_table

    record = bench_stage1(
        sam,
        checkpoint,
        seed=seed,
        windows=windows,
        points_per_side=points_per_side,
        device=device,
        say=lambda line: print(line, file=sys.stderr),
    )
    print(json_module.dumps(record, indent=1) if json else stage1_table(record))

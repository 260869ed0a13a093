"""`goodsam bench`: measure the parts."""

from __future__ import annotations

import json as json_module
from typing import Annotated

import typer

from pipeline.options import Json

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


@app.command("cache")
def bench_cache_(
    panoramas: Annotated[int, typer.Option(help="For the demo SAM's masks.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of the street world.", min=0)] = 0,
    repeats: Annotated[int, typer.Option(help="Of loading; the least time counts.", min=1)] = 5,
    json: Json = False,
) -> None:
    """The cache beside SA-1B's JSON, PNGs and packed bits: bytes, write and load time a window."""
    from pipeline.bench.cache import bench_cache, cache_table

    record = bench_cache(panoramas, seed, repeats)
    print(json_module.dumps(record, indent=1) if json else cache_table(record))

"""`goodsam bench`: measure the parts."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import Device, Json, Precision, sam_option
from goodsam.pipeline.tell import progress_bar, say

app = typer.Typer(
    no_args_is_help=True, help="Benchmark the parts against other implementations, in one run."
)


@app.command("weights")
def bench_weights_(
    seed: Annotated[int, typer.Option(help="Seed of the tuning world.", min=0)] = 1,
    panoramas: Annotated[int, typer.Option(help="Number of tuning panoramas.", min=1)] = 8,
    images: Annotated[int, typer.Option(help="Number of held-out source images.", min=1)] = 64,
    json: Json = False,
) -> None:
    """Score the demo weights on a street world of any seed: TA, student, SAM, fused labels."""
    from goodsam.pipeline.studies.bench.weights import bench_weights, weights_table

    with progress_bar("bench") as update:
        record = bench_weights(seed, panoramas, images, progress=update)
    print(json_module.dumps(record, indent=1) if json else weights_table(record))


@app.command("stage1")
def stage1(
    sam: Annotated[str, sam_option("The SAM to measure.")] = "street",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="The SAM's weights; random ones if not given, except for street."),
    ] = None,
    windows: Annotated[
        int, typer.Option(help="Number of windows that each generator is given.", min=1, max=8)
    ] = 1,
    points_per_side: Annotated[
        int | None,
        typer.Option(help="Side of the grid of prompts; 32 if not given, 16 for street.", min=1),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the tuning world.", min=0)] = 1,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Mask generation: segment-anything's, that of transformers, and ours in both modes."""
    from goodsam.pipeline.studies.bench.stage1 import bench_stage1, stage1_table

    record = bench_stage1(
        sam,
        checkpoint,
        seed=seed,
        windows=windows,
        points_per_side=points_per_side,
        device=device,
        say=say,
    )
    print(json_module.dumps(record, indent=1) if json else stage1_table(record))


@app.command("predict")
def bench_predict_(
    model: Annotated[
        str, typer.Option(help="A run or network; or b0 to b5, w16, w32 with random weights.")
    ] = "street-student",
    images: Annotated[
        Path | None, typer.Option(help="A folder of panoramas; rendered ones if not given.")
    ] = None,
    count: Annotated[int, typer.Option(help="Number of images to use.", min=1)] = 4,
    height: Annotated[int, typer.Option(help="Height of rendered panoramas, px.", min=32)] = 400,
    batch: Annotated[
        int, typer.Option(help="Number of images that ours sees together.", min=1)
    ] = 1,
    formats: Annotated[
        bool,
        typer.Option(
            "--formats",
            help="Compare transformers, torch, ONNX Runtime, OpenVINO and int8 on the CPU instead, "
            "an image at a time, without files; --device and --batch do not count.",
        ),
    ] = False,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """goodsam predict against plain transformers inference on the same images."""
    from goodsam.pipeline.studies.bench.formats import bench_formats, formats_table
    from goodsam.pipeline.studies.bench.predict import bench_predict, predict_table

    with progress_bar("bench") as update:
        if formats:
            record = bench_formats(model, images, count=count, height=height, progress=update)
        else:
            record = bench_predict(
                model,
                images,
                count=count,
                height=height,
                batch=batch,
                device=device,
                progress=update,
            )
    table = formats_table if formats else predict_table
    print(json_module.dumps(record, indent=1) if json else table(record))


@app.command("fusion")
def bench_fusion_(
    masks: Annotated[int, typer.Option(help="Number of masks in each window.", min=1)] = 120,
    height: Annotated[int, typer.Option(help="Height of the panorama, px.", min=40)] = 400,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """CTCF, SSA, SEPL and the refined boundary on cells against loops and a dense product."""
    from goodsam.pipeline.studies.bench.fusion import bench_fusion, fusion_table

    record = bench_fusion(masks, height, device=device)
    print(json_module.dumps(record, indent=1) if json else fusion_table(record))


@app.command("step")
def bench_step_(
    preset: Annotated[
        str | None,
        typer.Option(
            help="The settings of the step; if not given, goodsam-m's with a TA and a student B0."
        ),
    ] = None,
    teacher_assistant: Annotated[
        str | None,
        typer.Option(help="An architecture, b0 to b5, in place of the preset's network."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(help="An architecture, b0 to b5, in place of the preset's network."),
    ] = None,
    height: Annotated[
        int | None,
        typer.Option(help="Height of the panorama, px; 400, in the demo's preset 200.", min=40),
    ] = None,
    masks: Annotated[int, typer.Option(help="Number of masks in each window.", min=1)] = 120,
    steps: Annotated[
        int, typer.Option(help="Number of steps of each kind that are measured.", min=1)
    ] = 3,
    precision: Annotated[
        Precision | None,
        typer.Option(help="Precision of the arithmetic; the preset's if not given."),
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """A full training step, reading the cache included, against the bare one."""
    from goodsam.pipeline.studies.bench.step import bench_step, step_table

    with progress_bar("bench") as update:
        record = bench_step(
            preset or "goodsam-m",
            teacher_assistant or (None if preset else "b0"),
            student or (None if preset else "b0"),
            height or (200 if preset == "demo" else 400),
            masks,
            steps,
            device,
            precision,
            update,
        )
    print(json_module.dumps(record, indent=1) if json else step_table(record))


@app.command("cache")
def bench_cache_(
    panoramas: Annotated[
        int, typer.Option(help="Number of panoramas for the demo SAM's masks.", min=1)
    ] = 2,
    seed: Annotated[int, typer.Option(help="Seed of the street world.", min=0)] = 0,
    repeats: Annotated[
        int, typer.Option(help="How often each is loaded; the least time counts.", min=1)
    ] = 5,
    json: Json = False,
) -> None:
    """The cache beside SA-1B's JSON, PNGs and packed bits: bytes, write and load time a window."""
    from goodsam.pipeline.studies.bench.cache import bench_cache, cache_table

    record = bench_cache(panoramas, seed, repeats)
    print(json_module.dumps(record, indent=1) if json else cache_table(record))


@app.command("spheres")
def bench_spheres_(
    out: Annotated[
        Path, typer.Option(help="The folder that keeps worlds, caches, runs and rows.")
    ] = Path("runs/spheres"),
    seeds: Annotated[int, typer.Option(help="Number of seeds.", min=1)] = 3,
    first_seed: Annotated[
        int, typer.Option(help="The lowest of the seeds; the others follow it.", min=0)
    ] = 0,
    unlabelled: Annotated[
        int, typer.Option(help="Unlabelled spheres of each street world.", min=1)
    ] = 12,
    test: Annotated[int, typer.Option(help="Labelled spheres of each street world.", min=1)] = 12,
    steps: Annotated[int, typer.Option(help="Steps of each training.", min=1)] = 80,
    json: Json = False,
) -> None:
    """Whole spheres, upright and tilted: seen in the band, by vertical and by tangent windows.

    Takes hours, most of them in training; called again, it resumes where it was stopped.
    """
    from goodsam.pipeline.studies.bench.spheres import Study, bench_spheres, spheres_table

    study = Study(out, unlabelled, test, steps)
    record = bench_spheres(study, range(first_seed, first_seed + seeds), say)
    print(json_module.dumps(record, indent=1) if json else spheres_table(record))

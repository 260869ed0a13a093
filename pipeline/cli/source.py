"""`goodsam source`: supervised training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import Device, Precision


def source(
    dataset: Annotated[
        Path,
        typer.Argument(
            help="Labelled images: Cityscapes' layout, or rooms; a list (.txt) of them."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder to train in; OUT/model is the SegFormer.")],
    model: Annotated[
        str,
        typer.Option(
            help="What to train: b0 to b5, w8, w16 or w32 from nothing, or a network to start from."
        ),
    ] = "b0",
    steps: Annotated[int, typer.Option(help="Number of optimiser steps.", min=1)] = 40_000,
    batch: Annotated[int, typer.Option(help="Number of crops in a step.", min=1)] = 8,
    crop: Annotated[tuple[int, int], typer.Option(help="Height and width of a crop, px.")] = (
        512,
        1024,
    ),
    learning_rate: Annotated[
        float, typer.Option(help="Learning rate of the encoder (AdamW).")
    ] = 6e-5,
    seed: Annotated[int, typer.Option(help="Seed of crops, augmentation and dropout.")] = 0,
    precision: Annotated[Precision, typer.Option(help="Precision of the arithmetic.")] = "float32",
    device: Device = "auto",
) -> None:
    """Train a SegFormer with labels, for use as a TA or as a student."""
    from goodsam.data.errors import InputError
    from goodsam.data.panoramas import find_panoramas
    from goodsam.pipeline.tell import progress_bar
    from goodsam.stages.score.evaluate import evaluate
    from goodsam.stages.segformer.segmenter import Segmenter
    from goodsam.stages.source import SourceConfig, train_source

    labelled = [sample for sample in find_panoramas(dataset) if sample.labels is not None]
    if not labelled:
        raise InputError(f"{dataset}: no labelled images; Cityscapes' layout has gtFine/ in it")
    training = [s for s in labelled if "/train/" in f"/{s.name}"] or labelled
    held_out = [s for s in labelled if "/val/" in f"/{s.name}"]
    config = SourceConfig(
        model=model,
        steps=steps,
        batch=batch,
        crop=crop,
        learning_rate=learning_rate,
        warmup=min(1500, steps // 10),
        seed=seed,
        precision=precision,
        device=device,
    )
    with progress_bar("source training", steps, "step") as update:
        folder = train_source(
            training, out, config, lambda step, n, row: update(step, n, f"loss {row['loss']:.3f}")
        )
    print(f"{folder}: trained on {len(training)} images")
    if held_out:
        scores = evaluate(Segmenter.load(folder, device=device), held_out).scores
        print(f"mIoU on {len(held_out)} val images: {scores.miou:.2f}")

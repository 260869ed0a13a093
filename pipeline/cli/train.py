"""`goodsam train`: stage 2."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import Cache, Classes, Commercial, Images, Settings, Verify


def train(
    images: Images,
    cache: Cache,
    out: Annotated[Path, typer.Option(help="The run directory; an unfinished one is resumed.")],
    preset: Annotated[
        str, typer.Option(help="The settings to begin with: a preset's name, or a YAML file.")
    ] = "goodsam-m",
    teacher_assistant: Annotated[
        str | None,
        typer.Option(help="The TA: a network's directory or hub name; the preset's if not given."),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            help="The student: a network's directory or hub name; the preset's if not given."
        ),
    ] = None,
    classes: Classes = None,
    set_: Settings = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of the panoramas' order; the preset's if not given.")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(help="Where to compute: auto, cpu or cuda; the preset's if not given."),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out panoramas that the cache lacks.")
    ] = False,
    val: Annotated[
        Path | None,
        typer.Option(
            help="Labelled panoramas on which the student is scored every val_every steps; the "
            "best one is kept in RUN/best, next to the last. Nothing is learned from them."
        ),
    ] = None,
    verify: Verify = False,
    commercial: Commercial = False,
) -> None:
    """Stage 2: adapt TA and student to the panoramas, reading SAM's masks from the cache."""
    from goodsam.pipeline import api

    run = api.train(
        images,
        cache,
        out,
        preset=preset,
        settings=set_ or (),
        teacher_assistant=teacher_assistant,
        student=student,
        classes=classes,
        seed=seed,
        device=device,
        partial=partial,
        verify=verify,
        val=val,
        commercial=commercial,
    )
    print(
        f"{run.path}: student/ and teacher_assistant/ written; next: goodsam eval "
        f"{quote(str(out))} IMAGES"
    )

"""`goodsam label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.pipeline.cli.options import Cache, Device, Images, Verify


def label(
    images: Images,
    cache: Cache,
    out: Annotated[
        Path, typer.Option(help="The folder for labels/, overlays/, confidence/ and trust/.")
    ],
    teacher_assistant: Annotated[
        str | None,
        typer.Option(
            help="The TA: a run, whose adapted TA is taken, a SegFormer directory or a hub name; "
            "that of goodsam-m if not given."
        ),
    ] = None,
    rule: Annotated[
        Literal["ctcf", "ssa", "sepl", "none"],
        typer.Option(help="How TA and masks are fused: the paper's rule, two others, or not."),
    ] = "ctcf",
    partial: Annotated[
        bool, typer.Option("--partial", help="Leave out panoramas that the cache lacks.")
    ] = False,
    overlays: Annotated[
        bool,
        typer.Option(help="Write overlays/; without them photographs need not be decoded again."),
    ] = True,
    verify: Verify = False,
    device: Device = "auto",
) -> None:
    """The pseudo labels themselves: the ensemble of TA and cached masks, as label maps."""
    from goodsam.pipeline import api

    summary = api.label(
        images,
        cache,
        out,
        teacher_assistant=teacher_assistant,
        rule=rule,
        partial=partial,
        overlays=overlays,
        verify=verify,
        device=device,
    )
    print(
        f"{out}: {len(summary.done)} written, {len(summary.skipped)} already there, "
        f"{len(summary.failed)} failed"
    )
    if summary.failed:
        raise typer.Exit(1)

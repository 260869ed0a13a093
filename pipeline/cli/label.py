"""`goodsam label`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from goodsam.pipeline.cli.options import Cache, Classes, Device, Images, Settings, Verify


def label(
    images: Images,
    cache: Cache,
    out: Annotated[
        Path, typer.Option(help="The folder for labels/, overlays/, confidence/ and trust/.")
    ],
    teacher_assistant: Annotated[
        str | None,
        typer.Option(
            help="The TA: a run, whose adapted TA is taken, a network's directory or a hub name; "
            "the preset's if not given."
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(help="Where TA and fusion come from: a preset's name, or a YAML file."),
    ] = "goodsam-m",
    rule: Annotated[
        Literal["ctcf", "ssa", "sepl", "none"] | None,
        typer.Option(
            help="How the TA's labels and the masks are fused: ctcf is the paper's rule; none uses "
            "the TA alone. The preset's if not given."
        ),
    ] = None,
    classes: Classes = None,
    set_: Settings = None,
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
    """Write the pseudo labels: the ensemble of the TA and the cached masks, as label maps."""
    from goodsam.pipeline import api

    summary = api.label(
        images,
        cache,
        out,
        teacher_assistant=teacher_assistant,
        preset=preset,
        settings=set_ or (),
        rule=rule,
        classes=classes,
        partial=partial,
        overlays=overlays,
        verify=verify,
        device=device,
    )
    print(f"{out}: {summary}")
    if summary.failed:
        raise typer.Exit(1)

"""`goodsam frames`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def frames(
    video: Annotated[Path, typer.Argument(help="A video of panoramas, as a camera exports it.")],
    out: Annotated[Path, typer.Argument(help="The folder for the photographs, .jpg.")],
    every: Annotated[
        float, typer.Option(help="Take the sharpest frame out of every so many seconds.")
    ] = 2.0,
) -> None:
    """Extract sharp frames from a video, spaced apart, as photographs."""
    from goodsam.pipeline import api

    written = api.frames(video, out, every=every)
    print(f"{out}: {len(written)} photographs")

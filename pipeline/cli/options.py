"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from goodsam.data.windows import Windows, panorama_width

Images = Annotated[Path, typer.Argument(help="Folder of panoramas, or a data set's root.")]
Cache = Annotated[str, typer.Argument(help="A SAM cache: folder, zip, or URL of a folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print what a program would read.")]
Fit = Annotated[
    bool, typer.Option("--fit", help="Cut the 70.3° band from 2:1 panoramas and resize all images.")
]

# How a model is used: eval and predict
Model = Annotated[str, typer.Argument(help="Run directory, SegFormer directory or hub name.")]
WhichNetwork = Annotated[str, typer.Option(help="Of a run: student or teacher_assistant.")]
ByWindows = Annotated[bool, typer.Option("--windows", help="Predict by windows, joined.")]
Wrap = Annotated[
    bool, typer.Option("--wrap", help="See the panorama go on past both ends: no seam.")
]
FitHeight = Annotated[int, typer.Option(help="With --fit: height to resize to, px.")]


def fitted(fit: bool, height: int) -> Windows | None:
    """The geometry that `--fit --height` asks for, None without `--fit`."""
    return Windows.of(height, panorama_width(height)) if fit else None

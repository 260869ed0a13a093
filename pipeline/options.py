"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Images = Annotated[Path, typer.Argument(help="Folder of panoramas, or a data set's root.")]
Cache = Annotated[str, typer.Argument(help="A SAM cache: folder, zip, or URL of a folder.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Json = Annotated[bool, typer.Option("--json", help="Print what a program would read.")]
Fit = Annotated[
    bool, typer.Option("--fit", help="Cut the 70.3° band from 2:1 panoramas and resize all images.")
]

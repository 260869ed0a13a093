"""`goodsam cache`: look at a SAM cache."""

from __future__ import annotations

import json as json_module
from pathlib import Path
from typing import Annotated

import typer

from pipeline.options import Json

app = typer.Typer(no_args_is_help=True, help="Look at a SAM cache.")


@app.command("info")
def cache_info(
    cache: Annotated[Path, typer.Argument(help="A SAM cache.")], json: Json = False
) -> None:
    """What a cache holds, and what made it."""
    from data.sam_cache import SamCache

    info = SamCache.open(cache).info()
    if json:
        print(json_module.dumps(info, indent=1, default=str))
        return
    for key, value in info.items():
        print(f"{key:>16}  {value}")


@app.command("verify")
def cache_verify(
    cache: Annotated[Path, typer.Argument(help="A SAM cache.")],
    images: Annotated[Path | None, typer.Option(help="Also compare with these images.")] = None,
) -> None:
    """Check every record against its checksum, and the images against their hashes."""
    from data.sam_cache import SamCache

    problems = SamCache.open(cache).verify(images)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    print(f"{cache}: sound")

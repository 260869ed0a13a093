"""`goodsam rooms`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def rooms(
    out: Annotated[Path, typer.Argument(help="The folder to write into.")],
    rooms: Annotated[int, typer.Option(help="Number of rooms in each of the 7 areas.", min=1)] = 4,
    pinholes: Annotated[int, typer.Option(help="Number of pinhole images a room.", min=0)] = 4,
    seed: Annotated[
        int, typer.Option(help="Seed of the world; an equal one gives equal files.", min=0)
    ] = 0,
    height: Annotated[int, typer.Option(help="Height of all images, px.", min=16)] = 200,
) -> None:
    """Write a small world of rooms, labelled whole spheres, as Stanford2D3D lies on disk."""
    from goodsam.data.indoors.write import AREAS, write_rooms
    from goodsam.pipeline.tell import progress_bar

    with progress_bar("rooms", rooms * len(AREAS)) as update:
        write_rooms(
            out,
            rooms=rooms,
            seed=seed,
            pinholes=pinholes,
            height=height,
            progress=lambda done, _: update(done),
        )
    print(f"{out}: {rooms * len(AREAS)} panoramas and {rooms * pinholes * len(AREAS)} images")

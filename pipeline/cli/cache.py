"""`goodsam cache`: look at a SAM cache, check it, and hand it on.

Wherever a cache is read, it may be a folder, a zip made by `pack`, or the URL of a folder.
"""

from __future__ import annotations

import json as json_module
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from goodsam.pipeline.cli.options import Cache, Json

app = typer.Typer(no_args_is_help=True, help="Inspect a SAM cache, check it, and share it.")


@app.command("info")
def cache_info(cache: Cache, json: Json = False) -> None:
    """Show what a cache contains and what made it."""
    from goodsam.data.cache import SamCache

    info = SamCache.open(cache).info()
    if json:
        print(json_module.dumps(info, indent=1, default=str))
        return
    for key, value in info.items():
        print(f"{key:>16}  {value}")


@app.command("verify")
def cache_verify(
    cache: Cache,
    images: Annotated[
        Path | None, typer.Option(help="Also compare the images in this folder with their hashes.")
    ] = None,
    repair: Annotated[
        bool, typer.Option("--repair", help="Drop damaged records; cache-sam makes them again.")
    ] = False,
) -> None:
    """Check every record against its checksum, and the images against their hashes."""
    from goodsam.data.cache import SamCache, writing
    from goodsam.pipeline.tell import progress_bar

    if repair:
        with writing(cache), progress_bar("repair") as update:
            store = SamCache.open(cache, "r+")
            for name, why in store.damaged(update).items():
                store.drop(name)
                print(f"{why.partition('; `goodsam')[0]}: dropped")
    store = SamCache.open(cache)
    with progress_bar("verify") as update:
        problems = store.verify(images, update)
    for problem in problems:
        print(problem)
    if problems:
        raise typer.Exit(1)
    missing = len(store.missing())
    todo = f"; {missing} missing: run cache-sam again" if missing else ""
    print(f"{cache}: sound, {len(store.names) - missing} of {len(store.names)} panoramas{todo}")


@app.command("view")
def cache_view(
    cache: Cache,
    name: Annotated[
        str | None,
        typer.Argument(help="A panorama, as the cache names it; the first if not given."),
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the panoramas, to show them below the masks; grey if not given."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder to write picture and page into.")] = Path(
        "view"
    ),
) -> None:
    """Show one panorama with its masks and boundary maps, as a picture and as a page."""
    from goodsam.data.cache import SamCache
    from goodsam.pipeline.report.cache_view import view

    picture, page = view(SamCache.open(cache), out, name, images)
    print(f"{picture}\n{page}")


@app.command("pack")
def cache_pack(
    cache: Cache,
    out: Annotated[Path, typer.Argument(help="NAME.zip, or NAME.h5 (HDF5, read by h5py alone).")],
) -> None:
    """Pack a cache into one file that can be shared."""
    from goodsam.data.cache import SamCache
    from goodsam.data.cache.archive import pack
    from goodsam.pipeline.tell import progress_bar

    with progress_bar("pack") as update:
        pack(SamCache.open(cache), out, update)
    print(f"{out}: {out.stat().st_size / 2**20:.1f} MiB")


@app.command("unpack")
def cache_unpack(
    archive: Annotated[Path, typer.Argument(help="NAME.zip or NAME.h5, made by pack.")],
    out: Annotated[Path, typer.Argument(help="The cache to make of it, NAME.zarr.")],
) -> None:
    """Unpack a cache that was packed, and check every record."""
    from goodsam.data.cache.archive import unpack
    from goodsam.pipeline.tell import progress_bar

    with progress_bar("unpack") as update:
        unpack(archive, out, update)
    print(f"{out}: whole; next: goodsam train IMAGES {quote(str(out))} --out RUN")


@app.command("merge")
def cache_merge(
    out: Annotated[Path, typer.Argument(help="The cache to make or to add to, NAME.zarr.")],
    caches: Annotated[list[str], typer.Argument(help="Caches made with the same settings.")],
) -> None:
    """Merge several caches of different panoramas into one."""
    from goodsam.data.cache import SamCache, merge_caches
    from goodsam.pipeline.tell import progress_bar

    with progress_bar("merge") as update:
        failed = merge_caches(out, caches, update)
    for why in failed.values():
        print(why)
    merged = SamCache.open(out)
    print(f"{out}: {len(merged.names) - len(merged.missing())} of {len(merged.names)} panoramas")
    if failed:
        raise typer.Exit(1)

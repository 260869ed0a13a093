"""`goodsam cache view`: what SAM gave for one panorama, as a picture and as a page."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder
from goodsam.data.panoramas import read_panorama
from goodsam.data.sphere import TangentWindows, VerticalWindows, WindowPlan
from goodsam.data.windows import Windows
from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import folded, section, settings_list, table, viewer
from goodsam.pipeline.report.pictures import (
    Layer,
    boundary_picture,
    drawn_every,
    masks_picture,
)

_GREY = 128  # where there is no image to show below
_WIDEST = 2**17  # columns; no photograph has as many


def view(
    cache: SamCache, out: Path, name: str | None = None, images: Path | None = None
) -> tuple[Path, Path]:
    """Write `OUT/NAME.png` and `OUT/NAME.html` (NAME without suffix) of one panorama.

    name: by default the first that is done. images: the folder that the cache was made from;
    without it masks and boundary maps lie on grey.

    Raises InputError for a panorama that is not there, or not done, and for another image.
    """
    if name is None:
        missing = set(cache.missing())
        name = next((known for known in cache.names if known not in missing), None)
        if name is None:
            raise InputError(f"{cache.path}: holds no finished panorama; run goodsam cache-sam")
    picture, page = (out / name).with_suffix(".png"), (out / name).with_suffix(".html")
    check_folder(picture.parent)
    if picture.exists() and not page.exists():
        raise InputError(f"{picture}: is there and no picture of a cache; give another --out")
    windows = cache.identity.windows
    if windows.width > _WIDEST:
        raise InputError(f"{cache.path}: panoramas of {windows.width} columns are not drawn")
    every = drawn_every(windows)
    size = (-(-windows.height // every), -(-windows.width // every), 3)
    image = np.full(size, _GREY, np.uint8)
    if images is not None:
        cache.check_image(name, images)
        pose = cache.identity.pose
        whole = read_panorama(images / name, windows, cache.identity.fit, pose=pose)
        image = np.ascontiguousarray(whole[::every, ::every])
        del whole  # it may be as large as the record
    record = cache.read(name)
    layers = [
        Layer("Panorama", image),
        Layer("Masks", masks_picture(image, record.windows, windows), "the smallest on top"),
        Layer("Boundary maps", boundary_picture(image, record.boundaries, windows)),
    ]
    shown = layers if images is not None else layers[1:]
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([layer.image for layer in shown])).save(picture)
    rows = [
        (
            f"{number}: {where}",
            str(len(window)),
            str(window.incidence.shape[1] - 1),
            f"{100 * np.mean(window.cells > 0):.1f}",
        )
        for number, (where, window) in enumerate(zip(_where(windows), record.windows, strict=True))
    ]
    write_report(
        page,
        name,
        f"What SAM gave for this panorama, from {Path(str(cache.path)).name}.",
        section("Masks and boundary maps", "", viewer(name, layers, opacity=0.85)),
        section("Windows", "", table(("window", "masks", "cells", "covered, %"), rows)),
        section(
            "The cache",
            "",
            settings_list(cache.identity.described()),
            *(
                folded(f"Made by, {number}", settings_list(entry))
                for number, entry in enumerate(cache.provenance, 1)
            ),
        ),
    )
    return picture, page


def _where(windows: WindowPlan) -> list[str]:
    """Of each window, where it is on its panorama, for people."""
    if isinstance(windows, Windows):
        return [f"from column {start}" for start in windows.starts]
    if isinstance(windows, TangentWindows):
        return [f"looks at {lat:.0f}° up, {lon:.0f}° right" for lat, lon in windows.centres]
    assert isinstance(windows, VerticalWindows)
    corners = itertools.product(windows.rows.starts, windows.columns.starts)
    return [f"from row {row}, column {column}" for row, column in corners]

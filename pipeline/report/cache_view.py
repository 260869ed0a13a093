"""`goodsam cache view`: what SAM gave for one panorama, as a picture and as a page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_panorama
from goodsam.pipeline.report.page import write_report
from goodsam.pipeline.report.parts import folded, section, settings_list, table, viewer
from goodsam.pipeline.report.pictures import Layer, boundary_picture, masks_picture

_GREY = 128  # where there is no image to show below


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
    record, windows = cache.read(name), cache.identity.windows
    image = np.full((windows.height, windows.width, 3), _GREY, np.uint8)
    if images is not None:
        cache.check_image(name, images)
        image = read_panorama(images / name, windows, cache.identity.fit, pose=cache.identity.pose)
    layers = [
        Layer("Panorama", image),
        Layer("Masks", masks_picture(image, record.windows, windows), "the smallest on top"),
        Layer("Boundary maps", boundary_picture(image, record.boundaries, windows)),
    ]
    shown = layers if images is not None else layers[1:]
    picture, page = (out / name).with_suffix(".png"), (out / name).with_suffix(".html")
    picture.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate([layer.image for layer in shown])).save(picture)
    rows = [
        (
            f"{number}: from column {start}",
            str(len(window)),
            str(window.incidence.shape[1] - 1),
            f"{100 * np.mean(window.cells > 0):.1f}",
        )
        for number, (start, window) in enumerate(zip(windows.starts, record.windows, strict=True))
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

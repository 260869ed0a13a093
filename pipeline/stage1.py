"""Stage 1 as a verb: a folder of photographs in, a cache out. `goodsam.pipeline.api` offers it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from goodsam.data.errors import InputError
from goodsam.data.geometry import Pose
from goodsam.data.panoramas import find_panoramas
from goodsam.data.windows import panorama_width
from goodsam.pipeline.tell import progress_bar, say

if TYPE_CHECKING:
    from goodsam.data.cache import SamCache
    from goodsam.stages.predict import PredictSummary
    from goodsam.stages.sam.cache_sam import Stage1Config, Stage1Summary
    from goodsam.stages.sam.estimate import Stage1Estimate
    from goodsam.stages.sam.factory import GeneratorFactory, SamFactory

AnyPath = str | os.PathLike[str]

STREET_WARNING = (
    "WARNING: --sam street is a toy, trained on the rendered street world alone. On real pictures "
    "it is for trying the commands: its masks mean nothing. Use --sam vit_h for results."
)


@dataclass(frozen=True)
class Cached:
    """What `cache_sam` did. It can be given wherever the path of the cache can.

    path: of the cache. summary: panoramas done now, found done, and failed (name -> why).
    """

    path: Path
    summary: Stage1Summary

    def __fspath__(self) -> str:
        return str(self.path)

    def open(self) -> SamCache:
        """The cache, to be read."""
        from goodsam.data.cache import SamCache

        return SamCache.open(self.path)


def cache_sam(
    images: AnyPath,
    cache: AnyPath,
    *,
    sam: str = "vit_h",
    checkpoint: AnyPath | None = None,
    fit: bool = False,
    height: int | None = None,
    window: int | None = None,
    stride: int | None = None,
    wrap: bool = True,
    plan: Literal["auto", "band", "vertical", "tangent"] = "auto",
    boundaries: Literal["overlap", "windows"] | None = None,
    ignore_mask: AnyPath | None = None,
    level: bool = True,
    pitch: float = 0.0,
    roll: float = 0.0,
    verify: bool = False,
    workers: int = 0,
    scheduler: str | None = None,
    only: Collection[str] | None = None,
    commercial: bool = False,
    **generator: Any,
) -> Cached:
    """Stage 1: run SAM once over all windows of the panoramas in `images`; masks go to `cache`.

    sam: a name that `goodsam teachers` lists (vit_h, sam2.1-large, ...; downloaded once if no
    `checkpoint` is given; street is the demo's), a directory of transformers, or a hub name; none
    for no SAM: windows without masks, for `train` with `step.fusion.rule=none`.
    fit, height: cut the 70.3° band from 2:1 panoramas and resize all images to `height` px
    (default 400). plan: windows of the paper's `band`, or `vertical` or `tangent` ones of whole
    2:1 spheres, which are levelled and resized to `height` (default: their own, at most 1024);
    `auto`: tangent ones if all images are 2:1 and fit, height, window, stride and wrap are not
    given. window, stride: px; a quarter of the width, and half the window. wrap: windows
    run over the seam. boundaries: of an overlap by SAM on its crop (the paper, and the default), or
    from the masks of its two windows, at no further SAM run, as always with tangent windows.
    ignore_mask: a picture; where it is not black there
    are no masks, no loss in training and no labels in prediction. level: with fit, undo the pitch
    and roll that a photograph's XMP says; pitch, roll: of cameras that write none, degrees.
    verify: read every image again, even if size and modification time are unchanged.
    workers: local worker processes; scheduler: address of a Dask scheduler. only: names of
    the panoramas to do now; the others are left for later. commercial: refuse a SAM whose licence
    forbids commercial use or is not known. generator: fields of `GeneratorConfig` that differ from
    the SAM's defaults, such as `points_per_side=16` or `mode="exact"`.

    Images that cannot be read are left out and named in `.summary.failed`. Raises InputError for
    images of different sizes without `fit`, and for a cache made with other settings.

    >>> settings = {"fit": True, "height": 200, "boundaries": "windows"}
    >>> cached = cache_sam("photos", "photos.zarr", sam="street", **settings)
    >>> cached.summary.done, cached.open().names
    (2, ['0.png', '1.png'])
    """
    from goodsam.data.street.mark import is_street_world
    from goodsam.stages.sam.cache_sam import Stage1Progress, settled
    from goodsam.stages.sam.cache_sam import cache_sam as run

    images, cache = Path(images), Path(cache)
    config, factory = _stage1(
        sam,
        checkpoint,
        {
            "fit": fit,
            "height": height,
            "window": window,
            "stride": stride,
            "wrap": wrap,
            "plan": plan,
            "boundaries": boundaries,
            "ignore_mask": ignore_mask,
            "level": level,
            "pitch": pitch,
            "roll": roll,
            "verify": verify,
            "workers": workers,
            "scheduler": scheduler,
            "only": None if only is None else tuple(only),
            **generator,
        },
    )
    licence = _licence(factory, commercial)
    samples = find_panoramas(images, say=say)
    config, said = settled(samples, config)
    say(said)
    say(licence)
    if sam == "street" and not all(is_street_world(s.image) for s in samples):
        say(STREET_WARNING, always=True)
    with progress_bar("SAM", unit="panorama") as update:

        def report(progress: Stage1Progress) -> None:
            note = f"{progress.windows_per_second:.2f} windows/s"
            done = progress.done + progress.failed + progress.part
            update(done, progress.total, note)

        summary = run(images, cache, config, factory, report)
    say_what_was_odd(summary)
    return Cached(cache, summary)


def estimate_sam(
    images: AnyPath,
    cache: AnyPath,
    *,
    sam: str = "vit_h",
    checkpoint: AnyPath | None = None,
    commercial: bool = False,
    **settings: Any,
) -> Stage1Estimate:
    """What `cache_sam` with these arguments would cost here, by one window; writes nothing."""
    from goodsam.stages.sam.cache_sam import settled
    from goodsam.stages.sam.estimate import estimate_stage1

    config, factory = _stage1(sam, checkpoint, settings)
    _licence(factory, commercial)
    config, said = settled(find_panoramas(Path(images)), config)
    say(said)
    return estimate_stage1(Path(images), Path(cache), config, factory)


def _licence(factory: GeneratorFactory, commercial: bool) -> str:
    """A line on the SAM's licence; InputError if `commercial` and it does not allow that."""
    from goodsam.pipeline.licences import refuse_unless_commercial, sam_of

    networks = sam_of(factory)
    if commercial:
        refuse_unless_commercial(networks)
    return "\n".join(map(str, networks))


def sam_factory(sam: str, checkpoint: AnyPath | None, generator: Mapping[str, Any]) -> SamFactory:
    """A SAM with its own settings, but for the fields of GeneratorConfig in `generator`."""
    from goodsam.stages.sam.factory import SamFactory
    from goodsam.stages.sam.registry import default_generator

    path = None if checkpoint is None else Path(checkpoint)
    return SamFactory(sam, path, replace(default_generator(sam), **generator))


def _stage1(
    sam: str, checkpoint: AnyPath | None, settings: Mapping[str, Any]
) -> tuple[Stage1Config, GeneratorFactory]:
    """What is cut and who works, and the SAM: settings are fields of either's configuration.

    InputError for a name that is neither's.
    """
    from goodsam.stages.sam.cache_sam import Stage1Config
    from goodsam.stages.sam.generate import GeneratorConfig
    from goodsam.stages.sam.without import NO_SAM, WithoutSam

    of_run, of_sam, of_pose = (
        {f.name for f in fields(kind)} for kind in (Stage1Config, GeneratorConfig, Pose)
    )
    if unknown := sorted(settings.keys() - of_run - of_sam - of_pose):
        raise InputError(f"cache_sam takes no {unknown[0]}; see help(goodsam.cache_sam)")
    generator = {name: value for name, value in settings.items() if name in of_sam}
    chosen = {name: value for name, value in settings.items() if name in of_run}
    chosen["pose"] = Pose(**{n: value for n, value in settings.items() if n in of_pose})
    if chosen.get("height") is not None and chosen.get("plan") not in ("vertical", "tangent"):
        chosen["width"] = panorama_width(chosen["height"])
    if chosen.get("ignore_mask") is not None:
        chosen["ignore_mask"] = Path(chosen["ignore_mask"])
    if sam == NO_SAM:
        return Stage1Config(**chosen), WithoutSam()
    return Stage1Config(**chosen), sam_factory(sam, checkpoint, generator)


def say_what_was_odd(summary: Stage1Summary | PredictSummary) -> None:
    """Images that were converted, and those that failed and why."""
    say(str(summary.conversions))
    for name, why in summary.failed.items():
        say(f"failed: {why}" if name in why else f"failed: {name}: {why}", always=True)

"""Stage 1: a folder of panoramas through SAM into the cache, once.

Each panorama is a task of its own, and whoever made its masks writes its record. So a run that was
cut off resumes where it was, and any number of processes work side by side (`workers`).
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, get_args

from goodsam.data.cache import (
    BoundaryMode,
    Identity,
    SamCache,
    check_images,
    ignored_runs,
    writing,
)
from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Pose
from goodsam.data.hashes import Hashes
from goodsam.data.panoramas import (
    Conversions,
    Sample,
    find_panoramas,
    fitted_ignore_mask,
    image_size,
)
from goodsam.data.panoramas.fitted import hashes_beside
from goodsam.data.plans import PlanName, whole_sphere
from goodsam.data.ranges import COUNT, WORKERS, check_ranges
from goodsam.data.sphere import WindowPlan
from goodsam.data.windows import (
    ASPECT,
    PAPER_HEIGHT,
    PAPER_WIDTH,
    Windows,
    is_band,
    is_sphere,
)
from goodsam.stages.sam.factory import GeneratorFactory
from goodsam.stages.sam.workers import Stage1Job, start_workers

# px: larger spheres are made so small, twice as wide. Tangent windows then have 1.4 times the
# pixels of the paper's at 2048 x 400; of 1024 px they have 5.8 times as many: too many
SPHERE_HEIGHT = 512
LEAST_WIDTH = 128  # px, of a sphere: networks see nothing in the windows of a smaller one


@dataclass(frozen=True)
class Stage1Config:
    """What is cut, and who works.

    plan: the paper's band, or one of whole spheres, which are levelled and resized to
    height x 2 height; auto: tangent windows where nothing else is said of how to see photographs
    that are all 2:1, else the band (`settled`).
    window, stride: of the band, px; by default a quarter of the width, and half the window. wrap:
    its windows run over the seam. boundaries: the boundary map B_SAM of an overlap comes from SAM
    on its crop, or from the masks of its two windows; None: from its crop, if there is one. fit:
    images of other sizes are fitted to height x width (the band: 400 x 2048 if not given); without
    it, height x width is the first image's size, and all must have it.
    ignore_mask: a picture that is not black where the panoramas show no scene (rig, tripod, black
    border): masks and boundaries are cut there, and training takes no loss from it.
    pose: of the cameras, undone if `fit`. verify: read every image again, even those whose size and
    time of change are as remembered.
    workers: processes beside this one, 0 for none. scheduler: address of a Dask cluster to use
    instead, which must see the same files. only: names of the panoramas to do now, the others stay
    missing; None: all.
    """

    plan: Literal["auto"] | PlanName = "auto"
    window: int | None = None
    stride: int | None = None
    wrap: bool = True
    boundaries: BoundaryMode | None = None
    fit: bool = False
    height: int | None = None
    width: int | None = None
    ignore_mask: Path | None = None
    verify: bool = False
    pose: Pose = LEVELLED
    workers: int = 0
    scheduler: str | None = None
    only: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        sizes = dict.fromkeys(("window", "stride", "height", "width"), COUNT)
        check_ranges(self, {**sizes, "workers": WORKERS}, "")
        if self.plan not in (known := ("auto", *get_args(PlanName))):
            raise InputError(f"plan {self.plan!r}: use {', '.join(known)}")
        if self.workers and self.scheduler:
            raise InputError("give either workers or the address of a scheduler, not both")


@dataclass(frozen=True)
class Stage1Progress:
    """How far stage 1 is. done, failed, total: panoramas of this run. seconds: since its start.

    part: of the panorama that is worked on, as far as it is known; it stays below 1.
    """

    done: int
    failed: int
    total: int
    windows: int
    seconds: float
    part: float = 0.0

    @property
    def windows_per_second(self) -> float:
        return self.windows / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Stage1Summary:
    """done: panoramas cached by this run; skipped: cached before; failed: name -> why.

    conversions: how many of this run's images were not plain RGB.
    """

    done: int
    skipped: int
    failed: dict[str, str]
    conversions: Conversions
    seconds: float


def cache_sam(
    images: Path,
    cache: Path,
    config: Stage1Config,
    factory: GeneratorFactory,
    progress: Callable[[Stage1Progress], None] = lambda _: None,
) -> Stage1Summary:
    """Cache SAM's masks and boundary maps of all panoramas below `images`.

    A cache that is there already is resumed. An image that cannot be decoded is left out and
    reported in the summary; the others are done. `progress` is called at the start, after each
    panorama and, where this process does the work alone, after each window and overlap.

    Raises InputError, before any work, for images of unreadable headers or of other sizes than the
    geometry's, for settings that make no windows, for a cache that was made from other images or
    with other settings, and for one that another process is writing into.
    """
    with writing(cache):
        return _run(images, cache, config, factory, progress)


def _run(
    images: Path,
    cache: Path,
    config: Stage1Config,
    factory: GeneratorFactory,
    progress: Callable[[Stage1Progress], None],
) -> Stage1Summary:
    samples, identity = samples_and_identity(images, config, factory)
    hash_of = Hashes(hashes_beside(cache), config.verify).of
    hashes = {sample.name: hash_of(sample.image) for sample in samples}
    store = SamCache.create_or_resume(cache, identity, hashes, _provenance(factory))

    missing = set(store.missing())
    if config.only is not None:
        missing &= set(config.only)
    todo = [sample for sample in samples if sample.name in missing]
    windows = len(identity.windows)  # of a panorama
    overlaps = len(identity.windows.overlaps) if identity.boundaries == "overlap" else 0
    start, done, images_done = time.perf_counter(), 0, 0
    failed: dict[str, str] = {}
    conversions = Conversions()

    def report() -> Stage1Progress:
        seconds = time.perf_counter() - start
        seen = done * windows + min(images_done, windows)
        part = min(images_done, windows + overlaps - 1) / (windows + overlaps)
        return Stage1Progress(done, len(failed), len(todo), seen, seconds, part)

    def image_done() -> None:
        nonlocal images_done
        images_done += 1
        progress(report())

    progress(report())
    if todo:
        with start_workers(config.workers, config.scheduler, image_done) as work:
            for result in work(Stage1Job(store, factory), todo):
                images_done = 0
                if result.problem is None:
                    done += 1
                elif result.disk_full:
                    raise OSError(
                        f"{cache}: the disk is full after {done} panoramas of this run; make room "
                        "and start the same command again; it resumes from there"
                    )
                else:
                    failed[result.name] = result.problem
                conversions.kinds.update(result.conversions.kinds)
                progress(report())
    seconds = time.perf_counter() - start
    skipped = len(samples) - len(todo)
    return Stage1Summary(done, skipped, dict(sorted(failed.items())), conversions, seconds)


def samples_and_identity(
    images: Path, config: Stage1Config, factory: GeneratorFactory
) -> tuple[list[Sample], Identity]:
    """All panoramas below `images`, and the identity of the cache that they make.

    Raises InputError for a folder without panoramas, and as `settled` and `choose_windows` do.
    """
    samples = find_panoramas(images)
    check_images([sample.name for sample in samples])
    config, _ = settled(samples, config)
    plan: WindowPlan
    if config.plan in ("vertical", "tangent"):
        assert config.height is not None
        plan = whole_sphere(config.plan, config.height)
    else:
        plan = choose_windows(samples, config)
    runs: tuple[int, ...] = ()
    if config.ignore_mask is not None:
        runs = ignored_runs(fitted_ignore_mask(config.ignore_mask, plan, config.fit))
    return samples, Identity(
        factory.sam,
        factory.settings,
        config.boundaries or "overlap",
        plan,
        config.fit,
        runs,
        config.pose,
    )


def settled(samples: list[Sample], config: Stage1Config) -> tuple[Stage1Config, str]:
    """The configuration with a plan, and what to say of a choice that is not the user's, or "".

    Raises InputError for options that the plan has no use for, and where a plan of spheres is asked
    for and a photograph is none. Reads headers only.
    """
    of_band = {
        "--fit": config.fit,
        "--height": config.height is not None or config.width is not None,
        "--window": config.window is not None,
        "--stride": config.stride is not None,
        "--no-wrap": not config.wrap,
    }
    plan = config.plan
    if plan == "auto":
        free = not any(of_band.values())
        plan = "tangent" if free and all_spheres(_sizes(samples)) else "band"
    if plan == "band":
        return replace(config, plan=plan), ""
    wrong = [name for name in ("--window", "--stride", "--no-wrap") if of_band[name]]
    if wrong:
        raise InputError(
            f"{wrong[0]}: is of the paper's windows, and {plan} ones have their own; leave it out, "
            "or take --plan band"
        )
    height = config.height or sphere_height(_sizes(samples))
    for sample in samples:
        if not is_sphere(*(size := image_size(sample.image))):
            raise InputError(
                f"{sample.image}: {size[1]} x {size[0]} is no 2:1 sphere, and {plan} windows are "
                "of one; take it out, or take --plan band"
            )
    boundaries = config.boundaries or ("windows" if plan == "tangent" else "overlap")
    found = replace(
        config, plan=plan, fit=True, height=height, width=2 * height, boundaries=boundaries
    )
    said = (
        f"2:1 photographs: masks of the whole spheres at {2 * height} x {height}, by tangent "
        "windows; --fit for the paper's band of 70.3°"
    )
    return found, said if config.plan == "auto" else ""


def _sizes(samples: list[Sample]) -> list[tuple[int, int]]:
    return [image_size(sample.image) for sample in samples]


def all_spheres(sizes: list[tuple[int, int]]) -> bool:
    """Whether photographs of these (height, width) are all 2:1, and large enough."""
    return all(is_sphere(*size) and size[1] >= LEAST_WIDTH for size in sizes)


def sphere_height(sizes: list[tuple[int, int]]) -> int:
    """The height at which spheres are seen: their own, if all are alike and none is large."""
    own = min(width for _, width in sizes) // 2
    return own if len({*sizes}) == 1 and own < SPHERE_HEIGHT else SPHERE_HEIGHT


def choose_windows(samples: list[Sample], config: Stage1Config) -> Windows:
    """The paper's windows. InputError unless every image has their size, or is to be fitted.

    Default windows fit the paper's 360 x 70.3 degrees only; for another aspect `window` must be
    given. Reads headers only.
    """
    sizes = [(sample, image_size(sample.image)) for sample in samples]
    default = (PAPER_HEIGHT, PAPER_WIDTH) if config.fit else sizes[0][1]
    height, width = config.height or default[0], config.width or default[1]
    if not config.fit:
        other = [(sample, size) for sample, size in sizes if size != (height, width)]
        if other:
            sample, (h, w) = other[0]
            raise InputError(
                f"{sample.image}: {w} x {h} where {width} x {height} is expected "
                f"({len(other)} of {len(samples)} images differ); "
                "pass --fit to have panoramas cut to the band and resized"
            )
    if not config.window and not is_band(height, width):
        raise InputError(
            f"{sizes[0][0].image}: {width} x {height} is no panorama of 360 x 70.3 degrees "
            f"({ASPECT:.2f} times as wide as high); pass --fit to have that band cut and resized, "
            "or --window to say yourself what a window is"
        )
    window = config.window or width // 4
    return Windows(height, width, window, config.stride or window // 2, config.wrap)


def _provenance(factory: GeneratorFactory) -> Mapping[str, Any]:
    packages = ("goodsam", "numpy", "segment-anything", "torch", "zarr")
    versions = {package: version(package) for package in packages}
    return {**factory.provenance, "python": platform.python_version(), "versions": versions}

"""Stage 1: a folder of panoramas through SAM into the cache, once.

Each panorama is a task of its own: its windows (and overlap crops) are given to SAM as images, and
whoever made its masks writes its record. So a run that was cut goes on where it was, and any number
of processes work side by side, in this process or over Dask.
"""

from __future__ import annotations

import errno
import platform
import time
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
import torch

from goodsam.data.cache import (
    BoundaryMode,
    Identity,
    PanoramaMasks,
    SamCache,
    ignored_runs,
    writing,
)
from goodsam.data.errors import InputError
from goodsam.data.panoramas import (
    Conversions,
    Sample,
    file_hash,
    find_panoramas,
    fitted_ignore_mask,
    image_size,
    read_panorama,
)
from goodsam.data.window_masks import mask_boundaries, overlap_boundaries
from goodsam.data.windows import ASPECT, PAPER_HEIGHT, PAPER_WIDTH, Windows, is_band
from goodsam.stages.device import pick_device
from goodsam.stages.memory import keep_freed_memory
from goodsam.stages.sam.generate import GeneratorConfig, MaskGenerator, SamGenerator, precision
from goodsam.stages.sam.load import LoadedSam, load_sam

WORKER_SECONDS = 120  # to wait for a scheduler or a first worker


@dataclass(frozen=True)
class Stage1Config:
    """What is cut, and who works.

    window, stride: px; by default a quarter of the width, and half the window. wrap: windows run
    over the seam. boundaries: B_SAM of an overlap from SAM on its crop, or from the masks of its
    two windows. fit: images of other sizes are fitted to height x width (400 x 2048 if not given);
    without it, height x width is the first image's size, and all must have it.
    ignore_mask: a picture that is not black where the panoramas show no scene (rig, tripod, black
    border): masks and boundaries are cut there, and training takes no loss from it.
    workers: processes beside this one, 0 for none. scheduler: address of a Dask cluster to use
    instead, which must see the same files.
    """

    window: int | None = None
    stride: int | None = None
    wrap: bool = True
    boundaries: BoundaryMode = "overlap"
    fit: bool = False
    height: int | None = None
    width: int | None = None
    ignore_mask: Path | None = None
    workers: int = 0
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise InputError(f"workers {self.workers}: use 0 for this process alone, or more")
        if self.workers and self.scheduler:
            raise InputError("give either workers or the address of a scheduler, not both")


class GeneratorFactory(Hashable, Protocol):
    """Makes the mask generator, in whatever process needs one. Picklable too."""

    @property
    def sam(self) -> str:
        """SHA-256 of the weights."""
        ...

    @property
    def settings(self) -> dict[str, Any]:
        """All that decides the masks, as JSON has it."""
        ...

    @property
    def provenance(self) -> dict[str, Any]:
        """All else worth recording."""
        ...

    def build(self, place: int = 0) -> MaskGenerator:
        """place: the number of the process on its machine; each has a GPU of its own."""
        ...


@dataclass(frozen=True)
class SamFactory:
    """A SAM by name or checkpoint, and the settings of its mask generation."""

    name: str
    checkpoint: Path | None = None
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)

    @property
    def sam(self) -> str:
        return _load_once(self.name, self.checkpoint).sha256

    @property
    def settings(self) -> dict[str, Any]:
        settings = asdict(self.generator)
        del settings["points_per_batch"]  # a matter of memory: to change it does not end a cache
        return settings

    @property
    def provenance(self) -> dict[str, Any]:
        return {
            "sam": self.name,
            "points_per_batch": self.generator.points_per_batch,
            "device": pick_device().type,
            "precision": str(self._dtype).removeprefix("torch."),
        }

    @property
    def _dtype(self) -> torch.dtype:
        return precision(pick_device()) if self.generator.mode == "fast" else torch.float32

    def build(self, place: int = 0) -> SamGenerator:
        device = pick_device()
        if device.type == "cuda":
            device = torch.device("cuda", place % torch.cuda.device_count())
        model = _load_once(self.name, self.checkpoint).model
        return SamGenerator(model.to(device), self.generator)


@lru_cache(maxsize=1)
def _load_once(name: str, checkpoint: Path | None) -> LoadedSam:
    return load_sam(name, checkpoint)


@dataclass(frozen=True)
class Progress:
    """How far stage 1 is. done, failed, total: panoramas of this run. seconds: since its start."""

    done: int
    failed: int
    total: int
    windows: int
    seconds: float

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
    progress: Callable[[Progress], None] = lambda _: None,
) -> Stage1Summary:
    """Caches SAM's masks and boundary maps of all panoramas below `images`.

    A cache that is there already is gone on with. An image that cannot be decoded is left out and
    reported in the summary; the others are done. `progress` is called at the start and after each
    panorama.

    Raises InputError, before any work, for images of unreadable headers or of other sizes than the
    geometry's, for settings that make no windows, for a cache that was made from other images or
    with other settings, and for one that another process is writing into.
    """
    with writing(cache):
        return _cache_sam(images, cache, config, factory, progress)


def _cache_sam(
    images: Path,
    cache: Path,
    config: Stage1Config,
    factory: GeneratorFactory,
    progress: Callable[[Progress], None],
) -> Stage1Summary:
    samples = find_panoramas(images)
    geometry = choose_windows(samples, config)
    identity = _identity(geometry, config, factory)
    hashes = {sample.name: file_hash(sample.image) for sample in samples}
    store = SamCache.create_or_resume(cache, identity, hashes, _provenance(factory))

    missing = set(store.missing())
    todo = [sample for sample in samples if sample.name in missing]
    start, done = time.perf_counter(), 0
    failed: dict[str, str] = {}
    conversions = Conversions()

    def report() -> Progress:
        seconds = time.perf_counter() - start
        return Progress(done, len(failed), len(todo), done * len(geometry), seconds)

    progress(report())
    if todo:
        with _workers(config) as work:
            for result in work(_Job(store, factory), todo):
                if result.problem is None:
                    done += 1
                elif result.disk_full:
                    raise OSError(
                        f"{cache}: the disk is full after {done} panoramas of this run; make room "
                        "and start the same command again, it goes on from there"
                    )
                else:
                    failed[result.name] = result.problem
                conversions.kinds.update(result.conversions.kinds)
                progress(report())
    seconds = time.perf_counter() - start
    skipped = len(samples) - len(todo)
    return Stage1Summary(done, skipped, dict(sorted(failed.items())), conversions, seconds)


@dataclass(frozen=True)
class Estimate:
    """What a run would do. panoramas: to be done; windows, overlaps: SAM's images among them.

    seconds: of one process at the rate of a trial; size: of the whole cache, bytes, if all windows
    were like the one tried.
    """

    panoramas: int
    windows: int
    overlaps: int
    seconds: float
    size: int


def estimate(
    images: Path, cache: Path, config: Stage1Config, factory: GeneratorFactory
) -> Estimate:
    """Try one window of the first panorama, write nothing. Raises as `cache_sam` does."""
    samples = find_panoramas(images)
    geometry = choose_windows(samples, config)
    identity = _identity(geometry, config, factory)
    done: set[str] = set()
    if cache.exists():
        store = SamCache.open(cache)
        if differing := store.identity.differences(identity):
            raise InputError(f"{cache}: was made with other settings ({', '.join(differing)})")
        done = set(store.names) - set(store.missing())
    todo = [sample for sample in samples if sample.name not in done]
    image = read_panorama(samples[0].image, geometry, config.fit)
    window = geometry.cut_images(image)[0]
    generator = factory.build()
    generator([window])  # the first one pays for much that the others do not
    began = time.perf_counter()
    (masks,) = generator([window])
    seconds = time.perf_counter() - began
    windows = (masks,) * len(geometry)
    record = PanoramaMasks(windows, tuple(overlap_boundaries(windows, geometry)))
    with TemporaryDirectory() as folder:
        trial = SamCache.create(Path(folder) / "trial.zarr", identity, {"trial": "0" * 64}, {})
        trial.write("trial", record)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    crops = len(geometry.overlaps) if config.boundaries == "overlap" else 0
    return Estimate(
        len(todo),
        len(todo) * len(geometry),
        len(todo) * crops,
        seconds * len(todo) * (len(geometry) + crops),
        size * len(samples),
    )


def choose_windows(samples: list[Sample], config: Stage1Config) -> Windows:
    """The one geometry of a cache. InputError unless every image has it, or is to be fitted.

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


def _identity(geometry: Windows, config: Stage1Config, factory: GeneratorFactory) -> Identity:
    runs: tuple[int, ...] = ()
    if config.ignore_mask is not None:
        runs = ignored_runs(fitted_ignore_mask(config.ignore_mask, geometry, config.fit))
    return Identity(factory.sam, factory.settings, config.boundaries, geometry, config.fit, runs)


def panorama_masks(
    image: np.ndarray,
    geometry: Windows,
    boundaries: BoundaryMode,
    generator: MaskGenerator,
    ignored: np.ndarray | None = None,
) -> PanoramaMasks:
    """uint8 (H, W, 3) -> the masks of each window, and B_SAM of each overlap.

    Windows and overlap crops are given to SAM as images of their own: SAM's own crops of a panorama
    would drop all that touches their edges. ignored: bool (H, W); SAM sees what is there, and the
    masks are cut.
    """
    windows = generator(list(geometry.cut_images(image)))
    if ignored is not None:
        windows = [m.without(i) for m, i in zip(windows, geometry.cut(ignored), strict=True)]
    if boundaries == "windows":
        derived = overlap_boundaries(windows, geometry, ignored)
        return PanoramaMasks(tuple(windows), tuple(derived))
    crops = generator(geometry.cut_overlap_images(image))
    parts = [None] * len(crops) if ignored is None else geometry.cut_overlaps(ignored)
    maps = [
        mask_boundaries(masks if part is None else masks.without(part), part)
        for masks, part in zip(crops, parts, strict=True)
    ]
    return PanoramaMasks(tuple(windows), tuple(maps))


@dataclass(frozen=True)
class _Job:
    """What every task of a run has in common."""

    cache: SamCache
    factory: GeneratorFactory


@dataclass(frozen=True)
class _Result:
    """What came of one panorama. problem: why it failed, None if it is cached."""

    name: str
    problem: str | None
    conversions: Conversions = field(default_factory=Conversions)
    disk_full: bool = False


Work = Callable[[_Job, list[Sample]], Iterator[_Result]]


def _work_on(job: _Job, sample: Sample, generator: MaskGenerator) -> _Result:
    identity, conversions = job.cache.identity, Conversions()
    try:
        image = read_panorama(sample.image, identity.windows, identity.fit, conversions)
        masks = panorama_masks(
            image, identity.windows, identity.boundaries, generator, identity.ignored_mask
        )
        job.cache.write(sample.name, masks)
    except InputError as error:  # this panorama's alone; anything else ends the run
        return _Result(sample.name, str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return _Result(sample.name, str(error), disk_full=True)
    return _Result(sample.name, None, conversions)


@contextmanager
def _workers(config: Stage1Config) -> Iterator[Work]:
    """Whoever does the work: this process, a Dask cluster of its own, or one at an address."""
    if not config.workers and not config.scheduler:
        yield _here
        return
    from distributed import Client, KilledWorker, LocalCluster, as_completed  # slow to import

    def over_dask(job: _Job, samples: list[Sample]) -> Iterator[_Result]:
        try:
            client.wait_for_workers(1, timeout=WORKER_SECONDS)
        except TimeoutError as error:
            raise RuntimeError(
                f"no worker came within {WORKER_SECONDS} s; a worker needs goodsam installed and "
                f"must reach {client.scheduler.address}"
            ) from error
        # A dead worker's panoramas are given to the others, and to the one that takes its place.
        names = {client.submit(_in_worker, job, s, pure=False): s.name for s in samples}
        for future in as_completed(names):
            try:
                yield future.result()
            except KilledWorker:
                yield _Result(names[future], "its worker died, again and again; is memory short?")

    if config.scheduler:
        try:
            client = Client(config.scheduler, timeout=WORKER_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{config.scheduler}: no Dask scheduler answers there; start one with `dask "
                "scheduler` and give its address, tcp://HOST:PORT"
            ) from error
        with client:
            yield over_dask
    else:
        with (
            LocalCluster(
                n_workers=config.workers, threads_per_worker=1, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield over_dask


def _here(job: _Job, samples: list[Sample]) -> Iterator[_Result]:
    generator = job.factory.build()
    for sample in samples:
        yield _work_on(job, sample, generator)


def _in_worker(job: _Job, sample: Sample) -> _Result:
    from distributed import get_worker

    name = get_worker().name  # a local cluster numbers its workers
    return _work_on(job, sample, _built(job.factory, name if isinstance(name, int) else 0))


@lru_cache(maxsize=1)
def _built(factory: GeneratorFactory, place: int) -> MaskGenerator:
    """The model is loaded once in each worker process."""
    keep_freed_memory()
    return factory.build(place)


def _provenance(factory: GeneratorFactory) -> Mapping[str, Any]:
    packages = ("goodsam", "numpy", "segment-anything", "torch", "zarr")
    versions = {package: version(package) for package in packages}
    return {**factory.provenance, "python": platform.python_version(), "versions": versions}

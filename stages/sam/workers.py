"""Who does the work of stage 1: this process, a Dask cluster of its own, or one at an address.

Each panorama is a task of its own, and whoever made its masks writes its record. An image that
cannot be read fails alone; whatever else goes wrong ends the run.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Conversions, Sample
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.stages.memory import keep_freed_memory
from goodsam.stages.sam.factory import GeneratorFactory
from goodsam.stages.sam.generate import MaskGenerator, SamGenerator
from goodsam.stages.sam.windows_to_masks import panorama_masks

WORKER_SECONDS = 120  # to wait for a scheduler or a first worker


@dataclass(frozen=True)
class Stage1Job:
    """What the tasks of a run have in common: where the masks go, and who makes them."""

    cache: SamCache
    factory: GeneratorFactory


@dataclass(frozen=True)
class Stage1Result:
    """What came of one panorama. name: of the sample.

    problem: why it failed, None if it is cached. disk_full: whether it failed for want of room.
    """

    name: str
    problem: str | None
    conversions: Conversions = field(default_factory=Conversions)
    disk_full: bool = False


# All samples of a run to their results, in the order in which they are done.
Work = Callable[[Stage1Job, list[Sample]], Iterator[Stage1Result]]


@contextmanager
def start_workers(
    processes: int, scheduler: str | None, image_done: Callable[[], None] = lambda: None
) -> Iterator[Work]:
    """Whoever does the work, until the context ends.

    processes: a Dask cluster of so many, on this machine. scheduler: the address of a cluster to
    use instead. With neither, this process works, and calls `image_done` after each window or
    overlap. Raises InputError if nothing answers at the
    address, and RuntimeError, once there is work, if the cluster has no worker.
    """
    if not processes and not scheduler:
        yield partial(_in_this_process, image_done)
        return
    with _dask_client(processes, scheduler) as client:
        yield partial(_over_dask, client)


@contextmanager
def _dask_client(processes: int, scheduler: str | None) -> Iterator[Any]:
    from distributed import Client, LocalCluster  # slow to import

    if scheduler:
        try:
            client = Client(scheduler, timeout=WORKER_SECONDS)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{scheduler}: no Dask scheduler answers there; start one with `dask "
                "scheduler` and give its address, tcp://HOST:PORT"
            ) from error
        with client:
            yield client
    else:
        with (
            LocalCluster(
                n_workers=processes, threads_per_worker=1, dashboard_address=":0"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


def _over_dask(client: Any, job: Stage1Job, samples: list[Sample]) -> Iterator[Stage1Result]:
    from distributed import KilledWorker, as_completed

    try:
        client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError as error:
        raise RuntimeError(
            f"no worker came within {WORKER_SECONDS} s; a worker needs goodsam installed and "
            f"must reach {client.scheduler.address}"
        ) from error
    # A dead worker's panoramas are given to the others, and to the one that takes its place.
    names = {client.submit(_in_a_worker, job, s, pure=False): s.name for s in samples}
    for future in as_completed(names):
        try:
            yield future.result()
        except KilledWorker:
            problem = "its worker died, again and again; is memory short?"
            yield Stage1Result(names[future], problem)


def _in_this_process(
    image_done: Callable[[], None], job: Stage1Job, samples: list[Sample]
) -> Iterator[Stage1Result]:
    generator = job.factory.build()
    if isinstance(generator, SamGenerator):
        generator.image_done = image_done
    for sample in samples:
        yield _one_panorama(job, sample, generator)


def _in_a_worker(job: Stage1Job, sample: Sample) -> Stage1Result:
    from distributed import get_worker

    name = get_worker().name  # a local cluster numbers its workers
    generator = _built_once(job.factory, name if isinstance(name, int) else 0)
    return _one_panorama(job, sample, generator)


def _one_panorama(job: Stage1Job, sample: Sample, generator: MaskGenerator) -> Stage1Result:
    identity, conversions = job.cache.identity, Conversions()
    try:
        folder = pictures_folder(job.cache.path)
        pictures = FittedPictures(folder, identity.geometry, write=True)
        sha256 = job.cache.images[sample.name]
        image = pictures.read(sample.name, sample.image, sha256, conversions)
        masks = panorama_masks(
            image, identity.windows, identity.boundaries, generator, identity.ignored_mask
        )
        job.cache.write(sample.name, masks)
    except InputError as error:  # this panorama's alone; anything else ends the run
        return Stage1Result(sample.name, str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return Stage1Result(sample.name, str(error), disk_full=True)
    return Stage1Result(sample.name, None, conversions)


@lru_cache(maxsize=1)
def _built_once(factory: GeneratorFactory, place: int) -> MaskGenerator:
    """The model is loaded once in each worker process."""
    keep_freed_memory()
    return factory.build(place)

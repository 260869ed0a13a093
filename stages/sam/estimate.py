"""What stage 1 would cost: one window through SAM, and the rest by multiplication."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import Sample, read_panorama
from goodsam.data.window_masks import overlap_boundaries
from goodsam.stages.sam.cache_sam import Stage1Config, samples_and_identity
from goodsam.stages.sam.factory import GeneratorFactory


@dataclass(frozen=True)
class Stage1Estimate:
    """What a run would do. panoramas: to be done; windows, overlaps: SAM's images among them.

    seconds: of one process at the rate of a trial; size: of the whole cache, bytes, if all windows
    were like the one tried.
    """

    panoramas: int
    windows: int
    overlaps: int
    seconds: float
    size: int


def estimate_stage1(
    images: Path, cache: Path, config: Stage1Config, factory: GeneratorFactory
) -> Stage1Estimate:
    """What `cache_sam` would do with the same arguments. Raises InputError as it does.

    One window of the first panorama is tried; nothing is written.
    """
    samples, identity = samples_and_identity(images, config, factory)
    plan = identity.windows
    done: set[str] = set()
    if cache.exists():
        store = SamCache.open(cache)
        if differing := store.identity.differences(identity):
            raise InputError(f"{cache}: was made with other settings ({', '.join(differing)})")
        done = set(store.names) - set(store.missing())
    todo = [sample for sample in samples if sample.name not in done]
    seconds, size = _trial(samples[0], identity, factory)
    crops = len(plan.overlaps) if identity.boundaries == "overlap" else 0
    return Stage1Estimate(
        panoramas=len(todo),
        windows=len(todo) * len(plan),
        overlaps=len(todo) * crops,
        seconds=seconds * len(todo) * (len(plan) + crops),
        size=size * len(samples),
    )


def _trial(sample: Sample, identity: Identity, factory: GeneratorFactory) -> tuple[float, int]:
    """Seconds of a window, and bytes of a cache of one panorama whose windows are all like it."""
    plan = identity.windows
    image = read_panorama(sample.image, plan, identity.fit, pose=identity.pose)
    window = plan.cut_images(image)[len(plan) // 2]  # of a sphere one at the horizon
    generator = factory.build()
    generator([window])  # the first one pays for much that the others do not
    began = time.perf_counter()
    (masks,) = generator([window])
    seconds = time.perf_counter() - began
    windows = (masks,) * len(plan)
    record = PanoramaMasks(windows, tuple(overlap_boundaries(windows, plan)))
    with TemporaryDirectory() as folder:
        trial = SamCache.create(Path(folder) / "trial.zarr", identity, {"trial": "0" * 64}, {})
        trial.write("trial", record)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
    return seconds, size

"""Killed at random moments and started again, each stage ends in the bytes of one unbroken run.

GOODSAM_KILLS, 10 if not set: kills of stage 1. Stage 2 is killed a third as often, and a fifth as
often with a worker.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.loop import adapt
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer
from tests.stages.sam.conftest import Thresholds

pytestmark = [
    pytest.mark.slow,
    pytest.mark.attack("kills"),
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),  # of Python 3.12 and newer
]

KILLS = int(os.environ.get("GOODSAM_KILLS", "10"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Images, the cache of them, and two networks."""
    torch.set_num_threads(1)  # a process that is forked has no other thread
    root = tmp_path_factory.mktemp("kills")
    rng = np.random.default_rng(0)
    (root / "images").mkdir()
    for number in range(12):
        pixels = rng.integers(256, size=(8, 41, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        Image.fromarray(pixels).save(root / f"images/{number}.png")
    stage_1(root, root / "c.zarr")
    for network in ("teacher", "student"):
        save_segformer(build_segformer("w8", ("road", "car")), root / network)
    return root


def stage_1(root: Path, out: Path) -> None:
    cache_sam(root / "images", out, Stage1Config(), Thresholds())


def stage_2(root: Path, out: Path, workers: int) -> None:
    cache = SamCache.open(root / "c.zarr")
    config = AdaptConfig(
        str(root / "teacher"),
        str(root / "student"),
        steps=12,
        warmup=1,
        checkpoint_every=2,
        workers=workers,
        device="cpu",
    )
    adapt(CachedPanoramas(root / "images", cache, cache.names), out, config)


def bytes_of(out: Path) -> dict[str, bytes]:
    """What a stage made: a cache, or the networks of a run, without what tells the time."""
    kept = [path for path in out.rglob("*") if path.is_file() and path.name != ".lock"]
    if not (out / "zarr.json").exists():
        kept = [path for path in kept if path.parent.name in ("student", "teacher_assistant")]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}


def differing_files(stage, root: Path, kills: int) -> int:
    """Kill a stage so many times; each run that comes to its end is compared and made anew."""

    def run(out: Path, wait: float | None = None) -> bool:
        """Whether it was killed."""
        process = multiprocessing.get_context("fork").Process(target=stage, args=(out,))
        process.start()
        process.join(wait)
        if killed := process.is_alive():
            process.kill()
            process.join()
        assert killed or process.exitcode == 0
        return killed

    began = time.monotonic()
    run(root / "whole")
    length = time.monotonic() - began
    whole, rng = bytes_of(root / "whole"), np.random.default_rng(kills)
    assert whole
    done = differing = ended = 0
    while done < kills or (root / "cut").exists():
        if run(root / "cut", float(rng.uniform(0, length)) if done < kills else None):
            done += 1
            continue
        cut = bytes_of(root / "cut")
        differing += sum(cut.get(name) != whole.get(name) for name in cut | whole)
        ended += 1
        shutil.rmtree(root / "cut")
    print(f"{done} kills, {ended} runs that ended, {differing} files differ")
    return differing


def test_stage_1(world, tmp_path, tries):
    tries(KILLS)
    assert differing_files(lambda out: stage_1(world, out), tmp_path, KILLS) == 0


@pytest.mark.parametrize(("workers", "part"), [(0, 3), (1, 5)])
def test_stage_2(world, tmp_path, tries, workers, part):
    kills = max(1, KILLS // part)
    tries(kills)
    assert differing_files(lambda out: stage_2(world, out, workers), tmp_path, kills) == 0

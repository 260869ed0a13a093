"""Killed at random moments and started again, each stage ends in the bytes of one unbroken run.

GOODSAM_KILLS, 10 if not set: kills of stage 1, a fifth of them with two worker processes. Stage 2
is killed half as often, a fifth of that with a worker.
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

ROOT = Path(__file__).parents[2]  # worker processes import tests.stages.sam from there
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


def stage_1(root: Path, out: Path, workers: int = 0) -> None:
    cache_sam(root / "images", out, Stage1Config(workers=workers), Thresholds())


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


def bytes_that_differ(a: dict[str, bytes], b: dict[str, bytes]) -> int:
    """Over all files of both; what only one of them has differs."""
    count = 0
    for name in a | b:
        one, other = (np.frombuffer(of.get(name, b""), np.uint8) for of in (a, b))
        both = min(len(one), len(other))
        count += max(len(one), len(other)) - both
        count += int(np.count_nonzero(one[:both] != other[:both]))
    return count


def differing_bytes(stage, root: Path, kills: int) -> int:
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
    done = differing = 0
    while done < kills or (root / "cut").exists():
        if run(root / "cut", float(rng.uniform(0, length)) if done < kills else None):
            done += 1
            continue
        differing += bytes_that_differ(bytes_of(root / "cut"), whole)
        shutil.rmtree(root / "cut")
    return differing


@pytest.mark.parametrize(
    ("stage", "kills", "workers"), [(stage_1, KILLS, 2), (stage_2, KILLS // 2, 1)]
)
def test_kills(world, tmp_path, tries, capsys, monkeypatch, stage, kills, workers):
    """Four fifths of them without a worker, the others with so many."""
    monkeypatch.syspath_prepend(ROOT)
    with_workers = kills // 5
    differing = 0
    for count, some in ((kills - with_workers, 0), (with_workers, workers)):
        (tmp_path / str(some)).mkdir()
        differing += differing_bytes(
            lambda out, some=some: stage(world, out, some), tmp_path / str(some), count
        )
    tries(kills)
    with capsys.disabled():
        print(f"\n{stage.__name__}: {kills} kills, {differing} bytes differ")
    assert differing == 0

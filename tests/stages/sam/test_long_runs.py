"""Stage 1 at length: twenty kills of the command, and a thousand panoramas."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.street.write import write_world
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from tests.stages.sam.conftest import Thresholds, assert_same, picture


@pytest.mark.slow  # some twenty starts of the command
@pytest.mark.timeout(1800)
@pytest.mark.attack("kills")
def test_killed_twenty_times_the_cache_is_the_same(tmp_path, tries):
    write_world(tmp_path / "world", source=0, unlabelled=4, test=0, seed=3)
    images = tmp_path / "world" / "unlabelled"

    def command(cache):
        words = ["cache-sam", str(images), str(cache), "--sam", "street"]
        return [sys.executable, "-m", "goodsam", *words, "--points-per-side", "4", "--exact"]

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}

    def whole_run(cache):
        subprocess.run(command(cache), check=True, env=environment)

    def written():
        return sum(1 for _ in (tmp_path / "cut.zarr").rglob("*"))

    whole_run(tmp_path / "whole.zarr")
    rng, kills = np.random.default_rng(0), 0
    for number in range(20):
        # in turns: at a random moment of the start, and as soon as anything new is on disk
        began, before, wait = time.monotonic(), written(), float(rng.uniform(0, 3))
        process = subprocess.Popen(command(tmp_path / "cut.zarr"), env=environment)
        while process.poll() is None:
            late = time.monotonic() - began > wait
            if late if number % 2 else written() > before:
                process.kill()
                kills += 1
                break
            time.sleep(0.002)
        process.wait()
    assert kills >= 5
    tries(kills)
    whole_run(tmp_path / "cut.zarr")
    whole, cut = SamCache.open(tmp_path / "whole.zarr"), SamCache.open(tmp_path / "cut.zarr")
    assert cut.missing() == cut.verify(images) == []
    for name in whole.names:
        assert_same(cut.read(name), whole.read(name))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_panoramas(tmp_path):
    for number in range(1000):
        path = tmp_path / "images" / f"{number:04d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(picture(number)).save(path)
    used = []

    def note(progress):
        if progress.done in (100, 1000):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            used.append(pages * os.sysconf("SC_PAGE_SIZE"))

    summary = cache_sam(
        tmp_path / "images", tmp_path / "c.zarr", Stage1Config(), Thresholds(), note
    )
    assert summary.done == 1000
    assert used[1] - used[0] < 16e6

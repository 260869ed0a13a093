"""Several processes write what one does, and a death among them costs little."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.stages.sam import workers
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from tests.stages.sam.conftest import Thresholds, assert_same, files, truncate

ROOT = Path(__file__).parents[3]  # workers import tests.stages.sam from there


@pytest.mark.slow  # two processes that import torch
def test_two_workers_write_what_one_does(images, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)  # which the workers inherit
    truncate(images / "city/b.png")
    alone, together = tmp_path / "alone.zarr", tmp_path / "together.zarr"
    expected = cache_sam(images, alone, Stage1Config(), Thresholds())
    summary = cache_sam(images, together, Stage1Config(workers=2), Thresholds())
    assert replace(summary, seconds=0) == replace(expected, seconds=0)
    assert files(together) == files(alone)


@dataclass(frozen=True)
class Deadly(Thresholds):
    """Ends its process, without a word, the first time that it is called."""

    marker: str = ""

    def build(self, place=0):
        def generator(images):
            if not Path(self.marker).exists():
                Path(self.marker).touch()
                os._exit(1)
            return self.masks(images)

        return generator


@pytest.mark.slow  # processes that import torch
def test_a_worker_that_dies_costs_only_its_panorama(images, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    path, whole = tmp_path / "sam.zarr", tmp_path / "whole.zarr"
    deadly = Deadly(marker=str(tmp_path / "died"))
    summary = cache_sam(images, path, Stage1Config(workers=2), deadly)
    assert (tmp_path / "died").exists()
    assert (summary.done, summary.failed) == (3, {})
    cache_sam(images, whole, Stage1Config(), Thresholds())
    for name in SamCache.open(whole).names:
        assert_same(SamCache.open(path).read(name), SamCache.open(whole).read(name))


@pytest.mark.slow  # a scheduler and two workers of the user's own
def test_a_cluster_that_the_user_runs(images, tmp_path):
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": path}
    address = tmp_path / "scheduler.json"

    def dask(*words):
        command = [sys.executable, "-m", "dask", *words, "--scheduler-file", str(address)]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    started = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")]
    try:
        started += [dask("worker", "--nthreads", "1", "--no-dashboard") for _ in range(2)]
        deadline = time.monotonic() + 120
        while not address.exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        tcp = json.loads(address.read_text())["address"]
        path, whole = tmp_path / "sam.zarr", tmp_path / "whole.zarr"
        summary = cache_sam(images, path, Stage1Config(scheduler=tcp), Thresholds())
    finally:
        for process in reversed(started):
            process.terminate()
            process.wait()
    assert (summary.done, summary.failed) == (3, {})
    cache_sam(images, whole, Stage1Config(), Thresholds())
    assert files(path) == files(whole)


def test_a_scheduler_that_is_not_there(images, tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "WORKER_SECONDS", 1)
    config = Stage1Config(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())

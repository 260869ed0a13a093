import json
import os
import pickle
import subprocess
import sys
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import PanoramaMasks, SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_image
from goodsam.data.street.write import write_world
from goodsam.data.window_masks import WindowMasks, mask_boundaries, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.sam import cache_sam as stage1
from goodsam.stages.sam.cache_sam import (
    Progress,
    SamFactory,
    Stage1Config,
    cache_sam,
    estimate,
    panorama_masks,
)
from goodsam.stages.sam.generate import GeneratorConfig

HEIGHT, WIDTH = 8, 40


@dataclass(frozen=True)
class Thresholds:
    """A mask for each channel, where it is bright: what a SAM might give, at no cost."""

    level: int = 128
    sam: str = "7" * 64

    @property
    def settings(self):
        return {"level": self.level}

    @property
    def provenance(self):
        return {"device": "cpu"}

    def build(self, place=0):
        return self.masks

    def masks(self, images):
        return [self.of(image) for image in images]

    def of(self, image):
        assert image.dtype == np.uint8
        assert image.flags.c_contiguous
        masks = np.moveaxis(image, -1, 0) >= self.level
        return WindowMasks.of(masks, image.mean(axis=(0, 1)) / 255, np.ones(3))


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


@pytest.fixture
def images(tmp_path):
    for seed, name in enumerate(("a.png", "city/b.png", "city/c.png")):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(seed)).save(path)
    return tmp_path / "images"


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


def files(path):
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def assert_same(a, b):
    for x, y in zip(a.windows, b.windows, strict=True):
        for column in fields(WindowMasks):
            np.testing.assert_array_equal(getattr(x, column.name), getattr(y, column.name))
    for one, other in zip(a.boundaries, b.boundaries, strict=True):
        np.testing.assert_array_equal(one, other)


def naive_masks(image, geometry, boundaries):
    """Each window and each overlap crop by hand, from the columns around the circle."""
    around = np.concatenate([image, image], axis=1)
    generate = Thresholds().of

    def crop(start, width):
        return np.ascontiguousarray(around[:, start : start + width])

    windows = tuple(generate(crop(start, geometry.window)) for start in geometry.starts)
    if boundaries == "windows":
        return PanoramaMasks(windows, tuple(overlap_boundaries(windows, geometry)))
    crops = [crop(overlap.start, overlap.width) for overlap in geometry.overlaps]
    return PanoramaMasks(windows, tuple(mask_boundaries(generate(c)) for c in crops))


@pytest.mark.parametrize("boundaries", ["overlap", "windows"])
@pytest.mark.parametrize("wrap", [True, False])
def test_every_panorama_is_cached(images, tmp_path, boundaries, wrap):
    config = Stage1Config(boundaries=boundaries, wrap=wrap)
    summary = cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())
    assert (summary.done, summary.skipped, summary.failed) == (3, 0, {})
    cache = SamCache.open(tmp_path / "sam.zarr")
    geometry = Windows(HEIGHT, WIDTH, WIDTH // 4, WIDTH // 8, wrap)
    assert cache.identity.windows == geometry
    assert cache.names == ["a.png", "city/b.png", "city/c.png"]
    assert cache.missing() == cache.verify(images) == []
    for name in cache.names:
        assert_same(cache.read(name), naive_masks(read_image(images / name), geometry, boundaries))


@pytest.mark.parametrize("boundaries", ["overlap", "windows"])
def test_an_ignore_mask_leaves_no_masks_there(images, tmp_path, boundaries):
    ignored = np.zeros((HEIGHT, WIDTH), bool)
    ignored[5:, 3:30] = True
    Image.fromarray(ignored.astype(np.uint8) * 9).save(tmp_path / "rig.png")
    config = Stage1Config(boundaries=boundaries, ignore_mask=tmp_path / "rig.png")
    cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())
    cache = SamCache.open(tmp_path / "sam.zarr")
    np.testing.assert_array_equal(cache.identity.ignored_mask, ignored)
    geometry = cache.identity.windows
    for name in cache.names:
        found = cache.read(name)
        plain = naive_masks(read_image(images / name), geometry, boundaries)
        for masks, before, part in zip(
            found.windows, plain.windows, geometry.cut(ignored), strict=True
        ):
            kept = before.masks() & ~part
            np.testing.assert_array_equal(masks.masks(), kept[kept.any(axis=(1, 2))])
        # away from the mask's edge nothing has changed, and in it there is nothing
        edge = ignored.copy()
        edge[:-1] |= ignored[1:]
        edge |= np.roll(ignored, 1, axis=1) | np.roll(ignored, -1, axis=1)
        parts = geometry.cut_overlaps(ignored), geometry.cut_overlaps(edge)
        for map_, before, part, near in zip(
            found.boundaries, plain.boundaries, *parts, strict=True
        ):
            assert not map_[part].any()
            np.testing.assert_array_equal(map_[~near], before[~near])


def test_an_ignore_mask_of_another_size_is_fitted_or_refused(images, tmp_path):
    mask = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    mask[2 * HEIGHT - 4 :] = 255
    Image.fromarray(mask).save(tmp_path / "rig.png")
    config = Stage1Config(ignore_mask=tmp_path / "rig.png")
    with pytest.raises(InputError, match=r"rig.png: the ignore mask is 80 x 16 .* are 40 x 8"):
        cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())
    assert not (tmp_path / "sam.zarr").exists()
    fitted = replace(config, fit=True, height=HEIGHT, width=WIDTH)
    cache_sam(images, tmp_path / "sam.zarr", fitted, Thresholds())
    ignored = SamCache.open(tmp_path / "sam.zarr").identity.ignored_mask
    assert ignored[-2:].all()
    assert not ignored[:-3].any()


def test_windows_are_given_as_images():
    seen = []

    def generator(images):
        seen.extend(images)
        return Thresholds().masks(images)

    image, geometry = picture(0), Windows(HEIGHT, WIDTH, 14, 12)  # the last overlap is wider
    panorama_masks(image, geometry, "overlap", generator)
    assert [crop.shape[1] for crop in seen] == [14] * 4 + [2] * 3 + [10]
    np.testing.assert_array_equal(seen[3], image[:, np.arange(36, 50) % WIDTH])


def test_sizes_of_windows_can_be_chosen(images, tmp_path):
    cache_sam(images, tmp_path / "a.zarr", Stage1Config(window=16), Thresholds())
    geometry = SamCache.open(tmp_path / "a.zarr").identity.windows
    assert (geometry.window, geometry.stride) == (16, 8)
    cache_sam(images, tmp_path / "b.zarr", Stage1Config(window=16, stride=5), Thresholds())
    assert SamCache.open(tmp_path / "b.zarr").identity.windows.stride == 5


def test_the_same_again_does_nothing(images, tmp_path):
    path = tmp_path / "sam.zarr"
    cache_sam(images, path, Stage1Config(), Thresholds())
    before = files(path)
    summary = cache_sam(images, path, Stage1Config(), Thresholds())
    assert (summary.done, summary.skipped) == (0, 3)
    assert files(path) == before


@pytest.mark.parametrize("panoramas", [0, 1, 2])
@pytest.mark.parametrize("calls", [0, 1, 9, 15])
def test_a_run_that_is_killed_goes_on_to_the_same_bytes(images, tmp_path, panoramas, calls):
    """Killed in a window or an overlap of any panorama (8 + 8 calls each)."""
    whole, cut = tmp_path / "whole.zarr", tmp_path / "cut.zarr"
    cache_sam(images, whole, Stage1Config(), Thresholds())
    with pytest.raises(KeyboardInterrupt):
        cache_sam(images, cut, Stage1Config(), Killed(after=16 * panoramas + calls))
    summary = cache_sam(images, cut, Stage1Config(), Thresholds())
    assert (summary.done, summary.skipped) == (3 - panoramas, panoramas)
    assert files(cut) == files(whole)


@dataclass(frozen=True)
class Killed(Thresholds):
    after: int = 0

    def build(self, place=0):
        left = iter(range(self.after))

        def generator(images):
            if any(next(left, None) is None for _ in images):
                raise KeyboardInterrupt
            return self.masks(images)

        return generator


def test_a_disk_that_is_full_ends_the_run_and_keeps_what_is_done(images, tmp_path, monkeypatch):
    path = tmp_path / "sam.zarr"
    write = SamCache.write

    def full(self, name, masks):
        if name == "city/b.png":
            raise OSError(28, "No space left on device")
        write(self, name, masks)

    monkeypatch.setattr(SamCache, "write", full)
    with pytest.raises(OSError, match="the disk is full after 1 panoramas"):
        cache_sam(images, path, Stage1Config(), Thresholds())
    monkeypatch.undo()
    assert SamCache.open(path).missing() == ["city/b.png", "city/c.png"]
    assert cache_sam(images, path, Stage1Config(), Thresholds()).done == 2


def test_a_broken_image_is_reported_and_the_others_are_done(images, tmp_path):
    truncate(images / "city/b.png")
    summary = cache_sam(images, tmp_path / "sam.zarr", Stage1Config(), Thresholds())
    assert summary.done == 2
    assert list(summary.failed) == ["city/b.png"]
    assert str(images / "city/b.png") in summary.failed["city/b.png"]
    assert SamCache.open(tmp_path / "sam.zarr").missing() == ["city/b.png"]


def test_images_that_were_converted_are_counted(images, tmp_path):
    Image.fromarray(picture(0)[..., 0]).save(images / "grey.png")
    summary = cache_sam(images, tmp_path / "sam.zarr", Stage1Config(), Thresholds())
    assert str(summary.conversions) == "1 image converted to RGB (1 grey)"


def test_images_are_appended(images, tmp_path):
    path = tmp_path / "sam.zarr"
    cache_sam(images, path, Stage1Config(), Thresholds())
    Image.fromarray(picture(9)).save(images / "0.png")
    summary = cache_sam(images, path, Stage1Config(), Thresholds())
    assert (summary.done, summary.skipped) == (1, 3)
    assert SamCache.open(path).verify(images) == []


def refused(images, path, message, config=Stage1Config(), factory=Thresholds()):  # noqa: B008
    before = files(path) if path.exists() else None
    with pytest.raises(InputError, match=message):
        cache_sam(images, path, config, factory)
    assert (files(path) if path.exists() else None) == before


def test_bad_input_is_refused_before_any_work(images, tmp_path):
    path = tmp_path / "sam.zarr"
    Image.fromarray(picture(0)[:, :-2]).save(images / "other.png")
    refused(images, path, r"other\.png: 38 x 8 where 40 x 8 is expected.*--fit")
    (images / "other.png").write_text("no image")
    refused(images, path, r"other\.png: cannot be read as an image")
    (images / "other.png").unlink()
    refused(images, path, "wider than the panorama", Stage1Config(window=41))
    refused(images, path, "where 80 x 8 is expected", Stage1Config(width=80))
    refused(tmp_path / "nowhere", path, "no such folder")
    (tmp_path / "square").mkdir()
    Image.fromarray(picture(0)[:, :HEIGHT]).save(tmp_path / "square" / "a.png")
    refused(tmp_path / "square", path, r"a\.png: 8 x 8 is no panorama.*--fit.*--window")
    assert not path.exists()


def test_a_cache_made_otherwise_is_refused(images, tmp_path):
    path = tmp_path / "sam.zarr"
    cache_sam(images, path, Stage1Config(), Thresholds())
    refused(images, path, "settings.level is 128, not 9", factory=Thresholds(level=9))
    refused(images, path, f"sam is {'7' * 64}, not other", factory=Thresholds(sam="other"))
    refused(images, path, "boundaries is overlap", Stage1Config(boundaries="windows"))
    refused(images, path, "windows.wrap is True", Stage1Config(wrap=False))
    Image.fromarray(picture(8)).save(images / "a.png")
    refused(images, path, r"a\.png: not the image that .* restore the images")


def test_images_of_any_size_are_fitted_when_asked_to(images, tmp_path):
    Image.fromarray(picture(0).repeat(2, axis=0).repeat(2, axis=1)).save(images / "twice.png")
    config = Stage1Config(fit=True, height=HEIGHT, width=WIDTH)
    summary = cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())
    assert (summary.done, summary.failed) == (4, {})
    assert SamCache.open(tmp_path / "sam.zarr").identity.fit


def test_fitted_images_have_the_papers_size(tmp_path):
    (tmp_path / "images").mkdir()
    Image.fromarray(np.zeros((100, 200, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    cache_sam(tmp_path / "images", tmp_path / "sam.zarr", Stage1Config(fit=True), Thresholds())
    cache = SamCache.open(tmp_path / "sam.zarr")
    assert cache.identity.windows == Windows.of(400, 2048)
    assert cache.read("a.png").windows[0].cells.shape == (400, 512)


def test_progress_tells_the_rate(images, tmp_path):
    truncate(images / "city/b.png")
    seen = []
    cache_sam(images, tmp_path / "sam.zarr", Stage1Config(), Thresholds(), seen.append)
    steps = [(p.done, p.failed, p.total, p.windows) for p in seen]
    assert steps == [(0, 0, 3, 0), (1, 0, 3, 8), (1, 1, 3, 8), (2, 1, 3, 16)]
    at = Progress(done=3, failed=1, total=10, windows=24, seconds=8)
    assert at.windows_per_second == 3


@pytest.mark.parametrize("config", [{"workers": -1}, {"workers": 2, "scheduler": "tcp://a:1"}])
def test_impossible_configurations(config):
    with pytest.raises(InputError, match="workers"):
        Stage1Config(**config)


def test_a_factory_travels_to_workers_and_batch_size_is_no_identity():
    factory = SamFactory("street", None, GeneratorConfig(points_per_side=16))
    assert pickle.loads(pickle.dumps(factory)) == factory
    assert hash(factory) == hash(pickle.loads(pickle.dumps(factory)))
    assert factory.settings["points_per_side"] == 16
    smaller = replace(factory, generator=replace(factory.generator, points_per_batch=8))
    assert smaller.settings == factory.settings
    assert smaller.provenance["points_per_batch"] == 8


@pytest.mark.slow  # two processes that import torch
def test_two_workers_write_what_one_does(images, tmp_path, monkeypatch):
    # The workers inherit the path, and import this module by its name.
    monkeypatch.syspath_prepend(Path(__file__).parents[3])
    truncate(images / "city/b.png")
    alone, together = tmp_path / "alone.zarr", tmp_path / "together.zarr"
    expected = cache_sam(images, alone, Stage1Config(), Thresholds())
    summary = cache_sam(images, together, Stage1Config(workers=2), Thresholds())
    assert replace(summary, seconds=0) == replace(expected, seconds=0)
    assert files(together) == files(alone)


def test_an_estimate_writes_nothing_and_counts_what_is_missing(images, tmp_path):
    cache = tmp_path / "sam.zarr"
    plan = estimate(images, cache, Stage1Config(), Thresholds())
    assert not cache.exists()
    assert (plan.panoramas, plan.windows, plan.overlaps) == (3, 24, 24)
    assert plan.seconds > 0
    cache_sam(images, cache, Stage1Config(), Thresholds())
    written = sum(len(content) for content in files(cache).values())
    assert 0.5 < plan.size / written < 2
    assert estimate(images, cache, Stage1Config(), Thresholds()).panoramas == 0
    with pytest.raises(InputError, match="level"):
        estimate(images, cache, Stage1Config(), Thresholds(level=1))


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
    monkeypatch.syspath_prepend(Path(__file__).parents[3])
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
    root = Path(__file__).parents[3]
    environment = {**os.environ, "PYTHONPATH": str(root)}
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
    monkeypatch.setattr(stage1, "WORKER_SECONDS", 1)
    config = Stage1Config(scheduler="tcp://127.0.0.1:9")
    with pytest.raises(InputError, match="no Dask scheduler answers there"):
        cache_sam(images, tmp_path / "sam.zarr", config, Thresholds())


@pytest.mark.slow  # some twenty starts of the command
@pytest.mark.timeout(1800)
def test_killed_twenty_times_the_cache_is_the_same(tmp_path):
    write_world(tmp_path / "world", source=0, unlabelled=4, test=0, seed=3)
    images = tmp_path / "world" / "unlabelled"

    def command(cache):
        words = ["cache-sam", str(images), str(cache), "--sam", "street"]
        return [sys.executable, "-m", "goodsam", *words, "--points-per-side", "4", "--exact"]

    began = time.monotonic()
    subprocess.run(command(tmp_path / "whole.zarr"), check=True)
    seconds = time.monotonic() - began
    rng, kills = np.random.default_rng(0), 0
    for _ in range(20):
        process = subprocess.Popen(command(tmp_path / "cut.zarr"))
        try:
            process.wait(timeout=float(rng.uniform(0.3, 0.9)) * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills >= 5
    subprocess.run(command(tmp_path / "cut.zarr"), check=True)
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

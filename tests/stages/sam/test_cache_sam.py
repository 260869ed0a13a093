from dataclasses import dataclass, replace

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import PanoramaMasks, SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_image
from goodsam.data.window_masks import mask_boundaries, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.sam.cache_sam import Stage1Config, Stage1Progress, cache_sam
from goodsam.stages.sam.without import WithoutSam
from tests.stages.sam.conftest import (
    HEIGHT,
    WIDTH,
    Thresholds,
    assert_same,
    files,
    picture,
    truncate,
)


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
    at = Stage1Progress(done=3, failed=1, total=10, windows=24, seconds=8)
    assert at.windows_per_second == 3


@pytest.mark.parametrize("config", [{"workers": -1}, {"workers": 2, "scheduler": "tcp://a:1"}])
def test_impossible_configurations(config):
    with pytest.raises(InputError, match="workers"):
        Stage1Config(**config)


def test_some_panoramas_now_and_the_others_later(images, tmp_path):
    cache = tmp_path / "sam.zarr"
    first = cache_sam(images, cache, Stage1Config(only=["city/c.png"]), Thresholds())
    assert (first.done, SamCache.open(cache).missing()) == (1, ["a.png", "city/b.png"])
    assert cache_sam(images, cache, Stage1Config(only=["city/c.png"]), Thresholds()).done == 0
    rest = cache_sam(images, cache, Stage1Config(), Thresholds())
    assert (rest.done, rest.skipped) == (2, 1)
    cache_sam(images, tmp_path / "whole.zarr", Stage1Config(), Thresholds())
    assert files(cache) == files(tmp_path / "whole.zarr")


@pytest.mark.parametrize("boundaries", ["overlap", "windows"])
def test_no_sam_is_a_cache_without_masks(images, tmp_path, boundaries):
    cache_sam(images, tmp_path / "none.zarr", Stage1Config(boundaries=boundaries), WithoutSam())
    cache = SamCache.open(tmp_path / "none.zarr")
    assert cache.missing() == cache.verify(images) == []
    for name in cache.names:
        record = cache.read(name)
        assert [len(window) for window in record.windows] == [0] * 8
        assert not any(boundary.any() for boundary in record.boundaries)

"""Stage 1 of photographs that are whole spheres: which windows, of which size, with which masks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas import find_panoramas, read_image, to_band
from goodsam.data.panoramas.fitted import FittedPictures, pictures_folder
from goodsam.data.panoramas.placement import Placement, upright_band
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.window_masks import mask_boundaries, overlap_boundaries
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam, settled
from goodsam.stages.sam.estimate import estimate_stage1
from tests.stages.sam.conftest import Thresholds, assert_same, files

SIZE = (64, 128)


def photograph(path, seed=0, size=SIZE, **xmp):
    """A smooth picture of noise, with what its camera says of its pose."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize(size[::-1], Image.Resampling.BICUBIC)
    said = " ".join(f'GPano:{name}="{value}"' for name, value in xmp.items())
    space = "http://ns.google.com/photos/1.0/panorama/"
    text = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
        'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
        f'xmlns:GPano="{space}" {said}/></rdf:RDF></x:xmpmeta>'
    )
    image.save(path, quality=95, **({"xmp": text.encode()} if xmp else {}))


@pytest.fixture
def spheres(tmp_path):
    for seed, name in enumerate(("a.png", "city/b.png")):
        photograph(tmp_path / "photos" / name, seed)
    return tmp_path / "photos"


def made(images, path, **config):
    summary = cache_sam(images, path, Stage1Config(**config), Thresholds())
    assert summary.failed == {}
    return SamCache.open(path)


def test_whole_spheres_are_masked_by_tangent_windows(spheres, tmp_path):
    cache = made(spheres, tmp_path / "c.zarr")
    plan = TangentWindows(*SIZE)
    assert cache.identity.windows == plan
    assert (cache.identity.boundaries, cache.identity.fit) == ("windows", True)
    assert cache.verify(spheres) == cache.missing() == []
    for name in cache.names:
        record = cache.read(name)
        windows = [Thresholds().of(w) for w in plan.cut_images(read_image(spheres / name))]
        assert len(record.windows) == 22
        for masks, expected in zip(record.windows, windows, strict=True):
            np.testing.assert_array_equal(masks.masks(), expected.masks())
        for one, other in zip(record.boundaries, overlap_boundaries(windows, plan), strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("boundaries", [None, "overlap", "windows"])
def test_windows_across_and_down_have_overlaps_for_sam(spheres, tmp_path, boundaries):
    cache = made(spheres, tmp_path / "c.zarr", plan="vertical", boundaries=boundaries)
    plan = VerticalWindows.of(*SIZE)
    assert cache.identity.windows == plan
    assert cache.identity.boundaries == (boundaries or "overlap")
    image = read_image(spheres / "a.png")
    record = cache.read("a.png")
    if boundaries == "windows":
        expected = overlap_boundaries(record.windows, plan)
    else:
        crops = [image[plan.overlap_pixels(overlap)] for overlap in plan.overlaps]
        expected = [mask_boundaries(Thresholds().of(np.ascontiguousarray(c))) for c in crops]
    for one, other in zip(record.boundaries, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("plan", ["vertical", "tangent"])
def test_what_is_left_out_has_no_masks(spheres, tmp_path, plan):
    ignored = np.zeros(SIZE, bool)
    ignored[50:, 10:90] = True
    Image.fromarray(ignored.astype(np.uint8) * 255).save(tmp_path / "stand.png")
    cache = made(spheres, tmp_path / "c.zarr", plan=plan, ignore_mask=tmp_path / "stand.png")
    np.testing.assert_array_equal(cache.identity.ignored_mask, ignored)
    parts = cache.identity.windows.cut_labels(ignored)
    assert parts.any()
    for masks, part in zip(cache.read("a.png").windows, parts, strict=True):
        assert not (masks.cells[part] > 0).any()


def test_which_plan_is_taken_and_what_is_said(spheres, tmp_path):
    samples = find_panoramas(spheres)
    found, said = settled(samples, Stage1Config())
    assert (found.plan, found.height, found.width, found.boundaries) == (
        "tangent",
        64,
        128,
        "windows",
    )
    for word in ("2:1", "tangent", "128 x 64", "--fit"):
        assert word in said
    assert settled(samples, found) == (found, "")
    assert settled(samples, Stage1Config(plan="tangent")) == (found, "")
    for other in (
        {"fit": True},
        {"height": 32},
        {"window": 32},
        {"stride": 16},
        {"wrap": False},
        {"plan": "band"},
    ):
        config, said = settled(samples, Stage1Config(**other))
        assert (config, said) == (replace(Stage1Config(**other), plan="band"), "")
    photograph(tmp_path / "photos" / "z.png", 9, (40, 205))
    assert settled(find_panoramas(spheres), Stage1Config())[0].plan == "band"


def test_spheres_too_small_for_windows_are_not_taken_for_some(tmp_path):
    photograph(tmp_path / "i" / "a.png", size=(60, 120))
    assert settled(find_panoramas(tmp_path / "i"), Stage1Config())[0].plan == "band"
    assert settled(find_panoramas(tmp_path / "i"), Stage1Config(plan="tangent"))[0].height == 60


@pytest.mark.parametrize(
    ("sizes", "height"),
    [
        ([(64, 128)], 64),
        ([(64, 128), (64, 128)], 64),
        ([(64, 128), (80, 160)], 512),
        ([(65, 128)], 64),  # 2:1 within the tolerance
        ([(1100, 2200)], 512),
    ],
)
def test_the_size_of_spheres(tmp_path, sizes, height):
    for number, size in enumerate(sizes):
        photograph(tmp_path / "i" / f"{number}.png", size=size)
    found, _ = settled(find_panoramas(tmp_path / "i"), Stage1Config())
    assert (found.height, found.width) == (height, 2 * height)
    chosen, _ = settled(find_panoramas(tmp_path / "i"), Stage1Config(plan="tangent", height=32))
    assert (chosen.height, chosen.width) == (32, 64)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"plan": "tangent", "window": 32}, "--window: .*leave it out, or take --plan band"),
        ({"plan": "vertical", "stride": 32}, "--stride"),
        ({"plan": "tangent", "wrap": False}, "--no-wrap"),
        ({"plan": "tangent", "boundaries": "overlap"}, "--boundaries windows"),
        ({"boundaries": "overlap"}, "--boundaries overlap"),
        ({"plan": "tangent", "height": 2048}, "use a smaller --height"),
        ({"plan": "round"}, "plan 'round': use auto, band, vertical, tangent"),
    ],
)
def test_options_that_a_sphere_has_no_use_for(spheres, tmp_path, config, message):
    with pytest.raises(InputError, match=message) as error:
        cache_sam(spheres, tmp_path / "c.zarr", Stage1Config(**config), Thresholds())
    assert "\n" not in str(error.value)
    assert not (tmp_path / "c.zarr").exists()


def test_a_band_among_spheres_is_named(spheres, tmp_path):
    photograph(spheres / "z.png", 9, (40, 205))
    with pytest.raises(InputError, match=r"z\.png: 205 x 40 is no 2:1 sphere.*--plan band"):
        cache_sam(spheres, tmp_path / "c.zarr", Stage1Config(plan="tangent"), Thresholds())


def test_spheres_are_resized_as_a_whole(spheres, tmp_path):
    photograph(spheres / "z.png", 9, (100, 200))
    cache = made(spheres, tmp_path / "c.zarr", plan="vertical", height=32, boundaries="windows")
    plan = VerticalWindows.of(32, 64)
    whole = to_band(read_image(spheres / "z.png"), 32, 64)
    top = np.asarray(Image.open(spheres / "z.png"))[:3].mean(axis=(0, 1))
    assert np.abs(whole[0].mean(axis=0) - top).max() < 8  # its first row is the photograph's pole
    expected = [Thresholds().of(window) for window in plan.cut_images(whole)]
    for masks, other in zip(cache.read("z.png").windows, expected, strict=True):
        np.testing.assert_array_equal(masks.masks(), other.masks())


def test_a_tilted_sphere_is_levelled_once_and_kept(tmp_path):
    path = tmp_path / "photos" / "a.jpg"
    photograph(path, PosePitchDegrees=10, PoseRollDegrees=-4)
    cache = made(tmp_path / "photos", tmp_path / "c.zarr")
    image = read_image(path)
    upright = upright_band(image, SIZE, Placement((64, 128), 0, 0, 10, -4))
    assert np.abs(upright.astype(int) - image).mean() > 5
    pictures = FittedPictures(pictures_folder(cache.path), cache.identity.geometry)
    kept = pictures.kept("a.jpg", cache.images["a.jpg"])
    assert kept is not None
    np.testing.assert_array_equal(kept, upright)
    masks = [Thresholds().of(w) for w in TangentWindows(*SIZE).cut_images(upright)]
    for found, expected in zip(cache.read("a.jpg").windows, masks, strict=True):
        np.testing.assert_array_equal(found.masks(), expected.masks())


def test_a_run_that_is_done_again_does_nothing_and_another_plan_is_refused(spheres, tmp_path):
    path = tmp_path / "c.zarr"
    made(spheres, path)
    before = files(path)
    again = cache_sam(spheres, path, Stage1Config(), Thresholds())
    assert (again.done, again.skipped) == (0, 2)
    for config, message in (
        (Stage1Config(fit=True, height=32, width=160), "plan tangent, not those of the plan band"),
        (Stage1Config(plan="vertical"), "plan tangent, not those of the plan vertical"),
        (Stage1Config(plan="tangent", height=32), "windows.height is 64, not 32"),
    ):
        with pytest.raises(InputError, match=message):
            cache_sam(spheres, path, config, Thresholds())
    assert files(path) == before


def test_the_estimate_knows_the_windows(spheres, tmp_path):
    left = estimate_stage1(spheres, tmp_path / "c.zarr", Stage1Config(), Thresholds())
    assert (left.panoramas, left.windows, left.overlaps) == (2, 44, 0)
    left = estimate_stage1(
        spheres, tmp_path / "c.zarr", Stage1Config(plan="vertical"), Thresholds()
    )
    assert (left.windows, left.overlaps) == (48, 80)
    assert left.size > 0


def test_workers_come_to_the_same(spheres, tmp_path):
    alone = made(spheres, tmp_path / "c.zarr")
    together = made(spheres, tmp_path / "w.zarr", workers=1)
    for name in alone.names:
        assert_same(alone.read(name), together.read(name))

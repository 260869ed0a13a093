import json
import multiprocessing
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from goodsam.data.cache import PanoramaMasks, SamCache, ignored_runs
from goodsam.data.errors import InputError
from goodsam.data.window_masks import overlap_boundaries
from goodsam.data.windows import Windows

# Of four windows of 6 x 6, as in conftest.
_stack = st.integers(0, 12).flatmap(lambda n: hnp.arrays(bool, (n, 6, 6)))
STACKS = st.tuples(*[_stack] * 4)
BOUNDARIES = st.tuples(*[hnp.arrays(bool, (6, 2))] * 4)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory, made):
    return SamCache.create(tmp_path_factory.mktemp("cache") / "sam.zarr", *made)


@settings(max_examples=40)
@given(STACKS, BOUNDARIES)
def test_records_come_back_bit_for_bit(scratch, record, assert_same, stacks, boundaries):
    masks = record(stacks, boundaries)
    scratch.write("a.jpg", masks)
    assert_same(SamCache.open(scratch.path).read("a.jpg"), masks)


def test_a_new_cache_knows_what_it_is_for(cache, path, identity, images, provenance):
    opened = SamCache.open(path)
    assert opened.identity == identity
    assert opened.images == images
    assert opened.names == opened.missing() == ["a.jpg", "city/b.png", "city/c.png"]
    assert opened.provenance == [provenance]
    assert not opened.done("a.jpg")
    with pytest.raises(InputError, match=r"a\.jpg has no masks yet; run cache-sam again"):
        opened.read("a.jpg")
    with pytest.raises(InputError, match=r"has no image z\.png"):
        opened.read("z.png")


def test_what_is_written_is_done(cache, path, geometry, example, files):
    reader = SamCache.open(path)
    assert not reader.done("city/b.png")
    cache.write("city/b.png", example())
    assert reader.done("city/b.png")  # opened before, and sees it
    assert reader.missing() == ["a.jpg", "city/c.png"]
    info = reader.info()
    expected = {"panoramas": 3, "done": 1, "windows": len(geometry), "path": str(path)}
    assert expected.items() <= info.items()
    assert info["masks"] == sum(map(len, example().windows))
    assert info["bytes"] == sum(map(len, files(path).values()))
    assert info == json.loads(json.dumps(info))


def test_boundaries_of_windows_are_derived_on_reading(
    path, geometry, identity, images, provenance, example, assert_same
):
    identity = replace(identity, boundaries="windows")
    cache = SamCache.create(path, identity, images, provenance)
    masks = example()
    cache.write("a.jpg", PanoramaMasks(masks.windows, ()))
    derived = overlap_boundaries(masks.windows, geometry)
    assert_same(cache.read("a.jpg"), PanoramaMasks(masks.windows, tuple(derived)))


def test_ignored_pixels_make_no_boundary_in_what_is_derived(
    path, geometry, identity, images, provenance, record
):
    ignored = np.zeros((geometry.height, geometry.width), bool)
    ignored[2:] = True
    identity = replace(identity, boundaries="windows", ignored=ignored_runs(ignored))
    cache = SamCache.create(path, identity, images, provenance)
    whole = np.ones((1, geometry.height, geometry.window), bool)
    masks = record([whole & ~part for part in geometry.cut(ignored)], [])
    name = cache.names[0]
    cache.write(name, masks)
    assert not any(map_.any() for map_ in cache.read(name).boundaries)
    assert any(map_.any() for map_ in overlap_boundaries(masks.windows, geometry))


def test_tables_larger_than_a_chunk(tmp_path, identity, images, provenance, assert_same, record):
    geometry = Windows(64, 128, 128, 128)
    identity = replace(identity, windows=geometry)
    cache = SamCache.create(tmp_path / "large.zarr", identity, images, provenance)
    rng = np.random.default_rng(0)
    masks = record([rng.random((400, 64, 128)) < 0.5], [])  # 400 masks x 8,193 cells: 400 kB
    cache.write("a.jpg", masks)
    chunks = [tmp_path / f"large.zarr/tables/c.0.{i}" for i in range(2)]
    assert all(chunk.exists() for chunk in chunks)
    assert_same(cache.read("a.jpg"), masks)
    cache.write("a.jpg", record([np.zeros((0, 64, 128), bool)], []))  # a shorter one leaves nothing
    assert [chunk.exists() for chunk in chunks] == [True, False]


def test_masks_of_another_geometry_are_not_written(cache, example):
    masks = example()
    with pytest.raises(ValueError, match="cells of shape"):
        cache.write("a.jpg", PanoramaMasks(masks.windows[1:], masks.boundaries))
    with pytest.raises(ValueError, match="boundary maps of shapes"):
        cache.write("a.jpg", PanoramaMasks(masks.windows, masks.boundaries[1:]))
    assert not cache.done("a.jpg")


def test_it_can_be_pickled_opened_or_not(full, example, assert_same):
    for cache in (full, SamCache(full.path, "r")):
        for _ in range(2):
            copy = pickle.loads(pickle.dumps(cache))
            assert len(pickle.dumps(cache)) < 1000
            assert_same(copy.read("a.jpg"), example(0))


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and newer
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_it_is_read_in_other_processes(full, method, example, assert_same):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert_same(pool.apply(full.read, ("city/c.png",)), example(2))


def test_no_cache(tmp_path):
    with pytest.raises(InputError, match="no SAM cache here; make one with cache-sam"):
        SamCache.open(tmp_path / "nothing.zarr")
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(tmp_path)

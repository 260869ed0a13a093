from dataclasses import replace

import pytest

from goodsam.data.cache import SamCache, merge_caches
from goodsam.data.errors import InputError


@pytest.fixture
def half(identity, images, example):
    """half(path, names): a cache of some of the images, with their records."""

    def make(path, names, identity=identity, seed=0):
        cache = SamCache.create(
            path, identity, {name: images[name] for name in names}, {"at": seed}
        )
        for name in names:
            cache.write(name, example(seed + sorted(images).index(name)))
        return cache

    return make


def test_caches_are_merged(half, full, tmp_path, images, example, assert_same, files):
    half(tmp_path / "one.zarr", ["a.jpg", "city/b.png"])
    half(tmp_path / "two.zarr", ["city/b.png", "city/c.png"], seed=1).drop("city/c.png")
    half(tmp_path / "three.zarr", ["city/c.png"])
    sources = [tmp_path / f"{name}.zarr" for name in ("one", "two", "three")]
    for _ in range(2):  # the second time nothing is left to do
        assert merge_caches(tmp_path / "all.zarr", sources) == {}
        merged = SamCache.open(tmp_path / "all.zarr")
        assert merged.images == images
        assert merged.provenance == [{"at": 0}, {"at": 1}]
        for seed, name in enumerate(sorted(images)):  # of two records the first
            assert_same(merged.read(name), example(seed))
    records = {p: content for p, content in files(merged.path).items() if p.name != "zarr.json"}
    assert records.items() <= files(full.path).items()


def test_of_two_records_the_whole_one_is_merged_and_a_damaged_one_is_named(
    half, tmp_path, example, assert_same
):
    half(tmp_path / "one.zarr", ["a.jpg", "city/b.png"])
    half(tmp_path / "two.zarr", ["city/b.png"], seed=1)
    for number in (0, 1):
        chunk = tmp_path / f"one.zarr/cells/c.{number}.0.0.0"
        chunk.write_bytes(b"no chunk")
    failed = merge_caches(tmp_path / "all.zarr", [tmp_path / "one.zarr", tmp_path / "two.zarr"])
    assert list(failed) == ["a.jpg"]
    merged = SamCache.open(tmp_path / "all.zarr")
    assert merged.missing() == ["a.jpg"]
    assert_same(merged.read("city/b.png"), example(2))


def test_caches_that_do_not_belong_together_are_not_merged(half, tmp_path, identity):
    one = half(tmp_path / "one.zarr", ["a.jpg"])
    two = half(tmp_path / "two.zarr", ["a.jpg"], replace(identity, fit=True))
    three = SamCache.create(tmp_path / "3.zarr", identity, {"a.jpg": "0" * 64}, {})
    with pytest.raises(InputError, match="fit is True, not False"):
        merge_caches(tmp_path / "all.zarr", [one.path, two.path])
    with pytest.raises(InputError, match=r"a\.jpg: not the image"):
        merge_caches(tmp_path / "all.zarr", [one.path, three.path])
    assert not (tmp_path / "all.zarr").exists()

"""A cache as one file: the same again when it is unpacked, or nothing."""

from __future__ import annotations

import json
import shutil

import google_crc32c
import h5py
import numpy as np
import pytest
import zarr

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows

GEOMETRY = Windows(height=6, width=16, window=6, stride=4)
IMAGES = {name: name[0] * 64 for name in ("a.png", "city/b.png", "city/c.png", "d.png")}
KINDS = (".zip", ".h5", ".hdf5")


def masks_of(seed):
    rng = np.random.default_rng(seed)
    windows = []
    for _ in GEOMETRY.starts:
        count = rng.integers(5)
        stack = rng.random((count, GEOMETRY.height, GEOMETRY.window)) < 0.5
        windows.append(WindowMasks.of(stack, rng.random(count), rng.random(count)))
    shapes = [(GEOMETRY.height, overlap.width) for overlap in GEOMETRY.overlaps]
    return PanoramaMasks(tuple(windows), tuple(rng.random(shape) < 0.5 for shape in shapes))


@pytest.fixture(params=["overlap", "windows"])
def cache(request, tmp_path):
    """A cache of four images of which one is not done and one was added later."""
    identity = Identity("5" * 64, {"points_per_side": 32}, request.param, GEOMETRY, False)
    first = dict(list(IMAGES.items())[1:])
    SamCache.create(tmp_path / "c.zarr", identity, first, {"device": "cpu"})
    cache = SamCache.create_or_resume(tmp_path / "c.zarr", identity, IMAGES, {"device": "cuda"})
    for seed, name in enumerate(IMAGES):
        if name != "city/c.png":
            cache.write(name, masks_of(seed))
    return cache


def files(path):
    found = (p for p in path.rglob("*") if p.is_file() and p.name != ".lock")
    return {p.relative_to(path).as_posix(): p.read_bytes() for p in found}


@pytest.mark.parametrize("kind", KINDS)
def test_the_round_trip_is_identical(cache, tmp_path, kind):
    archive = tmp_path / f"c{kind}"
    pack(cache, archive)
    unpack(archive, tmp_path / "again.zarr")
    assert files(tmp_path / "again.zarr") == files(cache.path)
    assert cache.names == ["city/b.png", "city/c.png", "d.png", "a.png"]  # as they were appended
    pack(SamCache.open(tmp_path / "again.zarr"), tmp_path / f"twice{kind}")
    assert (tmp_path / f"twice{kind}").read_bytes() == archive.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["again.zarr", f"c{kind}", "c.zarr", f"twice{kind}"]
    )


def test_half_a_record_is_not_packed(cache, tmp_path):
    cache.write("city/c.png", masks_of(9))
    (cache.path / "index/c.1.0").unlink()  # as when the writer was killed just before its flag
    for kind in (".zip", ".h5"):
        pack(cache, tmp_path / f"c{kind}")
        unpack(tmp_path / f"c{kind}", tmp_path / f"c{kind}.zarr")
        assert SamCache.open(tmp_path / f"c{kind}.zarr").missing() == ["city/c.png"]
        assert not (tmp_path / f"c{kind}.zarr/cells/c.1.0.0.0").exists()


def test_h5py_alone_reads_it(cache, tmp_path):
    """By the document, with nothing of ours."""
    pack(cache, tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5") as file:
        attributes = json.loads(file["metadata"][:].tobytes())["attributes"]
        assert dict(attributes["images"]) == IMAGES
        end = 0
        for number, (name, _) in enumerate(attributes["images"]):
            done, masks, length, cells_crc32c, tables_crc32c = map(int, file["index"][number])
            first, end = end, end + length
            if not done:
                assert name == "city/c.png"
                continue
            cells, tables = file["cells"][number], file["tables"][first:end]
            assert google_crc32c.value(cells.tobytes()) == cells_crc32c
            assert google_crc32c.value(tables.tobytes()) == tables_crc32c
            at = 8 * len(cells) + 28 * masks
            sizes = tables[: 8 * len(cells)].view("<u4").reshape(-1, 2).tolist()
            for window, map_, (m, k) in zip(cache.read(name).windows, cells, sizes, strict=True):
                rows = tables[at : at + k * -(-m // 8)].reshape(k, -1)
                at += rows.size
                incidence = np.unpackbits(rows, axis=1, count=m).astype(bool).T
                np.testing.assert_array_equal(incidence[:, map_], window.masks())
        assert end == len(file["tables"])


def test_zarr_alone_and_every_reader_reads_the_zip(cache, tmp_path):
    pack(cache, tmp_path / "c.zip")
    with zarr.storage.ZipStore(tmp_path / "c.zip", mode="r") as store:
        group = zarr.open_group(store, mode="r")
        expected = np.stack([window.cells for window in cache.read("d.png").windows])
        np.testing.assert_array_equal(group["cells"][2], expected)
    packed = SamCache.open(tmp_path / "c.zip")
    assert packed.damaged() == {}
    assert packed.missing() == ["city/c.png"]
    with pytest.raises(InputError, match="to be read only"):
        SamCache.open(tmp_path / "c.zip", "r+").drop("a.png")


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_cache_is_not_packed(cache, tmp_path, kind):
    chunk = cache.path / "cells/c.2.0.0.0"
    chunk.write_bytes(chunk.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"the record of d\.png is damaged"):
        pack(SamCache.open(cache.path), tmp_path / f"c{kind}")
    assert [p.name for p in tmp_path.iterdir()] == ["c.zarr"]


@pytest.mark.parametrize("kind", [".zip", ".h5"])
def test_any_damage_is_found_and_leaves_nothing(cache, tmp_path, kind):
    archive = tmp_path / f"c{kind}"
    pack(cache, archive)
    good = archive.read_bytes()
    rng = np.random.default_rng(0)
    cut = [good[: len(good) * part // 8] for part in range(8)]
    for bad in cut:
        archive.write_bytes(bad)
        with pytest.raises(InputError, match=str(archive)):
            unpack(archive, tmp_path / "out.zarr")
    refused = 0
    for _ in range(50):  # much of an HDF5 file is padding, and of a zip what nobody reads
        flipped = bytearray(good)
        flipped[rng.integers(len(good))] ^= 1 << rng.integers(8)
        archive.write_bytes(flipped)
        try:
            unpack(archive, tmp_path / "out.zarr")
        except InputError:
            refused += 1
            assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["c.zarr", archive.name])
        else:  # then nothing of it was harmed
            assert files(tmp_path / "out.zarr") == files(cache.path)
            shutil.rmtree(tmp_path / "out.zarr")
    assert refused > 5


def test_what_is_there_stays(cache, tmp_path):
    pack(cache, tmp_path / "c.zip")
    before = (tmp_path / "c.zip").read_bytes()
    with pytest.raises(InputError, match="exists"):
        pack(cache, tmp_path / "c.zip")
    with pytest.raises(InputError, match="exists"):
        unpack(tmp_path / "c.zip", cache.path)
    with pytest.raises(InputError, match=r"NAME\.h5"):
        pack(cache, tmp_path / "c.tar")
    with pytest.raises(InputError, match="no such file"):
        unpack(tmp_path / "d.zip", tmp_path / "d.zarr")
    assert (tmp_path / "c.zip").read_bytes() == before


def test_a_cache_without_records_is_not_packed(tmp_path):
    identity = Identity("5" * 64, {}, "windows", GEOMETRY, False)
    empty = SamCache.create(tmp_path / "c.zarr", identity, IMAGES, {})
    with pytest.raises(InputError, match="no finished panorama"):
        pack(empty, tmp_path / "c.zip")

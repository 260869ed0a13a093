"""A small cache, what makes it, and what the tests of this room do with one."""

from __future__ import annotations

import pickle
import resource
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows


@pytest.fixture(scope="session")
def geometry():
    return Windows(height=6, width=16, window=6, stride=4)


@pytest.fixture(scope="session")
def identity(geometry):
    return Identity(
        sam="5" * 64,
        settings={"points_per_side": 32, "pred_iou_thresh": 0.88},
        boundaries="overlap",
        windows=geometry,
        fit=False,
    )


@pytest.fixture(scope="session")
def images():
    return {"city/b.png": "b" * 64, "a.jpg": "a" * 64, "city/c.png": "c" * 64}


@pytest.fixture(scope="session")
def provenance():
    return {"device": "cpu"}


@pytest.fixture(scope="session")
def made(identity, images, provenance):
    """What `SamCache.create` is given after the path."""
    return identity, images, provenance


@pytest.fixture(scope="session")
def record():
    """record(stacks, boundaries): bool (M, H, window) of each window, bool maps of each overlap."""

    def of(stacks, boundaries):
        windows = tuple(
            WindowMasks.of(masks, np.linspace(0, 1, len(masks)), np.linspace(1, 0, len(masks)))
            for masks in stacks
        )
        return PanoramaMasks(windows, tuple(boundaries))

    return of


@pytest.fixture(scope="session")
def example(geometry, record):
    """example(seed): a record of the geometry, another one for each seed."""

    def of(seed=0):
        rng = np.random.default_rng(seed)
        shape = (geometry.height, geometry.window)
        stacks = [rng.random((rng.integers(5), *shape)) < 0.6 for _ in geometry.starts]
        shapes = [(geometry.height, overlap.width) for overlap in geometry.overlaps]
        return record(stacks, [rng.random(shape) < 0.5 for shape in shapes])

    return of


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sam.zarr"


@pytest.fixture
def cache(path, made):
    """Without records."""
    return SamCache.create(path, *made)


@pytest.fixture
def full(cache, example):
    """With all its records: example(0), example(1), ... in the order of its names."""
    for seed, name in enumerate(cache.names):
        cache.write(name, example(seed))
    return cache


@pytest.fixture(scope="session")
def assert_same():
    """assert_same(a, b): two records hold the same, bit for bit."""

    def assert_them(a, b):
        assert len(a.windows) == len(b.windows)
        for x, y in zip(a.windows, b.windows, strict=True):
            for column in fields(WindowMasks):
                one, other = getattr(x, column.name), getattr(y, column.name)
                assert one.dtype == other.dtype
                np.testing.assert_array_equal(one, other)
        assert len(a.boundaries) == len(b.boundaries)
        for one, other in zip(a.boundaries, b.boundaries, strict=True):
            assert one.dtype == other.dtype == bool
            np.testing.assert_array_equal(one, other)

    return assert_them


@pytest.fixture(scope="session")
def files():
    """files(path): all files of a cache that hold data, with their bytes."""

    def of(path):
        found = (p for p in path.rglob("*") if p.is_file() and p.name != ".lock")
        return {p.relative_to(path): p.read_bytes() for p in found}

    return of


# What attacks need


class Canary:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture
def target(tmp_path, identity, example):
    """A sound cache with two records, beside files that are none of its business.

    secret.txt may not be read. canary.pickle: unpickled, it makes a file `ran`, where it may not.
    """
    (tmp_path / "secret.txt").write_text("not yours\n" * 100)
    (tmp_path / "canary.pickle").write_bytes(pickle.dumps(Canary(tmp_path / "ran")))
    cache = SamCache.create(
        tmp_path / "c.zarr", identity, {"a.png": "a" * 64, "b.png": "b" * 64}, {}
    )
    for name in cache.names:
        cache.write(name, example())
    return cache.path


@pytest.fixture(scope="session")
def little_memory():
    """little_memory(): the address space that the process has, and 1 GiB more.

    docs/CACHE_FORMAT.md states the bound.
    """

    @contextmanager
    def limited():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limits = resource.getrlimit(resource.RLIMIT_AS)
        most = pages * resource.getpagesize() + 2**30
        resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, limits)

    return limited


@pytest.fixture(scope="session")
def beside():
    """beside(target): everything below the folder of the target but the target."""

    def of(target):
        found = {}
        for path in target.parent.rglob("*"):
            if target not in (path, *path.parents):
                found[path] = path.lstat().st_mtime_ns if path.is_file() else None
        return found

    return of

"""Reading from elsewhere: over HTTP on the loopback interface, and by other protocols of fsspec."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from goodsam.data.cache import Identity, PanoramaMasks, SamCache, merge_caches, writing
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.places import place_of
from goodsam.data.errors import InputError
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows

GEOMETRY = Windows(height=6, width=16, window=6, stride=4)
IMAGES = {"a.png": "a" * 64, "city/b.png": "b" * 64, "city/c.png": "c" * 64}


@pytest.fixture
def local(tmp_path):
    """Three images, two of them done."""
    identity = Identity("5" * 64, {}, "windows", GEOMETRY, False)
    cache = SamCache.create(tmp_path / "c.zarr", identity, IMAGES, {})
    rng = np.random.default_rng(0)
    for name in list(IMAGES)[:2]:
        stacks = rng.random((len(GEOMETRY), 3, 6, 6)) < 0.5
        windows = tuple(WindowMasks.of(stack, np.ones(3), np.ones(3)) for stack in stacks)
        cache.write(name, PanoramaMasks(windows, ()))
    return cache


@pytest.fixture
def remote(local, serve):
    """(URL of the cache, server)"""
    url, server = serve(local.path.parent)
    return f"{url}/c.zarr", server


def masks(cache, name):
    return np.concatenate([window.masks() for window in cache.read(name).windows])


def test_it_is_read_over_http(local, remote, tmp_path):
    url, server = remote
    cache = SamCache.open(url)
    assert cache.identity == local.identity
    assert cache.missing() == ["city/c.png"]
    assert cache.verify() == []
    assert {**local.info(), "path": url, "bytes": None} == cache.info()
    for name in list(IMAGES)[:2]:
        np.testing.assert_array_equal(masks(cache, name), masks(local, name))
    server.requests.clear()
    cache.read("a.png")
    assert len(server.requests) == 2  # cells and tables: what the index says is known by now
    pack(cache, tmp_path / "c.h5")
    unpack(tmp_path / "c.h5", tmp_path / "again.zarr")
    assert merge_caches(tmp_path / "merged.zarr", [url, tmp_path / "again.zarr"]) == {}
    np.testing.assert_array_equal(
        masks(SamCache.open(tmp_path / "merged.zarr"), "a.png"), masks(local, "a.png")
    )


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12 and newer
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_it_is_read_over_http_in_other_processes(local, remote, method):
    cache = SamCache.open(remote[0])
    np.testing.assert_array_equal(masks(cache, "a.png"), masks(local, "a.png"))
    with multiprocessing.get_context(method).Pool(1) as pool:
        found = pool.apply(masks, (cache, "city/b.png"))
    np.testing.assert_array_equal(found, masks(local, "city/b.png"))


@pytest.mark.attack("HTTP")
@pytest.mark.parametrize("fault", ["cut", "short", "endless", "refused"])
@pytest.mark.parametrize(
    "broken", ["/zarr.json", "cells/zarr.json", "cells/c.0.0.0.0", "tables/c.0.0", "index/c.0.0"]
)
def test_a_transfer_that_fails_is_an_error(remote, fault, broken):
    url, server = remote
    server.fault, server.broken = fault, broken
    with pytest.raises(InputError, match=url):
        SamCache.open(url).read("a.png")
    if not broken.endswith("zarr.json"):
        assert list(SamCache.open(url).damaged()) == ["a.png"]
    if broken.startswith("index"):  # not taken for one that is not done
        with pytest.raises(InputError, match=url):
            SamCache.open(url).missing()


def test_no_cache_and_no_server(remote):
    url, server = remote
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(url + "x")
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:9/"):
        SamCache.open("http://127.0.0.1:9/c.zarr")
    with pytest.raises(InputError, match="nonsense"):
        SamCache.open("nonsense://c.zarr")
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=url):
        SamCache.open(url)


def test_nothing_is_written_elsewhere(remote):
    url, _ = remote
    with pytest.raises(InputError, match="to be read only"):
        SamCache.open(url, "r+").drop("a.png")
    with pytest.raises(InputError, match="not in a zip or at a URL"), writing(url):
        pass


def test_other_protocols(local, tmp_path):
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.put(str(local.path), "/somewhere.zarr", recursive=True)
    pack(local, tmp_path / "c.zip")
    for url in (
        "memory://somewhere.zarr",
        f"file://{local.path}",
        f"zip://::{tmp_path / 'c.zip'}",
    ):
        np.testing.assert_array_equal(masks(SamCache.open(url), "a.png"), masks(local, "a.png"))
    assert place_of("memory://somewhere.zarr").read("nothing", 10) is None
    memory.rm("/somewhere.zarr", recursive=True)

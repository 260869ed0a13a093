"""The most that a stranger's cache can make any command take: 1 GiB, and no endless time.

Each command is tried with the address space held to what the process has and 1 GiB more, on texts
that stand for more than they are long, and on the largest records that a geometry may have.
"""

from __future__ import annotations

import json
import shutil
import zipfile

import h5py
import numpy as np
import pytest

from goodsam.data.cache import Identity, SamCache, bounds, merge_caches
from goodsam.data.cache import format as cache_format
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.metadata import json_crc32c
from goodsam.data.cache.places import zip_statement
from goodsam.data.errors import InputError
from goodsam.data.windows import Windows
from goodsam.pipeline.report.cache_view import view

pytestmark = pytest.mark.attack("caches")

MOST = bounds.MAX_METADATA
NESTED = 40  # lists in one another, many times: less than Python's own limit of depth


def of_attributes(text):
    return b'{"zarr_format": 3, "node_type": "group", "attributes": ' + text + b"}"


TEXTS = {
    "lists": of_attributes(b"[" + b"[]," * (MOST // 3 - 40) + b"[]]"),
    "nested lists": of_attributes(
        b"[" + (b"[" * NESTED + b"]" * NESTED + b",") * (MOST // (2 * NESTED + 1) - 2) + b"0]"
    ),
    "without bottom": b"[" * MOST,
    "objects": of_attributes(b"[" + b"{}," * (MOST // 3 - 40) + b"{}]"),
    "numbers": of_attributes(b"[" + b"1," * (MOST // 2 - 40) + b"1]"),
    "floats": of_attributes(b"[" + b".5," * (MOST // 3 - 40) + b".5]"),
    "keys": b"{" + b",".join(b'"%d":0' % i for i in range(10**6)) + b"}",
    "escapes": of_attributes(b'"' + rb"\u0041" * (MOST // 6 - 20) + b'"'),
    "a string without end": b'{"attributes": "' + b"\\" * (MOST - 20),
    "strings": of_attributes(b"[" + b'"",' * (MOST // 3 - 40) + b'""]'),
    "a number": b"9" * MOST,
}


def in_a_folder(target, content):
    (target / "zarr.json").write_bytes(content)
    return target


def in_a_zip(target, content):
    out = target.with_suffix(".zip")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zarr.json", content)
        file.comment = zip_statement(["zarr.json"])
    return out


def in_an_hdf5(target, content):
    out = target.with_suffix(".h5")
    with h5py.File(out, "w") as file:
        file.create_dataset("metadata", data=np.frombuffer(content, np.uint8))
    return out


def opened(path, tmp_path):
    SamCache.open(path)


def unpacked(path, tmp_path):
    unpack(path, tmp_path / "new.zarr")


def merged(path, tmp_path):
    merge_caches(tmp_path / "new.zarr", [path])


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    ("place", "use"),
    [
        (in_a_folder, opened),
        (in_a_folder, merged),
        (in_a_zip, opened),
        (in_a_zip, unpacked),
        (in_an_hdf5, unpacked),
    ],
)
def test_texts_that_stand_for_more_than_they_are_long(
    target, tmp_path, little_memory, place, use, text
):
    assert len(TEXTS[text]) <= MOST
    path = place(target, TEXTS[text])
    with little_memory(), pytest.raises(InputError, match=str(path)):
        use(path, tmp_path)
    assert not (tmp_path / "new.zarr").exists()


@pytest.mark.timeout(30)
def test_a_merge_of_endless_provenance_ends(target, tmp_path, little_memory):
    group = json.loads((target / "zarr.json").read_text())
    attributes = group["attributes"]
    del attributes["crc32c"]
    for count, refused in ((bounds.MAX_PROVENANCE, False), (400_000, True)):
        attributes["provenance"] = [{"n": n} for n in range(count)]
        sealed = {**attributes, "crc32c": json_crc32c(attributes)}
        (target / "zarr.json").write_text(json.dumps({**group, "attributes": sealed}))
        out = tmp_path / f"{count}.zarr"
        with little_memory():
            if refused:
                with pytest.raises(InputError, match=str(target)):
                    merge_caches(out, [target])
            else:
                assert merge_caches(out, [target]) == {}


# The largest records: windows of all proportions, boundary maps stored and derived

LARGEST = {
    "one window": (Windows(8192, 8192, 8192, 8192), 2**12),
    "two that overlap": (Windows(4096, 8192, 8192, 4096), 2**11),
    "many that overlap": (Windows(512, 4096, 1024, 32), 64),
    "the most": (Windows(16, 4096, 1024, 1), 8),  # 8: no bits to spare, which are not kept
    "narrow and high": (Windows(2**20, 8, 8, 1), 64),
}


def largest(path, windows, masks, boundaries):
    """A cache of one record, as large as the format lets it be."""
    n = len(windows)
    overlaps = windows.overlaps if boundaries == "overlap" else []
    bits = sum(-(-windows.height * overlap.width // 8) for overlap in overlaps)
    room = bounds.MAX_TABLES - 8 * n - 28 * masks * n - bits
    cells = min(2**16, bounds.MAX_INCIDENCE // (masks * n), room // (n * -(-masks // 8)))
    maps = np.arange(n * windows.height * windows.window, dtype=np.uint32) % cells
    maps = maps.astype(np.uint16).reshape(n, windows.height, windows.window)
    head = np.tile(np.array([masks, cells], "<u4"), n).view(np.uint8)
    body = np.full(n * cells * -(-masks // 8) + bits, 0xA5, np.uint8)
    tables = np.concatenate([head, np.zeros(28 * masks * n, np.uint8), body])
    assert len(tables) <= bounds.MAX_TABLES
    identity = Identity("5" * 64, {}, boundaries, windows, False)
    cache = SamCache.create(path, identity, {"a.png": "a" * 64}, {})
    row = (1, masks * n, len(tables), cache_format.crc32c(maps), cache_format.crc32c(tables))
    (path / "cells/c.0.0.0.0").write_bytes(cache_format.pack_chunk(maps))
    for number in range(-(-len(tables) // bounds.TABLES_CHUNK)):
        chunk = np.zeros(bounds.TABLES_CHUNK, np.uint8)
        part = tables[number * bounds.TABLES_CHUNK :][: bounds.TABLES_CHUNK]
        chunk[: len(part)] = part
        (path / f"tables/c.0.{number}").write_bytes(cache_format.pack_chunk(chunk))
    (path / "index/c.0.0").write_bytes(cache_format.pack_chunk(np.array(row, np.uint32)))
    return cache


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("boundaries", ["windows", "overlap"])
@pytest.mark.parametrize("kind", LARGEST)
def test_every_command_keeps_to_the_bound(tmp_path, little_memory, tries, kind, boundaries):
    windows, masks = LARGEST[kind]
    cache = largest(tmp_path / "c.zarr", windows, masks, boundaries)
    uses = {
        "info": lambda: SamCache.open(cache.path).info(),
        "read, for train and label": lambda: SamCache.open(cache.path).read("a.png"),
        "cache-sam, resumed": lambda: SamCache.create_or_resume(
            cache.path, cache.identity, cache.images, {"again": True}
        ),
        "verify": lambda: cache.verify(),
        "view": lambda: view(SamCache.open(cache.path), tmp_path / "view"),
        "merge": lambda: merge_caches(tmp_path / "merged.zarr", [cache.path]),
        "pack": lambda: pack(SamCache.open(cache.path), tmp_path / "c.zip"),
        "pack to HDF5": lambda: pack(SamCache.open(cache.path), tmp_path / "c.h5"),
        "unpack": lambda: unpack(tmp_path / "c.zip", tmp_path / "one.zarr"),
        "unpack of HDF5": lambda: unpack(tmp_path / "c.h5", tmp_path / "other.zarr"),
    }
    tries(len(uses))
    for name, use in uses.items():
        with little_memory():
            try:
                use()
            except MemoryError:
                pytest.fail(f"{name}: more than the bound")
    for out in ("merged.zarr", "one.zarr", "other.zarr"):
        assert (tmp_path / out / "index/c.0.0").read_bytes() == (
            cache.path / "index/c.0.0"
        ).read_bytes()
        shutil.rmtree(tmp_path / out)

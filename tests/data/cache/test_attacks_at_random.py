"""Bytes changed at random in everything that a stranger hands over: it is found, or harmless.

Records, archives and metadata; as many cases as stated, the same ones each time. What is read
without an error is what was written, and nothing but an InputError comes out.
"""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from goodsam.data.cache import SamCache
from goodsam.data.cache.archive import pack, unpack
from goodsam.data.cache.metadata import json_crc32c
from goodsam.data.errors import InputError

pytestmark = pytest.mark.attack("fuzz")

CASES = 300
fuzzed = settings(
    max_examples=CASES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
changes = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert", "repeat"]), st.floats(0, 1), st.binary()),
    min_size=1,
    max_size=4,
)


def changed(content: bytes, edits) -> bytes:
    """Bytes set, cut out, put in, or repeated, at parts of the length."""
    for kind, part, new in edits:
        at = min(int(part * len(content)), len(content))
        rest = {
            "set": content[at + len(new) :],
            "cut": content[at + len(new) + 1 :],
            "insert": content[at:],
            "repeat": content[at // 2 :],
        }[kind]
        content = content[:at] + (b"" if kind == "cut" else new) + rest
    return content


def same(cache: SamCache, whole: SamCache, assert_same) -> None:
    """Every record that is read is the one that was written."""
    for name in whole.names:
        with contextlib.suppress(InputError):
            assert_same(cache.read(name), whole.read(name))


@pytest.mark.parametrize("key", ["cells/c.0.0.0.0", "tables/c.0.0", "index/c.0.0"])
def test_records(full, assert_same, tries, key):
    tries(CASES)
    path = full.path / key
    content = path.read_bytes()
    whole = full.read("a.jpg")

    @fuzzed
    @given(changes)
    def attack(edits):
        path.write_bytes(changed(content, edits))
        with contextlib.suppress(InputError):
            assert_same(SamCache.open(full.path).read("a.jpg"), whole)

    attack()


@pytest.mark.parametrize("key", ["zarr.json", "cells/zarr.json", "index/zarr.json"])
def test_metadata(full, assert_same, tries, key):
    tries(CASES)
    path, group = full.path / key, (full.path / "zarr.json").read_bytes()
    content = path.read_bytes()

    @fuzzed
    @given(changes)
    def attack(edits):
        path.write_bytes(changed(content, edits))
        with contextlib.suppress(InputError):
            cache = SamCache.open(full.path)
            assert cache.identity == full.identity
            assert cache.images == full.images

    attack()
    assert key == "zarr.json" or (full.path / "zarr.json").read_bytes() == group


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def test_attributes_whose_checksum_is_right(full, tries):
    """Any JSON in the place of any of the attributes, from one who knows the format."""
    tries(CASES)
    path = full.path / "zarr.json"
    group = json.loads(path.read_text())
    attributes = group["attributes"]
    del attributes["crc32c"]
    places = [(key,) for key in attributes]
    places += [("identity", key) for key in attributes["identity"]]
    places += [("identity", "windows", key) for key in attributes["identity"]["windows"]]

    @fuzzed
    @given(st.sampled_from(places), values)
    def attack(place, value):
        changed = json.loads(json.dumps(attributes))
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value
        sealed = {**changed, "crc32c": json_crc32c(changed)}
        path.write_text(json.dumps({**group, "attributes": sealed}))
        with contextlib.suppress(InputError):
            cache = SamCache.open(full.path)
            cache.info()
            cache.verify()

    attack()


@pytest.mark.parametrize("kind", [".zip", ".h5"])
def test_archives(full, tmp_path, assert_same, tries, kind):
    tries(CASES)
    path = tmp_path / f"c{kind}"
    pack(full, path)
    content, count = path.read_bytes(), iter(range(10**6))

    @fuzzed
    @given(changes)
    def attack(edits):
        path.write_bytes(changed(content, edits))
        if kind == ".zip":
            with contextlib.suppress(InputError):
                same(SamCache.open(path), full, assert_same)
        out = tmp_path / f"{next(count)}.zarr"
        with contextlib.suppress(InputError):
            unpack(path, out)
            assert SamCache.open(out).missing() == []
            same(SamCache.open(out), full, assert_same)

    attack()
    assert not list(tmp_path.glob(".*.writing"))

"""A server that breaks off, answers nonsense or falls silent: tried again, and given up in time."""

from __future__ import annotations

import io
import re
from contextlib import contextmanager

import pytest

from goodsam.data.cache import SamCache, address
from goodsam.data.errors import InputError

pytestmark = pytest.mark.attack("HTTP")

FILES = ("sam.zarr/zarr.json", "cells/zarr.json", "cells/c.0.0.0.0", "tables/c.0.0", "index/c.0.0")


@pytest.fixture
def remote(full, serve, monkeypatch):
    """(URL of a cache, its server): asked again at once, and given up after half a second."""
    monkeypatch.setattr(address, "PAUSE", 0.001)
    monkeypatch.setenv(address.SILENCE, "0.5")
    url, server = serve(full.path.parent)
    return f"{url}/{full.path.name}", server


@pytest.mark.timeout(60)
@pytest.mark.parametrize("broken", FILES)
def test_a_server_that_falls_silent_is_given_up(remote, broken):
    url, server = remote
    server.fault, server.broken = "silent", broken
    with pytest.raises(InputError, match=re.escape(url)):
        SamCache.open(url).read("a.jpg")
    asked = [path for path in server.requests if path.endswith(broken)]
    assert len(asked) == 1 + address.RETRIES


@pytest.mark.parametrize("broken", FILES)
def test_a_transfer_that_breaks_off_goes_on_where_it_did(remote, full, assert_same, broken):
    url, server = remote
    server.fault, server.broken = "stutter", broken
    assert_same(SamCache.open(url).read("a.jpg"), full.read("a.jpg"))
    assert len([path for path in server.requests if path.endswith(broken)]) == 3


class Cut(io.BytesIO):
    """A file that breaks off after seven bytes."""

    def read(self, count=-1):
        if self.tell():
            raise OSError("broken off")
        return super().read(7)


def test_a_server_that_knows_no_ranges_begins_anew(remote, full, assert_same, monkeypatch):
    """What was read before is not read twice into the file."""
    url, _ = remote
    open_ = address.Address._open

    @contextmanager
    def interrupted(place, key, first):
        with open_(place, key, first) as file:
            yield file if first else Cut(file.read())

    monkeypatch.setattr(address.Address, "_open", interrupted)
    assert_same(SamCache.open(url).read("a.jpg"), full.read("a.jpg"))


@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "soon", "1e9"])
def test_how_long_is_a_number_of_seconds(remote, monkeypatch, text):
    monkeypatch.setenv(address.SILENCE, text)
    with pytest.raises(InputError, match=f"{address.SILENCE}={text}: give seconds"):
        SamCache.open(remote[0])


def test_what_is_not_there_is_not_asked_for_again(remote):
    url, server = remote
    with pytest.raises(InputError, match="no SAM cache here"):
        SamCache.open(url + "x")
    assert len(server.requests) == 1

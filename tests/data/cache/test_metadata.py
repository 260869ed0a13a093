"""What a stranger's cache says of itself is checked, though its checksums be right."""

import json

import google_crc32c
import numpy as np
import pytest
import zarr

from goodsam.data.cache import SamCache
from goodsam.data.cache.metadata import json_crc32c
from goodsam.data.errors import InputError

PIXELS = 6 * 16  # of a panorama, as in conftest
HUGE = {"height": 2**20, "width": 2**20, "window": 2**20, "stride": 2**20}


def edit(path, change):
    """As a stranger would who knows the format: with a checksum that is right."""
    values = json.loads(path.read_text())
    change(values)
    attributes = values["attributes"]
    if attributes.pop("crc32c", None) is not None:
        attributes["crc32c"] = json_crc32c(attributes)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a.update(format="another"),
        lambda a: a.update(surplus=1),
        lambda a: a.pop("identity"),
        lambda a: a["identity"].update(format_version=2),
        lambda a: a["identity"].update(boundaries="both"),
        lambda a: a["identity"].update(surplus=1),
        lambda a: a["identity"].update(settings=[1]),
        lambda a: a["identity"].update(ignored=[2**62]),
        lambda a: a["identity"].update(ignored=[-8, 8 + PIXELS]),
        lambda a: a["identity"].update(ignored=[float(PIXELS)]),
        lambda a: a["identity"].pop("ignored"),
        lambda a: a["identity"]["windows"].update(HUGE),
        lambda a: a["identity"]["windows"].update(width=2**40, stride=1),
        lambda a: a["identity"]["windows"].update(window="6"),
        lambda a: a["identity"]["windows"].update(stride=0),
        lambda a: a["identity"]["windows"].update(stride=2),
        lambda a: a.update(images=[["../../etc/passwd", "a" * 64]]),
        lambda a: a.update(images=[["/etc/passwd", "a" * 64]]),
        lambda a: a.update(images=[["a.png", "a" * 64]] * 2),
        lambda a: a.update(images=[[".", "a" * 64]]),
        lambda a: a.update(images=[["", "a" * 64]]),
        lambda a: a.update(images=[["a\0b.png", "a" * 64]]),
        lambda a: a.update(images=[[str(i), "a" * 64] for i in range(100_001)]),
        lambda a: a.update(images=[["a.png", "short"]]),
        lambda a: a.update(images=7),
        lambda a: a.update(provenance="none"),
    ],
)
def test_a_strangers_attributes_are_checked(full, change):
    edit(full.path / "zarr.json", lambda group: change(group["attributes"]))
    with pytest.raises(InputError, match=str(full.path)):
        SamCache.open(full.path)


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a["shape"].__setitem__(1, 2**40),
        lambda a: a["shape"].__setitem__(0, 2**40),
        lambda a: a["chunk_grid"]["configuration"].update(chunk_shape=[2**10] * 4),
        lambda a: a.update(data_type="float64"),
        lambda a: a.update(fill_value=1),
        lambda a: a.update(codecs=a["codecs"][:1]),
        lambda a: a.update(codecs=[{"name": "pickle"}]),
        lambda a: a.update(node_type="group"),
    ],
)
def test_a_strangers_arrays_are_checked(full, change):
    edit(full.path / "cells" / "zarr.json", change)
    with pytest.raises(InputError, match=str(full.path)):
        SamCache.open(full.path)


def test_tables_that_do_not_add_up_are_refused_even_with_good_checksums(full, geometry):
    """What a stranger's program may write: sizes that claim more than there is."""
    group = zarr.open_group(full.path, mode="r+")
    arrays = {name: group[name] for name in ("tables", "index")}
    row = np.asarray(arrays["index"][0])
    tables = np.asarray(arrays["tables"][0, : row[2]])
    for claim in (2**32 - 1, 0, 7):
        for place in (0, 1):
            bad = tables.copy()
            bad[: 8 * len(geometry)].view("<u4")[place] = claim
            arrays["tables"][0, : len(bad)] = bad
            arrays["index"][0] = [*row[:4], google_crc32c.value(bad)]
            with pytest.raises(InputError, match=r"the record of a\.jpg is damaged"):
                SamCache.open(full.path).read("a.jpg")

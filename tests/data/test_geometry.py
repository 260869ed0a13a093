"""A run's geometry: it is read back as it was written, within the bounds of a cache."""

from __future__ import annotations

import json

import numpy as np
import pytest

from goodsam.data.cache import Identity, ignored_runs
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.windows import Windows

IGNORED = np.zeros((32, 128), bool)
IGNORED[28:] = True
GEOMETRY = Geometry(Windows(32, 128, 32, 16, wrap=False), True, ignored_runs(IGNORED))


def test_it_is_read_back_as_it_was():
    back = Geometry.from_json(json.loads(json.dumps(GEOMETRY.to_json())))
    assert back == GEOMETRY
    assert back.ignored_mask is not None
    assert (back.ignored_mask == IGNORED).all()
    assert Geometry(Windows.of(32, 128)).ignored_mask is None


def test_it_is_that_of_the_cache():
    identity = Identity("0" * 64, {}, "overlap", GEOMETRY.windows, True, GEOMETRY.ignored)
    assert identity.geometry == GEOMETRY


def test_it_says_what_one_would_type():
    assert str(GEOMETRY) == (
        "panoramas of 128 x 32, --fit --height 32, --window 32 --stride 16, --no-wrap, "
        "--ignore-mask (12.5 % of the pixels)"
    )
    assert str(Geometry(Windows.of(32, 128))) == "panoramas of 128 x 32, --window 32 --stride 16"


@pytest.mark.parametrize(
    "change",
    [
        {"fit": "yes"},
        {"windows": None},
        {"windows": {"height": 32}},
        {"windows": {**GEOMETRY.to_json()["windows"], "width": 10**12, "wrap": True}},
        {"ignored": [1, 2, 3]},
        {"ignored": [-1, 32 * 128 + 1]},
        {"ignored": 5},
    ],
)
def test_what_is_no_geometry(change):
    with pytest.raises(InputError):
        Geometry.from_json({**GEOMETRY.to_json(), **change})

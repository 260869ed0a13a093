"""The bench of the cache: every format keeps the same masks, and the bars on bytes hold."""

from __future__ import annotations

import numpy as np
import pytest

from goodsam.data.window_masks import WindowMasks
from goodsam.pipeline.studies.bench.cache import FORMATS, cache_table, measure, near_duplicates

pytest.importorskip("pycocotools")
# pycocotools' own, with numpy 2
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_what_is_measured_is_what_was_asked():
    """`measure` itself holds what each format gives back against the masks."""
    none = WindowMasks.of(np.zeros((0, 60, 84), bool), np.zeros(0), np.zeros(0))
    found = measure([near_duplicates(0, 60, 84), none], repeats=1)
    for key in ("bytes", "write_ms", "load_ms"):
        assert found[key].keys() == set(FORMATS)
        assert min(found[key].values()) > 0
    assert found["bytes_of_json"] == found["bytes"]["ours"] / found["bytes"]["sa1b_json"]
    assert found["masks"] == 240
    text = cache_table({**found, "instances": found, "near_duplicates": found})
    assert text.count("packbits") == 3


@pytest.mark.slow
def test_near_duplicates_take_a_quarter_of_the_jsons_bytes():
    """How much faster they load, `goodsam bench cache` says: on a busy machine no test can."""
    found = measure([near_duplicates(i, 400, 512) for i in range(2)], repeats=3)
    assert 3500 < found["cells"] < 5000
    assert found["bytes_of_json"] <= 0.25

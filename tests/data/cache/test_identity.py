import json
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis.extra import numpy as hnp

from goodsam.data.cache import Identity, ignored_runs


@given(hnp.arrays(bool, (6, 16)))
def test_ignored_pixels_come_back(identity, ignored):
    masked = replace(identity, ignored=ignored_runs(ignored))
    back = Identity.from_json(json.loads(json.dumps(masked.to_json())))
    assert back == masked
    if ignored.any():
        np.testing.assert_array_equal(back.ignored_mask, ignored)
    else:
        assert back == identity
        assert back.ignored_mask is None
    share = f"{100 * ignored.mean():.1f} % of the pixels"
    assert back.described()["ignored"] == share

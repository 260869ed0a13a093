import pytest

from goodsam.data.errors import InputError
from goodsam.stages.sam.cache_sam import Stage1Config, cache_sam
from goodsam.stages.sam.estimate import estimate_stage1
from tests.stages.sam.conftest import Thresholds, files


def test_an_estimate_writes_nothing_and_counts_what_is_missing(images, tmp_path):
    cache = tmp_path / "sam.zarr"
    plan = estimate_stage1(images, cache, Stage1Config(), Thresholds())
    assert not cache.exists()
    assert (plan.panoramas, plan.windows, plan.overlaps) == (3, 24, 24)
    assert plan.seconds > 0
    cache_sam(images, cache, Stage1Config(), Thresholds())
    written = sum(len(content) for content in files(cache).values())
    assert 0.5 < plan.size / written < 2
    assert estimate_stage1(images, cache, Stage1Config(), Thresholds()).panoramas == 0
    with pytest.raises(InputError, match="level"):
        estimate_stage1(images, cache, Stage1Config(), Thresholds(level=1))

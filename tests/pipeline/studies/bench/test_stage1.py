import json

import numpy as np
import pytest

from goodsam.pipeline.studies.bench.stage1 import bench_stage1, matched_iou, stage1_table, unpacked


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def test_masks_are_matched_one_to_one():
    rng = np.random.default_rng(0)
    reference = rng.random((4, 6, 5)) < 0.4
    ours = np.concatenate([reference[[2, 0]], rng.random((1, 6, 5)) < 0.4])
    found = matched_iou(reference, ours)
    assert found[2] == found[0] == pytest.approx(1)
    rest = sorted((found[1], found[3]))
    assert rest[0] == 0
    assert rest[1] == pytest.approx(max(iou(reference[1], ours[2]), iou(reference[3], ours[2])))


def test_without_masks_nothing_is_found():
    none, some = np.zeros((0, 3, 3), bool), np.ones((2, 3, 3), bool)
    assert matched_iou(none, some).tolist() == []
    assert matched_iou(some, none).tolist() == [0, 0]
    assert unpacked(np.zeros((0, 0), np.uint8), np.zeros((3, 3, 3))).shape == (0, 3, 3)


@pytest.mark.slow  # three processes that import torch
def test_the_bench_has_every_key():
    record = bench_stage1("street", points_per_side=4)
    keys = {"sam", "device", "found", "reference_peak_mib", "fast_peak_mib"}
    for mode in ("exact", "fast"):
        keys |= {f"{mode}_s", f"{mode}_ratio", f"{mode}_matched_iou"}
    assert keys | {"reference_s"} <= set(record)
    json.dumps(record)
    assert "reference" in stage1_table(record)

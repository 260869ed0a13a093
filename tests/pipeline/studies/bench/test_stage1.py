import json
from dataclasses import replace

import numpy as np
import pytest

from goodsam.data.errors import InputError
from goodsam.pipeline.studies.bench import stage1
from goodsam.pipeline.studies.bench.peers import KEPT, PeerTask, open_thresholds, peers_of
from goodsam.pipeline.studies.bench.stage1 import bench_stage1, matched_iou, stage1_table, unpacked
from goodsam.stages.sam.generate import GeneratorConfig, SamGenerator
from goodsam.stages.sam.load import load_sam
from tests.stages.sam.tiny_transformers import TRAINED


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


def test_thresholds_are_opened_until_the_shares_of_all_masks_pass():
    image = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    task = PeerTask(str(TRAINED), None, GeneratorConfig(points_per_side=8), [image], "cpu")
    found = open_thresholds(task)
    every = replace(found, pred_iou_thresh=0, stability_score_thresh=0, box_nms_thresh=1)
    model = load_sam(str(TRAINED)).model
    masks = next(SamGenerator(model, replace(every, mode="exact")).packed([image]))
    assert len(masks.stability) == 3 * 64  # nothing is filtered
    sure = masks.predicted_iou > found.pred_iou_thresh
    assert sure.mean() == pytest.approx(KEPT[0], abs=0.01)
    stable = masks.stability[sure] >= found.stability_score_thresh
    assert stable.mean() == pytest.approx(KEPT[1], abs=0.01)


@pytest.mark.slow  # three processes that import torch
def test_the_bench_has_every_key():
    record = bench_stage1("street", points_per_side=4)
    keys = {"sam", "device", "found", "reference_peak_mib", "fast_peak_mib"}
    for mode in ("exact", "fast"):
        keys |= {f"{mode}_s", f"{mode}_ratio", f"{mode}_matched_iou"}
    assert keys | {"reference_s"} <= set(record)
    json.dumps(record)
    assert "reference" in stage1_table(record)


def test_a_gpu_is_told_what_part_of_its_products_rate_is_used():
    peers = ("reference", "exact", "fast")
    record = {
        **{"sam": "vit_h", "weights": "random", "device": "a GPU", "threads": 1, "windows": 1},
        **{"against": "reference", "generator": {"points_per_side": 32}},
        **{f"{peer}_{key}": 1.0 for peer in peers for key in ("s", "peak_mib", "masks")},
        **{"exact_tflop": 7.0, "bfloat16_tflop_per_s": 700.0, "fast_share": 0.08},
    }
    line = stage1_table(record).splitlines()[-2]
    assert line.startswith("7.0 TFLOP of products a window; at the 700 TFLOP/s")
    assert line.endswith("8 % of fast's time")


@pytest.mark.slow
def test_a_transformers_directory_is_measured_against_the_pipeline(monkeypatch):
    easy = GeneratorConfig(pred_iou_thresh=0.2, stability_score_thresh=0.4)
    monkeypatch.setattr(stage1, "default_generator", lambda sam: easy)
    record = bench_stage1(str(TRAINED), points_per_side=8)
    assert record["against"] == "transformers"
    assert record["weights"] == str(TRAINED)
    assert record["window_px"] == [400, 400]
    assert record["exact_masks"] == record["transformers_masks"] > 0
    assert record["exact_matched_iou"] > 0.99
    assert record["exact_cpu_s"] > 0
    assert "transformers" in stage1_table(record)


@pytest.mark.parametrize(
    ("sam", "peers"),
    [
        ("street", ("reference",)),
        ("mobile_sam", ("reference",)),
        ("vit_b", ("reference", "transformers")),
        *((sam, ("transformers",)) for sam in ("sam2.1-tiny", "edgetam", "sam3", "sam_hq_vit_b")),
    ],
)
def test_who_can_run_a_sam(sam, peers):
    assert peers_of(sam) == (*peers, "exact", "fast")


@pytest.mark.slow
def test_bad_weights_are_an_input_error_in_another_process_too(tmp_path):
    with pytest.raises(InputError, match=r"none\.pth: no such file"):
        bench_stage1("vit_b", tmp_path / "none.pth")

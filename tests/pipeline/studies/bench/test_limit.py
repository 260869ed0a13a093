"""What a card could do at most: operations are those of the formula, the rate is one."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodsam.pipeline.studies.bench import peers
from goodsam.pipeline.studies.bench.limit import bfloat16_rate, flop_of
from goodsam.stages.sam import generate
from goodsam.stages.sam.generate import GeneratorConfig
from tests.stages.sam.tiny_transformers import TRAINED


@torch.inference_mode()
def test_all_products_are_counted():
    a, b, start = torch.randn(3, 4, 5), torch.randn(3, 5, 6), torch.randn(3, 4, 6)
    product = 2 * 3 * 4 * 5 * 6
    assert flop_of(lambda: a @ b) == product
    assert flop_of(lambda: torch.baddbmm(start, a, b)) == product
    assert flop_of(lambda: start.baddbmm_(a, b)) == product
    assert flop_of(lambda: F.linear(a, torch.randn(7, 5), torch.randn(7))) == 2 * 3 * 4 * 5 * 7
    assert flop_of(lambda: a + 1) == 0


def test_a_rate_is_positive():
    assert 1e5 < bfloat16_rate(torch.device("cpu"), side=64) < 1e15


@pytest.mark.parametrize(("sam", "peer"), [("street", "reference"), (str(TRAINED), "transformers")])
def test_ours_need_fewer_operations_than_the_peers(sam, peer, monkeypatch):
    """Counted as on a GPU, where the bench does it."""
    image = np.random.default_rng(0).integers(256, size=(64, 64, 3), dtype=np.uint8)
    config = GeneratorConfig(
        points_per_side=4, pred_iou_thresh=0.1, stability_score_thresh=0.1, box_nms_thresh=1.0
    )
    monkeypatch.setattr(peers, "_measured", lambda generate, device: flop_of(generate))
    # of 8-bit products, which some CPUs take, nothing is counted
    monkeypatch.setattr(generate, "precision", lambda device: torch.bfloat16)
    task = peers.PeerTask(sam, None, config, [image], "cpu")
    flop = {name: peers.PEER[name](task) for name in (peer, "exact", "fast")}
    assert 0 < flop["exact"] < flop[peer]
    assert flop["fast"] == flop["exact"]

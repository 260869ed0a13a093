"""What a card could do at most: operations are those of the formula, the rate is one."""

import torch
import torch.nn.functional as F

from goodsam.pipeline.studies.bench.limit import bfloat16_rate, flop_of


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

"""How near to what a GPU can do: arithmetic that is counted, and the rate of a large product."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

SIDE = 8192  # of the matrices
ROUNDS = 10  # the best counts, since other work only slows


def flop_of(work: Callable[[], Any]) -> int:
    """Floating-point operations of all products, convolutions and attention in `work`."""
    in_place = {torch.ops.aten.baddbmm_: _baddbmm_flop}  # torch 2.15 counts only the other one
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        work()
    return int(counter.get_total_flops())


def _baddbmm_flop(start: Any, a: list[int], b: list[int], **_: Any) -> int:
    """Of the shapes (B, M, K) and (B, K, N)."""
    return 2 * a[0] * a[1] * a[2] * b[2]


def bfloat16_rate(device: torch.device, side: int = SIDE) -> float:
    """Floating-point operations a second of a product of two matrices, `side` x `side` each."""
    a, b = torch.randn(2, side, side, device=device, dtype=torch.bfloat16).unbind(0)
    cuda = device.type == "cuda"
    seconds = []
    for _ in range(ROUNDS):
        if cuda:
            torch.cuda.synchronize(device)
        started = time.perf_counter()
        a @ b
        if cuda:
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return 2 * side**3 / min(seconds)

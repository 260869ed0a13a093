"""`goodsam bench fusion`: fusion on cells against a loop over masks and a dense product.

All three get the TA's labels and the entropy of each pixel and give the ensemble and its weights;
how long these two maps take to be read off the logits is told apart (`prediction_ms`). The loop and
the product have the masks as bool arrays, the cells as `MaskBatch`: what a cache of either kind
would hand out. The refined boundary is made of both predictions' labels, the difference of their
two largest softmax values, and SAM's boundary: pixel by pixel, and by maps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.pipeline.studies.bench.synthetic import (
    blurred_logits,
    panorama_masks,
    windows_of_height,
)
from goodsam.stages.adapt.boundary import hard_boundary, refine_boundary
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, doubt_maps, fuse_maps
from goodsam.stages.adapt.prediction import Prediction
from goodsam.stages.device import pick_device

CLASSES = 19


def bench_fusion(
    masks: int, height: int = 400, repeats: int = 7, device: str = "auto"
) -> dict[str, Any]:
    """Milliseconds for all windows of one panorama, the least of `repeats` (of the slow ones: 1).

    Raises RuntimeError when the ways do not give the same maps.
    """
    where = pick_device(device)
    windows = windows_of_height(height)
    rng = np.random.default_rng(masks)
    panorama = panorama_masks(windows, masks, rng)
    stacks = [np.ascontiguousarray(found.masks()) for found in panorama.windows]
    batch = MaskBatch.of(panorama.windows).to(where)
    logits = blurred_logits(len(windows), CLASSES, height, windows.window, masks).to(where)
    config = FusionConfig()

    def read() -> tuple[torch.Tensor, list[torch.Tensor]]:
        prediction = Prediction.of(logits)
        return prediction.labels, doubt_maps(prediction, config)

    def ours(rule: Any, doubts: list[torch.Tensor]) -> Callable[[], tuple[torch.Tensor, ...]]:
        return lambda: fuse_maps(labels, doubts, batch, CLASSES, FusionConfig(rule=rule))[:2]

    prediction_s, (labels, doubts) = _least(read, repeats, where)
    labels_cpu, entropy_cpu = labels.cpu().numpy(), doubts[0].cpu().numpy()
    dense_stacks = [torch.from_numpy(stack).to(where) for stack in stacks]
    # side by side, in turns: whatever else the machine does meets all of them
    loop_s, by_loop = _least(
        lambda: _loop(stacks, labels_cpu, entropy_cpu, panorama.windows, config), 2, where
    )
    ctcf_s, by_cells = _least(ours("ctcf", doubts), repeats, where)
    dense_s, by_product = _least(lambda: _dense(dense_stacks, labels, doubts[0], config), 1, where)
    again_s, _ = _least(ours("ctcf", doubts), repeats, where)
    ctcf_s = min(ctcf_s, again_s)
    for other in (by_loop, by_product):
        if not all(torch.equal(a.cpu(), b.cpu()) for a, b in zip(by_cells, other, strict=True)):
            raise RuntimeError("the ways to fuse do not give the same maps")
    ssa_s, _ = _least(ours("ssa", []), repeats, where)
    sepl_s, _ = _least(ours("sepl", []), repeats, where)

    maps = _boundary_maps(logits, panorama.boundaries, windows)
    arrays = [map_.cpu().numpy() for map_ in maps]
    boundary_loop_s, by_pixels = _least(lambda: _refine_loop(*arrays), 1, where)
    boundary_s, refined = _least(lambda: _refine(*maps), repeats, where)
    if not np.array_equal(by_pixels, refined.cpu().numpy()):
        raise RuntimeError("the refined boundary is not that of its naive twin")
    milliseconds = {
        "prediction": prediction_s,
        "ctcf_loop": loop_s,
        "ctcf_dense": dense_s,
        "ctcf": ctcf_s,
        "ssa": ssa_s,
        "sepl": sepl_s,
        "boundary_loop": boundary_loop_s,
        "boundary": boundary_s,
    }
    record: dict[str, Any] = {f"{name}_ms": 1000 * s for name, s in milliseconds.items()}
    record["ctcf_ratio"] = loop_s / ctcf_s
    record["boundary_ratio"] = boundary_loop_s / boundary_s
    record |= {"masks": masks, "windows": len(windows), "cells": batch.cell_count}
    return record | {"height": height, "width": windows.width, "device": str(where)}


def fusion_table(record: dict[str, Any]) -> str:
    """The record of `bench_fusion` for people."""
    lines = [
        f"{record['windows']} windows of a {record['width']} x {record['height']} panorama, "
        f"{record['masks']} masks in each, {record['cells']} cells in all, on {record['device']}",
        f"{'reading labels and entropies off the logits':46}{record['prediction_ms']:10.1f} ms",
        f"{'CTCF, loop over masks':46}{record['ctcf_loop_ms']:10.1f} ms",
        f"{'CTCF, dense product':46}{record['ctcf_dense_ms']:10.1f} ms",
        f"{'CTCF, ours':46}{record['ctcf_ms']:10.1f} ms  {record['ctcf_ratio']:.1f} x the loop",
        f"{'SSA, ours':46}{record['ssa_ms']:10.1f} ms",
        f"{'SEPL, ours':46}{record['sepl_ms']:10.1f} ms",
        f"{'refined boundary, loop over pixels':46}{record['boundary_loop_ms']:10.1f} ms",
        f"{'refined boundary, ours':46}{record['boundary_ms']:10.1f} ms  "
        f"{record['boundary_ratio']:.0f} x the loop",
    ]
    return "\n".join(lines)


def _least(work: Callable[[], Any], repeats: int, device: torch.device) -> tuple[float, Any]:
    """The least seconds of `repeats` runs (after one more where there are several), its result."""
    if repeats > 1:
        work()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds), result


def _theta(area: np.ndarray, pixels: int, config: FusionConfig) -> np.ndarray:
    scale = pixels / (400 * 512)
    medium = (area >= config.medium[0] * scale) & (area <= config.medium[1] * scale)
    return np.where(medium, config.theta_medium, config.theta_other)


def _loop(
    stacks: list[np.ndarray],
    labels_NHW: np.ndarray,
    entropy_NHW: np.ndarray,
    windows: tuple[WindowMasks, ...],
    config: FusionConfig,
) -> tuple[torch.Tensor, torch.Tensor]:
    """CTCF mask by mask, each with array operations: what one writes first."""
    ensemble, weight = labels_NHW.astype(np.int64), np.zeros(labels_NHW.shape, np.float32)
    for n, stack in enumerate(stacks):
        theta = _theta(windows[n].area, labels_NHW[n].size, config)
        for m in np.argsort(-windows[n].area, kind="stable"):
            mask, area = stack[m], windows[n].area[m]
            if not area:
                continue
            inside = labels_NHW[n][mask]
            count = np.bincount(inside, minlength=CLASSES)
            label = count.argmax()
            trusted = count[label] / area >= theta[m]
            if not trusted:
                top = np.argsort(-count, kind="stable")[:3]
                top = top[count[top] > 0]
                sums = np.bincount(inside, entropy_NHW[n][mask], minlength=CLASSES)
                label = top[(sums[top] / count[top]).argmin()]
            ensemble[n][mask], weight[n][mask] = label, trusted
    return torch.from_numpy(ensemble), torch.from_numpy(weight)


def _dense(
    stacks: list[torch.Tensor], labels: torch.Tensor, entropy: torch.Tensor, config: FusionConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """CTCF by the product of all masks and the one-hot labels, a window at a time."""
    ensemble, weight = labels.long(), torch.zeros(labels.shape, device=labels.device)
    for n, stack in enumerate(stacks):
        flat = stack.flatten(1)
        one_hot = torch.nn.functional.one_hot(labels[n].flatten().long(), CLASSES)
        product = flat.float() @ one_hot.float()  # exact below 2^24
        sums = flat.double() @ (one_hot * entropy[n].flatten()[:, None])
        area = flat.sum(1)
        theta = torch.from_numpy(_theta(area.cpu().numpy(), flat.shape[1], config)).to(area.device)
        count, top = product.sort(dim=1, descending=True, stable=True)
        count, top = count[:, :3], top[:, :3]
        trusted = count[:, 0].double() / area >= theta
        mean = (sums.gather(1, top) / count.clamp(min=1)).masked_fill(count == 0, torch.inf)
        least = top.gather(1, mean.argmin(1, keepdim=True))[:, 0]
        chosen = torch.where(trusted, top[:, 0], least)
        # the smallest mask of each pixel, of equally large ones the last
        rank = torch.empty_like(area).scatter_(
            0, (-area).argsort(stable=True), torch.arange(len(area), device=area.device)
        )
        winner = torch.where(flat, rank[:, None] + 1, 0).max(dim=0)
        covered = (winner.values > 0).view_as(labels[n])
        by_pixel = winner.indices.view_as(labels[n])
        ensemble[n] = torch.where(covered, chosen[by_pixel], labels[n])
        weight[n] = torch.where(covered, trusted[by_pixel].float(), 0.0)
    return ensemble, weight


def _boundary_maps(
    logits: torch.Tensor, boundaries: tuple[np.ndarray, ...], windows: Windows
) -> list[torch.Tensor]:
    """Both predictions' labels, SAM's boundary, both differences; (O, H, w) each."""
    prediction = Prediction.of(logits)
    sides = []
    for map_ in (prediction.labels, prediction.margin()):
        pairs = [windows.pair(map_, overlap) for overlap in windows.overlaps]
        sides.append([torch.stack(side) for side in zip(*pairs, strict=True)])
    sam = torch.from_numpy(np.stack(boundaries)).to(logits.device)
    return [*sides[0], sam, *sides[1]]


def _refine(
    left: torch.Tensor,
    right: torch.Tensor,
    sam: torch.Tensor,
    d_left: torch.Tensor,
    d_right: torch.Tensor,
) -> torch.Tensor:
    return refine_boundary(hard_boundary(left), hard_boundary(right), sam, d_left, d_right)


def _refine_loop(
    left: np.ndarray, right: np.ndarray, sam: np.ndarray, d_left: np.ndarray, d_right: np.ndarray
) -> np.ndarray:
    """The refined boundary pixel by pixel, as docs/method.md says it: the naive twin."""
    refined = np.zeros_like(sam)
    overlaps, height, width = sam.shape

    def boundary(labels: np.ndarray, o: int, y: int, x: int) -> bool:
        for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
            if 0 <= v < height and 0 <= u < width and labels[o, v, u] != labels[o, y, x]:
                return True
        return False

    for o, y, x in np.ndindex(overlaps, height, width):
        if not boundary(left, o, y, x):
            continue
        q = y
        if not (sam[o, y, x] and boundary(right, o, y, x)):
            for distance in range(height):  # the nearest SAM pixel of the column, the upper first
                near = [r for r in (y - distance, y + distance) if 0 <= r < height and sam[o, r, x]]
                if near:
                    if d_left[o, near[0], x] < 0.3 or d_right[o, near[0], x] < 0.3:
                        q = near[0]
                    break
        refined[o, q, x] = True
    return refined

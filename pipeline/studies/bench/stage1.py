"""`goodsam bench stage1`: our mask generation against segment-anything's and that of transformers.

Every peer runs in a process of its own on the same windows, one after the other. Time excludes
loading; memory is the peak above what is in use once the model is loaded. A SAM of random weights
(no checkpoint given) has no sensible masks: its thresholds are then set, the same for all, to the
quantiles KEPT of what it predicts, and only its times and memory mean something.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows, panorama_width
from goodsam.pipeline.studies.bench.limit import bfloat16_rate
from goodsam.pipeline.studies.bench.peers import (
    PEER,
    PeerTask,
    apart,
    is_random,
    open_thresholds,
    peers_of,
)
from goodsam.stages.device import pick_device
from goodsam.stages.sam.registry import default_generator, known_sam

FOUND_IOU = 0.9  # a reference mask is found if one of ours, matched one to one, overlaps so much
PEERS = ("reference", "transformers", "exact", "fast")
HEIGHTS = {"street": 200}  # of the panorama whose windows are taken; 400 for the official SAMs


def bench_stage1(
    sam: str,
    checkpoint: Path | None = None,
    *,
    seed: int = 1,
    windows: int = 1,
    points_per_side: int | None = None,
    device: str = "auto",
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Seconds a window, ratios, peak MiB (2^20 bytes) and how far the masks agree.

    The ratios are of elapsed time. `*_cpu_s`: seconds of all CPU cores together, which other work
    on the machine disturbs less. `against`: the peer that all are measured against, transformers'
    pipeline for what segment-anything cannot run; a SAM that stretches its input is given square
    windows then, since the pipeline does not stretch its points.
    `*_matched_iou`: mean IoU (intersection over union) of the reference's masks with ours, matched
    one to one; `found`: the share matched at 0.9 or more by the fast mode. On a GPU also `*_tflop`
    of products a window, `bfloat16_tflop_per_s` of a large product, and `fast_share`: the part of
    the fast mode's time that exact mode's products would take at that rate. Raises InputError for
    an unknown SAM.
    """
    config = default_generator(sam)
    device = pick_device(device).type
    if points_per_side is not None:
        config = replace(config, points_per_side=points_per_side)
    height = HEIGHTS.get(sam, 400)
    world = panorama(split_seed("tuning", 0, seed), height, panorama_width(height))
    geometry = Windows.of(height, panorama_width(height))
    images = list(geometry.cut_images(world.image)[:windows])
    if known_sam(sam).padded is False:
        images = [np.ascontiguousarray(image[:, :height]) for image in images]
    task = PeerTask(sam, checkpoint, config, images, device)
    random = is_random(task)
    if random:
        task = replace(task, config=apart(open_thresholds, task))
        say(
            f"random weights: thresholds {task.config.pred_iou_thresh:.4f} (predicted IoU) and "
            f"{task.config.stability_score_thresh:.4f} (stability)"
        )
    record: dict[str, Any] = {
        "sam": sam,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "weights": "random" if random else str(checkpoint or task.folder or "demo"),
        "windows": len(images),
        "window_px": list(images[0].shape[:2]),
        "generator": asdict(task.config),
        "threads": torch.get_num_threads(),
    }
    found: dict[str, list[np.ndarray]] = {}
    peers = peers_of(sam)
    record["against"] = peers[0]
    for peer in peers:
        outcome = apart(PEER[peer], task)
        found[peer] = outcome.masks
        record[f"{peer}_s"] = outcome.seconds / len(images)
        record[f"{peer}_cpu_s"] = outcome.cpu_seconds / len(images)
        record[f"{peer}_peak_mib"] = outcome.peak / 2**20
        record[f"{peer}_masks"] = sum(map(len, found[peer])) / len(images)
        if outcome.flop:
            record[f"{peer}_tflop"] = outcome.flop / len(images) / 1e12
        say(f"{peer}: {record[f'{peer}_s']:.2f} s a window, {record[f'{peer}_masks']:.1f} masks")
    for mode in ("exact", "fast"):
        record[f"{mode}_ratio"] = record[f"{peers[0]}_s"] / record[f"{mode}_s"]
        overlaps = [
            matched_iou(unpacked(theirs, image), unpacked(ours, image))
            for theirs, ours, image in zip(found[peers[0]], found[mode], images, strict=True)
        ]
        iou = np.concatenate(overlaps)
        record[f"{mode}_matched_iou"] = float(iou[iou > 0].mean()) if (iou > 0).any() else None
        record[f"{mode}_found"] = float((iou >= FOUND_IOU).mean()) if len(iou) else None
    record["found"] = record["fast_found"]
    if device == "cuda":
        rate = bfloat16_rate(torch.device(device)) / 1e12
        record["bfloat16_tflop_per_s"] = rate
        record["fast_share"] = record["exact_tflop"] / rate / record["fast_s"]
    return record


def stage1_table(record: dict[str, Any]) -> str:
    """The record of `bench_stage1` for people."""
    lines = [
        f"SAM {record['sam']} ({record['weights']} weights) on {record['device']}, "
        f"{record['threads']} threads, {record['windows']} windows, "
        f"{record['generator']['points_per_side'] ** 2} points each",
        f"{'':14}{'s a window':>12}{'ratio':>8}{'peak MiB':>10}{'masks':>8}"
        f"{'matched IoU':>13}{'found':>8}",
    ]
    reference_s = record[f"{record['against']}_s"]
    for peer in PEERS:
        if f"{peer}_s" not in record:
            continue
        line = f"{peer:14}{record[f'{peer}_s']:12.2f}"
        line += f"{reference_s / record[f'{peer}_s']:8.2f}"
        line += f"{record[f'{peer}_peak_mib']:10.0f}{record[f'{peer}_masks']:8.1f}"
        for key, width, places in (("matched_iou", 13, 4), ("found", 8, 3)):
            value = record.get(f"{peer}_{key}")
            line += f"{'-' if value is None else f'{value:.{places}f}':>{width}}"
        lines.append(line)
    if "fast_share" in record:
        lines.append(
            f"{record['exact_tflop']:.1f} TFLOP of products a window; at the "
            f"{record['bfloat16_tflop_per_s']:.0f} TFLOP/s of a large bfloat16 product they would "
            f"take {100 * record['fast_share']:.0f} % of fast's time"
        )
    if record["weights"] == "random":
        lines.append("Random weights: times and memory count, the masks mean nothing.")
    return "\n".join(lines)


def matched_iou(reference: np.ndarray, ours: np.ndarray) -> np.ndarray:
    """bool (M, H, W), (K, H, W) -> float64 (M,), the IoU of each reference mask with one of ours:

    the one that the best assignment one to one gives it. 0 if none is left for it.
    """
    if not len(reference) or not len(ours):
        return np.zeros(len(reference))
    a, b = (x.reshape(len(x), -1).astype(np.float32) for x in (reference, ours))
    both = a @ b.T
    iou = both / np.maximum(a.sum(1)[:, None] + b.sum(1)[None] - both, 1)
    rows, columns = linear_sum_assignment(-iou)
    matched = np.zeros(len(reference))
    matched[rows] = iou[rows, columns]
    return matched


def unpacked(bits: np.ndarray, image: np.ndarray) -> np.ndarray:
    """Rows of bits -> bool (M, H, W)."""
    height, width = image.shape[:2]
    if not len(bits):
        return np.zeros((0, height, width), bool)
    flat = np.unpackbits(bits, axis=1, count=height * width)
    return flat.view(bool).reshape(-1, height, width)

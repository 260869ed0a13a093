"""`goodsam bench stage1`: our mask generation against segment-anything's and that of transformers.

Every peer runs in a process of its own on the same windows, one after the other. Time excludes
loading; memory is the peak above what is in use once the model is loaded. A SAM of random weights
(no checkpoint given) has no sensible masks: its thresholds are then set, the same for all, to the
quantiles KEPT of what it predicts, and only its times and memory mean something.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import Windows, panorama_width
from goodsam.stages.device import pick_device
from goodsam.stages.memory import keep_freed_memory
from goodsam.stages.sam.generate import GeneratorConfig, SamGenerator
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import Download, default_generator, known_sam

KEPT = (0.4, 0.6)  # shares that pass the IoU's and then the stability's threshold
LOUDNESS = 4.0
FOUND_IOU = 0.9  # a reference mask is found if one of ours, matched one to one, overlaps so much
PEERS = ("reference", "transformers", "exact", "fast")
# Encoders that transformers can build: width, depth, heads, layers of global attention
VISION_SIZES = {
    "vit_b": (768, 12, 12, (2, 5, 8, 11)),
    "vit_l": (1024, 24, 16, (5, 11, 17, 23)),
    "vit_h": (1280, 32, 16, (7, 15, 23, 31)),
}
HEIGHTS = {"street": 200}  # of the panorama whose windows are taken; 400 for the official SAMs


@dataclass(frozen=True)
class PeerTask:
    """What every peer does. checkpoint: None for the demo's weights, or random ones."""

    sam: str
    checkpoint: Path | None
    config: GeneratorConfig
    images: Sequence[np.ndarray]
    device: str


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

    `*_matched_iou`: mean IoU (intersection over union) of the reference's masks with ours, matched
    one to one; `found`: the share matched at 0.9 or more by the fast mode. Raises InputError for an
    unknown SAM.
    """
    config = default_generator(sam)
    device = pick_device(device).type
    if points_per_side is not None:
        config = replace(config, points_per_side=points_per_side)
    height = HEIGHTS.get(sam, 400)
    world = panorama(split_seed("tuning", 0, seed), height, panorama_width(height))
    geometry = Windows.of(height, panorama_width(height))
    images = list(geometry.cut_images(world.image)[:windows])
    task = PeerTask(sam, checkpoint, config, images, device)
    random = _is_random(task)
    if random:
        task = replace(task, config=_apart(_open_thresholds, task))
        say(
            f"random weights: thresholds {task.config.pred_iou_thresh:.4f} (predicted IoU) and "
            f"{task.config.stability_score_thresh:.4f} (stability)"
        )
    record: dict[str, Any] = {
        "sam": sam,
        "device": torch.cuda.get_device_name() if device == "cuda" else device,
        "weights": "random" if random else str(checkpoint or "demo"),
        "windows": len(images),
        "generator": asdict(task.config),
        "threads": torch.get_num_threads(),
    }
    found: dict[str, list[np.ndarray]] = {}
    for peer in PEERS:
        if peer == "transformers" and sam not in VISION_SIZES:
            continue
        seconds, peak, found[peer] = _apart(PEER[peer], task)
        record[f"{peer}_s"] = seconds / len(images)
        record[f"{peer}_peak_mib"] = peak / 2**20
        record[f"{peer}_masks"] = sum(map(len, found[peer])) / len(images)
        say(f"{peer}: {record[f'{peer}_s']:.2f} s a window, {record[f'{peer}_masks']:.1f} masks")
    for mode in ("exact", "fast"):
        record[f"{mode}_ratio"] = record["reference_s"] / record[f"{mode}_s"]
        overlaps = [
            matched_iou(unpacked(theirs, image), unpacked(ours, image))
            for theirs, ours, image in zip(found["reference"], found[mode], images, strict=True)
        ]
        iou = np.concatenate(overlaps)
        record[f"{mode}_matched_iou"] = float(iou[iou > 0].mean()) if (iou > 0).any() else None
        record[f"{mode}_found"] = float((iou >= FOUND_IOU).mean()) if len(iou) else None
    record["found"] = record["fast_found"]
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
    for peer in PEERS:
        if f"{peer}_s" not in record:
            continue
        line = f"{peer:14}{record[f'{peer}_s']:12.2f}"
        line += f"{record['reference_s'] / record[f'{peer}_s']:8.2f}"
        line += f"{record[f'{peer}_peak_mib']:10.0f}{record[f'{peer}_masks']:8.1f}"
        for key, width, places in (("matched_iou", 13, 4), ("found", 8, 3)):
            value = record.get(f"{peer}_{key}")
            line += f"{'-' if value is None else f'{value:.{places}f}':>{width}}"
        lines.append(line)
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


# What runs in the children. Each returns seconds, peak bytes, and per image its masks as bits.

Outcome = tuple[float, int, list[np.ndarray]]


def _is_random(task: PeerTask) -> bool:
    """Whether no weights are at hand: the bench downloads none."""
    return task.checkpoint is None and isinstance(known_sam(task.sam).weights, Download)


def _model(task: PeerTask) -> Sam:
    if _is_random(task):
        torch.manual_seed(0)
        model = known_sam(task.sam).build()
        _make_loud(model)
    else:
        model = load_sam(task.sam, task.checkpoint).model
    return model.to(task.device).eval()


@torch.no_grad()
def _make_loud(model: Any) -> None:
    """Fresh weights make logits near zero everywhere, no mask stable: enlarge the decoder's."""
    for parameter in model.mask_decoder.parameters():
        if parameter.ndim > 1:
            parameter.mul_(LOUDNESS)


def _ours(mode: str) -> Callable[[PeerTask], Outcome]:
    def run(task: PeerTask) -> Outcome:
        keep_freed_memory()
        config = replace(task.config, mode=mode)  # type: ignore[arg-type]
        generator = SamGenerator(_model(task), config)

        def generate() -> list[np.ndarray]:
            # as the reference's result: bool arrays, from which only the bits are sent on
            return [_bits(found.masks()) for found in generator.packed(task.images)]

        return _measured(generate, task.device)

    return run


def _reference(task: PeerTask) -> Outcome:
    config = task.config
    generator = SamAutomaticMaskGenerator(
        _model(task),
        points_per_side=config.points_per_side,
        pred_iou_thresh=config.pred_iou_thresh,
        stability_score_thresh=config.stability_score_thresh,
        stability_score_offset=config.stability_score_offset,
        box_nms_thresh=config.box_nms_thresh,
    )

    def generate() -> list[np.ndarray]:
        return [
            _bits(np.array([found["segmentation"] for found in generator.generate(image)]))
            for image in task.images
        ]

    return _measured(generate, task.device)


def _transformers(task: PeerTask) -> Outcome:
    """With random weights of the same shape: it reads other files than segment-anything does."""
    from PIL import Image
    from transformers import SamConfig, SamImageProcessor, SamModel, pipeline
    from transformers import SamProcessor as Processor

    width, depth, heads, spread = VISION_SIZES[task.sam]
    vision = {
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "global_attn_indexes": list(spread),
        "mlp_dim": 4 * width,
    }
    torch.manual_seed(0)
    model = SamModel(SamConfig(vision_config=vision)).eval()
    _make_loud(model)
    generate_masks = pipeline(
        "mask-generation",
        model=model,
        image_processor=Processor(SamImageProcessor()).image_processor,
        device=task.device,
    )
    config = task.config

    def generate() -> list[np.ndarray]:
        return [
            _bits(
                np.array(
                    generate_masks(
                        Image.fromarray(image),
                        points_per_batch=64,
                        points_per_crop=config.points_per_side,
                        pred_iou_thresh=config.pred_iou_thresh,
                        stability_score_thresh=config.stability_score_thresh,
                        crops_nms_thresh=config.box_nms_thresh,
                    )["masks"]
                )
            )
            for image in task.images
        ]

    return _measured(generate, task.device)


PEER: dict[str, Callable[[PeerTask], Outcome]] = {
    "reference": _reference,
    "transformers": _transformers,
    "exact": _ours("exact"),
    "fast": _ours("fast"),
}


@torch.inference_mode()
def _open_thresholds(task: PeerTask) -> GeneratorConfig:
    """Thresholds that let the shares KEPT of a random SAM's masks through."""
    every = replace(
        task.config,
        pred_iou_thresh=-1.0,
        stability_score_thresh=-1.0,
        box_nms_thresh=1.1,
        points_per_side=8,
        mode="exact",
    )
    masks = next(SamGenerator(_model(task), every).packed(task.images[:1]))
    iou = float(np.quantile(masks.predicted_iou, 1 - KEPT[0]))
    passing = masks.stability[masks.predicted_iou > iou]
    return replace(
        task.config,
        pred_iou_thresh=max(iou, 1e-6),
        stability_score_thresh=max(float(np.quantile(passing, 1 - KEPT[1])), 1e-6),
    )


def _bits(masks: np.ndarray) -> np.ndarray:
    if not len(masks):
        return np.zeros((0, 0), np.uint8)
    return np.packbits(masks.reshape(len(masks), -1).astype(bool), axis=1)


def _measured(generate: Callable[[], list[np.ndarray]], device: str) -> Outcome:
    """Seconds and peak memory in bytes above what is in use now."""
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = _reset_peak()
    began = time.perf_counter()
    masks = generate()
    seconds = time.perf_counter() - began
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else _peak()
    return seconds, peak - before, masks


def _reset_peak() -> int:
    """Memory in use, bytes; on Linux the peak counts from here on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return _peak()


def _peak() -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _apart(work: Callable[[PeerTask], Any], task: PeerTask) -> Any:
    """The result of work(task), from a fresh process."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    name = next((name for name, run in PEER.items() if run is work), None)
    child = context.Process(target=_child, args=(theirs, name, task))
    child.start()
    theirs.close()
    try:
        answer = ours.recv()
    except EOFError as error:
        child.join()
        raise RuntimeError(f"bench: the process of {name} died ({child.exitcode})") from error
    child.join()
    return answer


def _child(pipe: Connection, name: str | None, task: PeerTask) -> None:
    pipe.send(_open_thresholds(task) if name is None else PEER[name](task))
    pipe.close()

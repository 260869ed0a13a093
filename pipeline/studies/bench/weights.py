"""`goodsam bench`: what the parts are worth, measured on worlds of any seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from goodsam.data.classes import CITYSCAPES
from goodsam.data.street.picture import DEFAULT_GAP, Picture, panorama, pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.data.weights import FOLDER, SEGFORMERS
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows, panorama_width
from goodsam.stages.adapt.fusion import FusionConfig, MaskBatch, fuse
from goodsam.stages.sam.generate import SamGenerator
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import default_generator
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.score.masks import best_iou_by_area, mean_by_range
from goodsam.stages.segformer.segment import normalise, segment
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.truth.masks import true_masks

WINDOWS = Windows.of(200, panorama_width(200))
SOFT = FusionConfig(rule="ssa", votes="soft", small_share=0.2, sure=0.9)  # as in street-robust


def bench_weights(
    seed: int,
    panoramas: int,
    images: int,
    gap: float = DEFAULT_GAP,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """The demo weights on a world of tuning scenes: TA, student, SAM, and labels fused from them.

    `ta_*`, `student_*`, `fused_*`: mIoU in percent; `*_worst`: the worst class that occurs. The SAM
    is judged by the best IoU of each instance (mean and count by area in px), on the windows of the
    same panoramas, `sam_best_iou`, and on theirs in random looks, `sam_best_iou_random`: it was
    trained on neither. `fused_true_*`: with the true instances, the upper bound.
    """
    teacher = Segmenter.load("street-ta")
    by_windows = Segmenter.load("street-ta", mode="windows", windows=WINDOWS)
    student = Segmenter.load("street-student")
    generator = SamGenerator(load_sam("street").model, default_generator("street"))
    total = images + 2 * panoramas
    sums: dict[str, np.ndarray] = {}

    def add(name: str, labels: np.ndarray, truth: np.ndarray) -> None:
        matrix = confusion(labels, truth, len(CITYSCAPES))
        sums[name] = sums.get(name, np.zeros_like(matrix)) + matrix

    for index in range(images):
        picture = pinhole(split_seed("tuning", index, seed))
        add("ta_source", teacher(picture.image), picture.labels)
        add("student_source", student(picture.image), picture.labels)
        progress(index + 1, total)
    kept: list[int] = []
    judged: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"": [], "_random": []}

    def judge(look: str, masks: list[WindowMasks], instances: np.ndarray) -> None:
        for found, ids in zip(masks, WINDOWS.cut(instances), strict=True):
            judged[look].append(best_iou_by_area(found, ids))

    for index in range(panoramas):
        scene = split_seed("tuning", images + index, seed)
        picture = panorama(scene, gap=gap)
        add("ta_target_direct", teacher(picture.image), picture.labels)
        add("ta_target", by_windows(picture.image), picture.labels)
        add("student_target", student(picture.image), picture.labels)
        masks = _masks(generator, picture)
        kept += [len(found) for found in masks]
        judge("", masks, picture.instances)
        for name, labels in _fused(by_windows, masks, picture).items():
            add(name, labels, picture.labels)
        progress(images + 2 * index + 1, total)
        unseen = panorama(scene, look="random")
        judge("_random", _masks(generator, unseen), unseen.instances)
        progress(images + 2 * index + 2, total)

    scores = {name: Scores(matrix, CITYSCAPES) for name, matrix in sums.items()}
    record: dict[str, Any] = {f"{name}_miou": score.miou for name, score in scores.items()}
    for name in ("ta_source", "ta_target"):
        record[f"{name}_worst"] = float(np.nanmin(scores[name].iou))
    record["pixel_accuracy"] = {name: score.pixel_accuracy for name, score in scores.items()}
    record["per_class"] = {name: score.per_class for name, score in scores.items()}
    for look, pairs in judged.items():
        ranges = mean_by_range(pairs)
        record[f"sam_best_iou{look}"] = {area: mean for area, (mean, _) in ranges.items()}
        record[f"sam_instances{look}"] = {area: count for area, (_, count) in ranges.items()}
    record["masks_per_window"] = float(np.mean(kept))
    record["bytes"] = sum(path.stat().st_size for path in FOLDER.rglob("*.safetensors"))
    record |= {"seed": seed, "panoramas": panoramas, "images": images, "gap": gap}
    return record


def weights_table(record: dict[str, Any]) -> str:
    """The record of `bench_weights` for people."""
    networks = ("ta_source", "ta_target_direct", "ta_target", "student_target")
    fused = ("ssa", "ctcf", "sepl", "soft", "true_ssa", "true", "true_soft")
    ensembles = tuple(f"fused_{name}" for name in fused)
    lines = [
        f"{record['images']} source images and {record['panoramas']} panoramas of tuning scenes, "
        f"seed {record['seed']}, gap {record['gap']}; percent",
        f"{'':24}{'mIoU':>8}{'pixel accuracy':>16}",
    ]
    for name in networks + ensembles:
        miou, right = record[f"{name}_miou"], record["pixel_accuracy"][name]
        lines.append(f"{name:24}{miou:8.2f}{right:16.2f}")
    lines.append(f"\n{'class':16}{'ta_source':>12}{'ta_target':>12}{'fused_ctcf':>12}")
    per_class = record["per_class"]
    for name in CITYSCAPES:
        cells = (per_class[column][name] for column in ("ta_source", "ta_target", "fused_ctcf"))
        lines.append(
            f"{name:16}" + "".join(f"{'-' if v is None else f'{v:.1f}':>12}" for v in cells)
        )
    lines.append("\nSAM, mean best IoU by area of the instance in a 200 x 256 window")
    lines.append(f"{'':15}{'target look':>18}{'random looks':>18}")
    for area in record["sam_best_iou"]:
        cells = (
            f"{record[f'sam_best_iou{look}'].get(area, np.nan):8.3f} "
            f"({record[f'sam_instances{look}'].get(area, 0):6d})"
            for look in ("", "_random")
        )
        lines.append(f"{area:>12} px " + " ".join(cells))
    lines.append(f"masks kept in a window: {record['masks_per_window']:.1f}")
    lines.append(f"weights: {record['bytes'] / 2**20:.1f} MiB ({', '.join(SEGFORMERS)}, sam)")
    return "\n".join(lines)


def _masks(generator: SamGenerator, picture: Picture) -> list[WindowMasks]:
    return generator(list(WINDOWS.cut_images(picture.image)))


@torch.inference_mode()
def _fused(teacher: Segmenter, masks: list[WindowMasks], picture: Picture) -> dict[str, np.ndarray]:
    """uint8 (H, W) ensembles of one panorama by rule, from SAM's masks and from the true ones."""
    pixels = normalise(picture.image[None], teacher.device)[0]
    logits = segment(teacher.model, WINDOWS.cut(pixels))
    found = MaskBatch.of(masks)
    true = MaskBatch.of(true_masks(picture.instances, WINDOWS))
    jobs = {
        "fused_ssa": (found, FusionConfig(rule="ssa")),
        "fused_ctcf": (found, FusionConfig(rule="ctcf")),
        "fused_sepl": (found, FusionConfig(rule="sepl")),
        "fused_soft": (found, SOFT),
        "fused_true_ssa": (true, FusionConfig(rule="ssa")),
        "fused_true": (true, FusionConfig(rule="ctcf")),
        "fused_true_soft": (true, SOFT),
    }
    return {
        name: WINDOWS.join(fuse(logits, masks, config)[0]).to(torch.uint8).numpy()
        for name, (masks, config) in jobs.items()
    }

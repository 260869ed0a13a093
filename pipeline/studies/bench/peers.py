"""The generators that `bench stage1` measures, each in a process of its own.

Each takes a `PeerTask` and gives an `Outcome`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam

from goodsam.data.errors import InputError
from goodsam.pipeline.studies.bench.limit import flop_of
from goodsam.pipeline.studies.bench.peak import peak_memory, reset_peak
from goodsam.stages.memory import keep_freed_memory
from goodsam.stages.sam.generate import GeneratorConfig, SamGenerator
from goodsam.stages.sam.hub import (
    converted,
    family_of,
    hub_folder,
    processor_in,
    transformers_class,
)
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.published import PUBLISHED, fresh_model, published_family
from goodsam.stages.sam.registry import Hub, known_sam

KEPT = (0.4, 0.6)  # shares that pass the IoU's and then the stability's threshold
LOUDNESS = 4.0
# What transformers' pipeline takes for a SAM that we read from segment-anything's files
STOCK = {f"vit_{size[0]}": f"facebook/sam-vit-{size}" for size in ("base", "large", "huge")}


class Outcome(NamedTuple):
    """seconds, and those of all CPU cores; bytes at the peak; each image's masks as bits.

    flop: floating-point operations of all products; on a CPU they are not counted, and 0.
    """

    seconds: float
    cpu_seconds: float
    peak: int
    masks: list[np.ndarray]
    flop: int = 0


@dataclass(frozen=True)
class PeerTask:
    """What every peer does. checkpoint: None for the demo's weights, or random ones."""

    sam: str
    checkpoint: Path | None
    config: GeneratorConfig
    images: Sequence[np.ndarray]
    device: str

    @property
    def folder(self) -> Path | None:
        """The transformers directory with the weights, if it is one."""
        if self.checkpoint is not None:
            return self.checkpoint if self.checkpoint.is_dir() else None
        weights = known_sam(self.sam).weights
        if not isinstance(weights, Hub) or weights.name in PUBLISHED:
            return None
        return Path(self.sam) if Path(self.sam).is_dir() else hub_folder(self.sam)


def peers_of(sam: str) -> tuple[str, ...]:
    """Names of the peers that can run this SAM, the one that others are measured against first."""
    if isinstance(known_sam(sam).weights, Hub):
        return "transformers", "exact", "fast"
    if sam in STOCK:
        return "reference", "transformers", "exact", "fast"
    return "reference", "exact", "fast"


def is_random(task: PeerTask) -> bool:
    """Whether no weights are at hand: the bench downloads none."""
    in_package = isinstance(known_sam(task.sam).weights, Path)
    return task.checkpoint is None and task.folder is None and not in_package


def _model(task: PeerTask) -> Sam:
    known = known_sam(task.sam)
    if is_random(task) and isinstance(known.weights, Hub):
        model = converted(published_family(known.weights.name), _transformers_model(task))
    elif is_random(task):
        torch.manual_seed(0)
        model = known.build()
        _make_loud(model)
    else:
        model = load_sam(task.sam, task.checkpoint).model
    # what asks for gradients cannot be counted in inference mode
    return model.to(task.device).eval().requires_grad_(False)


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
    from PIL import Image
    from transformers import pipeline

    generate_masks = pipeline(
        "mask-generation",
        model=_transformers_model(task),
        image_processor=_transformers_processor(task),
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


def _transformers_model(task: PeerTask) -> Any:
    """The network that the pipeline has.

    Of the first SAM it has random weights of the same shape, unless a directory is given: it reads
    other files than segment-anything does.
    """
    if task.folder is not None:
        family = family_of(task.folder)
        model = transformers_class(family.model).from_pretrained(task.folder, dtype="float32")
        return model.eval().requires_grad_(False)
    torch.manual_seed(0)
    model = fresh_model(_published(task.sam))
    _make_loud(model)
    return model.requires_grad_(False)


def _transformers_processor(task: PeerTask) -> Any:
    if task.folder is not None:
        family, found = family_of(task.folder), processor_in(task.folder)
    else:
        family, found = published_family(_published(task.sam)), None
    return found or transformers_class(family.processor)()


def _published(sam: str) -> str:
    weights = known_sam(sam).weights
    return weights.name if isinstance(weights, Hub) else STOCK[sam]


PEER: dict[str, Callable[[PeerTask], Outcome]] = {
    "reference": _reference,
    "transformers": _transformers,
    "exact": _ours("exact"),
    "fast": _ours("fast"),
}


@torch.inference_mode()
def open_thresholds(task: PeerTask) -> GeneratorConfig:
    """Thresholds that let the shares KEPT of a random SAM's masks through."""
    every = replace(
        task.config,
        pred_iou_thresh=0.0,
        stability_score_thresh=0.0,
        box_nms_thresh=1.0,
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
    """Of `generate`; the peak counts from what is in use now."""
    flop = 0
    if device == "cuda":
        flop = flop_of(generate)  # kernels are loaded and chosen at their first use
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        before = reset_peak()
    began, cpu_began = time.perf_counter(), time.process_time()
    masks = generate()
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    peak = torch.cuda.max_memory_allocated() if device == "cuda" else peak_memory()
    return Outcome(seconds, cpu_seconds, peak - before, masks, flop)


def apart(work: Callable[[PeerTask], Any], task: PeerTask) -> Any:
    """The result of work(task), from a fresh process. Raises its InputError."""
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
    if isinstance(answer, InputError):
        raise answer
    return answer


def _child(pipe: Connection, name: str | None, task: PeerTask) -> None:
    try:
        pipe.send(open_thresholds(task) if name is None else PEER[name](task))
    except InputError as error:
        pipe.send(error)
    pipe.close()

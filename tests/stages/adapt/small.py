"""A run so small that a test trains it in a second or two."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from transformers import SegformerForSemanticSegmentation

from goodsam.data.cache import Identity, PanoramaMasks, SamCache
from goodsam.data.files import file_hash
from goodsam.data.sphere import WindowPlan
from goodsam.data.window_masks import WindowMasks, overlap_boundaries
from goodsam.data.windows import Windows
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.reading import CachedPanoramas
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer

WINDOWS = Windows(32, 128, 32, 16)
NAMES = ("road", "car", "sky")


def make_world(root: Path, windows: WindowPlan = WINDOWS) -> Path:
    """Three small panoramas, their cache, and two SegFormers. Windows have multiples of 4 px."""
    rng = np.random.default_rng(0)
    size = (windows.height, windows.width, 3)
    coarse = windows.window_shape[0] // 4, windows.window_shape[1] // 4
    (root / "images").mkdir()
    names = [f"{index}.png" for index in range(3)]
    for name in names:
        Image.fromarray(rng.integers(256, size=size, dtype=np.uint8)).save(root / "images" / name)
    identity = Identity("0" * 64, {}, "windows", windows, False)
    hashes = {name: file_hash(root / "images" / name) for name in names}
    cache = SamCache.create(root / "cache.zarr", identity, hashes, {})
    for name in names:
        stacks = rng.random((len(windows), 3, *coarse)).repeat(4, 2).repeat(4, 3) < 0.3
        masks = tuple(WindowMasks.of(stack, np.ones(3), np.ones(3)) for stack in stacks)
        cache.write(name, PanoramaMasks(masks, tuple(overlap_boundaries(masks, windows))))
    for seed, network in enumerate(("teacher", "student")):
        save_segformer(decided("w16", seed), root / network)
    return root


def decided(architecture: str, seed: int):
    """A SegFormer of random weights whose probabilities are not all 1/3."""
    torch.manual_seed(seed)
    built = build_segformer(architecture, NAMES)
    with torch.no_grad():
        built.decode_head.classifier.weight *= 300
    return built


def config_for(world, **changes) -> AdaptConfig:
    base = AdaptConfig(
        str(world / "teacher"),
        str(world / "student"),
        steps=4,
        warmup=1,
        teacher_lr=1e-3,
        student_lr=1e-3,
        workers=0,
        checkpoint_every=2,
        device="cpu",
    )
    return dataclasses.replace(base, **changes)


def panoramas(world) -> CachedPanoramas:
    cache = SamCache.open(world / "cache.zarr")
    return CachedPanoramas(world / "images", cache, cache.names)


def weights(folder) -> dict[str, torch.Tensor]:
    return SegformerForSemanticSegmentation.from_pretrained(folder).state_dict()

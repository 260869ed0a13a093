"""What there is on this machine, how fast it is, and what to expect: `goodsam doctor`.

TA: the teacher assistant. The trial takes about 20 seconds on two idle cores. Networks have random
weights where none are in the package: the time does not depend on them.
"""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from goodsam.data.classes import CITYSCAPES
from goodsam.data.street.picture import panorama
from goodsam.data.windows import PAPER_HEIGHT, PAPER_WIDTH, Windows
from goodsam.pipeline.studies.timing import STEP
from goodsam.pipeline.whole.machine import Machine, free_disk
from goodsam.pipeline.whole.recipe import is_here
from goodsam.stages.device import pick_device, placed
from goodsam.stages.sam.generate import SamGenerator
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import SAMS, default_generator
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.lean import LeanHead
from goodsam.stages.segformer.segment import segment

PACKAGES = ("torchvision", "transformers", "segment-anything", "numpy", "zarr", "pillow")
SIDE = 2048  # of the matrices that are multiplied
VIT_B = 25  # a window of SAM ViT-B in windows of the demo SAM (docs/stage1.md, "Measured")
ADAPTIVE = 0.5  # of the time by adaptive prompts (docs/stage1.md)


def facts(device: str = "auto", folder: Path = Path()) -> dict[str, Any]:
    """What there is. folder: whose disk is meant. InputError for a device that is not there."""
    machine = Machine.here(device)
    return {
        "goodsam": version("goodsam"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": {"torch": torch.__version__, **{name: version(name) for name in PACKAGES}},
        "extras": extras(),
        "device": str(machine),
        "cuda": torch.version.cuda,
        "threads": machine.threads,
        "memory_gib": machine.memory / 2**30,
        "memory_free_gib": psutil.virtual_memory().available / 2**30,
        "disk_free_gib": free_disk(folder) / 2**30,
        "busy": machine.busy,
        "sams_here": [name for name in SAMS if is_here(name)],
    }


def extras() -> dict[str, list[str]]:
    """The extras of goodsam, each with the packages that it lacks here."""
    found: dict[str, list[str]] = {}
    for text in requires("goodsam") or []:
        named = re.match(r"([\w.-]+).*\bextra == [\"'](\w+)", text)
        if named is not None:
            package, extra = named.groups()
            lacks = found.setdefault(extra, [])
            lacks += [] if _installed(package) else [package]
    return found


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


@torch.inference_mode()
def trial(
    device: str = "auto", progress: Callable[[int, int], None] = lambda done, total: None
) -> dict[str, float]:
    """How fast it is: thousand million operations a second in matrix products, seconds of all else.

    sam_window: a window of 200 x 256 through the demo SAM. teacher_window: one of 400 x 512 through
    a TA of the presets' size (SegFormer-B5). student_panorama: one of 400 x 2048 through the
    smallest student (B0).
    """
    where = pick_device(device)
    window = panorama(0, 200, 1024).image[:, :256]
    sam = load_sam("street").model.to(where)
    generator = SamGenerator(sam, default_generator("street"))

    def network(architecture: str, width: int) -> Callable[[], object]:
        model = placed(build_segformer(architecture, CITYSCAPES), where).eval()
        LeanHead.put_into(model)  # as whatever is loaded has it
        image = torch.zeros(1, 3, PAPER_HEIGHT, width, device=where)
        return lambda: segment(model, image)

    found: dict[str, float] = {}
    works: dict[str, Callable[[], Callable[[], object]]] = {
        "float32": lambda: _product(torch.float32, where),
        "bfloat16": lambda: _product(torch.bfloat16, where),
        "sam_window": lambda: lambda: generator([np.ascontiguousarray(window)]),
        "teacher_window": lambda: network("b5", PAPER_WIDTH // 4),
        "student_panorama": lambda: network("b0", PAPER_WIDTH),
    }
    for number, (name, make) in enumerate(works.items()):
        progress(number, len(works))
        seconds = _best_of_two(make(), where)
        product = name in ("float32", "bfloat16")
        found[name] = 2 * SIDE**3 / seconds / 1e9 if product else seconds
    progress(len(works), len(works))
    return found


def _product(dtype: torch.dtype, device: torch.device) -> Callable[[], object]:
    matrix = torch.ones(SIDE, SIDE, dtype=dtype, device=device)
    return lambda: matrix @ matrix


def _best_of_two(work: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(2):
        started = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def expectations(speed: dict[str, float]) -> dict[str, float]:
    """Seconds of each stage, a panorama each, of 2048 x 400: rough, from `trial`.

    demo_sam: stage 1 by the demo SAM, at 1024 x 200, boundaries from the windows; vit_b: by SAM
    ViT-B with adaptive prompts, paper: as in the paper, with overlaps and all prompts. step: of
    stage 2 with robust-m. predict: a label map by its student.
    """
    windows = len(Windows.of(PAPER_HEIGHT, PAPER_WIDTH))
    vit_b = windows * VIT_B * speed["sam_window"]
    passes = windows * speed["teacher_window"] + speed["student_panorama"]
    return {
        "demo_sam": windows * speed["sam_window"],
        "vit_b": ADAPTIVE * vit_b,
        "vit_b_paper": 2 * vit_b,  # as many overlaps as windows
        "step": STEP * passes,
        "predict": speed["student_panorama"],
    }

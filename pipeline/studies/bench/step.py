"""`goodsam bench step`: a training step against the bare one, in turns, on the same panoramas.

The bare step is what any training of the two networks does: forward passes of both, upsampling to
the input's size, plain cross entropy to labels that are given, backward, both optimisers. The full
step is the method's, as `goodsam train` does it, from a cache on disk: reading, fusion, refined
boundaries, all losses, clipping, and what the journal shows. Networks that a preset names by a hub
are built of the same architecture with random weights: the time does not depend on them.
"""

from __future__ import annotations

import re
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from goodsam.data.cache import Identity, SamCache
from goodsam.data.classes import CITYSCAPES
from goodsam.data.files import file_hash
from goodsam.data.windows import Windows
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.studies.bench.synthetic import panorama_masks, windows_of_height
from goodsam.stages.adapt.learner import Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, Item, read_in_order
from goodsam.stages.device import autocast
from goodsam.stages.segformer.build import ARCHITECTURES, build_segformer
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.segment import normalise, segment

PANORAMAS = 4


def bench_step(
    preset: str,
    teacher_assistant: str | None = None,
    student: str | None = None,
    height: int = 400,
    masks: int = 120,
    steps: int = 3,
    device: str = "auto",
    precision: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Seconds of a step of `preset`, of a bare one, and their ratio; the least of `steps` each.

    teacher_assistant, student: architectures (b0 to b5) in place of the preset's networks. masks:
    in each window. Further keys: images_per_second, seconds_waited for the cache (the median),
    memory_gib (on a GPU the most allocated in a full step; on a CPU the most this process held).
    """
    config = adapt_config(preset, device=device, precision=precision, accumulate=1)
    windows = windows_of_height(height)
    with tempfile.TemporaryDirectory() as folder, processes(device) as group:
        root = Path(folder)
        names = (teacher_assistant or config.teacher_assistant, student or config.student)
        paths = [
            _network(name, root / role) for name, role in zip(names, ("ta", "st"), strict=True)
        ]
        config = replace(config, teacher_assistant=paths[0], student=paths[1])
        panoramas = _panoramas(root, windows, masks)
        learner = Learner(config, group, windows)
        learner.set_rate(1.0)
        order = ((index, index % PANORAMAS) for index in range(steps + 1))
        items = read_in_order(panoramas, order, config.workers, group.device)
        cuda = group.device.type == "cuda"
        seconds: dict[str, list[float]] = {"bare": [], "full": []}
        waits = []
        memory = 0.0
        item = panoramas[0]
        bare = _BareStep(learner, item)
        for index in range(steps + 1):  # the first of each warms up
            for kind in ("bare", "full"):
                if cuda:
                    torch.cuda.synchronize()
                    torch.cuda.reset_peak_memory_stats()
                started = time.perf_counter()
                if kind == "bare":
                    bare()
                else:
                    item = next(items)
                    waited = time.perf_counter() - started
                    learner.learn(item, 1.0, last=True)
                    learner.measured()
                    learner.update()
                if cuda:
                    torch.cuda.synchronize()
                    memory = torch.cuda.max_memory_allocated() / 2**30
                if index:
                    seconds[kind].append(time.perf_counter() - started)
            if index:
                waits.append(waited)
            progress(index + 1, steps + 1)
    if not cuda:
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    step_s, bare_s = min(seconds["full"]), min(seconds["bare"])
    return {
        "step_s": step_s,
        "bare_s": bare_s,
        "ratio": step_s / bare_s,
        "images_per_second": 1 / step_s,
        "seconds_waited": float(np.median(waits)),
        "memory_gib": memory,
        "preset": preset,
        "teacher_assistant": names[0],
        "student": names[1],
        "height": height,
        "width": windows.width,
        "masks": masks,
        "steps": steps,
        "precision": config.precision,
        "device": _device_name(group.device),
    }


def step_table(record: dict[str, Any]) -> str:
    """The record of `bench_step` for people."""
    return "\n".join(
        [
            f"preset {record['preset']}, TA {record['teacher_assistant']}, student "
            f"{record['student']}, {record['width']} x {record['height']}, {record['precision']}, "
            f"{record['masks']} masks a window, on {record['device']}",
            f"{'bare step':12}{record['bare_s']:9.3f} s",
            f"{'full step':12}{record['step_s']:9.3f} s  {record['ratio']:.3f} x the bare one",
            f"{record['images_per_second']:.2f} image/s, {record['seconds_waited']:.3f} s a step "
            f"spent waiting for the cache, {record['memory_gib']:.1f} GiB",
        ]
    )


class _BareStep:
    """Both networks trained on given labels by plain cross entropy, with their own optimisers."""

    def __init__(self, learner: Learner, item: Item) -> None:
        self.learner = learner
        device, windows = learner.group.device, learner.windows
        self.image = item.image
        labels = torch.randint(len(learner.names), (windows.height, windows.width))
        self.labels = labels.to(device)

    def __call__(self) -> None:
        learner = self.learner
        device, windows = learner.group.device, learner.windows
        image = normalise(self.image[None], device)
        with autocast(device, learner.config.precision):
            by_windows = segment(learner.teacher, windows.cut(image[0]))
            whole = segment(learner.student, image)
        loss = F.cross_entropy(by_windows.float(), windows.cut(self.labels))
        (loss + F.cross_entropy(whole.float(), self.labels[None])).backward()
        for optimizer in learner.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)


def _network(name: str, folder: Path) -> str:
    """A directory or a name that comes along as it is; of anything else its architecture."""
    known = re.search("|".join(sorted(ARCHITECTURES)), name)
    if name.startswith("street-") or Path(name).is_dir() or known is None:
        return name
    torch.manual_seed(0)
    save_segformer(build_segformer(known.group(), CITYSCAPES), folder)
    return str(folder)


def _panoramas(root: Path, windows: Windows, masks: int) -> CachedPanoramas:
    """Panoramas of noise with made-up masks, on disk as stage 1 would leave them."""
    rng = np.random.default_rng(0)
    images = root / "images"
    images.mkdir()
    for index in range(PANORAMAS):
        size = (windows.height // 8, windows.width // 8, 3)
        picture = Image.fromarray(rng.integers(256, size=size, dtype=np.uint8))
        picture.resize((windows.width, windows.height)).save(images / f"{index}.png")
    hashes = {path.name: file_hash(path) for path in sorted(images.iterdir())}
    identity = Identity("0" * 64, {}, "overlap", windows, False)
    cache = SamCache.create(root / "cache.zarr", identity, hashes, {})
    for name in hashes:
        cache.write(name, panorama_masks(windows, masks, rng))
    return CachedPanoramas(images, SamCache.open(root / "cache.zarr"), list(hashes))


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu, {torch.get_num_threads()} thread(s)"

"""`goodsam bench predict --formats`: one network in every format, the same pictures, one run.

transformers as it comes (processor, model, post-processing), ours in torch, ONNX Runtime and
OpenVINO in float32, and both in int8: from a picture in memory to its labels. The sides take turns,
a picture each, and the median counts. All get as many threads as torch has, and none bfloat16,
which most CPUs lack. Memory is the peak of a process of its own. A family that cannot be traced is
compared in transformers and in torch alone.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from goodsam.data.panoramas import Sample, find_panoramas
from goodsam.data.street.write import write_world
from goodsam.pipeline.studies.bench.peak import peak_memory, reset_peak
from goodsam.pipeline.studies.bench.predict import model_folder
from goodsam.pipeline.studies.bench.stock import stock
from goodsam.stages.export.compare import bytes_of
from goodsam.stages.export.graph import is_traced
from goodsam.stages.export.runtime_files import build
from goodsam.stages.export.runtimes import GraphFormat, Labels, need, opened
from goodsam.stages.export.views import View, views_of
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.segformer.segment import parameter_count
from goodsam.stages.segformer.segmenter import Segmenter

ROUNDS = 3
CALIBRATING = 4  # pictures rendered for it, others than those that are labelled
_FORMATS: tuple[GraphFormat, ...] = ("onnx", "openvino")
_IN_TORCH = ("transformers", "torch")
_TITLES = {
    "transformers": "transformers",
    "torch": "goodsam, torch",
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "onnx-int8": "ONNX Runtime, int8",
    "openvino-int8": "OpenVINO, int8",
}


def bench_formats(
    model: str,
    images: Path | None,
    *,
    count: int,
    height: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Of each side: milliseconds a picture, CPU milliseconds, MB of memory and on disk, agreement.

    model: as for `bench_predict`. images: a folder, of which the first `count` are labelled and
    the others calibrate int8; None renders them. agreement: percent of the pixels, with ours in
    torch. `miou`: percent, where the pictures have labels. CPU milliseconds are summed over
    threads; they say more than the clock where other work shares the CPU.
    """
    for format in _FORMATS:
        need(format)
    with TemporaryDirectory() as folder:
        root = Path(folder)
        source = str(model_folder(model, root / "model"))
        segmenter = Segmenter.load(source, device="cpu")
        samples, photographs = _pictures(images, root / "world", count, height)
        shown = views_of(segmenter, samples)
        paths = _export(segmenter, photographs, root) if is_traced(segmenter.model) else {}
        titles = [side for side in _TITLES if side in paths or side in _IN_TORCH]
        steps = ROUNDS + 1 + len(titles)
        where = _Sides(source, paths, torch.get_num_threads())
        sides = {side: where.opened(side) for side in titles}
        labels = {side: [run(view.image[None])[0] for view in shown] for side, run in sides.items()}
        progress(1, steps)
        wall: dict[str, list[float]] = {side: [] for side in sides}
        cpu: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(ROUNDS):
            for view in shown:
                for side, run in sides.items():
                    begun, busy = time.perf_counter(), time.process_time()
                    run(view.image[None])
                    wall[side].append(1000 * (time.perf_counter() - begun))
                    cpu[side].append(1000 * (time.process_time() - busy))
            progress(turn + 2, steps)
        del sides
        rows = {}
        for done, side in enumerate(titles):
            alike = [(a == b).mean() for a, b in zip(labels[side], labels["torch"], strict=True)]
            rows[side] = {
                "ms": median(wall[side]),
                "cpu_ms": median(cpu[side]),
                "memory_mb": _memory(where, side, shown[0].image),
                "file_mb": (
                    bytes_of(paths[side]) if side in paths else 4 * parameter_count(segmenter.model)
                )
                / 1e6,
                "agreement": 100 * float(np.mean(alike)),
                "miou": _miou(segmenter, labels[side], shown),
            }
            progress(ROUNDS + 2 + done, steps)
        height, width = shown[0].image.shape[:2]
        return {
            "model": model,
            "parameters": parameter_count(segmenter.model),
            "images": len(shown),
            "size": [width, height],
            "threads": where.threads,
            "arithmetic": "float32, bfloat16 off",
            "rows": rows,
        }


def formats_table(record: dict[str, Any]) -> str:
    """The record of `bench_formats` for people."""
    width, height = record["size"]
    rows = record["rows"]
    lines = [
        f"{record['model']}, {record['parameters'] / 1e6:.2f} M parameters; {record['images']} "
        f"images of {width} x {height}, threads: {record['threads']}; {record['arithmetic']}",
        f"{'':20}{'ms':>8}{'CPU ms':>8}{'memory MB':>11}{'file MB':>9}{'alike %':>9}{'mIoU %':>8}",
    ]
    for side, row in rows.items():
        miou = "-" if row["miou"] is None else f"{row['miou']:.2f}"
        lines.append(
            f"{_TITLES[side]:20}{row['ms']:8.0f}{row['cpu_ms']:8.0f}{row['memory_mb']:11.0f}"
            f"{row['file_mb']:9.2f}{row['agreement']:9.3f}{miou:>8}"
        )
    ours = rows["torch"]["cpu_ms"]
    last = f"CPU time: ours in torch {rows['transformers']['cpu_ms'] / ours:.2f} times as fast as "
    last += "transformers"
    if eight_bits := [rows[side]["cpu_ms"] for side in rows if side.endswith("-int8")]:
        last += f", int8 {ours / min(eight_bits):.2f} times as fast as ours in torch"
    return "\n".join([*lines, last])


def _pictures(
    images: Path | None, world: Path, count: int, height: int
) -> tuple[list[Sample], list[Sample]]:
    """What is labelled, and what int8 is calibrated on."""
    if images is None:
        write_world(world, source=0, unlabelled=CALIBRATING, test=count, seed=1, height=height)
        return find_panoramas(world / "test"), find_panoramas(world / "unlabelled")
    samples = find_panoramas(images)
    return samples[:count], samples[count:] or samples


def _export(segmenter: Segmenter, photographs: list[Sample], root: Path) -> dict[str, Path]:
    """Every format, by side, with and without int8."""
    views = [view.image for view in views_of(segmenter, photographs)]
    made = {}
    for format in _FORMATS:
        for side, calibrating in ((format, []), (f"{format}-int8", views)):
            (root / side).mkdir()
            made[side] = build(segmenter, root / side, format, calibrating=calibrating)
    return made


@dataclass(frozen=True)
class _Sides:
    """Where each side finds the network. threads: for those that are no torch."""

    source: str
    paths: dict[str, Path]
    threads: int

    def opened(self, side: str) -> Labels:
        if side in self.paths:
            return opened(self.paths[side], self.threads)
        segmenter = Segmenter.load(self.source, device="cpu")
        return segmenter.classes if side == "torch" else _transformers(segmenter)


def _transformers(segmenter: Segmenter) -> Labels:
    labels = stock(segmenter.model, segmenter.device)
    return lambda images: np.stack([labels(image) for image in images])


def _memory(sides: _Sides, side: str, image: np.ndarray) -> float:
    """MB that a process grows by, at most, as it opens a side and labels one picture."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_growth, (sides, side, image))


def _growth(sides: _Sides, side: str, image: np.ndarray) -> float:
    torch.set_num_threads(sides.threads)
    before = reset_peak()  # what imports take
    sides.opened(side)(image[None])
    return (peak_memory() - before) / 1e6


def _miou(segmenter: Segmenter, labels: list[np.ndarray], views: list[View]) -> float | None:
    count = len(segmenter.names)
    matrices = [
        confusion(found, view.truth, count)
        for found, view in zip(labels, views, strict=True)
        if view.truth is not None
    ]
    return Scores(np.asarray(sum(matrices)), segmenter.names).miou if matrices else None

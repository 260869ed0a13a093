"""`goodsam bench predict`: ours against plain transformers inference, same images, one run.

The peer does what a user of `transformers` writes: for each image, its family's processor, model,
`post_process_semantic_segmentation` at the image's size, label map saved as PNG. Ours is
`stages.predict.predict`, which writes an overlay beside each label map. Both see native size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from goodsam.data.classes import CITYSCAPES
from goodsam.data.panoramas import Sample, find_panoramas, read_image
from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.data.windows import panorama_width
from goodsam.pipeline.studies.bench.stock import stock
from goodsam.stages.predict import label_path, predict
from goodsam.stages.score.unlabelled import rolled
from goodsam.stages.segformer.build import ARCHITECTURES, build_segformer
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.segmenter import Segmenter

ROUNDS = 3  # the sides take turns; the best round of each counts, since other work only slows
SEAM = 32  # px on either side of the seam


def bench_predict(
    model: str,
    images: Path | None,
    *,
    count: int,
    height: int,
    batch: int,
    device: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Seconds an image of both, their ratio, and how far the labels agree.

    model: a run, a network's directory or hub name, of any family, or b0 to b5, w16, w32 with
    random weights, which cost as much time as trained ones. images: a folder; None renders `count`
    panoramas.
    Also `seam_*`: percent of the pixels next to the seam labelled as when the seam is elsewhere,
    without and with `--wrap`.
    """
    with TemporaryDirectory() as folder:
        root = Path(folder)
        if images is None:
            images = _rendered(root / "images", count, height)
        samples = find_panoramas(images)[:count]
        segmenter = Segmenter.load(model_folder(model, root / "model"), device=device)
        seconds: dict[str, list[float]] = {"peer": [], "ours": []}
        for turn in range(ROUNDS + 1):  # the first round warms up
            for side in seconds:
                out = root / f"{side}{turn}"
                out.mkdir()
                started = time.perf_counter()
                if side == "peer":
                    _peer(segmenter, samples, out)
                else:
                    predict(segmenter, samples, out, batch=batch)
                seconds[side].append((time.perf_counter() - started) / len(samples))
            progress(turn + 1, ROUNDS + 1)
        agreement = [
            (
                _read(_peer_path(root / "peer0", s)) == _read(label_path(root / "ours0", s.name))
            ).mean()
            for s in samples
        ]
        peer, ours = (min(seconds[side][1:]) for side in ("peer", "ours"))
        first = read_image(samples[0].image)
        return {
            "model": model,
            "images": len(samples),
            "size": [first.shape[1], first.shape[0]],
            "batch": batch,
            "device": segmenter.device.type,
            "peer_s": peer,
            "ours_s": ours,
            "ratio": peer / ours,
            "agreement": 100 * float(np.mean([alike.mean() for alike in agreement])),
            "seam_plain": _seam(segmenter, samples),
            "seam_wrap": _seam(replace(segmenter, wrap=True), samples),
        }


def predict_table(record: dict[str, Any]) -> str:
    """The record of `bench_predict` for people."""
    width, height = record["size"]
    return "\n".join(
        [
            f"{record['images']} images of {width} x {height}, {record['model']}, "
            f"{record['device']}, batch {record['batch']}; files read and written included",
            f"{'transformers':24}{1000 * record['peer_s']:10.0f} ms an image",
            f"{'goodsam predict':24}{1000 * record['ours_s']:10.0f} ms an image, overlay included",
            f"{'ratio':24}{record['ratio']:10.2f}",
            f"{'labels alike':24}{record['agreement']:10.4f} %",
            f"{'at the seam, plain':24}{record['seam_plain']:10.2f} % as when it is elsewhere",
            f"{'at the seam, --wrap':24}{record['seam_wrap']:10.2f} %",
        ]
    )


def model_folder(name: str, folder: Path) -> str | Path:
    """`name`, or a directory with random weights where it names an architecture."""
    if name not in ARCHITECTURES:
        return name
    torch.manual_seed(0)
    save_segformer(build_segformer(name, CITYSCAPES), folder)
    return folder


def _rendered(folder: Path, count: int, height: int) -> Path:
    folder.mkdir()
    for index in range(count):
        picture = panorama(split_seed("tuning", index, 0), height, panorama_width(height))
        Image.fromarray(picture.image).save(folder / f"{index}.png")
    return folder


def _peer(segmenter: Segmenter, samples: list[Sample], out: Path) -> None:
    labels = stock(segmenter.model, segmenter.device)
    for sample in samples:
        image = Image.open(sample.image).convert("RGB")
        Image.fromarray(labels(image)).save(_peer_path(out, sample))


def _peer_path(out: Path, sample: Sample) -> Path:
    return out / f"{sample.name.replace('/', '_')}.png"


def _read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def _seam(segmenter: Segmenter, samples: list[Sample]) -> float:
    """Percent of the pixels within SEAM of the seam that keep their label under half a turn."""
    same = []
    for sample in samples:
        image = read_image(sample.image)
        alike = segmenter(image) == rolled(segmenter, image)
        same.append(np.concatenate([alike[:, :SEAM], alike[:, -SEAM:]], axis=1).mean())
    return 100 * float(np.mean(same))

"""Supervised training on labelled images: the "fine-tuned" SegFormers that the method starts from.

    goodsam source DATASET --model b0 --out DIR

Everything random depends on (seed, position in the run) alone, so that a killed run resumes as if
it had never stopped: no state of a generator has to be kept.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

from goodsam.data.alone import alone
from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole
from goodsam.data.panoramas import Sample, read_image, read_truth
from goodsam.data.panoramas.indoor import protocol_at
from goodsam.data.ranges import (
    ABOVE_0,
    AT_LEAST_0,
    COUNT,
    COUNT_OR_NONE,
    SEED,
    SHARE,
    WORKERS,
    check_ranges,
)
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.stages.checkpoint import (
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
)
from goodsam.stages.device import autocast, pick_device, placed
from goodsam.stages.loading import as_raised
from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.files import load_model, save_model
from goodsam.stages.schedule import poly_schedule
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.segment import class_names, normalise, segment


@dataclass(frozen=True)
class SourceConfig:
    """Supervised training.

    model: an architecture of ours (w16, w32, b0 to b5), built anew, or a network's directory or
        hub name to start from, of any family.
    steps, batch: length. crop: (height, width) px of the training crops.
    scale: range of the random resize. jitter: photometric distortion on or off.
    class_balance: temperature of rare-class sampling (crops are drawn around a class c with
        probability softmax((1 - frequency_c) / temperature), DAFormer's rule); None: uniform.
    learning_rate: of the encoder, AdamW; the decoder's is `head_factor` times that. Linear
        warm-up, then polynomial decay of power 1.
    compile: torch.compile the network; worth it for thousands of steps (needs a C++ compiler).
    """

    model: str = "b0"
    steps: int = 40_000
    batch: int = 8
    crop: tuple[int, int] = (512, 1024)
    scale: tuple[float, float] = (0.5, 2.0)
    jitter: bool = True
    class_balance: float | None = 0.1
    learning_rate: float = 6e-5
    head_factor: float = 10.0
    weight_decay: float = 0.01
    warmup: int = 1500
    drop_path: float = 0.1
    seed: int = 0
    precision: str = "float32"
    device: str = "auto"
    workers: int = 2
    checkpoint_every: int = 500
    compile: bool = False

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)
        if self.scale[0] > self.scale[1]:
            raise InputError(f"setting scale {self.scale}: the smaller factor first")


_RANGES = {
    **dict.fromkeys(("steps", "batch", "crop", "checkpoint_every"), COUNT),
    **dict.fromkeys(("scale", "class_balance", "learning_rate", "head_factor"), ABOVE_0),
    "weight_decay": AT_LEAST_0,
    "warmup": COUNT_OR_NONE,
    "drop_path": SHARE,
    "seed": SEED,
    "workers": WORKERS,
}


class Crops(Dataset):
    """Item i is the i-th training crop of the whole run: image (H, W, 3) uint8, labels (H, W)."""

    def __init__(self, samples: Sequence[Sample], config: SourceConfig, first: int) -> None:
        """`first`: the position in the run at which this data set begins (after a resume)."""
        self.samples, self.config, self.first = list(samples), config, first
        self.presence: np.ndarray | None = None
        if config.class_balance is not None:
            self.presence = np.stack([_pixel_counts(sample) for sample in self.samples])
        self.jitter = v2.RandomPhotometricDistort(p=0.5)

    def __len__(self) -> int:
        return self.config.steps * self.config.batch - self.first

    def __getitem__(self, item: int) -> tuple[torch.Tensor, torch.Tensor]:
        position = self.first + item
        rng = np.random.default_rng((self.config.seed, position))
        index, wanted = self._draw(rng)
        image = torch.from_numpy(read_image(self.samples[index].image)).movedim(-1, 0)
        labels = torch.from_numpy(_labels(self.samples[index]))[None]
        image, labels = self._resize(image, labels, rng)
        image, labels = self._crop(image, labels, wanted, rng)
        if rng.random() < 0.5:
            image, labels = image.flip(-1), labels.flip(-1)
        if self.config.jitter:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(int(rng.integers(2**62)))
                image = self.jitter(image)
        return image.movedim(0, -1).contiguous(), labels[0].long()

    def _draw(self, rng: np.random.Generator) -> tuple[int, int | None]:
        if self.presence is None or self.config.class_balance is None:
            return int(rng.integers(len(self.samples))), None
        total = self.presence.sum(axis=0)
        frequency = total / max(total.sum(), 1)
        score = np.where(total > 0, np.exp((1 - frequency) / self.config.class_balance), 0.0)
        wanted = int(rng.choice(len(score), p=score / score.sum()))
        holders = np.flatnonzero(self.presence[:, wanted])
        return int(rng.choice(holders)), wanted

    def _resize(
        self, image: torch.Tensor, labels: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = np.log2(self.config.scale)
        factor = 2 ** rng.uniform(low, high)
        size = [max(1, round(side * factor)) for side in image.shape[-2:]]
        image = v2.functional.resize(image, size, antialias=True)
        return image, v2.functional.resize(tv_tensors.Mask(labels), size).as_subclass(torch.Tensor)

    def _crop(
        self,
        image: torch.Tensor,
        labels: torch.Tensor,
        wanted: int | None,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        height, width = self.config.crop
        down = max(0, height - image.shape[-2])
        right = max(0, width - image.shape[-1])
        if down or right:
            image = F.pad(image, (0, right, 0, down))
            labels = F.pad(labels, (0, right, 0, down), value=IGNORE)
        spare = (image.shape[-2] - height, image.shape[-1] - width)
        corner = [int(rng.integers(room + 1)) for room in spare]
        if wanted is not None:
            pixels = np.argwhere(labels[0].numpy() == wanted)
            if len(pixels):
                # any corner that keeps the chosen pixel of the wanted class inside the crop
                pixel = pixels[rng.integers(len(pixels))]
                for axis, side in enumerate((height, width)):
                    low = max(0, int(pixel[axis]) - side + 1)
                    high = min(spare[axis], int(pixel[axis]))
                    corner[axis] = int(rng.integers(low, high + 1))
        top, left = corner
        box = (..., slice(top, top + height), slice(left, left + width))
        return image[box], labels[box]


def classes_of(samples: Sequence[Sample]) -> tuple[str, ...]:
    """The classes of the labels: those of rooms where they are rooms, else Cityscapes'.

    InputError for an image without labels, and for streets and rooms together.
    """
    found = {_labels_of(sample) for sample in samples}
    protocols = {protocol.key: protocol for protocol in map(protocol_at, found)}
    if len(protocols) > 1:
        raise InputError(
            f"labels of other classes in one training ({', '.join(sorted(protocols))}); take one "
            "data set"
        )
    return next(iter(protocols.values())).names


def _labels_of(sample: Sample) -> Path:
    if sample.labels is None:
        raise InputError(f"{sample.image}: no labels; supervised training needs gtFine next to it")
    return sample.labels


def _labels(sample: Sample) -> np.ndarray:
    path = _labels_of(sample)
    return read_truth(path, protocol_at(path), sample.label_ids)


def _pixel_counts(sample: Sample) -> np.ndarray:
    count = len(protocol_at(_labels_of(sample)).names)
    return np.bincount(_labels(sample).ravel(), minlength=256)[:count]


def train_source(
    samples: Sequence[Sample],
    out: Path,
    config: SourceConfig,
    progress: Callable[[int, int, dict[str, float]], None] | None = None,
) -> Path:
    """Train on labelled `samples`; returns the Hugging Face directory `OUT/model`.

    The network has the classes of the labels (`classes_of`). Resumes from the last checkpoint in
    OUT if its settings and images are the same; raises InputError if they differ, and where another
    process trains in OUT.
    """
    if not samples:
        raise InputError("no labelled images to train on")
    check_folder(out)
    device = pick_device(config.device)
    identity = _identity(samples, config)
    with alone(out):
        _claim(out, identity)
        return _train(samples, out, config, device, progress)


def _train(
    samples: Sequence[Sample],
    out: Path,
    config: SourceConfig,
    device: torch.device,
    progress: Callable[[int, int, dict[str, float]], None] | None,
) -> Path:
    torch.manual_seed(config.seed)
    names = classes_of(samples)
    if Path(config.model).exists() or "/" in config.model:
        model = load_model(config.model)
        if class_names(model) != names:
            raise InputError(
                f"{config.model}: its classes are not those of the labels, in their order "
                f"({', '.join(names)}); take another network, or rename them in its config.json"
            )
    else:
        model = build_segformer(config.model, names, config.drop_path)
    placed(model, device).train()
    optimizer = _optimizer(model, config)
    folder, first = out / "checkpoints", 0
    if newest := latest_checkpoint(folder):
        first = load_checkpoint(newest, {"model": model}, {"model": optimizer})["step"]

    base = [group["lr"] for group in optimizer.param_groups]
    crops = Crops(samples, config, first=first * config.batch)
    loader = DataLoader(crops, batch_size=config.batch, num_workers=config.workers)
    if config.compile:
        model.compile()
    started, log = time.monotonic(), (out / "metrics.jsonl").open("a")
    with log:
        for step, (images, labels) in enumerate(as_raised(loader), start=first):
            factor = poly_schedule(step, config.steps, config.warmup)
            for group, rate in zip(optimizer.param_groups, base, strict=True):
                group["lr"] = rate * factor
            torch.manual_seed((config.seed << 32) + step)  # dropout and stochastic depth
            with autocast(device, config.precision):
                logits = segment(model, normalise(images, device))
            loss = F.cross_entropy(logits.float(), labels.to(device), ignore_index=IGNORE)
            if not torch.isfinite(loss):
                raise FloatingPointError(f"step {step}: the loss is {loss.item()}")
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            row = {"step": step, "loss": loss.item(), "lr": base[0] * factor}
            row["seconds"] = time.monotonic() - started
            log.write(json.dumps(row) + "\n")
            if progress:
                progress(step + 1, config.steps, row)
            if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps:
                log.flush()
                path = folder / f"step_{step + 1:08d}.safetensors"
                save_checkpoint(path, {"model": model}, {"model": optimizer}, {"step": step + 1})
                prune_checkpoints(folder, keep=2)
    save_model(model.eval(), out / "model")
    return out / "model"


def _optimizer(model: torch.nn.Module, config: SourceConfig) -> torch.optim.Optimizer:
    heads: tuple[str, ...] = ("decode_head",)
    if isinstance(model, Adapted):
        heads = tuple(f"model.{path.partition('.')[0]}." for path in model.family.heads)
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        groups.setdefault((name.startswith(heads), parameter.ndim > 1), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": config.learning_rate * (config.head_factor if head else 1.0),
                "weight_decay": config.weight_decay if matrix else 0.0,
            }
            for (head, matrix), parameters in groups.items()
        ]
    )


def _identity(samples: Sequence[Sample], config: SourceConfig) -> dict:
    names = "\n".join(sample.name for sample in samples)
    settings = asdict(config)
    for free in ("device", "workers", "checkpoint_every", "compile"):
        settings.pop(free)
    return {"images": hashlib.sha256(names.encode()).hexdigest(), "settings": settings}


def _claim(out: Path, identity: dict) -> None:
    """Make OUT this run's directory; raises InputError if it holds another run."""
    out.mkdir(parents=True, exist_ok=True)
    record = out / "source.json"
    if latest_checkpoint(out / "checkpoints") is None:
        write_whole(record, json.dumps(identity, indent=2))
        return
    try:
        kept = parse_json(read_bounded(record))
    except (OSError, ValueError) as error:
        raise InputError(f"{record}: cannot be read ({error}); start a new run") from error
    wanted = json.loads(json.dumps(identity))  # tuples become lists, as in the file
    if kept != wanted:
        differing = [
            k for k in wanted["settings"] if kept["settings"].get(k) != wanted["settings"][k]
        ]
        what = ", ".join(differing) or "the images"
        raise InputError(f"{out}: holds another run ({what} differ); choose another --out")

"""Train the demo SAM on pictures of the street world in looks other than the target.

    python -m goodsam.stages.street_sam.train --out runs/weights/sam

Every step is drawn from (seed, step) alone, so a run that was stopped goes on as if it had not
been; a longer `--steps` makes a finished one go on. The pictures are rendered first, and shaken
beside the training by `--workers` processes, which change nothing of the result.

Two parts, by share of the steps: the encoder's vectors alone, with no decoder to pay for, then
the whole SAM from points.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from segment_anything.modeling import Sam
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import DataLoader, Dataset

from goodsam.data.files import written_aside
from goodsam.data.ranges import AT_LEAST_0, COUNT, COUNT_OR_NONE, SEED, SHARE, Range, check_ranges
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import street_sam
from goodsam.stages.street_sam.calibrate import calibrate
from goodsam.stages.street_sam.examples import Example, example, stacked
from goodsam.stages.street_sam.losses import Running, encoded, sam_loss, vector_loss
from goodsam.stages.street_sam.pool import WIDTH, Pool, scenery

SHARPNESS = 2.0  # of the points' positional encoding: tells apart things about a token wide
NEARNESS = 3.6  # scale of the tied projections: a logit of about 6 for a token on its own place


@dataclass(frozen=True)
class PretrainConfig:
    """The recipe. steps, batch: optimiser steps, and pictures in each; panoramas: in the pool.

    vectors_share: part of the training, from its beginning, for the vectors alone; none of it after
    a `start`, weights of a street SAM to start from in place of fresh ones. points: of a picture,
    for its vectors; prompts: those among them that the decoder gets. The rate rises over `warmup`
    steps and falls to nothing over the last `settle` of them all. calibration: pictures that the
    scores are calibrated on. workers: processes that render and shake pictures; 0: none beside it.
    """

    seed: int = 0
    steps: int = 12000
    batch: int = 2
    workers: int = 1
    panoramas: int = 1600
    vectors_share: float = 0.4
    points: int = 40
    prompts: int = 20
    lr: float = 7e-4
    weight_decay: float = 0.01
    warmup: int = 100
    settle: float = 0.3
    ema: float = 0.997
    calibration: int = 64
    checkpoint_every: int = 100
    precision: str = "bfloat16"
    device: str = "cpu"
    start: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self, _RANGES)


_RANGES = {
    **dict.fromkeys(("steps", "batch", "panoramas", "points", "prompts"), COUNT),
    **dict.fromkeys(("calibration", "checkpoint_every"), COUNT),
    **dict.fromkeys(("vectors_share", "ema"), SHARE),
    "settle": Range(0, 1, above=True),
    **dict.fromkeys(("lr", "weight_decay"), AT_LEAST_0),
    **dict.fromkeys(("warmup", "workers"), COUNT_OR_NONE),
    "seed": SEED,
}


@dataclass(frozen=True)
class Batches(Dataset[list[Example]]):
    """The examples of each step, from (seed, step) alone."""

    pool: Pool
    config: PretrainConfig

    def __getitem__(self, step: int) -> list[Example]:
        rng = np.random.default_rng([self.config.seed, step])
        draws = range(self.config.batch)
        return [example(rng, *self.pool.draw(rng), self.config.points) for _ in draws]


def batches_from(step: int, pool: Pool, config: PretrainConfig) -> Iterable[list[Example]]:
    """The batches of the steps from this one on, made ahead by the workers."""
    return DataLoader(
        Batches(pool, config),
        batch_size=None,
        sampler=range(step, config.steps),
        num_workers=config.workers,
    )


def pretrain_sam(
    out: Path, config: PretrainConfig, progress: Callable[[dict[str, float]], None] | None = None
) -> Path:
    """Train into the directory `out`, or go on there; returns its `sam.safetensors` (fp16).

    progress: called at intervals with the step's figures.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(config.device)
    if device.type != "cpu":  # under vmap, CUDA's autocast mixes its dtypes up
        config = replace(config, precision="float32")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        sam = initialised(street_sam())
    if config.start is not None:
        sam.load_state_dict(load_sam("street", Path(config.start)).model.state_dict())
    sam = sam.to(device).train()
    average = {key: value.clone() for key, value in sam.state_dict().items()}
    optimizer = torch.optim.AdamW(sam.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    checkpoint, step = out / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        sam.load_state_dict(saved["sam"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step = saved["average"], saved["step"]
    pool = Pool(out / "panoramas", config.panoramas)
    figures = Running()

    def keep() -> None:
        state = {
            "sam": sam.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
        }
        with written_aside(checkpoint) as aside:
            torch.save(state, aside)
        export(average, out / "sam.safetensors", {"step": step, **asdict(config)})

    pool.fill(config.workers)
    for examples in batches_from(step, pool, config):
        share = step / config.steps
        rate = config.lr * min(1.0, (step + 1) / max(1, config.warmup))
        rate *= min(1.0, max(0.01, (1 - share) / config.settle))
        for group in optimizer.param_groups:
            group["lr"] = rate
        alone = share < config.vectors_share and config.start is None
        loss, parts = losses(sam, examples, 0 if alone else config.prompts, config.precision)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(sam.parameters(), 1.0)
        optimizer.step()
        step += 1
        _follow(average, sam, min(config.ema, (1 + step) / (10 + step)))
        figures.add(parts)
        if step % 20 == 0 and progress is not None:
            progress({"step": step, "share": share, "lr": rate, **figures.take()})
        if step % config.checkpoint_every == 0:
            keep()
    keep()
    made = {"step": step, **asdict(config)}
    sam.load_state_dict(average)
    made["calibration"] = calibrate(sam.eval(), held_out(config, config.calibration))
    export(sam.state_dict(), out / "sam.safetensors", made)
    return out / "sam.safetensors"


def initialised(sam: Sam) -> Sam:
    """Places are there from the first step on, which spares most of the first plateau.

    In the decoder's attention between tokens and image, queries and keys begin with the same
    projection, so that what lies close together attends to each other; random ones would hide the
    point's place until they are learnt. The first masks are those of the vectors.
    """
    decoder = sam.mask_decoder
    torch.nn.init.normal_(sam.image_encoder.place, std=0.1)
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(SHARPNESS)
    attentions = [decoder.transformer.final_attn_token_to_image]
    for layer in decoder.transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        attention.q_proj.weight.data.mul_(NEARNESS)
        attention.k_proj.weight.data.copy_(attention.q_proj.weight.data)
    torch.nn.init.ones_(decoder.gain)
    return sam


def losses(
    sam: Sam, examples: list[Example], prompts: int, precision: str
) -> tuple[Tensor, dict[str, float]]:
    """The mean loss of some pictures, and its figures. prompts: a picture; 0: the vectors alone."""
    batch = stacked(examples).to(sam.device)

    def of_picture(embedding: Tensor, *tensors: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        e = batch.made_of(tensors)
        pairs, masks = vector_loss(sam, embedding, e)
        figures = {"pairs": pairs.detach(), "masks": masks.detach()}
        if not prompts:
            return pairs + masks, figures
        loss, parts = sam_loss(sam, embedding, e, prompts, precision)
        return loss + 0.3 * pairs + 0.5 * masks, figures | parts

    # seven tokens attend: vmap is slower there, and no other kernel knows it everywhere
    with sdpa_kernel(SDPBackend.MATH), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        each, figures = torch.func.vmap(of_picture)(
            encoded(sam, batch.image, precision), *batch.tensors
        )
    means = {name: float(values.detach().nanmean()) for name, values in figures.items()}
    return each.mean(), means


def held_out(config: PretrainConfig, count: int) -> list[Example]:
    """Pictures with prompts, from panoramas that come after those of the pool, colours unshaken."""
    rng = np.random.default_rng([config.seed, config.panoramas])
    found = []
    for index in range(config.panoramas, config.panoramas + -(-count // 4)):
        picture = scenery(index)
        for left in range(0, 4 * WIDTH, WIDTH):
            part = slice(left, left + WIDTH)
            image, instances = picture.image[:, part], picture.instances[:, part]
            found.append(example(rng, image, instances, config.points, shake=False))
    return found[:count]


def export(state: dict[str, Tensor], path: Path, made: dict[str, Any]) -> None:
    """Write weights as fp16 safetensors, with what made them; whole or not at all."""
    half = {key: value.detach().cpu().half().contiguous() for key, value in state.items()}
    with written_aside(path) as aside:
        save_file(half, aside, metadata={"made": json.dumps(made)})


def _follow(average: dict[str, Tensor], sam: Sam, decay: float) -> None:
    for key, value in sam.state_dict().items():
        average[key].lerp_(value, 1 - decay)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo SAM.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=PretrainConfig.steps)
    parser.add_argument("--panoramas", type=int, default=PretrainConfig.panoramas)
    parser.add_argument("--batch", type=int, default=PretrainConfig.batch)
    parser.add_argument("--workers", type=int, default=PretrainConfig.workers)
    parser.add_argument("--lr", type=float, default=PretrainConfig.lr)
    parser.add_argument("--start", help="weights of a street SAM to start from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = vars(parser.parse_args())
    if given["device"] != "cpu":
        torch.set_float32_matmul_precision("high")
    began = time.monotonic()

    def progress(figures: dict[str, float]) -> None:
        print(
            f"{time.monotonic() - began:6.0f} s",
            *(f"{name} {value:.4g}" for name, value in figures.items()),
            flush=True,
        )

    print(pretrain_sam(given.pop("out"), PretrainConfig(**given), progress))


if __name__ == "__main__":
    main()

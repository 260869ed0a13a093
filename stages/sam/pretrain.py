"""Train the demo SAM from nothing, on pinhole pictures of the street world in random looks.

    python -m stages.sam.pretrain --out runs/weights/sam --minutes 75

Every step is drawn from (seed, step) alone, so a run that was stopped goes on as if it had not
been. A second process renders the pictures while the first one trains.

The encoder sees each picture once for many prompts. The first part of the training works on crops
of 16 x 16 tokens, four times as cheap; the rest on whole frames, padded as at inference.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file
from segment_anything.modeling import Sam
from torch import Tensor

from data.street import pinhole, split_seed
from stages.sam.decode import decode_masks, decode_tokens
from stages.sam.load import street_sam

PATCH = 16  # SAM input px per token
MASK = 4  # SAM input px per pixel of a low-resolution mask
CROP = 16  # tokens, side of a crop
MINIMUM = 24  # px of half the SAM input: instances with fewer are no targets
FAR_PIXELS = 512  # of a picture whose pairs the kinship head sees
SHARPNESS = 2.0  # of the points' positional encoding: tells apart things about a token wide
NEARNESS = 3.6  # scale of the tied projections: a logit of about 6 for a token on its own place
HEIGHT, WIDTH = 200, 256  # of the pictures, the demo's windows


@dataclass(frozen=True)
class PretrainConfig:
    """The recipe. steps: optimiser steps; minutes: if given, it ends by the clock instead.

    pictures: size of the pool. balanced_share, crop_share: parts of the training, from its
    beginning, with the balanced loss and on crops. crops, frames: pictures a step, of either kind.
    prompts: points a picture. calibration: frames that the scores are calibrated on.
    """

    seed: int = 0
    steps: int = 6000
    minutes: float | None = None
    pictures: int = 2000
    balanced_share: float = 0.85
    crop_share: float = 0.5
    crops: int = 4
    frames: int = 1
    prompts: int = 16
    lr: float = 8e-4
    weight_decay: float = 0.01
    warmup: int = 100
    ema: float = 0.998
    calibration: int = 48
    checkpoint_every: int = 100
    device: str = "cpu"


@dataclass(frozen=True)
class Example:
    """One picture as SAM gets it, and its prompts.

    image: float32 (3, h, w) normalised, h and w multiples of 16. origin: (row, column) of its first
    token in the frame of 32 x 32. valid: (h, w) of the low-resolution masks that holds picture.
    instances: int64 (2 h, 2 w) of valid, ids at half of SAM's input.
    points: float32 (P, 2) x, y in px of the frame. targets: float32 (P, *valid), the share of each
    low-resolution pixel that belongs to the instance at the point.
    """

    image: Tensor
    origin: tuple[int, int]
    valid: tuple[int, int]
    instances: Tensor
    points: Tensor
    targets: Tensor


def pretrain_sam(
    out: Path, config: PretrainConfig, progress: Callable[[dict[str, float]], None] | None = None
) -> Path:
    """Train into the directory `out`, or go on there; returns its `sam.safetensors` (fp16).

    progress: called at intervals with the step's figures.
    """
    out.mkdir(parents=True, exist_ok=True)
    device = torch.device(config.device)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        sam = _initialised(street_sam()).to(device).train()
        kinship = Kinship(sam.mask_decoder.transformer_dim).to(device)
    average = {key: value.clone() for key, value in sam.state_dict().items()}
    optimizer = torch.optim.AdamW(
        [*sam.parameters(), *kinship.parameters()], lr=config.lr, weight_decay=config.weight_decay
    )
    checkpoint, step, before = out / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        sam.load_state_dict(saved["sam"])
        kinship.load_state_dict(saved["kinship"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step, before = saved["average"], saved["step"], saved["seconds"]
    pool = Pool(out / "pictures", config.pictures)
    start, figures = time.monotonic(), _Running()

    def done() -> float:
        if config.minutes is None:
            return step / config.steps
        return (before + time.monotonic() - start) / (60 * config.minutes)

    def keep() -> None:
        seconds = before + time.monotonic() - start
        state = {
            "sam": sam.state_dict(),
            "kinship": kinship.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
            "seconds": seconds,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        export(average, out / "sam.safetensors", {"step": step, **asdict(config)})

    with pool:
        while (share := done()) < 1:
            rng = np.random.default_rng([config.seed, step])
            rate = config.lr * min(1.0, (step + 1) / config.warmup)
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = rate
            whole = share >= config.crop_share
            examples = [
                example(rng, *pool.draw(rng, step), config.prompts, whole)
                for _ in range(config.frames if whole else config.crops)
            ]
            loss, parts = losses(sam, kinship, examples, balanced=share < config.balanced_share)
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


def held_out(config: PretrainConfig, frames: int) -> list[Example]:
    """Whole frames with prompts, from scenes that come after those of the pool."""
    rng = np.random.default_rng([config.seed, config.pictures])
    found = []
    for index in range(config.pictures, config.pictures + frames):
        picture = pinhole(split_seed("sam", index), HEIGHT, WIDTH, look="random")
        found.append(example(rng, picture.image, picture.instances, config.prompts, whole=True))
    return found


def export(state: dict[str, Tensor], path: Path, made: dict[str, Any]) -> None:
    """Write weights as fp16 safetensors, with what made them, to one side first."""
    half = {key: value.detach().cpu().half().contiguous() for key, value in state.items()}
    new = path.with_suffix(".new")
    save_file(half, new, metadata={"made": json.dumps(made)})
    os.replace(new, path)


# The pictures


class Pool:
    """Pictures on disk, rendered in order by a process of its own while the pool is open.

    A step draws from the pictures that a fixed schedule gives it and waits for them if need be:
    what it gets does not depend on how fast they came.
    """

    FIRST, PER_STEP = 200, 3

    def __init__(self, folder: Path, size: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.size = folder, size
        for name, (dtype, shape) in self._files().items():
            if not (folder / name).exists():
                np.lib.format.open_memmap(folder / name, "w+", dtype, shape).flush()
        self.images, self.instances = (
            np.load(folder / name, mmap_mode="r+") for name in self._files()
        )
        self.renderer: multiprocessing.process.BaseProcess | None = None

    def _files(self) -> dict[str, tuple[type, tuple[int, ...]]]:
        shape = (self.size, HEIGHT, WIDTH)
        return {"images.npy": (np.uint8, (*shape, 3)), "instances.npy": (np.uint16, shape)}

    def __enter__(self) -> Pool:
        if self.ready < self.size:
            context = multiprocessing.get_context("spawn")
            self.renderer = context.Process(
                target=render, args=(self.folder, self.size), daemon=True
            )
            self.renderer.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.renderer is not None:
            self.renderer.terminate()
            self.renderer.join()

    @property
    def ready(self) -> int:
        """Number of pictures rendered so far."""
        count = self.folder / "ready"
        return int(count.read_text()) if count.exists() else 0

    def draw(self, rng: np.random.Generator, step: int) -> tuple[np.ndarray, np.ndarray]:
        """One picture: image uint8 (200, 256, 3) and instances uint16 (200, 256)."""
        index = int(rng.integers(min(self.size, self.FIRST + self.PER_STEP * step)))
        while self.ready <= index:
            if self.renderer is not None and not self.renderer.is_alive():
                raise RuntimeError(f"{self.folder}: the renderer ended before picture {index}")
            time.sleep(0.2)
        return self.images[index], self.instances[index]


def render(folder: Path, size: int) -> None:
    """Fill a pool: picture i is scene i of the split "sam", in a random look."""
    pool = Pool(folder, size)
    for index in range(pool.ready, size):
        picture = pinhole(split_seed("sam", index), HEIGHT, WIDTH, look="random")
        pool.images[index], pool.instances[index] = picture.image, picture.instances
        if (index + 1) % 20 == 0 or index + 1 == size:
            pool.images.flush(), pool.instances.flush()
            new = folder / "ready.new"
            new.write_text(str(index + 1))
            os.replace(new, folder / "ready")


def example(
    rng: np.random.Generator, image: np.ndarray, instances: np.ndarray, prompts: int, whole: bool
) -> Example:
    """A training example from a picture: flipped, zoomed, its colours shaken.

    whole: a frame as SAM gets a window (or, less often, an overlap crop, half as wide), padded to
    32 x 32 tokens; otherwise a crop of 16 x 16 tokens somewhere in such a frame.
    """
    if rng.random() < 0.5:
        image, instances = image[:, ::-1], instances[:, ::-1]
    height, width = instances.shape
    if whole:
        part = rng.uniform(0.7, 1) if rng.random() < 0.6 else 1.0
        h, w = height * part, (width if rng.random() < 0.7 else width / 2) * part
        zoom = 32 * PATCH / max(h, w)
        size = (round(h * zoom), round(w * zoom))
        origin = (0, 0)
        top, left = rng.uniform(0, height - h), rng.uniform(0, width - w)
    else:
        zoom = 2 * 2 ** rng.uniform(-0.3, 0.7)
        h = w = CROP * PATCH / zoom
        size = (CROP * PATCH, CROP * PATCH)
        # Windows of attention are 8 tokens: a crop begins where one begins.
        row, column = (int(8 * rng.integers(3)) for _ in range(2))
        origin = (row, column)
        shake = rng.uniform(-16, 16, 2)
        top = float(np.clip(row * PATCH / zoom + shake[0], 0, height - h))
        left = float(np.clip(column * PATCH / zoom + shake[1], 0, width - w))
    box = (left, top, left + w, top + h)
    pixels = Image.fromarray(np.ascontiguousarray(image)).resize(
        (size[1], size[0]), Image.Resampling.BILINEAR, box=box
    )
    valid = (-(-size[0] // MASK), -(-size[1] // MASK))
    rows = np.clip(top + (np.arange(2 * valid[0]) + 0.5) * 2 / zoom, 0, height - 1).astype(int)
    columns = np.clip(left + (np.arange(2 * valid[1]) + 0.5) * 2 / zoom, 0, width - 1).astype(int)
    grid = instances[rows[:, None], columns]  # at half of SAM's input
    ids, points = _points(rng, grid, prompts)
    targets = F.avg_pool2d(torch.from_numpy(grid[None] == ids[:, None, None]).float(), 2)
    points = points * 2 - 0.5 + np.array(origin[::-1]) * PATCH
    return Example(
        _normalised(rng, np.asarray(pixels, np.float32), 32 * PATCH if whole else CROP * PATCH),
        origin,
        valid,
        torch.from_numpy(grid.astype(np.int64)),
        torch.from_numpy(points.astype(np.float32)),
        targets,
    )


def _points(
    rng: np.random.Generator, grid: np.ndarray, prompts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ids (P,) of instances and points (P, 2) x, y inside them.

    Chosen by the square root of the area: each range of sizes gets about as many prompts.
    """
    ids, inverse, areas = np.unique(grid, return_inverse=True, return_counts=True)
    usable = (areas >= MINIMUM) & (ids > 0)
    if not usable.any():
        usable = areas == areas.max()
    weight = usable * np.sqrt(areas)
    chosen = rng.choice(len(ids), prompts, p=weight / weight.sum())
    order = np.argsort(inverse.ravel(), kind="stable")  # pixels, instance by instance
    first = np.cumsum(areas) - areas
    pixel = order[first[chosen] + (rng.random(prompts) * areas[chosen]).astype(int)]
    y, x = np.divmod(pixel, grid.shape[1])
    return ids[chosen], np.stack([x, y], axis=1) + rng.random((prompts, 2))


def _normalised(rng: np.random.Generator, pixels: np.ndarray, side: int) -> Tensor:
    """float32 (h, w, 3) 0..255 -> (3, side, side): colours shaken, normalised, zeros as padding."""
    gain = rng.uniform(0.85, 1.15) * rng.uniform(0.93, 1.07, 3)
    pixels = np.clip((pixels - 128) * rng.uniform(0.8, 1.2) + 128, 0, 255) * gain
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    image = torch.from_numpy(((np.clip(pixels, 0, 255) - mean) / std).astype(np.float32))
    return F.pad(image.permute(2, 0, 1), (0, side - image.shape[1], 0, side - image.shape[0]))


# The model and its losses


def _initialised(sam: Sam) -> Sam:
    """Edges and places are there from the first step on, which spares most of the first plateau.

    A patch begins as the 8 x 8 lowest of its 16 x 16 cosines, in each colour, brought to like
    variance: a picture's spectrum falls, and random filters would see little but the mean. The
    encoder's positions begin as sines instead of zeros. In the decoder's attention between
    tokens and image, queries and keys begin with the same projection, so that what lies close
    together attends to each other; random ones would hide the point's place until they are learnt.
    """
    encoder, decoder = sam.image_encoder, sam.mask_decoder
    _, rows, columns, width = encoder.pos_embed.shape
    frequency = 10000 ** (-torch.arange(0, width // 4) / (width // 4))
    angle = torch.arange(max(rows, columns))[:, None] * frequency  # (L, width / 4)
    wave = torch.cat([angle.sin(), angle.cos()], dim=1)
    places = (wave[:rows, None].expand(-1, columns, -1), wave[None, :columns].expand(rows, -1, -1))
    x = (torch.arange(PATCH) + 0.5) * math.pi / PATCH
    cosines = torch.cos(torch.arange(8)[:, None] * x) * (2 / PATCH) ** 0.5  # (8, 16)
    cosines[0] /= 2**0.5
    order = torch.hypot(*torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij"))
    filters = torch.einsum("uy,vx,uv->uvyx", cosines, cosines, (1 + order) ** 1.5 / 4)
    kernel = encoder.patch_embed.proj.weight.data
    kernel.zero_().view(3, 64, 3, PATCH, PATCH)[range(3), :, range(3)] = filters.flatten(0, 1)
    encoder.patch_embed.proj.bias.data.zero_()
    encoder.pos_embed.data.copy_(0.3 * torch.cat(places, dim=-1)[None])
    sam.prompt_encoder.pe_layer.positional_encoding_gaussian_matrix.mul_(SHARPNESS)
    attentions = [decoder.transformer.final_attn_token_to_image]
    for layer in decoder.transformer.layers:
        attentions += [layer.cross_attn_token_to_image, layer.cross_attn_image_to_token]
    for attention in attentions:
        attention.q_proj.weight.data.mul_(NEARNESS)
        attention.k_proj.weight.data.copy_(attention.q_proj.weight.data)
    return sam


class Kinship(torch.nn.Module):
    """A head for training alone: do two pixels belong to one instance?

    It reads a vector of every low-resolution pixel straight from the encoder's tokens; near vectors
    mean one instance. Thousands of pairs a picture teach the encoder what a few prompts through a
    decoder that is new itself teach slowly.
    """

    def __init__(self, width: int, dims: int = 16) -> None:
        super().__init__()
        self.vectors = torch.nn.ConvTranspose2d(width, dims, kernel_size=MASK, stride=MASK)
        self.radius = torch.nn.Parameter(torch.tensor(1.0))

    def forward(self, tokens: Tensor, instances: Tensor) -> Tensor:
        """tokens (C, h, w), instances int64 (2 H, 2 W) -> the loss: far pairs and near ones.

        Far: pixels on a lattice over the picture; near: those of each block of 8 x 8.
        """
        ids = instances[::2, ::2]
        vectors = self.vectors(tokens[None])[0, :, : ids.shape[0], : ids.shape[1]]
        # An irrational stride visits the picture evenly, and no column twice in a row.
        lattice = torch.arange(FAR_PIXELS, device=ids.device) * 0.6180339887 % 1
        chosen = (lattice * ids.numel()).long()
        far = self._pairs(vectors.flatten(1)[:, chosen].T[None], ids.flatten()[chosen][None])
        near = self._pairs(_blocks(vectors).movedim(0, -1), _blocks(ids[None])[0])
        return far + near

    def _pairs(self, vectors: Tensor, ids: Tensor) -> Tensor:
        """vectors (B, n, d), ids (B, n); pairs of one and of two instances weigh the same."""
        logits = self.radius.exp() - torch.cdist(vectors, vectors).square()
        same = (ids[:, :, None] == ids[:, None]).float()
        share = same.mean()
        weight = same / share.clamp(min=0.01) + (1 - same) / (1 - share).clamp(min=0.01)
        return F.binary_cross_entropy_with_logits(logits, same, weight / 2)


def _blocks(x: Tensor, side: int = 8) -> Tensor:
    """(C, H, W) -> (C, blocks, side * side); what is over at the edges is left out."""
    c, rows, columns = len(x), x.shape[1] // side, x.shape[2] // side
    x = x[:, : rows * side, : columns * side].reshape(c, rows, side, columns, side)
    return x.transpose(2, 3).reshape(c, rows * columns, side * side)


def predict(
    sam: Sam, images: Tensor, examples: list[Example]
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Per example: tokens (C, h, w), logits (P, 3, *valid) and predicted IoU (P, 3), not mask 0."""
    encoder, prompt = sam.image_encoder, sam.prompt_encoder
    pe = prompt.get_dense_pe()[0]
    h, w = (side // PATCH for side in images.shape[-2:])
    x = encoder.patch_embed(images)
    places = [
        encoder.pos_embed[0, e.origin[0] : e.origin[0] + h, e.origin[1] : e.origin[1] + w]
        for e in examples
    ]
    x = x + torch.stack(places)
    for block in encoder.blocks:
        x = block(x)
    embeddings = encoder.neck(x.permute(0, 3, 1, 2))
    out = []
    for embedding, e in zip(embeddings, examples, strict=True):
        points = e.points[:, None].to(images.device)
        labels = torch.ones(points.shape[:2], device=images.device)
        sparse, dense = prompt((points, labels), None, None)
        row, column = e.origin
        tokens, image, iou = decode_tokens(
            sam.mask_decoder,
            embedding + dense[0, :, :1, :1],
            pe[:, row : row + h, column : column + w],
            sparse,
        )
        logits = decode_masks(sam.mask_decoder, tokens[:, 1:], image, (h, w), first=1)
        out.append((embedding, logits[..., : e.valid[0], : e.valid[1]], iou[:, 1:]))
    return out


def losses(
    sam: Sam, kinship: Kinship, examples: list[Example], balanced: bool = False
) -> tuple[Tensor, dict[str, float]]:
    """The mean loss over the prompts of all examples, and its parts.

    As SAM's: focal and dice loss of the best of the three outputs, and the squared error of the
    predicted IoU, here for all three. The focal loss is a sum over pixels, divided by the area of
    the instance and 2 % of the picture, so that small instances count. balanced: a cross entropy
    with equal weight for the inside and the outside takes its place; coarse, but it cannot settle
    on empty masks, so the training begins with it.
    """
    device = sam.device
    images = torch.stack([e.image for e in examples]).to(device)
    total, parts = torch.zeros((), device=device), _Running()
    outputs = predict(sam, images, examples)
    for (tokens, logits, predicted), e in zip(outputs, examples, strict=True):
        kin = kinship(tokens, e.instances.to(device))
        logits, target = logits.flatten(2), e.targets.to(device).flatten(1)[:, None]
        area = target.sum(-1)
        share = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(
            logits, target.expand_as(logits), reduction="none"
        )
        pixels = target.shape[-1]
        if balanced:
            inside, outside = (entropy * target).sum(-1), (entropy * (1 - target)).sum(-1)
            focal = (inside / area + outside / (pixels - area + 1)) / 4
        else:
            focal = ((share - target) ** 2 * entropy).sum(-1) / (area + 0.02 * pixels)
        dice = 1 - (2 * (share * target).sum(-1) + 1) / (share.sum(-1) + area + 1)
        iou = _overlap(logits, target)
        each = 2 * focal + dice
        best = each.min(dim=1)
        head = F.mse_loss(predicted, iou)
        total = total + best.values.mean() + 0.05 * each.mean() + head + kin
        top = iou.gather(1, predicted.argmax(1, keepdim=True))
        small = area[:, 0] < 0.015 * pixels
        parts.add(
            {
                "focal": focal.gather(1, best.indices[:, None]).mean().item(),
                "dice": dice.gather(1, best.indices[:, None]).mean().item(),
                "head": head.item(),
                "kin": kin.item(),
                "iou": top.mean().item(),
                "small_iou": top[small].mean().item() if small.any() else math.nan,
            }
        )
    return total / len(examples), parts.take()


@torch.no_grad()
def calibrate(sam: Sam, examples: list[Example]) -> dict[str, float]:
    """Bring a trained SAM's scores, in place, to where the ordinary thresholds mean something.

    The predicted IoU gets the straight line that fits the true one best over all masks of the
    examples (whole frames, never trained on), folded into the last layer of its head. The logits
    are scaled, which moves no mask, until the median stability of the best quarter of the masks,
    by true IoU, is 0.95. Returns slope, offset and scale, and the mean error before and after.
    """
    predicted, truths, masks = [], [], []
    for e in examples:
        ((_, logits, iou),) = predict(sam, e.image[None].to(sam.device), [e])
        logits = logits.flatten(2)
        truth = _overlap(logits, e.targets.to(sam.device).flatten(1)[:, None])
        predicted.append(iou.flatten())
        truths.append(truth.flatten())
        masks += list(logits.flatten(0, 1))
    x, y = torch.cat(predicted).double(), torch.cat(truths).double()
    slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0)
    offset = y.mean() - slope * x.mean()
    head = sam.mask_decoder.iou_prediction_head.layers[-1]
    head.weight.mul_(slope)
    head.bias.mul_(slope).add_(offset)
    best = [masks[i] for i in y.argsort(descending=True)[: -(-len(y) // 4)]]
    low, high = 0.1, 100.0  # stability rises with the scale
    while high / low > 1.01:
        scale = (low * high) ** 0.5
        stable = [
            (mask > 1 / scale).sum() / (mask > -1 / scale).sum().clamp(min=1) for mask in best
        ]
        low, high = (scale, high) if np.median(torch.stack(stable).cpu()) < 0.95 else (low, scale)
    for mlp in sam.mask_decoder.output_hypernetworks_mlps:
        mlp.layers[-1].weight.mul_(high)
        mlp.layers[-1].bias.mul_(high)
    figures = {
        "slope": slope,
        "offset": offset,
        "error_before": (x - y).abs().mean(),
        "error_after": (slope * x + offset - y).abs().mean(),
    }
    return {"scale": high, **{name: float(value) for name, value in figures.items()}}


def _overlap(logits: Tensor, target: Tensor) -> Tensor:
    """IoU (P, m) of the masks, logits (P, m, N), with targets (P, 1, N) of more than a half."""
    mask, truth = logits > 0, target > 0.5
    return (mask & truth).sum(-1) / (mask | truth).sum(-1).clamp(min=1)


def _follow(average: dict[str, Tensor], sam: Sam, decay: float) -> None:
    for key, value in sam.state_dict().items():
        average[key].lerp_(value, 1 - decay)


class _Running:
    """Means of named figures since the last `take`; NaNs are left out."""

    def __init__(self) -> None:
        self.sums: dict[str, list[float]] = {}

    def add(self, figures: dict[str, float]) -> None:
        for name, value in figures.items():
            self.sums.setdefault(name, []).append(value)

    def take(self) -> dict[str, float]:
        means = {}
        for name, values in self.sums.items():
            finite = [v for v in values if not math.isnan(v)]
            means[name] = sum(finite) / len(finite) if finite else math.nan
        self.sums = {}
        return means


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the demo SAM.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=PretrainConfig.steps)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = vars(parser.parse_args())
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

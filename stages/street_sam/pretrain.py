"""Train the demo SAM from nothing, on pictures of the street world in looks other than the target.

    python -m stages.sam.pretrain --out runs/weights/sam

Every step is drawn from (seed, step) alone, so a run that was stopped goes on as if it had not
been. A second process renders the pictures while the first one trains.

Three parts, by share of the steps. The encoder alone learns which pixels belong together
(`Kinship`): thousands of pairs a picture, no decoder to pay for. Then the whole SAM learns from
points, first with a loss that cannot settle on empty masks, then with SAM's own.
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
from scipy.ndimage import gaussian_filter
from segment_anything.modeling import Sam
from torch import Tensor

from goodsam.data.street.picture import panorama, pinhole
from goodsam.data.street.seeds import split_seed
from goodsam.stages.device import autocast
from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import street_sam

SIDE = 512  # SAM input px
MASK = 4  # SAM input px per pixel of a low-resolution mask
MINIMUM = 24  # px of half the SAM input: instances with fewer are no targets
FAR_PIXELS = 512  # of a picture whose pairs the kinship head sees
SHARPNESS = 2.0  # of the points' positional encoding: tells apart things about a token wide
NEARNESS = 3.6  # scale of the tied projections: a logit of about 6 for a token on its own place
HEIGHT, WIDTH = 200, 256  # of the pictures, the demo's windows
GROUP = 8  # pictures that are rendered together


@dataclass(frozen=True)
class PretrainConfig:
    """The recipe. steps, batch: optimiser steps, and pictures in each; pictures: size of the pool.

    kinship_share: part of the training, from its beginning, for the encoder alone; balanced_share:
    where the balanced loss ends. prompts: points a picture. calibration: pictures that the scores
    are calibrated on. start: weights of a street SAM to go on from, in place of fresh ones.
    """

    seed: int = 0
    steps: int = 10400
    batch: int = 4
    pictures: int = 8000
    kinship_share: float = 0.25
    balanced_share: float = 0.4
    prompts: int = 10
    lr: float = 1e-3
    weight_decay: float = 0.01
    warmup: int = 100
    ema: float = 0.999
    calibration: int = 64
    checkpoint_every: int = 100
    precision: str = "bfloat16"
    device: str = "cpu"
    start: str | None = None


@dataclass(frozen=True)
class Example:
    """One picture as SAM gets it, and its prompts.

    image: float32 (3, 512, 512) normalised, zeros right of and below the picture. valid: (h, w) of
    the low-resolution masks that holds picture. instances: int64 (2 h, 2 w) of valid, ids at half
    of SAM's input. points: float32 (P, 2) x, y in px of SAM's input. targets: float32 (P, *valid),
    the share of each low-resolution pixel that belongs to the instance at the point.
    """

    image: Tensor
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
        sam = _initialised(street_sam())
        kinship = Kinship(sam.mask_decoder.transformer_dim).to(device)
    if config.start is not None:
        sam.load_state_dict(load_sam("street", Path(config.start)).model.state_dict())
    sam = sam.to(device).train()
    average = {key: value.clone() for key, value in sam.state_dict().items()}
    optimizer = torch.optim.AdamW(
        [*sam.parameters(), *kinship.parameters()], lr=config.lr, weight_decay=config.weight_decay
    )
    checkpoint, step = out / "checkpoint.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        sam.load_state_dict(saved["sam"])
        kinship.load_state_dict(saved["kinship"])
        optimizer.load_state_dict(saved["optimizer"])
        average, step = saved["average"], saved["step"]
    pool = Pool(out / "pictures", config.pictures)
    figures = _Running()

    def keep() -> None:
        state = {
            "sam": sam.state_dict(),
            "kinship": kinship.state_dict(),
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
        }
        torch.save(state, checkpoint.with_suffix(".new"))
        os.replace(checkpoint.with_suffix(".new"), checkpoint)
        export(average, out / "sam.safetensors", {"step": step, **asdict(config)})

    with pool:
        while step < config.steps:
            share = step / config.steps
            rng = np.random.default_rng([config.seed, step])
            rate = config.lr * min(1.0, (step + 1) / config.warmup)
            rate *= 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share))
            for group in optimizer.param_groups:
                group["lr"] = rate
            examples = [
                example(rng, *pool.draw(rng, step), config.prompts) for _ in range(config.batch)
            ]
            if share < config.kinship_share and config.start is None:
                loss, parts = kinship_loss(sam, kinship, examples, config.precision)
            else:
                balanced = share < config.balanced_share and config.start is None
                loss, parts = losses(sam, kinship, examples, balanced, config.precision)
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


def held_out(config: PretrainConfig, count: int) -> list[Example]:
    """Pictures with prompts, from scenes that come after those of the pool, colours unshaken."""
    rng = np.random.default_rng([config.seed, config.pictures])
    first = -(-config.pictures // GROUP)
    found = []
    for group in range(first, first + -(-count // GROUP)):
        for image, instances in pictures(group):
            found.append(example(rng, image, instances, config.prompts, shake=False))
    return found[:count]


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

    FIRST, PER_STEP = 400, 6

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


def pictures(group: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """The eight pictures of a group, image uint8 (200, 256, 3) and instances uint16 (200, 256).

    Four are pinhole pictures, four the windows of a panorama, all of scenes of the split "sam", in
    the source's look or a random one: never in the target's.
    """
    scene = 5 * group
    made = [
        pinhole(split_seed("sam", scene + i), HEIGHT, WIDTH, look=("random", "source")[i > 0])
        for i in range(4)
    ]
    found = [(picture.image, picture.instances) for picture in made]
    around = panorama(
        split_seed("sam", scene + 4), HEIGHT, 4 * WIDTH, look=("random", "source")[group % 3 > 0]
    )
    for i in range(4):
        columns = slice(i * WIDTH, (i + 1) * WIDTH)
        found.append((around.image[:, columns], around.instances[:, columns]))
    return found


def render(folder: Path, size: int) -> None:
    """Fill a pool, group by group."""
    pool = Pool(folder, size)
    for group in range(pool.ready // GROUP, -(-size // GROUP)):
        for index, (image, instances) in enumerate(pictures(group), group * GROUP):
            if index < size:
                pool.images[index], pool.instances[index] = image, instances
        pool.images.flush(), pool.instances.flush()
        new = folder / "ready.new"
        new.write_text(str(min((group + 1) * GROUP, size)))
        os.replace(new, folder / "ready")


def example(
    rng: np.random.Generator,
    image: np.ndarray,
    instances: np.ndarray,
    prompts: int,
    shake: bool = True,
) -> Example:
    """A training example from a picture, as SAM gets a window (or an overlap crop, half as wide).

    shake: flipped, zoomed, its colours and sharpness changed.
    """
    height, width = instances.shape
    h, w, top, left = float(height), float(width), 0.0, 0.0
    if shake:
        if rng.random() < 0.5:
            image, instances = image[:, ::-1], instances[:, ::-1]
        part = rng.uniform(0.6, 1) if rng.random() < 0.6 else 1.0
        h, w = height * part, (width if rng.random() < 0.8 else width / 2) * part
        top, left = rng.uniform(0, height - h), rng.uniform(0, width - w)
    zoom = SIDE / max(h, w)
    size = (round(h * zoom), round(w * zoom))
    pixels = shaken(rng, image) if shake else image
    resized = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        (size[1], size[0]), Image.Resampling.BILINEAR, box=(left, top, left + w, top + h)
    )
    valid = (-(-size[0] // MASK), -(-size[1] // MASK))
    rows = np.clip(top + (np.arange(2 * valid[0]) + 0.5) * 2 / zoom, 0, height - 1).astype(int)
    columns = np.clip(left + (np.arange(2 * valid[1]) + 0.5) * 2 / zoom, 0, width - 1).astype(int)
    grid = instances[rows[:, None], columns]  # at half of SAM's input
    ids, points = _points(rng, grid, prompts)
    targets = F.avg_pool2d(torch.from_numpy(grid[None] == ids[:, None, None]).float(), 2)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    normalised = torch.from_numpy((np.asarray(resized, np.float32) - mean) / std)
    padding = (0, SIDE - size[1], 0, SIDE - size[0])
    return Example(
        F.pad(normalised.float().permute(2, 0, 1), padding),
        valid,
        torch.from_numpy(grid.astype(np.int64)),
        torch.from_numpy((points * 2 - 0.5).astype(np.float32)),
        targets,
    )


def shaken(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) in other colours and light: channels mixed, gamma, contrast, blur, noise."""
    x = image.astype(np.float32) / 255
    if rng.random() < 0.6:
        mix = rng.dirichlet((1, 1, 1), 3).astype(np.float32)
        x = x @ ((1 - (amount := rng.uniform(0, 0.9))) * np.eye(3, dtype=np.float32) + amount * mix)
    if rng.random() < 0.05:
        x = 1 - x
    x = np.clip(x, 0, 1) ** rng.uniform(0.6, 1.6)
    x = (x - 0.5) * rng.uniform(0.6, 1.3) + 0.5 + rng.uniform(-0.1, 0.1)
    x *= rng.uniform(0.9, 1.1, 3).astype(np.float32)
    if rng.random() < 0.4:
        x = gaussian_filter(x, (sigma := rng.uniform(0.2, 0.8), sigma, 0))
    if rng.random() < 0.7:
        noise = rng.uniform(0, 0.06)
        x += noise * rng.standard_normal(x.shape, np.float32)
    return (np.clip(x, 0, 1) * 255).astype(np.uint8)


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


# The model and its losses


def _initialised(sam: Sam) -> Sam:
    """Places are there from the first step on, which spares most of the first plateau.

    In the decoder's attention between tokens and image, queries and keys begin with the same
    projection, so that what lies close together attends to each other; random ones would hide the
    point's place until they are learnt.
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

        Far: pixels all over the picture, of each instance as many as the square root of its area;
        near: those of each block of 8 x 8.
        """
        ids = instances[::2, ::2]
        vectors = self.vectors(tokens[None])[0, :, : ids.shape[0], : ids.shape[1]]
        _, own, areas = ids.flatten().unique(return_inverse=True, return_counts=True)
        share = areas[own].rsqrt().cumsum(0)
        # An irrational stride visits the picture evenly, and no column twice in a row.
        lattice = torch.arange(FAR_PIXELS, device=ids.device) * 0.6180339887 % 1
        chosen = torch.searchsorted(share, lattice * share[-1]).clamp(max=len(own) - 1)
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


def kinship_loss(
    sam: Sam, kinship: Kinship, examples: list[Example], precision: str
) -> tuple[Tensor, dict[str, float]]:
    """The loss of the encoder alone: the mean of `Kinship` over the examples."""
    with autocast(sam.device, precision):
        embeddings = sam.image_encoder(torch.stack([e.image for e in examples]).to(sam.device))
    kin = [
        kinship(tokens, e.instances.to(sam.device))
        for tokens, e in zip(embeddings.float(), examples, strict=True)
    ]
    loss = torch.stack(kin).mean()
    return loss, {"kin": loss.item()}


def predict(
    sam: Sam, images: Tensor, examples: list[Example], precision: str = "float32"
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Per example: tokens (C, h, w), logits (P, 3, *valid) and predicted IoU (P, 3), not mask 0."""
    prompt = sam.prompt_encoder
    pe = prompt.get_dense_pe()[0]
    out = []
    with autocast(images.device, precision):
        embeddings = sam.image_encoder(images)
        for embedding, e in zip(embeddings, examples, strict=True):
            points = e.points[:, None].to(images.device)
            labels = torch.ones(points.shape[:2], device=images.device)
            sparse, dense = prompt((points, labels), None, None)
            projected = project_image(sam.mask_decoder, embedding + dense[0, :, :1, :1], pe)
            tokens, image, iou = decode_tokens(sam.mask_decoder, projected, sparse)
            size = (embedding.shape[1], embedding.shape[2])
            logits = decode_masks(sam.mask_decoder, tokens[:, 1:], image, size, first=1)
            logits = logits[..., : e.valid[0], : e.valid[1]]
            out.append((embedding.float(), logits.float(), iou[:, 1:].float()))
    return out


def losses(
    sam: Sam,
    kinship: Kinship,
    examples: list[Example],
    balanced: bool = False,
    precision: str = "float32",
) -> tuple[Tensor, dict[str, float]]:
    """The mean loss over the prompts of all examples, and its parts.

    As SAM's: focal and dice loss of the best of the three outputs, and the squared error of the
    predicted IoU, here for all three. The focal loss is a sum over pixels, divided by the area of
    the instance and 2 % of the picture, so that small instances count; the pixels of small ones
    weigh more (`_pixel_weights`), also where a mask should spare them. balanced: a cross entropy
    with equal weight for the inside and the outside takes its place; coarse, but it cannot settle
    on empty masks, so the training begins with it.
    """
    device = sam.device
    images = torch.stack([e.image for e in examples]).to(device)
    total, parts = torch.zeros((), device=device), _Running()
    outputs = predict(sam, images, examples, precision)
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
            weights = _pixel_weights(e.instances[::2, ::2].flatten().to(device))
            focal = ((share - target) ** 2 * entropy * weights).sum(-1) / (area + 0.02 * pixels)
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


def _pixel_weights(ids_N: Tensor) -> Tensor:
    """1 to 8 for each pixel, by the root of its instance's area.

    A mask that swallows the pole in front of a house is nearly as large as one that does not, and
    costs a fused label map the pole.
    """
    _, own, areas = ids_N.unique(return_inverse=True, return_counts=True)
    return (0.1 * len(ids_N) / areas[own]).sqrt().clamp(1, 8)


@torch.no_grad()
def calibrate(sam: Sam, examples: list[Example]) -> dict[str, float]:
    """Bring a trained SAM's scores, in place, to where the ordinary thresholds mean something.

    The predicted IoU gets the straight line that fits the true one best over all masks of the
    examples (pictures never trained on), folded into the last layer of its head. The logits
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
    parser.add_argument("--pictures", type=int, default=PretrainConfig.pictures)
    parser.add_argument("--start", help="weights of a street SAM to go on from")
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

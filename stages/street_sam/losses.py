"""What the demo SAM learns from: pairs of pixels, masks of vectors, masks of the decoder.

The vectors come first. Thousands of pairs and dozens of masks a picture teach the encoder at the
cost of no decoder what a few prompts through a decoder teach slowly.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from segment_anything.modeling import Sam
from torch import Tensor

from goodsam.stages.device import autocast
from goodsam.stages.sam.decode import decode_masks, decode_tokens, project_image
from goodsam.stages.sam.street import vector_terms
from goodsam.stages.street_sam.examples import MASK, Example

BLOCK = 8  # pixels along a side of the blocks whose pairs are asked about
SIZES = {"xs": 250, "s": 1000, "m": 2500, "l": 10000, "xl": math.inf}  # px of a window, less than


class Running:
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


def encoded(sam: Sam, images: Tensor, precision: str = "float32") -> Tensor:
    """The encoder's output for images (B, 3, H, W): float (B, C + 16 * VECTOR, h, w)."""
    with autocast(sam.device, precision):
        embeddings: Tensor = sam.image_encoder(images)
    return embeddings.float()


def decoded(
    sam: Sam, embedding: Tensor, e: Example, prompts: slice, precision: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Logits (P, 3, *valid) and predicted IoU (P, 3) for some of the prompts, not mask 0."""
    points = e.points[prompts, None]
    labels = torch.ones(points.shape[:2], device=points.device)
    sparse, dense = sam.prompt_encoder((points, labels), None, None)
    pe = sam.prompt_encoder.get_dense_pe()[0]
    size = (embedding.shape[1], embedding.shape[2])
    with autocast(embedding.device, precision):
        projected = project_image(sam.mask_decoder, embedding + dense[0, :, :1, :1], pe)
        tokens, image, iou = decode_tokens(sam.mask_decoder, projected, sparse)
        logits = decode_masks(
            sam.mask_decoder, tokens[:, 1:], image, size, first=1, pixels_FHW=projected.pixels
        )
    return logits[..., : e.valid[0], : e.valid[1]].float(), iou[:, 1:].float()


def vector_loss(sam: Sam, embedding: Tensor, e: Example) -> tuple[Tensor, Tensor]:
    """The losses of one picture's vectors, whatever the decoder makes of them: of pairs, of masks.

    Pairs: do two pixels belong to one instance? Pixels all over the picture, of each instance as
    many as the square root of its area, and those of each block of 8 x 8. Masks: what is near the
    vector at a point, as SAM's masks are judged.
    """
    radius = sam.mask_decoder.radius.exp()
    terms = vector_terms(embedding)
    vectors, (rows, columns) = terms[:-2, : e.valid[0], : e.valid[1]], e.valid
    ids = e.instances[::2, ::2]
    flat = vectors.flatten(1)
    far = pair_loss(flat[:, e.far].T[None], ids.flatten()[e.far][None], radius)
    near = pair_loss(_blocks(vectors).movedim(0, -1), _blocks(ids[None])[0], radius)
    x, y = (e.points / MASK).long().T
    at = vectors[:, y.clamp(0, rows - 1), x.clamp(0, columns - 1)].T
    square = flat.square().sum(0)
    logits = radius - at.square().sum(1)[:, None] - square + 2 * at @ flat
    focal, dice = mask_losses(logits, e.targets.flatten(1), e.weights)
    return far + near, (2 * focal + dice).mean()


def pair_loss(vectors: Tensor, ids: Tensor, radius: Tensor) -> Tensor:
    """vectors (B, n, d), ids (B, n); pairs of one and of two instances weigh the same."""
    logits = radius - torch.cdist(vectors, vectors).square()
    same = (ids[:, :, None] == ids[:, None]).float()
    share = same.mean()
    weight = same / share.clamp(min=0.01) + (1 - same) / (1 - share).clamp(min=0.01)
    return F.binary_cross_entropy_with_logits(logits, same, weight / 2)


def _blocks(x: Tensor) -> Tensor:
    """(C, H, W) -> (C, blocks, BLOCK * BLOCK); what is over at the edges is left out."""
    c, rows, columns = len(x), x.shape[1] // BLOCK, x.shape[2] // BLOCK
    x = x[:, : rows * BLOCK, : columns * BLOCK].reshape(c, rows, BLOCK, columns, BLOCK)
    return x.transpose(2, 3).reshape(c, rows * columns, BLOCK * BLOCK)


def sam_loss(
    sam: Sam, embedding: Tensor, e: Example, prompts: int, precision: str
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of the decoder's masks for the first `prompts` points of a picture, and its figures.

    As SAM's: focal and dice loss of the best of the three outputs, and the squared error of the
    predicted IoU, here for all three. Figures: IoU of the output that is predicted to be the best,
    and of the best ("+"), by the size of the instance, NaN where there is none of it.
    """
    logits, predicted = decoded(sam, embedding, e, slice(prompts), precision)
    logits, targets = logits.flatten(2), e.targets[:prompts].flatten(1)[:, None]
    focal, dice = mask_losses(logits, targets, e.weights)
    each = 2 * focal + dice
    best, output = each.min(dim=1)
    iou = overlap(logits, targets)
    head = F.mse_loss(predicted, iou)
    top, most = iou.gather(1, predicted.argmax(1, keepdim=True))[:, 0], iou.amax(1)
    figures = {
        "focal": focal.gather(1, output[:, None]).mean(),
        "dice": dice.gather(1, output[:, None]).mean(),
        "head": head.detach(),
        "iou": top.mean(),
    }
    area, least = targets[:, 0].sum(-1) * 4, 0.0  # px of a window that was enlarged twice
    for name, bound in SIZES.items():
        own = ((area >= least) & (area < bound)).float()
        figures |= {name: (own * top).sum() / own.sum(), f"{name}+": (own * most).sum() / own.sum()}
        least = bound
    return best.mean() + 0.1 * each.mean() + 2 * head, figures


def mask_losses(logits: Tensor, targets: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Focal and dice loss (...) of masks (..., N), targets that fit them, weights (N,).

    The focal loss is a sum over pixels, divided by the area of the instance and 2 % of the picture,
    so that small instances count.
    """
    area, share = targets.sum(-1), logits.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(
        logits, targets.expand_as(logits), reduction="none"
    )
    focal = ((share - targets) ** 2 * entropy * weights).sum(-1)
    focal = focal / (area + 0.02 * logits.shape[-1])
    return focal, 1 - (2 * (share * targets).sum(-1) + 1) / (share.sum(-1) + area + 1)


def overlap(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU (P, m) of the masks, logits (P, m, N), with targets (P, 1, N) of more than a half."""
    mask, truth = logits > 0, targets > 0.5
    return (mask & truth).sum(-1) / (mask | truth).sum(-1).clamp(min=1)

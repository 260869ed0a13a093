"""Bring a trained SAM's scores to where the ordinary thresholds mean something."""

from __future__ import annotations

import numpy as np
import torch
from segment_anything.modeling import Sam

from goodsam.stages.street_sam.examples import Example
from goodsam.stages.street_sam.losses import decoded, encoded, overlap


@torch.no_grad()
def calibrate(sam: Sam, examples: list[Example]) -> dict[str, float]:
    """Calibrate in place, on pictures never trained on; masks stay as they are.

    The predicted IoU gets the straight line that fits the true one best over all masks of the
    examples, folded into the last layer of its head. The logits are scaled, which moves no mask,
    until the median stability of the best quarter of the masks, by true IoU, is 0.95. Returns
    slope, offset and scale, and the mean error before and after.
    """
    predicted, truths, masks = [], [], []
    for held in examples:
        e = held.to(sam.device)
        logits, iou = decoded(sam, encoded(sam, e.image[None])[0], e, slice(None))
        logits = logits.flatten(2)
        predicted.append(iou.flatten())
        truths.append(overlap(logits, e.targets.flatten(1)[:, None]).flatten())
        masks += list(logits.flatten(0, 1))
    x, y = torch.cat(predicted).double(), torch.cat(truths).double()
    slope = ((x - x.mean()) * (y - y.mean())).mean() / x.var(correction=0)
    offset = y.mean() - slope * x.mean()
    decoder = sam.mask_decoder
    head = decoder.iou_prediction_head.layers[-1]
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
    decoder.gain.mul_(high)
    for mlp in (*decoder.output_hypernetworks_mlps, decoder.lean):
        mlp.layers[-1].weight.mul_(high)
        mlp.layers[-1].bias.mul_(high)
    figures = {
        "slope": slope,
        "offset": offset,
        "error_before": (x - y).abs().mean(),
        "error_after": (slope * x + offset - y).abs().mean(),
    }
    return {"scale": high, **{name: float(value) for name, value in figures.items()}}

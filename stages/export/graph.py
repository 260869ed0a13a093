"""All that a `Segmenter` does to an image as one ONNX graph.

Input `image`: uint8 (N, H, W, 3) RGB, any N, H and W from 32 px. Output `labels`: uint8 (N, H, W),
or, for whoever brings labels to a photograph's own pixels, `logits`. Class names, licence and the
run's geometry are in the metadata.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.classes import bare
from goodsam.stages.networks.families import FAMILIES
from goodsam.stages.networks.inference import logits_of
from goodsam.stages.segformer.segment import IMAGENET_MEAN, IMAGENET_STD, class_names
from goodsam.stages.segformer.segmenter import Segmenter

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET = 17
_TRACED = (1, 200, 256, 3)


class LogitNetwork(torch.nn.Module):
    """uint8 (N, H, W, 3) RGB -> float (N, C, h, w), the network's own. wrap: as the `Segmenter`'s.

    With `wrap` the logits are of the panorama widened by `wrap_margin` columns at either end.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: torch.nn.Module, wrap: bool = False) -> None:
        super().__init__()
        self.model = model
        self.wrap = wrap
        self.classes = len(class_names(model))
        self.logits = logits_of(model)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.see(image)[0]

    def see(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Size, torch.Tensor]:
        """The logits, the (height, width) that they are of, and the columns that were added."""
        # TensorRT knows 8-bit pixels and ids at the door only, from and to floating point
        pixels = image.float().permute(0, 3, 1, 2)
        margin = torch.zeros((), dtype=torch.long)
        if self.wrap:
            width = torch.as_tensor(image.shape[2])
            # a tensor, so that a trace keeps the formula and not the number
            margin = 32 * torch.round(width / 256).clamp(min=1).long()
            margin = torch.minimum(margin, width)
            pixels = torch.cat(
                [pixels[..., width - margin :], pixels, pixels[..., :margin]], dim=-1
            )
        return self.logits((pixels - self.mean) / self.std), pixels.shape[2:], margin


class LabelNetwork(LogitNetwork):
    """uint8 (N, H, W, 3) RGB -> uint8 (N, H, W) ids. wrap: as the `Segmenter`'s."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        logits, size, margin = self.see(image)
        whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        labels = whole.argmax(dim=1).float()
        if whole.shape[1] > self.classes:  # the last channel is of what a class map ignores
            labels = labels.masked_fill(labels == self.classes, IGNORE)
        labels = labels.to(torch.uint8)
        return labels[..., margin : margin + image.shape[2]] if self.wrap else labels


def is_traced(network: Any) -> bool:
    """Whether a trace of it holds for pictures of any size."""
    inner = bare(network)
    return not isinstance(inner, Adapted) or inner.family.traced


def onnx_graph(segmenter: Segmenter, output: Literal["labels", "logits"] = "labels") -> ModelProto:
    """The graph of a network on the CPU that sees whole panoramas, in float32.

    InputError for a family of which a trace would hold for one size alone.
    """
    import onnx

    if not is_traced(segmenter.model):
        inner = bare(segmenter.model)
        able = ", ".join(kind for kind, family in FAMILIES.items() if family.traced)
        raise InputError(
            f"{segmenter.source}: a {inner.config.model_type} cannot be written as ONNX or for "
            f"OpenVINO for pictures of any size ({able} can); use --format huggingface"
        )
    dynamic = {0: "batch", 1: "height", 2: "width"}
    made = dynamic if output == "labels" else {0: "batch", 2: "rows", 3: "columns"}
    kind = LabelNetwork if output == "labels" else LogitNetwork
    network = kind(segmenter.model, segmenter.wrap).eval()
    with _quiet(), torch.inference_mode(), TemporaryDirectory() as folder:
        path = Path(folder) / "labels.onnx"
        # The exporter that traces: it needs no further package and takes a second. What a trace
        # could get wrong, sizes that became constants, `compare` would find.
        torch.onnx.export(
            network,
            (torch.zeros(_TRACED, dtype=torch.uint8),),
            str(path),
            input_names=["image"],
            output_names=[output],
            dynamic_axes={"image": dynamic, output: made},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(path)
    onnx.helper.set_model_props(model, properties(segmenter))
    return model


def properties(segmenter: Segmenter) -> dict[str, str]:
    """What an exported file says of itself."""
    known = {
        "classes": json.dumps(segmenter.names),
        "weights": segmenter.fingerprint,
        "input": "uint8 (N, H, W, 3) RGB; normalised inside",
        "wrap": "inside" if segmenter.wrap else "no",
        "licence": str(segmenter.licence),
    }
    if segmenter.geometry is not None:
        known["geometry"] = json.dumps(segmenter.geometry.to_json())
    return known


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: that it is the older one, and of what it makes constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

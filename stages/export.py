"""Export: a Hugging Face directory, or one ONNX file, of a trained network."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from goodsam.data.classes import IGNORE
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.geometry import Geometry
from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.classes import bare
from goodsam.stages.networks.families import FAMILIES
from goodsam.stages.networks.files import save_model
from goodsam.stages.networks.inference import logits_of
from goodsam.stages.segformer.segment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    class_names,
    parameter_count,
)
from goodsam.stages.segformer.segmenter import Segmenter

OPSET = 17
AGREEMENT = 99.99  # percent of pixels that ONNX Runtime must label as torch does
CHECKED_SIZES = ((1, 200, 256), (2, 128, 416), (1, 147, 333))  # batch, height, width

_CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
tags: [{kind}, panorama, 360-degree, goodsam]
license: other
license_name: as-of-the-weights-it-was-trained-from
---

# {title}

{origin}

## Numbers

{numbers}

## Use

{use}

{geometry}

Classes: {classes}.

## Licence

The weights keep the licences of the weights and images that they were trained from: {licence}.
"""

_USE_SEGFORMER = """\
`SegformerForSemanticSegmentation.from_pretrained` and `SegformerImageProcessor.from_pretrained`
load this directory. Images go in as RGB with ImageNet mean and standard deviation, and the logits
come at a quarter of their size: upsample them bilinearly before the argmax. The processor that lies
here does so and does not squash the image to a square."""

_USE_OTHERS = """\
`{model}.from_pretrained` and `{processor}.from_pretrained` load this directory; the processor
that lies here has the mean, the standard deviation and the size that the network wants.
`goodsam predict` and `goodsam.load` label pictures of any size with it."""


def export_huggingface(
    segmenter: Segmenter,
    out: Path,
    facts: Sequence[str] = (),
    scores: Mapping[str, Any] | None = None,
) -> None:
    """Write a directory that `transformers` loads, with a model card, whole or not at all.

    facts, scores: for the card, as `model_card` has them. Raises InputError if `out` holds
    something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a folder that is not")
    check_folder(out.parent)
    with written_aside(out) as aside:
        save_model(segmenter.model, aside)
        write_whole(aside / "README.md", model_card(segmenter, facts, scores))


def model_card(
    segmenter: Segmenter, facts: Sequence[str] = (), scores: Mapping[str, Any] | None = None
) -> str:
    """The README of an exported model: where it comes from, its numbers, its licence.

    facts: a line each about the run that trained it; empty where no run is known. scores: the
    content of an `eval.json`.
    """
    parameters = f"{parameter_count(segmenter.model) / 1e6:.1f} M parameters."
    lines = [parameters]
    if facts:
        lines = [
            f"The {segmenter.network.replace('_', ' ')} of a GoodSAM run (Zhang et al., CVPR 2024) "
            f"with goodsam, an independent implementation; {parameters}",
            "",
            *(f"- {_plain(fact)}" for fact in facts),
        ]
    model, kind, use = bare(segmenter.model), "SegFormer", _USE_SEGFORMER
    if isinstance(model, Adapted):
        kind = model.config.model_type
        use = _USE_OTHERS.format(model=model.family.model, processor=model.family.processor)
    return _CARD.format(
        title=f"{kind} for panoramas, {_plain(Path(segmenter.source).name)}",
        kind=kind.lower(),
        use=use,
        origin="\n".join(lines),
        numbers=_numbers(scores),
        geometry=_geometry(segmenter.geometry),
        classes=_classes(segmenter),
        licence=segmenter.licence,
    )


def _classes(segmenter: Segmenter) -> str:
    """The classes, and how they were made of others, where they were."""
    names = ", ".join(map(_plain, segmenter.names))
    if segmenter.class_map is None:
        return names
    return (
        f"{names}; made of {len(segmenter.class_map.of)} others: {_plain(str(segmenter.class_map))}"
    )


def _geometry(geometry: Geometry | None) -> str:
    if geometry is None:
        return "Feed images at their native size and aspect."
    size = f"{geometry.windows.width} x {geometry.windows.height}"
    how = f"It was trained on {geometry}. "
    if geometry.fit:
        return (
            f"{how}Cut that band from the middle of a 2:1 panorama and resize it to {size} first; "
            "`goodsam predict` and `goodsam.load` do so by themselves and bring the labels back to "
            "the photograph's size."
        )
    return f"{how}Feed panoramas of about that size at their native aspect."


def _numbers(scores: Mapping[str, Any] | None) -> str:
    if scores is None or "per_class" not in scores:
        return "No evaluation with labels was recorded."
    rows = "\n".join(
        f"| {_plain(name)} | {'-' if value is None else f'{value:.2f}'} |"
        for name, value in scores["per_class"].items()
    )
    return (
        f"mIoU {scores['miou']:.2f} %, pixel accuracy {scores['pixel_accuracy']:.2f} % on "
        f"{len(scores['files'])} images. {_plain(str(scores['protocol_note']))}.\n\n"
        f"| class | IoU, % |\n|---|---:|\n{rows}"
    )


def _plain(text: str) -> str:
    """A text of somebody else's in one line of Markdown, in which it marks nothing up."""
    line = " ".join(text.split())
    return re.sub(r"([\\`*_{}\[\]<>#|!~&$])", r"\\\1", line)


class LabelNetwork(torch.nn.Module):
    """uint8 (N, H, W, 3) RGB -> uint8 (N, H, W) ids: all that `Segmenter` does to an image."""

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model, self.classes = model, len(class_names(model))
        self.logits = logits_of(model)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits = self.logits(pixels)
        size = image.shape[1:3]
        whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        labels = whole.argmax(dim=1).to(torch.uint8)
        # by a class map the last channel is of what it ignores
        return (
            labels
            if whole.shape[1] == self.classes
            else labels.where(labels < self.classes, IGNORE)
        )


def export_onnx(segmenter: Segmenter, out: Path) -> float:
    """Write one ONNX file and check it; returns the agreement with torch, percent.

    Input `image`: uint8 (N, H, W, 3) RGB, any N, H and W from 32 px. Output `labels`: uint8
    (N, H, W). Pictures of noise of several sizes go through ONNX Runtime and torch: the file is
    written only if at least 99.99 % of all pixels are labelled alike (RuntimeError otherwise).
    The class names and the run's geometry are in the file's metadata. InputError if `out` is there,
    or without the packages.
    """
    if out.exists():
        raise InputError(f"{out}: is there already; give a file that is not")
    check_folder(out.parent)
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"--format onnx needs onnx and onnxruntime ({error}): pip install 'goodsam[export]'"
        ) from error
    inner = bare(segmenter.model)
    if isinstance(inner, Adapted) and not inner.family.traced:
        able = ", ".join(kind for kind, family in FAMILIES.items() if family.traced)
        raise InputError(
            f"{segmenter.source}: a {inner.config.model_type} cannot be written as ONNX for "
            f"pictures of any size ({able} can); use --format huggingface"
        )
    on_cpu = copy.deepcopy(segmenter.model).cpu()
    segmenter = replace(segmenter, model=on_cpu, device=torch.device("cpu"))
    dynamic = {0: "batch", 1: "height", 2: "width"}
    with _quiet(), torch.inference_mode(), TemporaryDirectory() as folder:
        # The exporter that traces: it needs no further package and takes a second. What a trace
        # could get wrong, sizes that became constants, the check below would find.
        torch.onnx.export(
            LabelNetwork(segmenter.model).eval(),
            (torch.zeros(CHECKED_SIZES[0] + (3,), dtype=torch.uint8),),
            f"{folder}/labels.onnx",
            input_names=["image"],
            output_names=["labels"],
            dynamic_axes={"image": dynamic, "labels": dynamic},
            opset_version=OPSET,
            dynamo=False,
        )
        model = onnx.load(f"{folder}/labels.onnx")
    properties = {
        "classes": json.dumps(segmenter.names),
        "weights": segmenter.fingerprint,
        "input": "uint8 (N, H, W, 3) RGB; normalised inside",
        "licence": segmenter.licence,
    }
    if segmenter.geometry is not None:
        properties["geometry"] = json.dumps(segmenter.geometry.to_json())
    onnx.helper.set_model_props(model, properties)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    agreement = _agreement(segmenter, session)
    if agreement < AGREEMENT:
        raise RuntimeError(
            f"{out}: not written: ONNX Runtime labels {agreement:.3f} % of the pixels as torch "
            f"does, and {AGREEMENT} % is the least"
        )
    write_whole(out, content)
    return agreement


def _agreement(segmenter: Segmenter, session: Any) -> float:
    """Percent of the pixels of noise, in blocks as large as things are, that are labelled alike."""
    same = total = 0
    rng = np.random.default_rng(0)
    for count, height, width in CHECKED_SIZES:
        small = rng.integers(0, 256, (count, height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
        image = small.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]
        labels = session.run(["labels"], {"image": image})[0]
        same += int((labels == segmenter.classes(image)).sum())
        total += labels.size
    return 100 * same / total


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: that it is the older one, and of what it makes constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

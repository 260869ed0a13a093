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
import yaml
from transformers import SegformerForSemanticSegmentation

from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.geometry import Geometry
from goodsam.data.licences import Licence, on_a_card
from goodsam.stages.segformer.files import save_segformer
from goodsam.stages.segformer.lean import LeanDecoder, lean_logits
from goodsam.stages.segformer.segment import IMAGENET_MEAN, IMAGENET_STD, parameter_count
from goodsam.stages.segformer.segmenter import Segmenter

OPSET = 17
AGREEMENT = 99.99  # percent of pixels that ONNX Runtime must label as torch does
CHECKED_SIZES = ((1, 200, 256), (2, 128, 416), (1, 147, 333))  # batch, height, width

_CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
tags: [segformer, panorama, 360-degree, goodsam]
{front}---

# {title}

{origin}

## Numbers

{numbers}

## Use

`SegformerForSemanticSegmentation.from_pretrained` and `SegformerImageProcessor.from_pretrained`
load this directory. Images go in as RGB with ImageNet mean and standard deviation, and the logits
come at a quarter of their size: upsample them bilinearly before the argmax. The processor that lies
here does so and does not squash the image to a square.

{geometry}

Classes: {classes}.

## Licence

The weights keep the licences of the weights and images that they were trained from: {licence}. The
front matter above names the strictest of them, as far as their cards say.
"""


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
        save_segformer(segmenter.model, aside)
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
    return _CARD.format(
        title=f"SegFormer for panoramas, {_plain(Path(segmenter.source).name)}",
        origin="\n".join(lines),
        numbers=_numbers(scores),
        geometry=_geometry(segmenter.geometry),
        classes=", ".join(map(_plain, segmenter.names)),
        front=yaml.safe_dump(on_a_card(segmenter.licence)),
        licence=_plain(str(segmenter.licence)),
    )


def card_of_run(network: str, licence: Licence, facts: Sequence[str]) -> str:
    """The README of a network where a run writes it, `student` or `teacher_assistant`."""
    front = {"library_name": "transformers", "tags": ["goodsam"], **on_a_card(licence)}
    lines = "\n".join(f"- {_plain(fact)}" for fact in facts)
    return (
        f"---\n{yaml.safe_dump(front, sort_keys=False)}---\n\n"
        f"The {network.replace('_', ' ')} of a GoodSAM run. Its licence, the strictest of those of "
        f"what it comes from: {_plain(str(licence))}.\n\n"
        f"{lines}\n"
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

    def __init__(self, model: SegformerForSemanticSegmentation) -> None:
        super().__init__()
        self.model = model
        self.decoder = LeanDecoder.of(model)
        self.register_buffer("mean", 255 * torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std", 255 * torch.tensor(IMAGENET_STD).view(3, 1, 1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        pixels = (image.permute(0, 3, 1, 2).float() - self.mean) / self.std
        logits = lean_logits(self.model, self.decoder, pixels)
        size = image.shape[1:3]
        whole = F.interpolate(logits, size=size, mode="bilinear", align_corners=False)
        return whole.argmax(dim=1).to(torch.uint8)


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
        "licence": str(segmenter.licence),
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

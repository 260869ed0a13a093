"""Export: a Hugging Face directory, or one ONNX file, of a trained network."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from transformers import SegformerForSemanticSegmentation

from goodsam.data.errors import InputError
from goodsam.data.files import write_whole
from goodsam.stages.predict import Network, Segmenter, model_folder
from goodsam.stages.segformer.files import load_segformer, save_segformer
from goodsam.stages.segformer.lean import LeanDecoder, lean_logits
from goodsam.stages.segformer.segment import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    class_names,
    parameter_count,
)

OPSET = 17
AGREEMENT = 99.99  # percent of pixels that ONNX Runtime must label as torch does
CHECKED_SIZES = ((1, 200, 256), (2, 128, 416), (1, 147, 333))  # batch, height, width

_CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
tags: [segformer, panorama, 360-degree, goodsam]
license: other
license_name: as-of-the-weights-it-was-trained-from
---

# {title}

{origin}

## Numbers

{numbers}

## Use

`SegformerForSemanticSegmentation.from_pretrained` and `SegformerImageProcessor.from_pretrained`
load this directory. Feed images at their native size and aspect, as RGB with ImageNet mean and
standard deviation; the logits come at a quarter of the size: upsample them bilinearly before the
argmax. The processor that lies here does so and does not squash the image to a square.

Classes: {classes}.

## Licence

The weights keep the licences of the weights and images that they were trained from. {licence}
"""

_NVIDIA = (
    "They come from SegFormer weights published by NVIDIA, whose licence allows non-commercial use "
    "only; that holds for these weights too."
)
_UNKNOWN = (
    "SegFormer weights published by NVIDIA, and all that is trained from them, are for "
    "non-commercial use."
)
_STREET = (
    "They come from the demo weights of goodsam (Apache-2.0), which have seen a rendered street "
    "world only."
)


def export_huggingface(
    source: str | Path,
    out: Path,
    network: Network = "student",
    scores: Mapping[str, Any] | None = None,
) -> None:
    """Write a directory that `transformers` loads, with a model card, whole or not at all.

    scores: the content of an `eval.json`, for the card. Raises InputError if `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a folder that is not")
    model = load_segformer(model_folder(source, network))
    aside = out.with_name(f".{out.name}.{os.getpid()}.writing")
    try:
        save_segformer(model, aside)
        write_whole(aside / "README.md", model_card(source, model, network, scores))
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def model_card(
    source: str | Path,
    model: SegformerForSemanticSegmentation,
    network: Network = "student",
    scores: Mapping[str, Any] | None = None,
) -> str:
    """The README of an exported model: where it comes from, its numbers, its licence.

    Reads the run's `config.yaml` and `origin.json` where `source` is a run directory.
    """
    parameters = parameter_count(model) / 1e6
    lines = [f"{parameters:.1f} M parameters."]
    starts = [str(source)]
    settings = Path(source) / "config.yaml"
    if settings.is_file():
        config = yaml.safe_load(settings.read_text()) or {}
        starts = [str(config.get("student")), str(config.get("teacher_assistant"))]
        lines = [
            f"The {network.replace('_', ' ')} of a GoodSAM run (Zhang et al., CVPR 2024) with "
            f"goodsam, an independent implementation; {parameters:.1f} M parameters.",
            "",
            f"- student started from `{starts[0]}`",
            f"- teacher assistant started from `{starts[1]}`",
        ]
        origin = Path(source) / "origin.json"
        if origin.is_file():
            images = json.loads(origin.read_text()).get("images", {})
            lines.append(f"- adapted to {len(images)} panoramas, without a label")
        lines.append(f"- seed {config.get('seed')}; learning rates {config.get('student_lr')} and "
                     f"{config.get('teacher_lr')}")  # fmt: skip
    licence = _UNKNOWN
    if any("nvidia/" in start for start in starts):
        licence = _NVIDIA
    elif all(start.startswith("street-") for start in starts):
        licence = _STREET
    return _CARD.format(
        title=f"SegFormer for panoramas, {Path(str(source)).name}",
        origin="\n".join(lines),
        numbers=_numbers(scores),
        classes=", ".join(class_names(model)),
        licence=licence,
    )


def _numbers(scores: Mapping[str, Any] | None) -> str:
    if scores is None or "per_class" not in scores:
        return "No evaluation with labels was recorded."
    rows = "\n".join(
        f"| {name} | {'-' if value is None else f'{value:.2f}'} |"
        for name, value in scores["per_class"].items()
    )
    return (
        f"mIoU {scores['miou']:.2f} %, pixel accuracy {scores['pixel_accuracy']:.2f} % on "
        f"{len(scores['files'])} images. {scores['protocol_note']}.\n\n"
        f"| class | IoU, % |\n|---|---:|\n{rows}"
    )


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


def export_onnx(source: str | Path, out: Path, network: Network = "student") -> float:
    """Write one ONNX file and check it; returns the agreement with torch, percent.

    Input `image`: uint8 (N, H, W, 3) RGB, any N, H and W from 32 px. Output `labels`: uint8
    (N, H, W). Pictures of noise of several sizes go through ONNX Runtime and torch: the file is
    written only if at least 99.99 % of all pixels are labelled alike (RuntimeError otherwise).
    Classes and their names are in the file's metadata. InputError if `out` is there, or without
    the packages.
    """
    if out.exists():
        raise InputError(f"{out}: is there already; give a file that is not")
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"--format onnx needs onnx and onnxruntime ({error}): pip install 'goodsam[export]'"
        ) from error
    segmenter = Segmenter.load(source, network, device="cpu")
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
    onnx.helper.set_model_props(
        model,
        {
            "classes": json.dumps(segmenter.names),
            "weights": segmenter.fingerprint,
            "input": "uint8 (N, H, W, 3) RGB; normalised inside",
        },
    )
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
        same += int((labels == segmenter.batch(image)).sum())
        total += labels.size
    return 100 * same / total


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's warnings: that it is the older one, and of what it makes constant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

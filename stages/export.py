"""Export: a Hugging Face directory, or one ONNX file, of a trained network."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from data.errors import InputError
from data.files import write_whole
from stages.adapt.models import class_names, load_segformer, save_segformer
from stages.predict import Network, model_folder

_CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
tags: [segformer, panorama, goodsam]
---

# SegFormer adapted to panoramas by goodsam

{summary}

`SegformerForSemanticSegmentation.from_pretrained` and `SegformerImageProcessor.from_pretrained`
load this directory. Feed images at their native size and aspect, as RGB with ImageNet mean and
standard deviation; the logits come at a quarter of the size: upsample them bilinearly before the
argmax.

Classes: {classes}.

The weights keep the licence of the weights and images they were trained from. SegFormer weights
published by NVIDIA, and all that is trained from them, are for non-commercial use.
"""


def export_huggingface(
    source: str | Path,
    out: Path,
    network: Network = "student",
    scores: dict[str, Any] | None = None,
) -> None:
    """Write a directory that `transformers` loads, with a model card, whole or not at all.

    scores: the content of an `eval.json`, for the card. Raises InputError if `out` holds something.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a folder that is not")
    model = load_segformer(model_folder(source, network))
    summary = "No evaluation was recorded."
    if scores is not None:
        summary = (
            f"mIoU {scores['miou']:.2f}, pixel accuracy {scores['pixel_accuracy']:.2f} on "
            f"{len(scores['files'])} images ({scores['protocol']})."
        )
    aside = out.with_name(f".{out.name}.{os.getpid()}.writing")
    try:
        save_segformer(model, aside)
        card = _CARD.format(summary=summary, classes=", ".join(class_names(model)))
        write_whole(aside / "README.md", card)
        os.replace(aside, out)
    finally:
        shutil.rmtree(aside, ignore_errors=True)

"""The model card of an exported network: where it comes from, how good it is, whose licence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from goodsam.data.geometry import Geometry
from goodsam.data.licences import Licence, on_a_card
from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.classes import bare
from goodsam.stages.segformer.segment import parameter_count
from goodsam.stages.segformer.segmenter import Segmenter

_CARD = """---
library_name: transformers
pipeline_tag: image-segmentation
tags: [{kind}, panorama, 360-degree, goodsam]
{front}---

# {title}

{origin}

## Numbers

{numbers}

## Use

{use}

{geometry}

Classes: {classes}.

## Licence

The weights keep the licences of the weights and images that they were trained from: {licence}. The
front matter above names the strictest of them, as far as their cards say.
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

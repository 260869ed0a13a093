"""The model card of a network: where it comes from, how good it is, whose licence.

huggingface_hub writes the cards. What others wrote (names of classes, files, networks) is put into
the text by `plain`, so that it marks nothing up, and into the front matter on one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodsam.data.geometry import Geometry, windows_text
from goodsam.data.licences import Licence, on_a_card
from goodsam.data.windows import Windows
from goodsam.stages.cards import DATA
from goodsam.stages.networks.adapted import Adapted
from goodsam.stages.networks.classes import bare
from goodsam.stages.segformer.origin import origin_of
from goodsam.stages.segformer.segment import parameter_count
from goodsam.stages.segformer.segmenter import Segmenter

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCardData

_CARD = """---
{{ card_data }}
---

# {{ title }}

{{ origin }}

## Numbers

{{ numbers }}

## Use

{{ use }}

{{ geometry }}

Classes: {{ classes }}.

## Licence

The weights keep the licences of the weights and images that they were trained from: {{ licence }}.
The front matter above names the strictest of them, as far as their cards say.
"""

_CARD_OF_RUN = """---
{{ card_data }}
---

The {{ network }} of a GoodSAM run. Its licence, the strictest of those of what it comes from: \
{{ licence }}.

{{ facts }}
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
    content of an `eval.json`; its means become the front matter's `model-index` too.
    """
    from huggingface_hub import ModelCard

    parameters = f"{parameter_count(segmenter.model) / 1e6:.1f} M parameters."
    lines = [parameters]
    if facts:
        lines = [
            f"The {segmenter.network.replace('_', ' ')} of a GoodSAM run (Zhang et al., CVPR 2024) "
            f"with goodsam, an independent implementation; {parameters}",
            "",
            *(f"- {plain(fact)}" for fact in facts),
        ]
    model, kind, use = bare(segmenter.model), "SegFormer", _USE_SEGFORMER
    if isinstance(model, Adapted):
        kind = model.config.model_type
        use = _USE_OTHERS.format(model=model.family.model, processor=model.family.processor)
    title = f"{kind} for panoramas, {one_line(Path(segmenter.source).name)}"
    origin = origin_of(segmenter.model, segmenter.source)
    front = _front(
        segmenter.licence,
        () if origin is None else origin.starts,
        tags=[kind.lower(), "panorama", "360-degree", "goodsam"],
        model_name=title,
        eval_results=_results(scores),
    )
    card = ModelCard.from_template(
        front,
        template_str=_CARD,
        title=plain(title),
        use=use,
        origin="\n".join(lines),
        numbers=_numbers(scores),
        geometry=_geometry(segmenter.geometry),
        classes=_classes(segmenter),
        licence=plain(str(segmenter.licence)),
    )
    return f"{card}\n"


def card_of_run(
    network: str, licence: Licence, facts: Sequence[str], starts: Sequence[str] = ()
) -> str:
    """The README of a network where a run writes it, `student` or `teacher_assistant`.

    starts: the networks that the run began with.
    """
    from huggingface_hub import ModelCard

    card = ModelCard.from_template(
        _front(licence, starts, tags=["goodsam"]),
        template_str=_CARD_OF_RUN,
        network=network.replace("_", " "),
        licence=plain(str(licence)),
        facts="\n".join(f"- {plain(fact)}" for fact in facts),
    )
    return f"{card}\n"


def _front(licence: Licence, starts: Sequence[str], **more: Any) -> ModelCardData:
    """What the hub's machines read of a network that began with others of these names.

    Those of them that the hub can have are its base models.
    """
    from huggingface_hub import ModelCardData

    bases = list(dict.fromkeys(filter(_is_on_hub, starts)))
    data = {name: note for name, note in DATA.items() if note in licence.notes}
    names = {note: name for name, note in reversed(data.items())}  # one of two names for the same
    front: dict[str, Any] = {
        "library_name": "transformers",
        "pipeline_tag": "image-segmentation",
        "base_model": bases or None,
        "base_model_relation": "finetune" if bases else None,
        "datasets": sorted(names.values()) or None,
        **on_a_card(licence),
        **more,
    }
    return ModelCardData(**front)


def _is_on_hub(name: str) -> bool:
    """Whether a name can be one of the hub's, `OWNER/NAME`, and is no folder of this machine."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name and not Path(name).exists()


def _results(scores: Mapping[str, Any] | None) -> list[EvalResult] | None:
    """mIoU and pixel accuracy as the hub's `model-index` has them; None where nothing was scored.

    The data set is called like the folder of its images.
    """
    from huggingface_hub import EvalResult

    if scores is None or "per_class" not in scores:
        return None
    data = one_line(Path(str(scores.get("images", ""))).name) or "labelled panoramas"
    kind = re.sub(r"[^a-z0-9]+", "-", data.lower()).strip("-") or "panoramas"
    metrics = {"mean_iou": ("miou", "mIoU, %"), "accuracy": ("pixel_accuracy", "pixel accuracy, %")}
    return [
        EvalResult(
            task_type="image-segmentation",
            dataset_type=kind,
            dataset_name=data,
            metric_type=metric,
            metric_name=name,
            metric_value=round(scores[key], 2),
        )
        for metric, (key, name) in metrics.items()
        if scores[key] is not None
    ] or None


def _classes(segmenter: Segmenter) -> str:
    """The classes, and how they were made of others, where they were."""
    names = ", ".join(map(plain, segmenter.names))
    if segmenter.class_map is None:
        return names
    return (
        f"{names}; made of {len(segmenter.class_map.of)} others: {plain(str(segmenter.class_map))}"
    )


def _geometry(geometry: Geometry | None) -> str:
    """How images are to be fed, field of view and window plan included."""
    if geometry is None:
        return "Feed images at their native size and aspect."
    size = f"{geometry.windows.width} x {geometry.windows.height}"
    how = f"It was trained on {geometry}. "
    if geometry.plan != "band":
        how += (
            f"Give it a whole 2:1 panorama, upright, resized to {size}; `goodsam predict` and "
            "`goodsam.load` do so by themselves and bring the labels back to the photograph's size."
        )
    elif geometry.fit:
        how += (
            f"Cut that band from the middle of a 2:1 panorama and resize it to {size} first; "
            "`goodsam predict` and `goodsam.load` do so by themselves and bring the labels back to "
            "the photograph's size."
        )
    else:
        how += "Feed panoramas of about that size at their native aspect."
    return f"{how}\n\n{view_table(geometry)}"


def view_table(geometry: Geometry) -> str:
    """Field of view and window plan as a table of Markdown, for panoramas of a whole turn."""
    plan = geometry.windows
    degrees = 360 / plan.width
    if isinstance(plan, Windows):
        seam = "the last ones over the seam" if plan.wrap else "none over the seam"
        windows = (
            f"{len(plan)} of {plan.window} x {plan.height} px ({degrees * plan.window:.1f}° wide), "
            f"one every {plan.stride} px, {seam}"
        )
    else:
        h, w = plan.window_shape
        windows = f"{geometry.plan}: {windows_text(plan)}; {w} x {h} px each"
    rows = {
        "field of view": f"360° x {degrees * plan.height:.1f}°, {plan.width} x {plan.height} px",
        "windows": windows,
    }
    if geometry.ignored:
        rows["left out"] = geometry.ignored_share
    return "\n".join(["| geometry | |", "|---|---|", *(f"| {k} | {v} |" for k, v in rows.items())])


def _numbers(scores: Mapping[str, Any] | None) -> str:
    if scores is None or "per_class" not in scores:
        return "No evaluation with labels was recorded."
    rows = "\n".join(
        f"| {plain(name)} | {_two_digits(value)} |" for name, value in scores["per_class"].items()
    )
    return (
        f"mIoU {_two_digits(scores['miou'])} %, pixel accuracy "
        f"{_two_digits(scores['pixel_accuracy'])} % on {len(scores['files'])} images. "
        f"{plain(str(scores['protocol_note'])).rstrip('.')}.\n\n"
        f"| class | IoU, % |\n|---|---:|\n{rows}"
    )


def _two_digits(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def plain(text: str) -> str:
    """A text of somebody else's in one line of Markdown, in which it marks nothing up."""
    return re.sub(r"([\\`*_{}\[\]<>#|!~&$])", r"\\\1", one_line(text))


def one_line(text: str) -> str:
    """A text without line breaks, and with one space for any white space."""
    return " ".join(text.split())

"""A directory that transformers loads."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole, written_aside
from goodsam.data.panoramas import Sample
from goodsam.stages.export.card import model_card
from goodsam.stages.export.compare import Comparison, bytes_of, compare, demand
from goodsam.stages.export.views import COMPARED, views_of
from goodsam.stages.networks.classes import Mapped, bare
from goodsam.stages.networks.files import load_model, save_model
from goodsam.stages.segformer.segmenter import Segmenter


def export_huggingface(
    segmenter: Segmenter,
    out: Path,
    facts: Sequence[str] = (),
    scores: Mapping[str, Any] | None = None,
    *,
    samples: Sequence[Sample] = (),
    half: bool = False,
    force: bool = False,
) -> Comparison:
    """Write a directory that `transformers` loads, with a model card, whole or not at all.

    facts, scores: for the card, as `model_card` has them. half: weights in float16. What is written
    is read back and compared with the network, samples and force as in `export_graph`. Raises
    InputError if `out` holds something, or for a network that wraps or sees a sphere by its own
    plan of windows, which a directory cannot say.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: is there already; give a folder that is not")
    check_folder(out.parent)
    if segmenter.wrap:
        raise InputError(
            f"{out}: transformers does not wrap; take onnx or openvino, or do not wrap"
        )
    if segmenter.mode not in ("direct", "windows"):
        raise InputError(
            f"{out}: transformers knows no {segmenter.mode} windows of a sphere; load the network "
            "without a plan"
        )
    with written_aside(out) as aside:
        save_model(_halved(segmenter.model) if half else segmenter.model, aside)
        write_whole(aside / "README.md", model_card(segmenter, facts, scores))
        read = load_model(aside)
        if isinstance(segmenter.model, Mapped):  # on disk is no map but a run's
            read = Mapped(bare(read), segmenter.model.classes)
        labels = replace(segmenter, model=read.to(segmenter.device).eval()).classes
        found = compare(
            segmenter, labels, views_of(segmenter, samples)[-COMPARED:], bytes_of(aside)
        )
        demand(found, out, half=half, force=force)
    return found


def _halved(model: Any) -> Any:
    return copy.deepcopy(model).half()

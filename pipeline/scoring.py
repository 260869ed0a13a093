"""`goodsam eval`: score a model or a folder of label maps, and write the report."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import yaml

from goodsam.data.classes import CITYSCAPES, palette_for, protocol_for
from goodsam.data.errors import InputError
from goodsam.data.panoramas import (
    Conversions,
    Sample,
    find_panoramas,
    pair_predictions,
    read_ignore_mask,
    read_image,
    read_labels,
    read_truth,
)
from goodsam.data.windows import Windows
from goodsam.pipeline.report.evaluation import best_median_worst, evaluation_report
from goodsam.pipeline.report.pictures import Shown
from goodsam.pipeline.report.unlabelled import unlabelled_report
from goodsam.pipeline.tell import bar_of_names
from goodsam.stages.predict import Network, Segmenter
from goodsam.stages.score.boundary import RADIUS
from goodsam.stages.score.evaluate import (
    Evaluation,
    evaluate,
    evaluate_predictions,
    evaluation_record,
    markdown,
    masked,
    write_record,
)
from goodsam.stages.score.unlabelled import (
    Peers,
    inspect,
    see,
    unlabelled_markdown,
    unlabelled_record,
)

SHOWN_UNLABELLED = 3  # pictures in a report without labels


@dataclass(frozen=True)
class Use:
    """How the command line wants a model to be used."""

    network: str = "student"
    windows: bool = False
    wrap: bool = False
    device: str = "auto"

    def load(self, model: str | Path) -> Segmenter:
        return Segmenter.load(
            model,
            network_name(self.network),
            "windows" if self.windows else "direct",
            device=self.device,
            wrap=self.wrap,
        )


def network_name(name: str) -> Network:
    """`student` or `teacher_assistant`; InputError for anything else."""
    if name not in get_args(Network):
        raise InputError(f"network {name!r}: use {' or '.join(get_args(Network))}")
    return cast(Network, name)


def score_model(
    model: str,
    use: Use,
    images: Path,
    out: Path,
    *,
    labels: Path | None = None,
    fit: Windows | None = None,
    protocol: str | None = None,
    ignore_mask: Path | None = None,
    boundary_radius: int = RADIUS,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Evaluate `model` and write `out`; returns the content of eval.json.

    Without labels nothing is scored: what can be said is written instead, on images fitted to the
    geometry `fit` if that is given.
    """
    samples = find_panoramas(images, labels)
    labelled = any(sample.labels is not None for sample in samples)
    if labelled and fit is not None:
        raise InputError(
            f"{images}: --fit would resize images away from their labels; leave it out"
        )
    if not labelled and protocol is not None:
        raise InputError(f"{images}: --protocol {protocol} needs labels; give them with --labels")
    segmenter = use.load(model)
    settings: dict[str, Any] = {
        "images": str(images),
        "model": model,
        "network": use.network,
        "mode": segmenter.mode,
        "wrap": segmenter.wrap,
        "weights": segmenter.fingerprint,
    }
    ignore = _ignored(ignore_mask, settings)
    conversions = Conversions()
    if not labelled:
        return _describe(
            model, use, segmenter, samples, out, fit, ignore, settings, conversions, say
        )
    chosen = protocol_for(protocol, segmenter.names)
    with bar_of_names("evaluate", len(samples)) as finished:
        evaluation = evaluate(
            segmenter,
            samples,
            chosen,
            finished,
            conversions,
            ignore=ignore,
            boundary_radius=boundary_radius,
        )
    say(str(conversions))

    def label(sample: Sample) -> np.ndarray:
        return segmenter(read_image(sample.image))

    return _write(out, evaluation, samples, label, model, settings, ignore)


def score_predictions(
    predictions: Path,
    images: Path,
    out: Path,
    *,
    labels: Path | None = None,
    protocol: str | None = None,
    ignore_mask: Path | None = None,
    boundary_radius: int = RADIUS,
) -> dict[str, Any]:
    """Evaluate label maps of train ids, whoever made them; returns the content of eval.json."""
    samples = find_panoramas(images, labels)
    if all(sample.labels is None for sample in samples):
        raise InputError(f"{images}: no labels to hold {predictions} against; --labels DIR")
    chosen = protocol_for(protocol, CITYSCAPES)
    maps = {sample.name: path for sample, path in pair_predictions(samples, predictions)}
    settings = {"images": str(images), "predictions": str(predictions)}
    ignore = _ignored(ignore_mask, settings)
    with bar_of_names("evaluate", len(samples)) as finished:
        evaluation = evaluate_predictions(
            predictions,
            samples,
            chosen,
            finished,
            ignore=ignore,
            boundary_radius=boundary_radius,
        )

    def label(sample: Sample) -> np.ndarray:
        return read_labels(maps[sample.name], chosen.ids)

    return _write(out, evaluation, samples, label, str(predictions), settings, ignore)


def _ignored(mask: Path | None, settings: dict[str, Any]) -> np.ndarray | None:
    """The pixels to leave out, if any; the settings then say so."""
    if mask is None:
        return None
    settings["ignore_mask"] = str(mask)
    return read_ignore_mask(mask)


def _write(
    out: Path,
    evaluation: Evaluation,
    samples: Sequence[Sample],
    label: Callable[[Sample], np.ndarray],
    what: str,
    settings: dict[str, Any],
    ignore: np.ndarray | None,
) -> dict[str, Any]:
    record = evaluation_record(evaluation, samples, **settings)
    write_record(out, record, markdown(record))
    by_name = {sample.name: sample for sample in samples}
    shown = []
    for rank, name in best_median_worst(evaluation):
        sample = by_name[name]
        assert sample.labels is not None
        truth = read_truth(sample.labels, evaluation.protocol)
        shown.append(
            Shown(
                name,
                read_image(sample.image),
                evaluation.protocol.lookup[label(sample)],
                truth=truth if ignore is None else masked(truth, ignore),
                note=f"{rank}: mIoU {evaluation.per_image[name].miou:.1f}",
            )
        )
    palette = palette_for(evaluation.scores.names)
    evaluation_report(out / "report.html", evaluation, shown, palette, what, settings)
    return record


def _describe(
    model: str,
    use: Use,
    segmenter: Segmenter,
    samples: Sequence[Sample],
    out: Path,
    fit: Windows | None,
    ignore: np.ndarray | None,
    settings: dict[str, Any],
    conversions: Conversions,
    say: Callable[[str], None],
) -> dict[str, Any]:
    peers = find_peers(model, use, say)
    with bar_of_names("evaluate", len(samples)) as finished:
        seen = inspect(segmenter, samples, fit, finished, conversions, peers=peers, ignore=ignore)
    say(str(conversions))
    record = unlabelled_record(seen, **settings)
    write_record(out, record, unlabelled_markdown(record))
    step = max(1, len(samples) // SHOWN_UNLABELLED)
    shown = []
    for sample in samples[::step][:SHOWN_UNLABELLED]:
        image = see(sample, fit)
        shown.append(
            Shown(
                sample.name,
                image,
                segmenter(image),
                before=None if peers.before is None else peers.before(image),
                teacher=None if peers.teacher is None else peers.teacher(image),
            )
        )
    unlabelled_report(out / "report.html", seen, shown, segmenter.palette, model, settings)
    return record


def find_peers(model: str, use: Use, say: Callable[[str], None] = lambda line: None) -> Peers:
    """Of a run's student: the student that the run began with, and the run's teacher assistant."""
    run = Path(model)
    settings = run / "config.yaml"
    if use.network != "student" or not settings.is_file():
        return Peers()
    student = (yaml.safe_load(settings.read_text()) or {}).get("student")
    before = None
    try:
        before = Segmenter.load(str(student), device=use.device, wrap=use.wrap)
    except InputError as error:
        say(f"not compared with the student that the run began with: {error}")
    teacher = Segmenter.load(run, "teacher_assistant", "windows", device=use.device)
    return Peers(before, teacher)


def read_record(path: Path) -> dict[str, Any]:
    """The content of an eval.json with scores. InputError for any other file."""
    try:
        record = json.loads(path.read_text())
        if not {"miou", "pixel_accuracy", "per_class", "files", "protocol_note"} <= record.keys():
            raise ValueError("it holds no scores")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not the eval.json of `goodsam eval` with labels ({error})"
        ) from error
    return record

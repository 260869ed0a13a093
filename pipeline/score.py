"""`goodsam eval`: score a model or a folder of label maps, and write the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np

from data.classes import CITYSCAPES, palette_for
from data.errors import InputError
from data.panoramas import (
    Conversions,
    Sample,
    find_panoramas,
    pair_predictions,
    read_image,
    read_labels,
    read_panorama,
)
from data.windows import Windows
from pipeline.progress import progress_bar
from pipeline.report import Shown, best_median_worst, evaluation_report, unlabelled_report
from stages.evaluate import (
    evaluate,
    evaluate_predictions,
    evaluation_record,
    inspect,
    unlabelled_record,
    write_record,
)
from stages.predict import Network, Segmenter

SHOWN_UNLABELLED = 3  # pictures in a report without labels


def network_name(name: str) -> Network:
    """`student` or `teacher_assistant`; InputError for anything else."""
    if name not in get_args(Network):
        raise InputError(f"network {name!r}: use {' or '.join(get_args(Network))}")
    return cast(Network, name)


def load_segmenter(model: str, network: str, windows: bool, device: str) -> Segmenter:
    """The segmenter that the command line asks for."""
    return Segmenter.load(
        model, network_name(network), "windows" if windows else "direct", device=device
    )


def score(
    model: str | None,
    images: Path,
    out: Path,
    *,
    labels: Path | None,
    predictions: Path | None,
    network: str,
    windows: bool,
    device: str,
    fit: Windows | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Evaluate `model`, or the label maps in `predictions`; returns the content of eval.json.

    Without labels nothing is scored: class shares and agreement of windows are written instead, on
    images fitted to the geometry `fit` if that is given.
    """
    samples = find_panoramas(images, labels)
    labelled = [sample for sample in samples if sample.labels is not None]
    if labelled and len(labelled) < len(samples):
        raise InputError(f"{images}: {len(samples) - len(labelled)} images have no labels")
    if labelled and fit is not None:
        raise InputError(
            f"{images}: --fit would resize images away from their labels; leave it out"
        )
    conversions = Conversions()

    def see(sample: Sample) -> np.ndarray:
        if fit is None:
            return read_image(sample.image)
        return read_panorama(sample.image, fit, fit=True)

    done = 0
    with progress_bar("evaluate", len(samples)) as update:

        def finished(name: str) -> None:
            nonlocal done
            done += 1
            update(done, note=name)

        if predictions is not None:
            if not labelled:
                raise InputError(f"{images}: no labels to hold {predictions} against; --labels DIR")
            evaluation = evaluate_predictions(predictions, labelled, CITYSCAPES, finished)
            maps = dict((s.name, p) for s, p in pair_predictions(labelled, predictions))

            def label(sample: Sample) -> np.ndarray:
                return read_labels(maps[sample.name], len(CITYSCAPES))

            what, palette = str(predictions), palette_for(CITYSCAPES)
            settings: dict[str, Any] = {"predictions": what}
        else:
            assert model is not None
            segmenter = load_segmenter(model, network, windows, device)
            palette = segmenter.palette
            what = model
            settings = {
                "model": model,
                "network": network,
                "mode": segmenter.mode,
                "weights": segmenter.fingerprint,
            }

            def label(sample: Sample) -> np.ndarray:
                return segmenter(see(sample))

            if not labelled:
                seen = inspect(segmenter, samples, fit, finished, conversions)
                say(str(conversions))
                record = unlabelled_record(seen, images=str(images), **settings)
                write_record(out, record)
                step = max(1, len(samples) // SHOWN_UNLABELLED)
                shown = [
                    Shown(s.name, see(s), label(s)) for s in samples[::step][:SHOWN_UNLABELLED]
                ]
                unlabelled_report(out / "report.html", seen, shown, palette, what, settings)
                return record
            evaluation = evaluate(segmenter, labelled, segmenter.names, finished, conversions)
    say(str(conversions))
    record = evaluation_record(evaluation, labelled, images=str(images), **settings)
    write_record(out, record)
    by_name = {sample.name: sample for sample in labelled}
    shown = []
    for rank, name in best_median_worst(evaluation):
        sample = by_name[name]
        assert sample.labels is not None
        truth = read_labels(sample.labels, len(evaluation.scores.names))
        note = f"{rank}: mIoU {evaluation.per_image[name].miou:.1f}"
        shown.append(Shown(name, read_image(sample.image), label(sample), truth, note))
    evaluation_report(out / "report.html", evaluation, shown, palette, what, settings)
    return record

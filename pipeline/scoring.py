"""Scoring a network or a folder of label maps: what `evaluate` and `goodsam eval` do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from goodsam.data.classes import Protocol, palette_for, protocol_for, protocol_of_maps
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import (
    Conversions,
    Sample,
    find_panoramas,
    fitted_ignore_mask,
    pair_predictions,
    read_ignore_mask,
    read_image,
    read_labels,
    read_truth,
    says_label_ids,
)
from goodsam.data.strangers import parse_json, read_bounded
from goodsam.pipeline.class_maps import class_map_at, read_groups
from goodsam.pipeline.report.evaluation import best_median_worst, evaluation_report
from goodsam.pipeline.report.pictures import Shown
from goodsam.pipeline.report.unlabelled import unlabelled_report
from goodsam.pipeline.rundir import Run
from goodsam.pipeline.spheres import Plan, choose_plan
from goodsam.pipeline.tell import bar_of_names, say
from goodsam.stages.score.boundary import RADIUS
from goodsam.stages.score.evaluate import (
    Evaluation,
    evaluate,
    evaluate_predictions,
    masked,
)
from goodsam.stages.score.record import (
    evaluation_record,
    markdown,
    unlabelled_markdown,
    unlabelled_record,
    write_record,
)
from goodsam.stages.score.unlabelled import Peers, inspect
from goodsam.stages.segformer.segmenter import Segmenter

SHOWN_UNLABELLED = 3  # pictures in a report without labels


@dataclass(frozen=True)
class Result:
    """What an evaluation found. record: the content of `eval.json`."""

    record: dict[str, Any]
    _markdown: str
    _write_html: Callable[[Path], None]

    @property
    def miou(self) -> float | None:
        """Mean intersection over union, percent; None where there were no labels."""
        return self.record.get("miou")

    def to_markdown(self) -> str:
        """The numbers as tables."""
        return self._markdown

    def to_html(self, path: str | Path) -> None:
        """Write the report: one file that opens offline."""
        self._write_html(Path(path))

    def write(self, out: Path) -> None:
        """Write `eval.json`, `eval.md` and `report.html` into `out`."""
        write_record(out, self.record, self._markdown)
        self.to_html(out / "report.html")


def score_model(
    segmenter: Segmenter,
    images: Path,
    *,
    labels: Path | None = None,
    protocol: str | None = None,
    classes: Path | None = None,
    ignore_mask: Path | None = None,
    boundary_radius: int | None = None,
    plan: Plan = "own",
    by_area: bool = False,
    out: Path | None = None,
) -> Result:
    """`goodsam.evaluate` of a network that is loaded."""
    check_folder(*[out] if out is not None else [])
    _check_one_of(protocol, classes)
    samples = find_panoramas(images, labels, say)
    labelled = any(sample.labels is not None for sample in samples)
    needy = f"--protocol {protocol}" if protocol is not None else "--by-area" if by_area else None
    if not labelled and needy is not None:
        raise InputError(f"{images}: {needy} needs labels; give them with --labels")
    segmenter, by_map = _mapped(choose_plan(segmenter, samples, plan), classes)
    settings: dict[str, Any] = {
        "images": str(images),
        "model": segmenter.source,
        "network": segmenter.network,
        "mode": segmenter.mode,
        "wrap": segmenter.wrap,
        "weights": segmenter.fingerprint,
    }
    if segmenter.class_map is not None:
        settings["classes"] = str(segmenter.class_map)
    if segmenter.step is not None:
        settings["step"] = segmenter.step  # of the checkpoint of a run that has not ended
    if segmenter.geometry is not None:
        settings["geometry"] = segmenter.geometry.to_json()
    ignore = _ignored(ignore_mask, segmenter.geometry, settings, of_views=not labelled)
    conversions = Conversions()
    if not labelled:
        return _finished(_described(segmenter, samples, ignore, settings, conversions), out)
    chosen = by_map or protocol_for(protocol, segmenter.names)
    with bar_of_names("evaluate", len(samples)) as finished:
        evaluation = evaluate(
            segmenter,
            samples,
            chosen,
            finished,
            conversions,
            ignore=ignore,
            unseen=segmenter.unseen,
            placed=segmenter.placement,
            boundary_radius=RADIUS if boundary_radius is None else boundary_radius,
            by_area=by_area,
        )
    say(str(conversions))

    def label(sample: Sample) -> np.ndarray:
        return _labels(segmenter, sample, read_image(sample.image))

    def unseen(sample: Sample, size: tuple[int, int]) -> np.ndarray | None:
        return segmenter.unseen(size, segmenter.placement(sample.image, size))

    what = segmenter.source
    return _finished(_scored(evaluation, samples, label, what, settings, ignore, unseen), out)


def score_predictions(
    predictions: Path,
    images: Path,
    *,
    labels: Path | None = None,
    protocol: str | None = None,
    classes: Path | None = None,
    ignore_mask: Path | None = None,
    boundary_radius: int | None = None,
    by_area: bool = False,
    out: Path | None = None,
) -> Result:
    """Score label maps of train ids, or by class map `classes` in its ids, whoever made them."""
    check_folder(*[out] if out is not None else [])
    samples = find_panoramas(images, labels, say)
    if all(sample.labels is None for sample in samples):
        raise InputError(f"{images}: no labels to hold {predictions} against; --labels DIR")
    _check_one_of(protocol, classes)
    mapped = None if classes is None else class_map_at(classes)
    chosen = protocol_of_maps(protocol) if mapped is None else mapped.protocol()
    maps = {sample.name: path for sample, path in pair_predictions(samples, predictions)}
    settings = {"images": str(images), "predictions": str(predictions)}
    if mapped is not None:
        settings["classes"] = str(mapped)
    ignore = _ignored(ignore_mask, None, settings)
    with bar_of_names("evaluate", len(samples)) as finished:
        evaluation = evaluate_predictions(
            predictions,
            samples,
            chosen,
            finished,
            ignore=ignore,
            boundary_radius=RADIUS if boundary_radius is None else boundary_radius,
            by_area=by_area,
        )

    def label(sample: Sample) -> np.ndarray:
        path = maps[sample.name]
        return read_labels(path, chosen.ids, says_label_ids(path, sample.name))

    what = str(predictions)
    return _finished(_scored(evaluation, samples, label, what, settings, ignore), out)


def _check_one_of(protocol: str | None, classes: Path | None) -> None:
    if protocol is not None and classes is not None:
        raise InputError(
            f"--protocol {protocol}: --classes is a protocol of its own; leave one out"
        )


def _mapped(segmenter: Segmenter, classes: Path | None) -> tuple[Segmenter, Protocol | None]:
    """The segmenter by a class map, and the protocol of its teacher's ids; by none, None.

    A network that a run trained with the map has its classes already.
    """
    own = segmenter.class_map
    if classes is None:
        if own is not None:
            say(
                f"{segmenter.source}: its classes are made by a class map ({own}); label maps are "
                f"read as of its {len(own.names)} ids; if theirs are the teacher assistant's, pass "
                f"--classes {segmenter.source}"
            )
        return segmenter, None
    if classes.is_dir():
        given = class_map_at(classes)
    elif own is not None and tuple(read_groups(classes)) == own.names:
        given = class_map_at(classes, own.of)
    elif tuple(read_groups(classes)) == segmenter.names:
        given = class_map_at(classes)
    else:
        segmenter = segmenter.with_classes(class_map_at(classes, segmenter.names).groups)
        given = segmenter.class_map or class_map_at(classes)
    if given.names != segmenter.names:
        raise InputError(
            f"{classes}: makes {len(given.names)} classes, and {segmenter.source} has "
            f"{len(segmenter.names)} others"
        )
    return segmenter, given.protocol()


def _labels(segmenter: Segmenter, sample: Sample, image: np.ndarray) -> np.ndarray:
    """uint8 (H, W): the labels of a sample, whose picture is there already."""
    where = segmenter.placement(sample.image, (image.shape[0], image.shape[1]))
    return segmenter(image, where)


def _finished(result: Result, out: Path | None) -> Result:
    if out is not None:
        result.write(out)
    return result


def _ignored(
    mask: Path | None, geometry: Geometry | None, settings: dict[str, Any], of_views: bool = False
) -> np.ndarray | None:
    """The pixels to leave out besides those that the run left out; the settings then say so.

    of_views: at the size that the network sees. InputError for another mask than that of the run.
    """
    if mask is None:
        return None
    if geometry is not None and geometry.ignored_mask is not None:
        given = fitted_ignore_mask(mask, geometry.windows, geometry.fit)
        if not np.array_equal(given, geometry.ignored_mask):
            raise InputError(
                f"{mask}: another mask than the one that the network was trained with "
                f"({geometry}); leave --ignore-mask out: a run applies its own"
            )
        return None
    settings["ignore_mask"] = str(mask)
    if of_views and geometry is not None and geometry.fit:
        return fitted_ignore_mask(mask, geometry.windows, fit=True)
    return read_ignore_mask(mask)


def _scored(
    evaluation: Evaluation,
    samples: Sequence[Sample],
    label: Callable[[Sample], np.ndarray],
    what: str,
    settings: dict[str, Any],
    ignore: np.ndarray | None,
    unseen: Callable[[Sample, tuple[int, int]], np.ndarray | None] = lambda sample, size: None,
) -> Result:
    record = evaluation_record(evaluation, samples, **settings)
    by_name = {sample.name: sample for sample in samples}
    protocol = evaluation.protocol

    def shown(rank: str, name: str) -> Shown:
        sample = by_name[name]
        assert sample.labels is not None
        truth = read_truth(sample.labels, protocol, sample.label_ids)
        return Shown(
            name,
            read_image(sample.image),
            protocol.lookup[label(sample)],
            truth=masked(truth, ignore, unseen(sample, (truth.shape[0], truth.shape[1]))),
            note=f"{rank}: mIoU {evaluation.per_image[name].miou:.1f}",
        )

    def write_html(path: Path) -> None:
        pictures = [shown(rank, name) for rank, name in best_median_worst(evaluation)]
        palette = palette_for(evaluation.scores.names)
        evaluation_report(path, evaluation, pictures, palette, what, settings)

    return Result(record, markdown(record), write_html)


def _described(
    segmenter: Segmenter,
    samples: Sequence[Sample],
    ignore: np.ndarray | None,
    settings: dict[str, Any],
    conversions: Conversions,
) -> Result:
    peers = find_peers(segmenter)
    with bar_of_names("evaluate", len(samples)) as finished:
        seen = inspect(segmenter, samples, finished, conversions, peers=peers, ignore=ignore)
    say(str(conversions))
    record = unlabelled_record(seen, **settings)
    step = max(1, len(samples) // SHOWN_UNLABELLED)

    def shown(sample: Sample) -> Shown:
        image = read_image(sample.image)
        return Shown(
            sample.name,
            image,
            _labels(segmenter, sample, image),
            before=None if peers.before is None else _labels(peers.before, sample, image),
            teacher=None if peers.teacher is None else _labels(peers.teacher, sample, image),
        )

    def write_html(path: Path) -> None:
        pictures = [shown(sample) for sample in samples[::step][:SHOWN_UNLABELLED]]
        palette = segmenter.palette
        unlabelled_report(path, seen, pictures, palette, segmenter.source, settings)

    return Result(record, unlabelled_markdown(record), write_html)


def find_peers(segmenter: Segmenter) -> Peers:
    """Of a run's student: the student that the run began with, and the run's teacher assistant."""
    run = Run.found(segmenter.source)
    if segmenter.network != "student" or run is None:
        return Peers()
    device, before, teacher = str(segmenter.device), None, None
    try:
        loaded = Segmenter.load(run.config.student, mode=segmenter.mode, device=device)
        if loaded.names == segmenter.names:
            before = replace(loaded, geometry=segmenter.geometry, wrap=segmenter.wrap)
        else:
            say("not compared with the student that the run began with: it had other classes")
    except InputError as error:
        say(f"not compared with the student that the run began with: {error}")
    try:
        teacher = Segmenter.load(run.path, "teacher_assistant", "windows", device=device)
    except InputError as error:
        say(f"not compared with the teacher assistant: {error}")
    return Peers(before, teacher)


def read_record(path: Path) -> dict[str, Any]:
    """The content of an eval.json with scores. InputError for any other file."""
    try:
        record = parse_json(read_bounded(path))
        if not {"miou", "pixel_accuracy", "per_class", "files", "protocol_note"} <= record.keys():
            raise ValueError("it holds no scores")
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(
            f"{path}: not the eval.json of `goodsam eval` with labels ({error})"
        ) from error
    return record

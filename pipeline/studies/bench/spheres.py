"""Whole spheres on the street world: by which windows, and how far a leaning camera harms.

For each seed one world of level spheres to train on, and the same labelled spheres upright and
tilted. Every network labels the photograph itself: nothing levels it. Scores are by area, over the
whole sphere, where a pixel without a label is wrong, and inside the paper's band alone.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from goodsam.data.classes import CITYSCAPES, NINETEEN
from goodsam.data.files import check_folder, write_whole
from goodsam.data.geometry import Geometry
from goodsam.data.panoramas import Sample, find_panoramas, read_image, read_truth
from goodsam.data.plans import PlanName
from goodsam.data.street.write import write_world
from goodsam.data.windows import Windows, panorama_width
from goodsam.pipeline import api
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.tell import duration, progress_bar
from goodsam.stages.score.area import row_areas
from goodsam.stages.score.confusion import Scores, confusion
from goodsam.stages.score.evaluate import masked
from goodsam.stages.segformer.native import unseen_pixels
from goodsam.stages.segformer.segmenter import Segmenter
from goodsam.stages.segformer.snapshot import Network

Say = Callable[[str], None]

TILTS = (0, 5, 10)
"""Degrees."""
PRESET = "street-robust"
SAM: dict[str, Any] = {"sam": "street", "boundaries": "windows", "points": "adaptive"}
HEIGHT = 200  # of the band of these spheres, px
STREET: dict[Network, str] = {"teacher_assistant": "street-ta", "student": "street-student"}
NAMES: dict[Network, str] = {"teacher_assistant": "TA", "student": "student"}
SEEN: dict[str, str] = {
    "picture": "as one picture",
    "band": "the band",
    "vertical": "across and down",
    "tangent": "tangent",
}
Part = Literal["sphere", "band"]
Way = Literal["picture", "band", "vertical", "tangent"]
PARTS: tuple[Part, ...] = get_args(Part)
WAYS: tuple[Way, ...] = get_args(Way)
PLANS: tuple[PlanName, ...] = get_args(PlanName)


@dataclass(frozen=True)
class Row:
    """A network and how it sees spheres; trained: on their windows of that kind."""

    network: Network
    way: Way
    trained: bool

    @property
    def key(self) -> str:
        """What its files are called by."""
        return f"{self.network}-{self.way}{'-trained' * self.trained}"

    @property
    def cells(self) -> tuple[str, str, str]:
        """The first columns of the table."""
        sees = SEEN[self.way]
        if self.trained and self.network == "student" and self.way != "band":
            sees = f"{SEEN['picture']}; trained by {sees} windows"
        return NAMES[self.network], "trained" if self.trained else "untouched", sees


ROWS = (
    *(Row("teacher_assistant", way, False) for way in WAYS),
    *(Row("student", way, False) for way in WAYS[:2]),
    *(Row(network, plan, True) for network, plan in product(STREET, PLANS)),
)


@dataclass(frozen=True)
class Study:
    """out: where all of it is kept. unlabelled, test: spheres of a world. steps: of a training."""

    out: Path
    unlabelled: int
    test: int
    steps: int


def bench_spheres(study: Study, seeds: Sequence[int], say: Say) -> dict[str, Any]:
    """Do what is left of all rows on all seeds; what came of them, as a table is made of it.

    rows: by row, tilt and part of the sphere the mIoU of each seed, percent. Started again,
    it goes on where it was stopped: worlds, caches, trainings and rows are kept.
    """
    check_folder(study.out)
    record: dict[str, Any] = {
        "seeds": list(seeds),
        "unlabelled": study.unlabelled,
        "test": study.test,
        "steps": study.steps,
        "preset": PRESET,
        "rows": {},
    }
    for seed, row in product(seeds, ROWS):
        for tilt, found in _row(study, row, seed, say).items():
            by_tilt = record["rows"].setdefault(row.key, {}).setdefault(str(tilt), {})
            for part in PARTS:
                by_tilt.setdefault(part, []).append(found[part]["miou"])
    write_whole(study.out / "spheres.json", json.dumps(record, indent=1) + "\n")
    write_whole(study.out / "spheres.md", spheres_table(record))
    return record


def spheres_table(record: dict[str, Any]) -> str:
    """mIoU, percent, as Markdown: of each row and tilt the mean of the seeds, and their spread."""
    heads = [f"{part}, {tilt}°" for part in PARTS for tilt in TILTS]
    lines = [["network", "", "seen", *heads], ["---"] * 3 + ["---:"] * len(heads)]
    for row in ROWS:
        found = record["rows"][row.key]
        cells = [_mean(found[str(tilt)][part]) for part in PARTS for tilt in TILTS]
        lines.append([*row.cells, *cells])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def _mean(values: Sequence[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{spread}"


def _row(study: Study, row: Row, seed: int, say: Say) -> dict[int, dict[str, Any]]:
    """By tilt and part: `miou` and `per_class`, percent."""
    folder = study.out / "rows" / f"{study.unlabelled}-{study.test}-{study.steps}"
    paths = {tilt: folder / f"{row.key}-{seed}-{tilt}.json" for tilt in TILTS}
    missing = [tilt for tilt, path in paths.items() if not path.exists()]
    if missing:
        segmenter = _segmenter(study, row, seed, say)
    for tilt in missing:
        scores = score_spheres(segmenter, find_panoramas(_world(study, seed, tilt) / "test"))
        record = {
            part: {"miou": own.miou, "per_class": own.per_class} for part, own in scores.items()
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(paths[tilt], json.dumps(record, indent=1) + "\n")
        sphere, band = (record[part]["miou"] for part in PARTS)
        say(
            f"{row.key}, seed {seed}, {tilt} degrees: {sphere:.2f} on the sphere, {band:.2f} in "
            "the band"
        )
    return {tilt: json.loads(path.read_text()) for tilt, path in paths.items()}


def score_spheres(segmenter: Segmenter, samples: Sequence[Sample]) -> dict[Part, Scores]:
    """The scores by area of labelled spheres, of one size, as they lie on disk.

    A pixel that was given no class is wrong, on the sphere and in the band, whoever has not looked.
    """
    count = len(CITYSCAPES)
    sums = {part: np.zeros((count, count + 1)) for part in PARTS}
    with progress_bar("score", len(samples)) as update:
        for done, sample in enumerate(samples, 1):
            assert sample.labels is not None
            truth = read_truth(sample.labels, NINETEEN, sample.label_ids)
            labels = segmenter(read_image(sample.image))
            areas = row_areas(len(truth))[:, None]
            sums["sphere"] += confusion(labels, truth, count, areas)
            inside = masked(truth, np.broadcast_to(~band_rows(len(truth))[:, None], truth.shape))
            sums["band"] += confusion(labels, inside, count, areas)
            update(done, len(samples))
    return {part: Scores(matrix, CITYSCAPES) for part, matrix in sums.items()}


def band_rows(height: int) -> np.ndarray:
    """bool (H,): the rows of a sphere whose middles lie in the paper's band of 70.3 degrees."""
    band = Geometry(Windows.of(HEIGHT, panorama_width(HEIGHT)), fit=True)
    unseen = unseen_pixels(band, (height, 2 * height))
    assert unseen is not None  # a band has an above and a below
    return ~unseen[:, 0]


def _world(study: Study, seed: int, tilt: int) -> Path:
    world = study.out / f"worlds-{study.unlabelled}-{study.test}" / f"{seed}-{tilt}"
    unlabelled = 0 if tilt else study.unlabelled
    with progress_bar("street world", unlabelled + study.test) as update:
        write_world(
            world,
            source=0,
            unlabelled=unlabelled,
            test=study.test,
            seed=seed,
            height=HEIGHT,
            whole=True,
            tilt=tilt,
            processes=1,
            progress=update,
        )
    return world


def _segmenter(study: Study, row: Row, seed: int, say: Say) -> Segmenter:
    if row.trained:
        assert row.way != "picture"
        run = _trained(study, row.way, seed, say)
        return Segmenter.load(run, row.network, "windows" if row.network != "student" else None)
    loaded = Segmenter.load(STREET[row.network])
    if row.way == "picture":
        return loaded
    if row.way != "band":
        return loaded.over_sphere(row.way)
    banded = loaded.seeing(Windows.of(HEIGHT, panorama_width(HEIGHT)), fit=True)
    return banded if row.network == "student" else replace(banded, mode="windows")


def _trained(study: Study, plan: PlanName, seed: int, say: Say) -> Path:
    """The run of a seed on the masks of the demo SAM, in windows of this plan."""
    name = f"{plan}-{study.unlabelled}-{seed}"
    run, cache = study.out / "runs" / f"{name}-{study.steps}", study.out / "masks" / f"{name}.zarr"
    if (run / "student" / "config.json").exists():  # written when a run has ended
        return run
    images = _world(study, seed, 0) / "unlabelled"
    config = adapt_config(PRESET, [f"steps={study.steps}"], seed=seed, workers=0)
    started = time.monotonic()
    fitted: dict[str, Any] = {"fit": True, "height": HEIGHT} if plan == "band" else {}
    failed = api.cache_sam(images, cache, plan=plan, **SAM, **fitted).summary.failed
    if failed:
        raise RuntimeError(f"SAM failed on {', '.join(failed)}")
    masked = time.monotonic()
    api.train(images, cache, run, preset=config)
    say(
        f"{plan} windows, seed {seed}: SAM {duration(masked - started)}, training "
        f"{duration(time.monotonic() - masked)}"
    )
    return run

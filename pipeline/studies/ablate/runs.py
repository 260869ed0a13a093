"""One row of a table on one seed: masks, training, scores. What is done is never done again.

OUT/worlds/3/...          a street world of its own for each seed (or your own data, for all)
OUT/masks/KEY/...         the caches of one setting of stage 1
OUT/rows/KEY/row.json     what came of a row, whichever tables show it; run/ holds its networks
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.files import file_hash, write_whole
from goodsam.data.panoramas import Sample, find_panoramas, image_size
from goodsam.data.street.picture import DEFAULT_GAP
from goodsam.data.street.write import Split, truth_path, write_world
from goodsam.data.weights import SEGFORMERS
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import PAPER_WIDTH, Windows
from goodsam.pipeline import api
from goodsam.pipeline.api import sam_factory
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.rundir import FREE, open_run
from goodsam.pipeline.studies.ablate.tables import Column, Masks, Row, Table
from goodsam.pipeline.tell import progress_bar
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.score.confusion import Scores
from goodsam.stages.score.ensemble import ensemble_scores
from goodsam.stages.score.evaluate import evaluate
from goodsam.stages.score.masks import MaskQuality
from goodsam.stages.segformer.segmenter import Mode, Segmenter
from goodsam.stages.truth.degrade import Degradation
from goodsam.stages.truth.masks import NAME, cache_truth
from goodsam.stages.truth.training import train_on_truth

Say = Callable[[str], None]


@dataclass(frozen=True)
class Study:
    """What all rows have in common.

    out: where everything is kept. images, test: unlabelled and labelled panoramas; None: a street
    world for each seed, with `unlabelled` and `labelled` panoramas, of the `tuning` scenes if so.
    settings: of stage 2, before a row's own. generator: fields of GeneratorConfig, likewise.
    masks: where those of a row come from that does not say it itself. Raises InputError for what
    does not go together.
    """

    out: Path
    preset: str = "demo"
    settings: tuple[str, ...] = ()
    sam: str = "street"
    checkpoint: Path | None = None
    boundaries: str = "windows"
    generator: tuple[tuple[str, Any], ...] = ()
    masks: Masks = "sam"
    images: Path | None = None
    test: Path | None = None
    unlabelled: int = 24
    labelled: int = 40
    tuning: bool = False
    gap: float = DEFAULT_GAP

    def __post_init__(self) -> None:
        if (self.images is None) != (self.test is None):
            raise InputError("give both your unlabelled and your labelled panoramas, or neither")
        if self.images is not None and self.masks != "sam":
            raise InputError("only street worlds have true masks; leave your panoramas out")

    def config(self, row: Row, seed: int) -> AdaptConfig:
        """Stage 2's settings of a row. InputError for names or values that there are not."""
        return adapt_config(row.preset or self.preset, [*self.settings, *row.settings], seed=seed)

    def table(self, table: Table) -> Table:
        """The table without the rows that these panoramas cannot have."""
        if self.images is None:
            return table
        rows = (row for row in table.rows if self.masks_of(row) == "sam" and not row.true_labels)
        return replace(table, rows=tuple(rows))

    def masks_of(self, row: Row) -> Masks:
        """Where a row's masks come from."""
        return self.masks if row.masks is None else row.masks

    def stage1(self, row: Row, width: int) -> dict[str, Any]:
        """Stage 1's settings of a row, for panoramas of this width."""
        chosen = {"boundaries": self.boundaries, "wrap": True, **row.stage1}
        window = _scaled(chosen.pop("window", PAPER_WIDTH // 4), width)
        stride = _scaled(chosen.pop("stride", PAPER_WIDTH // 8), width)
        return {**chosen, "window": window, "stride": min(stride, window)}

    def generator_of(self, row: Row) -> dict[str, Any]:
        """The fields of GeneratorConfig that a row sets."""
        return {**dict(self.generator), **row.generator}

    def windows(self, row: Row, place: Place) -> Windows:
        """The windows of a row."""
        geometry = self.stage1(row, place.width)
        return Windows(
            place.height, place.width, geometry["window"], geometry["stride"], geometry["wrap"]
        )


def _scaled(pixels: int, width: int) -> int:
    return max(1, round(pixels * width / PAPER_WIDTH))


@dataclass(frozen=True)
class Place:
    """Where a seed's panoramas are. key: what tells them from others."""

    images: Path
    test: Path
    height: int
    width: int
    key: str


def place_of(study: Study, seed: int) -> Place:
    """The panoramas of a seed; a street world is written first, or completed."""
    if study.images is not None and study.test is not None:
        size = image_size(find_panoramas(study.images)[0].image)
        return Place(study.images, study.test, *size, f"{study.images} {study.test}")
    what = f"{'tuning' if study.tuning else 'test'}-{seed}-gap-{study.gap:g}"
    world = study.out / "worlds" / what
    with progress_bar("street world") as update:
        write_world(
            world,
            source=0,
            unlabelled=study.unlabelled,
            test=study.labelled,
            seed=seed,
            gap=study.gap,
            labelled="tuning" if study.tuning else "test",
            truth=True,
            progress=update,
        )
    key = f"{what} {study.unlabelled} {study.labelled}"
    size = image_size(find_panoramas(world / "test")[0].image)
    return Place(world / "unlabelled", world / "test", *size, key)


def finished(study: Study, row: Row, place: Place, seed: int) -> dict[str, Any] | None:
    """What came of a row, if it is done."""
    path = _folder(study, row, place, seed) / "row.json"
    return json.loads(path.read_text()) if path.exists() else None


def run_row(study: Study, row: Row, place: Place, seed: int, say: Say) -> dict[str, Any]:
    """Do a row on a seed, or what is left of it; what came of it.

    scores: by column `miou`, `pixel_accuracy` and `per_class`, percent. masks: the `MaskQuality`
    of a street world's labelled panoramas, or None. seconds: by part.
    """
    done = finished(study, row, place, seed)
    if done is not None:
        return done
    folder, config = _folder(study, row, place, seed), study.config(row, seed)
    seconds: dict[str, float] = {}
    started = time.monotonic()
    caches = _make_caches(study, row, place)
    seconds["masks"] = time.monotonic() - started

    started, networks = time.monotonic(), (config.teacher_assistant, config.student)
    if row.trains:
        run = folder / "run"
        if row.true_labels:
            panoramas = open_run(place.images, caches["unlabelled"], run, config)
            labels = _true_labels(place, panoramas.names)
            with progress_bar("train") as update:
                train_on_truth(panoramas, labels, run, config, update)
        else:
            api.train(place.images, caches["unlabelled"], run, preset=config)
        networks = (str(run / "teacher_assistant"), str(run / "student"))
    seconds["training"] = time.monotonic() - started

    started = time.monotonic()
    samples = find_panoramas(place.test)
    cache = SamCache.open(caches["test"]) if "test" in caches else None
    scores = _scores(study, row, config, place, samples, networks, cache)
    seconds["scores"] = time.monotonic() - started
    record = {
        "row": row.name,
        "seed": seed,
        "trained": row.trains,
        "panoramas": {"unlabelled": len(find_panoramas(place.images)), "test": len(samples)},
        "scores": {
            column: {
                "miou": value.miou,
                "pixel_accuracy": value.pixel_accuracy,
                "per_class": value.per_class,
            }
            for column, value in scores.items()
        },
        "masks": None if cache is None else _quality(study, place, samples, cache),
        "seconds": seconds,
        "settings": asdict(config),
        "stage1": study.stage1(row, place.width),
        "generator": study.generator_of(row),
    }
    write_whole(folder / "row.json", json.dumps(record, indent=1))
    for name in ("checkpoints", "tensorboard"):  # the networks and metrics are kept
        shutil.rmtree(folder / "run" / name, ignore_errors=True)
    return record


def _key(*parts: Any) -> str:
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _folder(study: Study, row: Row, place: Place, seed: int) -> Path:
    settings = asdict(study.config(row, seed))
    decisive = {name: value for name, value in settings.items() if name not in FREE}
    weights = [_weights(settings[name]) for name in ("teacher_assistant", "student")]
    masks = (study.stage1(row, place.width), _sam_key(study, row))
    how = (row.trains, row.whole, row.square, row.true_labels, row.shows)
    return study.out / "rows" / _key(decisive, weights, masks, how, place.key)


def _weights(source: str) -> list[str]:
    """Hashes of a network's files; none for a name on the hub."""
    folder = SEGFORMERS.get(source, Path(source))
    return [file_hash(path) for path in sorted(folder.glob("*.safetensors"))]


def _sam_key(study: Study, row: Row) -> Any:
    masks = study.masks_of(row)
    if isinstance(masks, Degradation):
        return NAME, asdict(masks)
    if masks == "true":
        return NAME
    factory = sam_factory(study.sam, study.checkpoint, study.generator_of(row))
    return factory.sam, factory.settings


def needed_caches(study: Study, row: Row, place: Place) -> dict[Split, tuple[Path, Path]]:
    """Split -> images and cache, of what a row needs masks of."""
    needed: dict[Split, Path] = {"unlabelled": place.images} if row.trains else {}
    if "ensemble" in row.shows:
        needed["test"] = place.test
    key = _key(study.stage1(row, place.width), _sam_key(study, row), place.key)
    folder = study.out / "masks" / key
    return {split: (images, folder / f"{split}.zarr") for split, images in needed.items()}


def _make_caches(study: Study, row: Row, place: Place) -> dict[Split, Path]:
    """The caches that a row needs, made or completed."""
    needed = needed_caches(study, row, place)
    for split, (images, cache) in needed.items():
        masks = study.masks_of(row)
        if masks != "sam":
            found = {
                sample.name: (sample.image, _true_instances(images, split, sample.name))
                for sample in find_panoramas(images)
            }
            worse = None if masks == "true" else masks
            cache_truth(found, cache, study.windows(row, place), worse)
            continue
        failed = api.cache_sam(
            images,
            cache,
            sam=study.sam,
            checkpoint=study.checkpoint,
            **study.stage1(row, place.width),
            **study.generator_of(row),
        ).summary.failed
        if failed:
            raise RuntimeError(f"SAM failed on {', '.join(failed)}; replace them")
    return {split: cache for split, (_, cache) in needed.items()}


def _true_instances(images: Path, split: Split, name: str) -> Path:
    """Of a street world's panorama."""
    return truth_path(images.parent, "instances", split, name)


def _quality(
    study: Study, place: Place, samples: list[Sample], cache: SamCache
) -> dict[str, Any] | None:
    """How good the masks of a street world's labelled panoramas are; None without its truth."""
    if study.images is not None:
        return None

    def judged() -> Iterator[tuple[WindowMasks, np.ndarray]]:
        for sample in samples:
            with Image.open(_true_instances(place.test, "test", sample.name)) as file:
                instances = cache.identity.windows.cut(np.asarray(file))
            yield from zip(cache.read(sample.name).windows, instances, strict=True)

    return asdict(MaskQuality.of(judged()))


def _true_labels(place: Place, names: list[str]) -> dict[str, Path]:
    """Of unlabelled panoramas."""
    world = place.images.parent
    return {name: truth_path(world, "labels", "unlabelled", name) for name in names}


def _scores(
    study: Study,
    row: Row,
    config: AdaptConfig,
    place: Place,
    samples: list[Sample],
    networks: tuple[str, str],
    cache: SamCache | None,
) -> Mapping[Column, Scores]:
    teacher, student = networks
    windows = study.windows(row, place)
    found: dict[Column, Scores] = {}
    side = None if row.square is None else _scaled(row.square, place.width)
    if "student" in row.shows:
        student_sees = _squeezed(Segmenter.load(student, device=config.device), side)
        found["student"] = evaluate(student_sees, samples).scores
    if "ta" in row.shows:
        mode: Mode = "direct" if row.whole or side else "windows"
        loaded = Segmenter.load(teacher, mode=mode, windows=windows, device=config.device)
        teacher_sees = _squeezed(loaded, side)
        if side and not row.whole:
            teacher_sees = _by_windows(teacher_sees, windows)
        found["ta"] = evaluate(teacher_sees, samples).scores
    if cache is not None:
        loaded = Segmenter.load(teacher, device=config.device)
        found["ensemble"] = ensemble_scores(loaded, samples, cache, config.step.fusion)
    return found


Predict = Callable[[np.ndarray], np.ndarray]
"""uint8 (H, W, 3) to uint8 (H, W) ids."""


def _squeezed(predict: Predict, side: int | None) -> Predict:
    """The image resized to a square, labels resized back; None: neither."""
    if side is None:
        return predict

    def squeezed(image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        square = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
        labels = Image.fromarray(predict(np.array(square)))
        return np.array(labels.resize((width, height), Image.Resampling.NEAREST))

    return squeezed


def _by_windows(predict: Predict, windows: Windows) -> Predict:
    """Each window by itself; the labels of those that tile the panorama."""

    def joined(image: np.ndarray) -> np.ndarray:
        return windows.join(np.stack([predict(part) for part in windows.cut_images(image)]))

    return joined

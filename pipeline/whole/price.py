"""What is still to come on this machine: time and disk by stage, and memory.

Everything is measured on a panorama of the preview, and multiplied. TA: the teacher assistant.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from goodsam.data.cache import SamCache
from goodsam.data.errors import InputError
from goodsam.data.panoramas.fitted import pictures_folder
from goodsam.pipeline.studies.timing import SCORE
from goodsam.pipeline.tell import duration
from goodsam.pipeline.whole.machine import free_disk, peak_memory
from goodsam.stages.adapt.learner import AdaptConfig, Learner
from goodsam.stages.adapt.processes import processes
from goodsam.stages.adapt.reading import CachedPanoramas, read_in_order
from goodsam.stages.checkpoint import latest_checkpoint
from goodsam.stages.segformer.segment import parameter_count

PASSES = 4  # of the student over a panorama without labels: whole, by windows, turned, untouched
RESERVE = 2**28  # bytes to leave free
KEPT = 2  # checkpoints; a third is being written


@dataclass(frozen=True)
class Step:
    """One step of stage 2. seconds: of the second of two. memory: bytes of the process at its
    peak. student, teacher, all: parameters of the student, of the TA, of all networks of the run.
    doubts: what speaks against the two, or "".
    """

    seconds: float
    memory: int
    student: int
    teacher: int
    all: int
    doubts: str


def try_step(config: AdaptConfig, panoramas: CachedPanoramas) -> Step:
    """Two steps on the panoramas, thrown away. InputError for networks that do not go together."""
    with processes(config.device) as group:
        learner = Learner(config, group, panoramas.windows, panoramas.kept)
        keys = iter([(position, position % len(panoramas)) for position in range(2)])
        items = read_in_order(panoramas, keys, 0, group.device, config.view, config.seed)
        for item in items:
            started = time.perf_counter()
            learner.learn(item, 1.0, last=True)
            learner.measured()  # waits for the device
            learner.update()
            seconds = time.perf_counter() - started
        counts = {name: parameter_count(network) for name, network in learner.networks.items()}
        return Step(
            seconds * config.accumulate,
            peak_memory(),
            counts["student"],
            counts["teacher_assistant"],
            sum(counts.values()),
            learner.doubts(),
        )


@dataclass(frozen=True)
class Rates:
    """What the preview measured. Seconds of a panorama by SAM, by the TA and by the student, and of
    a step. disk: bytes of a panorama's masks. memory: bytes at the peak. weights: bytes of what a
    checkpoint holds, and of what is written at the end.
    """

    sam: float
    teacher: float
    student: float
    step: float
    disk: float
    memory: int
    checkpoint: int
    networks: int

    @classmethod
    def of(cls, seconds: dict[str, float], step: Step, cache: SamCache) -> Rates:
        """From the seconds of a `Preview`, a step and the cache of its panoramas."""
        done = len(cache.names) - len(cache.missing())
        folders = [Path(cache.path), pictures_folder(cache.path)]
        size = sum(
            file.stat().st_size
            for folder in folders
            if folder is not None
            for file in folder.rglob("*")
            if file.is_file()
        )
        learned = step.student + step.teacher
        return cls(
            seconds["sam"],
            seconds["teacher"],
            seconds["student"],
            step.seconds,
            size / max(1, done),
            step.memory,
            4 * (step.all + 2 * learned),  # Adam's two moments
            4 * (learned + step.student),  # both networks, and the export
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Stage:
    """What is left of a stage: `count` times `of`, at `each` seconds. disk: bytes in all."""

    name: str
    count: int
    of: str
    each: float
    disk: float = 0.0

    @property
    def seconds(self) -> float:
        return self.count * self.each


@dataclass(frozen=True)
class Price:
    """What is left to do. memory: bytes at the peak; free: bytes of the disk."""

    stages: tuple[Stage, ...]
    memory: int
    free: int

    @property
    def seconds(self) -> float:
        return sum(stage.seconds for stage in self.stages)

    @property
    def disk(self) -> float:
        return sum(stage.disk for stage in self.stages)

    def __str__(self) -> str:
        left = [stage for stage in self.stages if stage.seconds]
        if not left:
            return "nothing that takes time"
        parts = ", ".join(f"{stage.name} {duration(stage.seconds)}" for stage in left)
        return (
            f"{duration(self.seconds)} on this machine ({parts}), "
            f"{size_text(self.disk)} of the {size_text(self.free)} that are free, "
            f"{size_text(self.memory)} of memory"
        )

    def check_room(self, out: Path) -> None:
        """InputError where the disk cannot hold what is to come."""
        if self.disk + RESERVE > self.free:
            raise InputError(
                f"{out}: needs {size_text(self.disk + RESERVE)} and {size_text(self.free)} are "
                "free; choose an --out on a larger disk"
            )


def price(
    rates: Rates, config: AdaptConfig, cache: SamCache, out: Path, evaluated: bool = False
) -> Price:
    """Of what is left to do of a run in `out` on the panoramas of a cache.

    evaluated: the evaluation of a finished training is there.
    """
    panoramas, missing = len(cache.names), len(cache.missing())
    steps = max(0, config.length(panoramas) - steps_done(out))
    look = SCORE * (PASSES * rates.student + rates.teacher)
    room = (KEPT + 1) * rates.checkpoint + rates.networks if steps else 0
    return Price(
        (
            Stage("SAM's masks", missing, "panorama", rates.sam, missing * rates.disk),
            Stage("training", steps, "step", rates.step, float(room)),
            Stage("evaluation", 0 if evaluated and not steps else panoramas, "panorama", look),
        ),
        rates.memory,
        free_disk(out),
    )


def steps_done(out: Path) -> int:
    """Steps of the newest checkpoint of a run; 0 where there is none."""
    newest = latest_checkpoint(out / "checkpoints")
    return 0 if newest is None else int(newest.stem.rpartition("_")[2])


def size_text(size: float) -> str:
    """`3.1 GiB`, `12 MiB`."""
    return f"{size / 2**30:.1f} GiB" if size >= 2**29 else f"{size / 2**20:.0f} MiB"

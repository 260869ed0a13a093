"""What a reproduction costs on this machine: timed on one window and one panorama, first of all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from goodsam.data.errors import InputError
from goodsam.data.panoramas import read_panorama
from goodsam.pipeline.api import sam_factory
from goodsam.pipeline.studies.reproduce.plan import Plan, stage1_config
from goodsam.pipeline.studies.timing import SCORE, STEP, forward_seconds
from goodsam.pipeline.tell import duration
from goodsam.pipeline.whole.machine import free_disk
from goodsam.pipeline.whole.price import RESERVE, size_text
from goodsam.stages.sam.estimate import estimate_stage1


@dataclass(frozen=True)
class ReproductionEstimate:
    """What is still to be done costs about this much here. Seconds and bytes."""

    stage1: float
    training: float
    evaluation: float
    disk: int
    free: int

    def __str__(self) -> str:
        return (
            f"estimate for this machine, from single runs: SAM {duration(self.stage1)}, training "
            f"{duration(self.training)}, scores {duration(self.evaluation)}; disk "
            f"{self.disk / 2**30:.1f} GiB of {self.free / 2**30:.1f} GiB free"
        )


def estimate(plan: Plan) -> ReproductionEstimate:
    """Time a window through SAM and a panorama through both networks, and multiply."""
    request = plan.request
    with TemporaryDirectory() as folder:
        sam = estimate_stage1(
            plan.training_images(Path(folder)),
            request.cache,
            stage1_config(request, plan.training),
            sam_factory(request.sam, request.checkpoint, asdict(request.generator)),
        )
    image = read_panorama(plan.training[0].image, plan.windows)
    of_teacher, of_student = forward_seconds(plan.config, image, plan.windows)
    seeds = len(plan.seeds)
    training = seeds * STEP * (of_student + of_teacher) * plan.steps * plan.config.accumulate
    # before: the student once, the TA twice; after: both of them for each seed
    passes = (1 + seeds) * of_student + (2 + seeds) * of_teacher
    evaluation = SCORE * len(plan.test) * passes
    weights = 4 * sum(plan.parameters)
    # two checkpoints and one being written, each with Adam's two moments; the networks at the end
    disk = sam.size * sam.panoramas // len(plan.training) + seeds * (3 * 3 + 1) * weights
    return ReproductionEstimate(sam.seconds, training, evaluation, disk, free_disk(request.out))


def check_room(found: ReproductionEstimate, out: Path) -> None:
    """InputError where the disk cannot hold what is to come."""
    if found.disk + RESERVE > found.free:
        raise InputError(
            f"{out}: needs about {size_text(found.disk + RESERVE)} and {size_text(found.free)} are "
            "free; choose an --out on a larger disk"
        )

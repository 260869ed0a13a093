"""What is to be reproduced, from which pieces: all found and opened before work begins."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from goodsam.data.cache import BoundaryMode
from goodsam.data.check import EXPECTED
from goodsam.data.classes import CITYSCAPES, NINETEEN, WILDPASS, Protocol
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder
from goodsam.data.panoramas import Sample, find_panoramas, image_size, read_truth
from goodsam.data.windows import PAPER_HEIGHT, PAPER_WIDTH, Windows
from goodsam.pipeline.config import adapt_config
from goodsam.pipeline.rundir import FREE
from goodsam.pipeline.studies.reproduce import published
from goodsam.stages.adapt.learner import AdaptConfig
from goodsam.stages.adapt.pair import load_networks
from goodsam.stages.sam.cache_sam import Stage1Config, choose_windows
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import default_generator
from goodsam.stages.segformer.segment import class_names, parameter_count

PAPER_PARAMETERS = {  # millions, TA and student, as docs/method.md counts them
    "goodsam-m": (84.6, 3.7),
    "goodsam-t": (84.6, 13.7),
    "goodsam-s": (84.6, 27.4),
}


@dataclass(frozen=True)
class Benchmark:
    """A test set, what it is scored by, and the printed rows to stand beside."""

    name: str
    title: str
    protocol: Protocol
    rows: tuple[published.Published, ...]
    table: str


BENCHMARKS = {
    "densepass": Benchmark("densepass", "DensePASS", NINETEEN, published.DENSEPASS, "Table 1"),
    "wildpass": Benchmark("wildpass", "WildPASS", WILDPASS, published.WILDPASS, "Table 2"),
}


@dataclass(frozen=True)
class Request:
    """What to reproduce, from which pieces. points_per_side: None for the SAM's default."""

    benchmark: Literal["densepass", "wildpass"]
    preset: str
    training: Path
    test: Path
    out: Path
    sam: str = "vit_h"
    checkpoint: Path | None = None
    teacher_assistant: str | None = None
    student: str | None = None
    settings: tuple[str, ...] = ()
    boundaries: BoundaryMode = "overlap"
    points_per_side: int | None = None
    workers: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        if self.boundaries not in get_args(BoundaryMode):
            raise InputError(
                f"boundaries {self.boundaries!r}: use {' or '.join(get_args(BoundaryMode))}"
            )

    @property
    def generator(self) -> GeneratorConfig:
        default = default_generator(self.sam)
        if self.points_per_side is None:
            return default
        return replace(default, points_per_side=self.points_per_side)

    @property
    def cache(self) -> Path:
        return self.out / "cache.zarr"

    @property
    def run(self) -> Path:
        return self.out / "run"


@dataclass(frozen=True)
class Plan:
    """All pieces, found and looked at. parameters: of TA and student."""

    request: Request
    benchmark: Benchmark
    config: AdaptConfig
    training: list[Sample]
    test: list[Sample]
    windows: Windows
    parameters: tuple[int, int]

    @property
    def steps(self) -> int:
        return self.config.length(len(self.training))


def look(request: Request) -> Plan:
    """Find and open every piece. Raises one InputError that names all that is wrong."""
    check_folder(request.out)
    problems: list[str] = []
    benchmark = BENCHMARKS[request.benchmark]
    training: list[Sample] = []
    test: list[Sample] = []
    windows: Windows | None = None
    config: AdaptConfig | None = None
    parameters = (0, 0)
    try:
        training = find_panoramas(images_of(request.training))
        windows = choose_windows(training, Stage1Config(boundaries=request.boundaries))
    except InputError as error:
        problems.append(str(error))
    try:
        test = _labelled(request.test, benchmark)
    except InputError as error:
        problems.append(str(error))
    try:
        config = _config(request)
        # a student that would begin with a new head is no reproduction
        teacher, student = load_networks(config, torch.device("cpu"), problems.append)
        parameters = parameter_count(teacher), parameter_count(student)
        if class_names(teacher) != CITYSCAPES:
            problems.append(
                f"{config.teacher_assistant}: its classes are not the 19 of Cityscapes, which "
                f"{benchmark.title} is scored by; give a SegFormer fine-tuned on Cityscapes"
            )
    except InputError as error:
        problems.append(str(error))
    try:
        load_sam(request.sam, request.checkpoint)
    except InputError as error:
        problems.append(str(error))
    if problems or windows is None or config is None:
        raise InputError("not all pieces are there: " + "; ".join(problems))
    plan = Plan(request, benchmark, config, training, test, windows, parameters)
    _refuse_another(plan)
    return plan


def not_as_in_the_paper(plan: Plan) -> list[str]:
    """Where this is another setting than the paper's, as far as it can be seen."""
    notes, request = [], plan.request
    if (plan.windows.height, plan.windows.width) != (PAPER_HEIGHT, PAPER_WIDTH):
        notes.append(
            f"panoramas of {plan.windows.width} x {plan.windows.height}, the paper's are 2048 x 400"
        )
    for samples, title in ((plan.training, "WildPASS2K"), (plan.test, plan.benchmark.title)):
        if len(samples) != EXPECTED[title]:
            notes.append(
                f"{len(samples)} images of {title}, the published set has {EXPECTED[title]}"
            )
    if request.sam != "vit_h":
        notes.append(f"SAM {request.sam}, the paper's is ViT-H")
    if request.boundaries != "overlap":
        notes.append("SAM's boundaries from its masks of the windows, not from the overlaps")
    if request.points_per_side is not None:
        notes.append(f"{request.points_per_side} points a side for SAM")
    if request.preset in PAPER_PARAMETERS:
        for who, count, printed in zip(
            ("TA", "student"), plan.parameters, PAPER_PARAMETERS[request.preset], strict=True
        ):
            if abs(count / 1e6 / printed - 1) > 0.05:
                notes.append(f"a {who} of {count / 1e6:.1f} M parameters, the paper's: {printed} M")
    else:
        notes.append(f"preset {request.preset}, none of the paper's")
    notes += [f"set by hand: {s}" for s in request.settings if s.partition("=")[0] not in FREE]
    return notes


def summary_lines(plan: Plan) -> Sequence[str]:
    """What was found, for people."""
    teacher, student = (count / 1e6 for count in plan.parameters)
    return (
        f"training: {len(plan.training)} panoramas, {plan.windows.width} x {plan.windows.height}, "
        f"{len(plan.windows)} windows each; {plan.steps} steps",
        f"test: {len(plan.test)} labelled panoramas, {len(plan.benchmark.protocol.names)} classes",
        f"SAM {plan.request.sam}; TA {teacher:.1f} M parameters, student {student:.1f} M",
        *(f"not as in the paper: {note}" for note in not_as_in_the_paper(plan)),
    )


def _config(request: Request) -> AdaptConfig:
    return adapt_config(
        request.preset,
        request.settings,
        teacher_assistant=request.teacher_assistant,
        student=request.student,
        device=request.device,
    )


def origin_of(plan: Plan) -> dict[str, Any]:
    """What decides the result: OUT belongs to one such."""
    request, config = plan.request, plan.config
    origin = {
        "benchmark": request.benchmark,
        "training": request.training.resolve(),
        "sam": request.sam,
        "boundaries": request.boundaries,
        "generator": asdict(request.generator),
        "settings": {key: value for key, value in asdict(config).items() if key not in FREE},
    }
    return json.loads(json.dumps(origin, default=str))


def _refuse_another(plan: Plan) -> None:
    """InputError where OUT was started with another request."""
    path = plan.request.out / "request.json"
    if not path.is_file():
        return
    kept, wanted = json.loads(path.read_text()), origin_of(plan)
    differing = [key for key in wanted if kept.get(key) != wanted[key]]
    if differing:
        raise InputError(
            f"{plan.request.out}: was started with another {', '.join(differing)}; choose another "
            "--out, or delete it"
        )


def images_of(root: Path) -> Path:
    """The images alone of a data set that may have labels too: training sees none."""
    return root / "leftImg8bit" if (root / "leftImg8bit").is_dir() else root


def _labelled(root: Path, benchmark: Benchmark) -> list[Sample]:
    """The test set, every label map read. InputError for one that is missing or does not fit."""
    samples = find_panoramas(root)
    for sample in samples:
        if sample.labels is None:
            raise InputError(
                f"{root}: no labels; {benchmark.title} has leftImg8bit/ and gtFine/ in it"
            )
        truth = read_truth(sample.labels, benchmark.protocol, sample.label_ids)
        if truth.shape != image_size(sample.image):
            raise InputError(f"{sample.labels}: not of the size of its image")
    return samples

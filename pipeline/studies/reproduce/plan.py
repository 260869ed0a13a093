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
from goodsam.data.classes import Protocol, protocol_for, protocol_of_maps
from goodsam.data.errors import InputError
from goodsam.data.files import check_folder, write_whole
from goodsam.data.panoramas import Sample, find_panoramas, image_size, read_truth
from goodsam.data.panoramas.indoor import fold
from goodsam.data.windows import PAPER_HEIGHT, PAPER_WIDTH, Windows, is_sphere
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


Name = Literal["densepass", "densepass13", "wildpass", "stanford2d3d", "stanford2d3d-13"]


@dataclass(frozen=True)
class Benchmark:
    """A test set, what it is scored by, and the printed rows to stand beside.

    protocol: its key. training: the set that is adapted to. in_paper: the paper has this table.
    """

    name: Name
    title: str
    protocol: str
    rows: tuple[published.Published, ...]
    training: str = "WildPASS2K"
    in_paper: bool = False

    @property
    def per_class(self) -> bool:
        """Whether its rows are printed class by class."""
        return any(row.iou for row in self.rows)


BENCHMARKS = {
    benchmark.name: benchmark
    for benchmark in (
        Benchmark("densepass", "DensePASS", "19", published.DENSEPASS, in_paper=True),
        Benchmark("densepass13", "DensePASS", "13", published.DENSEPASS_13),
        Benchmark("wildpass", "WildPASS", "wildpass", published.WILDPASS, in_paper=True),
        Benchmark(
            "stanford2d3d", "Stanford2D3D", "stanford8", published.STANFORD_8, "Stanford2D3D"
        ),
        Benchmark(
            "stanford2d3d-13", "Stanford2D3D", "stanford13", published.STANFORD_13, "Stanford2D3D"
        ),
    )
}


@dataclass(frozen=True)
class Request:
    """What to reproduce, from which pieces.

    points_per_side: None for the SAM's default. seeds: how many, from the settings' own upwards.
    fold: of Stanford2D3D, whose areas are then divided into training and test.
    """

    benchmark: Name
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
    seeds: int = 1
    fold: int | None = None

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


@dataclass(frozen=True)
class Plan:
    """All pieces, found and looked at. protocol: in the ids of the networks' classes.

    parameters: of TA and student.
    """

    request: Request
    benchmark: Benchmark
    protocol: Protocol
    config: AdaptConfig
    training: list[Sample]
    test: list[Sample]
    windows: Windows
    parameters: tuple[int, int]

    @property
    def steps(self) -> int:
        return self.config.length(len(self.training))

    @property
    def seeds(self) -> range:
        return range(self.config.seed, self.config.seed + self.request.seeds)

    def run(self, seed: int) -> Path:
        """Where a seed is trained: further seeds join those that are there."""
        return self.request.out / f"run{self._of(seed)}"

    def report(self, seed: int) -> Path:
        """Where the student of a seed is reported on."""
        return self.request.out / f"eval{self._of(seed)}"

    def _of(self, seed: int) -> str:
        return "" if seed == self.config.seed else f"-seed{seed}"

    def training_images(self, folder: Path) -> Path:
        """What stage 1 and training are given; of a fold a list, written into `folder`."""
        if self.request.fold is None:
            return images_of(self.request.training)
        return _write_list(folder / "training.txt", self.training)

    def test_images(self, folder: Path) -> Path:
        """What is scored; of a fold a list, written into `folder`."""
        if self.request.fold is None:
            return self.request.test
        return _write_list(folder / "test.txt", self.test)


def look(request: Request) -> Plan:
    """Find and open every piece. Raises one InputError that names all that is wrong."""
    check_folder(request.out)
    problems: list[str] = []
    benchmark = BENCHMARKS[request.benchmark]
    training: list[Sample] = []
    test: list[Sample] = []
    windows: Windows | None = None
    config: AdaptConfig | None = None
    protocol: Protocol | None = None
    parameters = (0, 0)
    try:
        training, test = _samples(request, benchmark, problems)
        windows = choose_windows(training, stage1_config(request, training)) if training else None
    except InputError as error:
        problems.append(str(error))
    try:
        config = _config(request)
        # a student that would begin with a new head is no reproduction
        teacher, student = load_networks(config, torch.device("cpu"), problems.append)
        parameters = parameter_count(teacher), parameter_count(student)
        try:
            protocol = protocol_for(benchmark.protocol, class_names(teacher))
        except InputError as error:
            problems.append(
                f"{config.teacher_assistant}: {benchmark.title} cannot be scored by its classes "
                f"({error}); give another --teacher-assistant"
            )
    except InputError as error:
        problems.append(str(error))
    try:
        load_sam(request.sam, request.checkpoint)
    except InputError as error:
        problems.append(str(error))
    if problems or windows is None or config is None or protocol is None:
        raise InputError("not all pieces are there: " + "; ".join(problems))
    plan = Plan(request, benchmark, protocol, config, training, test, windows, parameters)
    _refuse_another(plan)
    return plan


def not_as_in_the_paper(plan: Plan) -> list[str]:
    """Where this is another setting than the paper's, as far as it can be seen."""
    request, benchmark = plan.request, plan.benchmark
    notes = [] if benchmark.in_paper else [f"the paper has no table of {benchmark.title}"]
    if benchmark.name == "densepass13":
        notes = ["the paper scores DensePASS by 19 classes"]
    sizes = [(plan.training, benchmark.training), (plan.test, benchmark.title)]
    if request.fold is not None:
        sizes = [(plan.training + plan.test, benchmark.title)]
        notes.append(f"windows of {plan.windows.window} px over the whole sphere")
    elif (plan.windows.height, plan.windows.width) != (PAPER_HEIGHT, PAPER_WIDTH):
        notes.append(
            f"panoramas of {plan.windows.width} x {plan.windows.height}, the paper's are 2048 x 400"
        )
    for samples, title in sizes:
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
        f"{len(plan.windows)} windows each; {plan.steps} steps"
        + (f", seeds {plan.seeds[0]} to {plan.seeds[-1]}" if len(plan.seeds) > 1 else ""),
        f"test: {len(plan.test)} labelled panoramas, {len(plan.protocol.names)} classes",
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
    origin: dict[str, Any] = {
        "benchmark": request.benchmark,
        "training": request.training.resolve(),
        "sam": request.sam,
        "boundaries": request.boundaries,
        "generator": asdict(request.generator),
        "settings": {key: value for key, value in asdict(config).items() if key not in FREE},
    }
    if request.fold is not None:
        origin["fold"] = request.fold
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


def stage1_config(request: Request, training: Sequence[Sample]) -> Stage1Config:
    """How stage 1 cuts the panoramas: those of a whole sphere into windows of its full height."""
    height, width = image_size(training[0].image)
    window = width // 4 if is_sphere(height, width) else None
    return Stage1Config(boundaries=request.boundaries, window=window)


def _samples(
    request: Request, benchmark: Benchmark, problems: list[str]
) -> tuple[list[Sample], list[Sample]]:
    """What is trained on and what is tested on; what is wrong with either goes to `problems`."""
    if request.fold is not None:
        parts = fold(find_panoramas(request.training), request.fold)
        return parts[0], _labelled(parts[1], request.test, benchmark)
    training: list[Sample] = []
    test: list[Sample] = []
    try:
        training = find_panoramas(images_of(request.training))
    except InputError as error:
        problems.append(str(error))
    try:
        test = _labelled(find_panoramas(request.test), request.test, benchmark)
    except InputError as error:
        problems.append(str(error))
    return training, test


def _write_list(path: Path, samples: Sequence[Sample]) -> Path:
    write_whole(path, "".join(f"{sample.image.absolute()}\n" for sample in samples))
    return path


def _labelled(samples: list[Sample], root: Path, benchmark: Benchmark) -> list[Sample]:
    """The test set, every label map read. InputError for one that is missing or does not fit."""
    protocol = protocol_of_maps(benchmark.protocol)
    folders = "leftImg8bit/ and gtFine/" if protocol.rooms is None else "rgb/ and semantic/"
    for sample in samples:
        if sample.labels is None:
            raise InputError(f"{root}: no labels; {benchmark.title} has {folders} in it")
        truth = read_truth(sample.labels, protocol, sample.label_ids)
        if truth.shape != image_size(sample.image):
            raise InputError(f"{sample.labels}: not of the size of its image")
    return samples

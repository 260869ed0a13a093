"""What is compared: the paper's ablations, and those of our own. Only lists; nothing runs here.

Widths, strides and squares are px of a panorama 2048 wide and scale with it. The paper's values are
those of its Tables 3 to 5 (CVPR 2024; SegFormers B0 to B5 on DensePASS); where our copy of it lacks
one, there is none here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from goodsam.stages.truth.degrade import Degradation

Column = Literal["ensemble", "ta", "student"]
COLUMNS: dict[Column, str] = {"ensemble": "ensemble", "ta": "TA", "student": "student"}
TRAINED: tuple[Column, ...] = ("ta", "student")  # without masks of the test panoramas

Masks = Literal["sam", "true"] | Degradation
"""Where masks come from: a SAM, the true instances of a street world, or these made worse."""


@dataclass(frozen=True)
class Row:
    """One setting.

    settings: of stage 2, as for `--set`. preset: that they change; None: the table's. stage1,
    generator: fields of Stage1Config and of GeneratorConfig. masks: where its masks come from;
    None: as the study says. true_labels: both networks learn the truth of the unlabelled panoramas,
    nothing else. trains: False for untouched networks. whole: the TA sees the panorama whole,
    not by windows. square: what a network sees is first resized to a square of this side; None: it
    is not. shows: the columns that it has. printed: the paper's values.
    """

    name: str
    settings: tuple[str, ...] = ()
    stage1: Mapping[str, Any] = field(default_factory=dict)
    generator: Mapping[str, Any] = field(default_factory=dict)
    masks: Masks | None = None
    true_labels: bool = False
    trains: bool = True
    whole: bool = False
    square: int | None = None
    shows: tuple[Column, ...] = ("ensemble", "ta", "student")
    printed: Mapping[Column, float] = field(default_factory=dict)
    preset: str | None = None


@dataclass(frozen=True)
class Table:
    """title: one line. reference: the row that the others are held against, on the same seed.

    curve: names of rows that a line joins in a plot of mIoU against the quality of their masks;
    without any there is no such plot.
    """

    title: str
    rows: tuple[Row, ...]
    reference: str
    note: str = ""
    curve: tuple[str, ...] = ()


LOSSES = (
    "whole_image",
    "teacher_windows",
    "consistency",
    "teacher_boundary",
    "student_windows",
    "student_boundary",
)


def losses(*names: str) -> tuple[str, ...]:
    """Settings that leave only these losses on."""
    return tuple(f"step.weights.{name}=0" for name in LOSSES if name not in names)


UNTOUCHED = "untouched"
METHOD = "GoodSAM"
PERFECT_SAM = "a perfect SAM"
SELF_TRAINING = Row(
    "self-training: the TA's own labels",
    (*losses("teacher_windows", "student_windows"), "step.fusion.rule=none"),
)

EFFECT = Table(
    "What the method is worth: the student before and after, and after simpler trainings",
    (
        Row(UNTOUCHED, trains=False),
        Row(METHOD),
        SELF_TRAINING,
        Row("distillation of the whole image (Eq. 4)", losses("whole_image")),
        Row(f"{UNTOUCHED}, {PERFECT_SAM}", masks="true", trains=False, shows=("ensemble",)),
        Row(f"{METHOD}, {PERFECT_SAM}", masks="true"),
        Row("the truth as labels", true_labels=True),
    ),
    UNTOUCHED,
    "Equal steps, equal learning rates, equal panoramas. A perfect SAM: the true instances as "
    "masks, in training too. The truth as labels: cross entropy to the true labels of the same "
    "panoramas, the TA on windows and the student on the whole: the most that any labels can give.",
)

TOUCHING = {"stride": 512}  # rows 2 to 4 of Table 3: windows that touch
_LADDER = ("whole_image", "teacher_windows", "consistency", "teacher_boundary", "student_windows")

TABLE3 = Table(
    "Table 3: the losses, one after the other",
    (
        Row(
            "whole image, untouched",
            trains=False,
            whole=True,
            shows=TRAINED,
            printed={"ta": 27.62, "student": 15.88},
        ),
        Row(
            "+ windows",
            stage1=TOUCHING,
            trains=False,
            shows=TRAINED,
            printed={"ta": 53.86, "student": 15.88},
        ),
        Row(
            "+ CTCF",
            stage1=TOUCHING,
            trains=False,
            printed={"ensemble": 55.88, "ta": 53.86, "student": 15.88},
        ),
        Row(
            "+ Eq. 6 and 4",
            losses(*_LADDER[:2]),
            stage1=TOUCHING,
            printed={"ensemble": 60.68, "ta": 58.89, "student": 49.88},
        ),
        Row("+ Eq. 1 (overlaps)", losses(*_LADDER[:3]), printed={"ta": 60.07, "student": 50.07}),
        Row("+ Eq. 2", losses(*_LADDER[:4]), printed={"ta": 62.49, "student": 50.90}),
        Row("+ Eq. 5", losses(*_LADDER), printed={"ta": 62.49, "student": 54.12}),
        Row("+ Eq. 7: all", printed={"ta": 62.49, "student": 55.93}),
    ),
    "whole image, untouched",
    "Rows 2 to 4 have windows that touch, as in the paper; the rest overlap by half.",
)

TABLE4 = Table(
    "Table 4: windows and strides",
    (
        *(
            Row(
                f"window 400 x {width}, untouched",
                stage1={"window": width, "stride": width},
                trains=False,
                shows=("ta",),
                printed={"ta": printed},
            )
            for width, printed in ((1024, 52.45), (512, 53.86), (256, 53.29), (128, 52.79))
        ),
        # at these strides no windows tile the panorama: how it is put together differs, untrained
        *(
            Row(
                f"stride {stride}, untouched",
                stage1={"stride": stride},
                trains=False,
                shows=("ta",),
            )
            for stride in (400, 320)
        ),
        Row(  # no overlaps, so no Eq. 1: a row of Table 3
            "stride 512, trained (Eq. 4, 6)",
            losses(*_LADDER[:2]),
            stage1=TOUCHING,
            printed={"ta": 58.89},
        ),
        *(
            Row(
                f"stride {stride}, trained (Eq. 4, 6, 1)",
                losses(*_LADDER[:3]),
                stage1={"stride": stride},
                shows=TRAINED,
                printed={"ta": printed},
            )
            for stride, printed in ((400, 59.68), (320, 59.73))
        ),
        Row("stride 256, trained (Eq. 4, 6, 1)", losses(*_LADDER[:3]), printed={"ta": 60.07}),
    ),
    "window 400 x 512, untouched",
    "The untouched rows at strides of 400 and 320 are ours: they tell what overlaps give in "
    "training from what it gives to take each column from the window whose centre is nearest.",
)

LAMBDAS = (0.0, 0.1, 0.2, 0.5, 1.0, 2.0)

FIGURE7 = Table(
    "Figure 7: the weight of trusted masks",
    tuple(Row(f"lambda {value:g}", (f"step.lambda_={value}",)) for value in LAMBDAS),
    "lambda 0",
    "The figure's values are not in our copy of the paper.",
)

CHOICES = Table(
    "What the paper leaves open in stage 2, one factor at a time",
    (
        Row(METHOD),
        Row("Eq. 1 on logits", ("step.consistency_space=logits",)),
        Row("entropy of the mean softmax", ("step.fusion.entropy=of_mean",)),
        Row("hard labels in Eq. 4", ("step.whole_image_targets=hard",)),
        Row("Eq. 2 and 7 balanced", ("step.boundary_reduction=balanced",)),
        Row("Eq. 2 and 7 as printed", ("step.boundary_reduction=printed",)),
        Row("pixels in no mask left out", ("step.fusion.uncovered=ignore",)),
        Row("labels of an EMA of the TA", ("labels=ema", "ema_decay=0.99")),
        Row("labels of the frozen TA", ("labels=frozen",)),
        Row("half of each class's pixels, the surest", ("step.confident=0.5",)),
        Row("majority rule (SSA)", ("step.fusion.rule=ssa",)),
        Row("SEPL", ("step.fusion.rule=sepl",)),
    ),
    METHOD,
    "A row that is the preset's own setting repeats the first.",
)

MASKS = Table(
    "What stage 1 leaves open, one factor at a time",
    (
        Row(METHOD),
        Row("boundaries by SAM on the overlaps", stage1={"boundaries": "overlap"}, shows=TRAINED),
        Row("seam open", stage1={"wrap": False}, shows=TRAINED),
        Row("exact masks", generator={"mode": "exact"}, shows=TRAINED),
        Row("adaptive prompts", generator={"points": "adaptive"}, shows=TRAINED),
        Row(PERFECT_SAM, masks="true"),
    ),
    METHOD,
)

RATES = Table(
    "Learning rates and length",
    (
        Row(UNTOUCHED, trains=False),
        Row(METHOD),
        *(Row(f"TA at {rate}", (f"teacher_lr={rate}",)) for rate in ("4.0e-6", "1.0e-5", "3.0e-5")),
        *(Row(f"student at {rate}", (f"student_lr={rate}",)) for rate in ("1.0e-3", "6.0e-3")),
        Row(
            "labels of an EMA, TA at 1.0e-5", ("labels=ema", "ema_decay=0.998", "teacher_lr=1.0e-5")
        ),
        Row("labels of the frozen TA, TA at 1.0e-5", ("labels=frozen", "teacher_lr=1.0e-5")),
        Row("5,000 steps", ("steps=5000",)),
    ),
    UNTOUCHED,
)

SIZES = Table(
    "Whole or by windows, at their own aspect or squeezed to a square: untouched networks",
    (
        Row("whole, at its own aspect", trains=False, whole=True, shows=TRAINED),
        *(
            Row(
                f"whole, as a square of {side}",
                trains=False,
                whole=True,
                square=side,
                shows=TRAINED,
            )
            for side in (400, 512, 1024)
        ),
        Row("windows, at their own aspect", stage1=TOUCHING, trains=False, shows=("ta",)),
        *(
            Row(
                f"windows, as squares of {side}",
                stage1=TOUCHING,
                trains=False,
                square=side,
                shows=("ta",),
            )
            for side in (400, 512, 1024)
        ),
    ),
    "whole, at its own aspect",
    "How much of the paper's 27.62 and 15.88 for whole panoramas could be a resize? Stock image "
    "processors make squares of 512 or 1024. A rendered world can only make it plausible.",
)

FUSIONS = (("SSA", "ssa"), ("SEPL", "sepl"), ("CTCF", "ctcf"))
_PRINTED = {
    "ssa": dict(zip("012345", (39.28, 40.28, 47.93, 49.13, 52.19, 54.32), strict=True)),
    "ctcf": dict(zip("012345", (40.68, 41.75, 49.70, 52.89, 54.13, 55.88), strict=True)),
}
_STUDENTS = {"3": 57.16, "4": 59.02, "5": 60.56}  # B2 under each TA


def table5(teachers: Mapping[str, str]) -> Table:
    """Table 5: fusion rules over TAs, and the student under each. teachers: name -> SegFormer.

    The paper's values stand beside a TA that is named B0 to B5.
    """
    rows = []
    for name, source in teachers.items():
        size = name[1:] if name.startswith("B") else ""
        teacher = f"teacher_assistant={source}"
        for title, rule in FUSIONS:
            printed = _PRINTED.get(rule, {}).get(size)
            rows.append(
                Row(
                    f"{name}, {title}",
                    (teacher, f"step.fusion.rule={rule}"),
                    trains=False,
                    shows=("ensemble", "ta"),
                    printed={} if printed is None else {"ensemble": printed},
                )
            )
        known = _STUDENTS.get(size)
        rows.append(
            Row(
                f"{name}, trained (CTCF)",
                (teacher,),
                printed={} if known is None else {"student": known},
            )
        )
    return Table("Table 5: fusion rules and TAs", tuple(rows), rows[0].name)


TABLES = {
    "effect": EFFECT,
    "table3": TABLE3,
    "table4": TABLE4,
    "figure7": FIGURE7,
    "choices": CHOICES,
    "masks": MASKS,
    "rates": RATES,
    "sizes": SIZES,
}

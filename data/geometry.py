"""How photographs were seen: fitted or not, by which windows, without which pixels.

A cache has one geometry, which is part of its identity, and so has a run. It travels with every
network that the run writes, so that whoever uses one later need not type it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.plans import PlanName, check_plan, plan_json, plan_name, read_plan
from goodsam.data.sphere import TangentWindows, VerticalWindows, WindowPlan
from goodsam.data.strangers import check_types
from goodsam.data.windows import Windows, is_sphere


@dataclass(frozen=True)
class Pose:
    """How a camera was tilted, which is undone before a photograph is seen.

    level: undo the pitch and roll that a photograph says of itself. pitch, roll: degrees, of those
    that say none, or of all if not `level`: ahead is `pitch` above the horizon, and the horizon is
    turned counterclockwise by `roll`. Raises InputError for angles that no camera has.
    """

    level: bool = True
    pitch: float = 0.0
    roll: float = 0.0

    def __post_init__(self) -> None:
        for name, angle, most in (("pitch", self.pitch, 90), ("roll", self.roll, 180)):
            if not abs(angle) <= most:
                raise InputError(f"--{name} {angle:g}: use degrees from {-most} to {most}")
        object.__setattr__(self, "pitch", float(self.pitch))
        object.__setattr__(self, "roll", float(self.roll))

    def __str__(self) -> str:
        """The options that make it, empty for the default."""
        words = [] if self.level else ["--no-level"]
        words += [f"--{n} {a:g}" for n, a in (("pitch", self.pitch), ("roll", self.roll)) if a]
        return " ".join(words)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Pose:
        """The reverse. Raises TypeError, KeyError, ValueError or InputError for anything else."""
        check_types(values, {"level": bool, "pitch": float, "roll": float})
        return cls(**values)


LEVELLED = Pose()  # as every photograph says of itself


@dataclass(frozen=True)
class Geometry:
    """Of a cache, of a run, or of a network that the run wrote.

    windows: over the panorama that the networks see, by any plan. fit: photographs of another size
    are cut to the band of such a panorama and resized; spheres are resized as a whole. ignored: the
    pixels of every panorama that are left out, as lengths of runs (`ignored_runs`); empty: none.
    pose: of the cameras, undone where photographs are fitted.

    Raises InputError for values that no cache may have.
    """

    windows: WindowPlan
    fit: bool = False
    ignored: tuple[int, ...] = ()
    pose: Pose = LEVELLED

    def __post_init__(self) -> None:
        check_plan(self.windows)
        size = self.windows
        if self.pose != LEVELLED and not self.fit:
            raise InputError(f"{self.pose}: is undone where panoramas are fitted; give --fit too")
        if self.ignored and sum(self.ignored) != size.height * size.width:
            raise InputError(
                f"the ignored pixels are of a picture of {sum(self.ignored)} pixels, "
                f"a panorama has {size.height} x {size.width}"
            )

    @property
    def plan(self) -> PlanName:
        """The plan of its windows: the paper's `band`, or one of a whole sphere."""
        return plan_name(self.windows)

    @cached_property
    def ignored_mask(self) -> np.ndarray | None:
        """bool (H, W) of the panorama, true where pixels are left out; None where none are."""
        if not self.ignored:
            return None
        values = np.arange(len(self.ignored)) % 2 == 1
        flat = np.repeat(values, self.ignored)
        return flat.reshape(self.windows.height, self.windows.width)

    def over_sphere(self) -> Geometry:
        """The same of the whole sphere, as fine around the horizon; itself if it is no band of one.

        Windows are the default ones. Pixels of the band that are left out stay so.
        """
        windows, mask = self.windows, self.ignored_mask
        height = windows.width // 2
        if windows.height >= height or is_sphere(windows.height, windows.width):
            return self
        runs = self.ignored
        if mask is not None:
            whole = np.zeros((height, windows.width), bool)
            top = (height - windows.height) // 2
            whole[top : top + windows.height] = mask
            runs = ignored_runs(whole)
        return Geometry(Windows.of(height, windows.width), self.fit, runs, self.pose)

    @property
    def ignored_share(self) -> str:
        """`3.2 % of the pixels`, for people."""
        share = 100 * sum(self.ignored[1::2]) / (self.windows.height * self.windows.width)
        return f"{share:.1f} % of the pixels"

    def to_json(self) -> dict[str, Any]:
        """As it stands in a network's config.json, and among the identity of a cache."""
        values = {
            "windows": plan_json(self.windows),
            "fit": self.fit,
            "ignored": list(self.ignored),
        }
        return values if self.pose == LEVELLED else {**values, "pose": self.pose.to_json()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Geometry:
        """The reverse of `to_json`, other entries aside. InputError for anything else."""
        try:
            windows = read_plan(values["windows"])
            check_types(values, {"fit": bool, "ignored": list})
            if not all(type(run) is int and run >= 0 for run in values["ignored"]):
                raise TypeError("ignored holds other than lengths")
            pose = Pose.from_json(values["pose"]) if "pose" in values else LEVELLED
            return cls(windows, values["fit"], tuple(values["ignored"]), pose)
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"the geometry cannot be read ({error})") from error

    def __str__(self) -> str:
        """For people: the options of `cache-sam` that make it."""
        words = _of_band(self.windows, self.fit) if self.plan == "band" else self._of_sphere()
        if str(self.pose):
            words.append(str(self.pose))
        if self.ignored:
            words.append(f"--ignore-mask ({self.ignored_share})")
        return ", ".join(words)

    def _of_sphere(self) -> list[str]:
        plan = self.windows
        words = [
            f"spheres of {plan.width} x {plan.height}",
            f"--plan {self.plan} --height {plan.height}",
            windows_text(plan),
        ]
        return words if self.fit else [*words, "all of that size"]


def _of_band(plan: WindowPlan, fit: bool) -> list[str]:
    assert isinstance(plan, Windows)
    words = [f"panoramas of {plan.width} x {plan.height}"]
    words += [f"--fit --height {plan.height}"] if fit else []
    words.append(f"--window {plan.window} --stride {plan.stride}")
    return words if plan.wrap else [*words, "--no-wrap"]


def windows_text(plan: WindowPlan) -> str:
    """`22 windows of 90° every 45°`, for people."""
    if isinstance(plan, TangentWindows):
        return f"{len(plan)} windows of {plan.fov:g}° every {plan.stride:g}°"
    h, w = plan.window_shape
    every = ""
    if isinstance(plan, VerticalWindows):
        every = f"{plan.stride[1]} x {plan.stride[0]}"
    elif isinstance(plan, Windows):
        every = f"{plan.stride}"
    return f"{len(plan)} windows of {w} x {h} every {every} px"


def ignored_runs(ignored: np.ndarray) -> tuple[int, ...]:
    """bool (H, W) -> lengths of its runs, row by row; the first is of pixels that are kept.

    Empty where nothing is ignored, so that no mask and an empty one are the same.
    """
    flat = ignored.ravel()
    if not flat.any():
        return ()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return tuple(np.diff(changes, prepend=0, append=len(flat)).tolist())

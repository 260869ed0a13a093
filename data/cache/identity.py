"""What decides a cache's content, and in what two caches differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Geometry, Pose
from goodsam.data.plans import PlanName, plan_name
from goodsam.data.sphere import WindowPlan
from goodsam.data.strangers import check_types

FORMAT_VERSIONS: dict[PlanName, int] = {"band": 1, "vertical": 2, "tangent": 2}
BoundaryMode = Literal["overlap", "windows"]


@dataclass(frozen=True)
class Identity:
    """What decides a cache's content: caches of equal identity hold equal records.

    sam: SHA-256 of the SAM's weights. settings: of the mask generator, as JSON has them.
    boundaries: B_SAM from SAM on the `overlap` crops, or from the masks of the two `windows`, which
    is all that tangent windows know: what two of them share is no picture of its own. windows: the
    plan. fit: panoramas of other sizes were fitted to it. ignored: the pixels that are left out of
    all panoramas, as lengths of runs (`ignored_runs`); empty: none. pose: of the cameras, undone
    where panoramas were fitted. format_version: of the cache, which follows from the plan.

    Raises InputError for values that no cache may have.
    """

    sam: str
    settings: dict[str, Any]
    boundaries: BoundaryMode
    windows: WindowPlan
    fit: bool
    ignored: tuple[int, ...] = ()
    pose: Pose = LEVELLED
    format_version: int = field(init=False)

    def __post_init__(self) -> None:
        if self.boundaries not in get_args(BoundaryMode):
            raise InputError(f"boundaries {self.boundaries!r}: use overlap or windows")
        plan = plan_name(self.windows)
        if plan == "tangent" and self.boundaries == "overlap":
            raise InputError(
                "--boundaries overlap: what tangent windows share is no picture for SAM; take "
                "--boundaries windows, or another --plan"
            )
        object.__setattr__(self, "format_version", FORMAT_VERSIONS[plan])
        self.geometry  # noqa: B018  (made now, so that what no cache may have fails here)
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings)))

    @cached_property
    def geometry(self) -> Geometry:
        """windows, fit, ignored and pose, as one."""
        return Geometry(self.windows, self.fit, self.ignored, self.pose)

    @property
    def ignored_mask(self) -> np.ndarray | None:
        """bool (H, W), true where pixels are left out; None where none are."""
        return self.geometry.ignored_mask

    def to_json(self) -> dict[str, Any]:
        """As it stands in the cache's attributes."""
        return {
            "sam": self.sam,
            "settings": self.settings,
            "boundaries": self.boundaries,
            **self.geometry.to_json(),
            "format_version": self.format_version,
        }

    def described(self) -> dict[str, Any]:
        """For people: as `to_json`, with the share of ignored pixels in the place of their runs."""
        return {**self.to_json(), "ignored": self.geometry.ignored_share}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        """The reverse of `to_json`. Raises TypeError, KeyError or InputError for anything else."""
        check_types(values, {"sam": str, "settings": dict, "boundaries": str})
        check_types(values, {"format_version": int})
        geometry = Geometry.from_json(values)
        own = {f.name: getattr(geometry, f.name) for f in fields(Geometry)}
        others = {name: value for name, value in values.items() if name != "format_version"}
        identity = cls(**{**others, **own})
        if values["format_version"] != identity.format_version:
            raise InputError(
                f"format_version {values['format_version']} is not that of {geometry.plan} windows"
            )
        return identity

    def differences(self, other: Identity) -> list[str]:
        """What another identity has otherwise, each as `field is MINE, not OTHER`."""
        mine, theirs = self.to_json(), other.to_json()
        if self.geometry.plan != other.geometry.plan:  # numbers of two plans say nothing
            for values, one in ((mine, self), (theirs, other)):
                del values["format_version"]
                values["windows"] = f"those of the plan {one.geometry.plan}"
        mine, theirs = dict(_flat(mine)), dict(_flat(theirs))
        return [
            f"{name} is {_short(mine.get(name))}, not {_short(theirs.get(name))}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def _short(value: Any, most: int = 80) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

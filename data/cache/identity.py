"""What decides a cache's content, and in what two caches differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from goodsam.data.errors import InputError
from goodsam.data.geometry import LEVELLED, Geometry, Pose, check_types
from goodsam.data.windows import Windows

FORMAT_VERSION = 1
BoundaryMode = Literal["overlap", "windows"]


@dataclass(frozen=True)
class Identity:
    """What decides a cache's content: caches of equal identity hold equal records.

    sam: SHA-256 of the SAM's weights. settings: of the mask generator, as JSON has them.
    boundaries: B_SAM from SAM on the `overlap` crops, or from the masks of the two `windows`.
    windows: the geometry. fit: panoramas of other sizes were fitted to it. ignored: the pixels that
    are left out of all panoramas, as lengths of runs (`ignored_runs`); empty: none. pose: of the
    cameras, undone where panoramas were fitted.

    Raises InputError for values that no cache may have.
    """

    sam: str
    settings: dict[str, Any]
    boundaries: BoundaryMode
    windows: Windows
    fit: bool
    ignored: tuple[int, ...] = ()
    pose: Pose = LEVELLED
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.boundaries not in get_args(BoundaryMode):
            raise InputError(f"boundaries {self.boundaries!r}: use overlap or windows")
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
        values = {**asdict(self), "ignored": list(self.ignored)}
        if self.pose == LEVELLED:
            del values["pose"]  # as in caches that were made before there was one
        return values

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
        return cls(**{**values, **own})

    def differences(self, other: Identity) -> list[str]:
        """What another identity has otherwise, each as `field is MINE, not OTHER`."""
        mine, theirs = dict(_flat(self.to_json())), dict(_flat(other.to_json()))
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

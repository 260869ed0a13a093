"""What decides a cache's content, and in what two caches differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from goodsam.data.cache.bounds import MAX_PIXELS, MAX_WINDOWS
from goodsam.data.errors import InputError
from goodsam.data.windows import Windows

FORMAT_VERSION = 1
BoundaryMode = Literal["overlap", "windows"]


@dataclass(frozen=True)
class Identity:
    """What decides a cache's content: caches of equal identity hold equal records.

    sam: SHA-256 of the SAM's weights. settings: of the mask generator, as JSON has them.
    boundaries: B_SAM from SAM on the `overlap` crops, or from the masks of the two `windows`.
    windows: the geometry. fit: panoramas of other sizes were fitted to it. ignored: the pixels that
    are left out of all panoramas, as lengths of runs (`ignored_runs`); empty: none.

    Raises InputError for values that no cache may have.
    """

    sam: str
    settings: dict[str, Any]
    boundaries: BoundaryMode
    windows: Windows
    fit: bool
    ignored: tuple[int, ...] = ()
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        if self.boundaries not in get_args(BoundaryMode):
            raise InputError(f"boundaries {self.boundaries!r}: use overlap or windows")
        size = self.windows
        count = -(-size.width // size.stride)  # not len(windows): that would take the memory
        if count > MAX_WINDOWS or count * size.height * size.window > MAX_PIXELS:
            raise InputError(
                f"{count} windows of {size.height} x {size.window} are more than a cache holds "
                f"({MAX_WINDOWS} windows, {MAX_PIXELS} pixels): use a larger --stride"
            )
        if self.ignored and sum(self.ignored) != size.height * size.width:
            raise InputError(
                f"the ignored pixels are of a picture of {sum(self.ignored)} pixels, "
                f"a panorama has {size.height} x {size.width}"
            )
        object.__setattr__(self, "settings", json.loads(json.dumps(self.settings)))

    @cached_property
    def ignored_mask(self) -> np.ndarray | None:
        """bool (H, W), true where pixels are left out; None where none are."""
        if not self.ignored:
            return None
        values = np.arange(len(self.ignored)) % 2 == 1
        flat = np.repeat(values, self.ignored)
        return flat.reshape(self.windows.height, self.windows.width)

    def to_json(self) -> dict[str, Any]:
        """As it stands in the cache's attributes."""
        return {**asdict(self), "ignored": list(self.ignored)}

    def described(self) -> dict[str, Any]:
        """For people: as `to_json`, with the share of ignored pixels in the place of their runs."""
        share = 100 * sum(self.ignored[1::2]) / (self.windows.height * self.windows.width)
        return {**self.to_json(), "ignored": f"{share:.1f} % of the pixels"}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Identity:
        """The reverse of `to_json`. Raises TypeError, KeyError or InputError for anything else."""
        windows = dict(values["windows"])
        typed = (
            (values, {"sam": str, "settings": dict, "boundaries": str, "fit": bool}),
            (values, {"ignored": list, "format_version": int}),
            (windows, dict.fromkeys(("height", "width", "window", "stride"), int)),
            (windows, {"wrap": bool}),
        )
        for fields, types in typed:
            for name, kind in types.items():
                if type(fields[name]) is not kind:
                    raise TypeError(f"{name} is {fields[name]!r}, no {kind.__name__}")
        runs = values["ignored"]
        if not all(type(run) is int and run >= 0 for run in runs):
            raise TypeError("ignored holds other than lengths")
        return cls(**{**values, "windows": Windows(**windows), "ignored": tuple(runs)})

    def differences(self, other: Identity) -> list[str]:
        """What another identity has otherwise, each as `field is MINE, not OTHER`."""
        mine, theirs = dict(_flat(self.to_json())), dict(_flat(other.to_json()))
        return [
            f"{name} is {_short(mine.get(name))}, not {_short(theirs.get(name))}"
            for name in sorted(mine.keys() | theirs.keys())
            if mine.get(name) != theirs.get(name)
        ]


def ignored_runs(ignored: np.ndarray) -> tuple[int, ...]:
    """bool (H, W) -> lengths of its runs, row by row; the first is of pixels that are kept.

    Empty where nothing is ignored, so that no mask and an empty one are the same.
    """
    flat = ignored.ravel()
    if not flat.any():
        return ()
    changes = np.flatnonzero(np.diff(flat, prepend=False))
    return tuple(np.diff(changes, prepend=0, append=len(flat)).tolist())


def _short(value: Any, most: int = 80) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}..."


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value

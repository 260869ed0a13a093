"""How photographs were seen: fitted or not, by which windows, without which pixels.

A run has one geometry, that of its cache. It travels with every network that the run writes, so
that whoever uses one later need not type it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from goodsam.data.cache import Identity
from goodsam.data.errors import InputError
from goodsam.data.windows import Windows


@dataclass(frozen=True)
class Geometry:
    """Of a run, or of a network that it wrote.

    windows: over the panorama that the networks see. fit: photographs of another size are cut to
    the band of such a panorama and resized. ignored: the pixels of every panorama that are left
    out, as lengths of runs (`goodsam.data.cache.ignored_runs`); empty: none.
    """

    windows: Windows
    fit: bool = False
    ignored: tuple[int, ...] = ()

    @classmethod
    def of(cls, identity: Identity) -> Geometry:
        """The geometry of a cache, by what identifies it."""
        return cls(identity.windows, identity.fit, identity.ignored)

    @cached_property
    def ignored_mask(self) -> np.ndarray | None:
        """bool (H, W) of the panorama, true where pixels are left out; None where none are."""
        return Identity("", {}, "windows", self.windows, self.fit, self.ignored).ignored_mask

    def to_json(self) -> dict[str, Any]:
        """As it stands in a network's config.json."""
        return {"windows": asdict(self.windows), "fit": self.fit, "ignored": list(self.ignored)}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Geometry:
        """The reverse of `to_json`. InputError for anything else."""
        try:
            found = Identity.from_json(
                {
                    "sam": "",
                    "settings": {},
                    "boundaries": "windows",
                    "format_version": 1,
                    **{name: values[name] for name in ("windows", "fit", "ignored")},
                }
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"the geometry of a run cannot be read ({error})") from error
        return cls.of(found)

    def __str__(self) -> str:
        """For people: the options of `cache-sam` that make it."""
        size = self.windows
        words = [f"panoramas of {size.width} x {size.height}"]
        if self.fit:
            words.append(f"--fit --height {size.height}")
        words.append(f"--window {size.window} --stride {size.stride}")
        if not size.wrap:
            words.append("--no-wrap")
        if self.ignored:
            share = 100 * sum(self.ignored[1::2]) / (size.height * size.width)
            words.append(f"--ignore-mask ({share:.1f} % of the pixels)")
        return ", ".join(words)

"""Ranges of settings, checked before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from goodsam.data.errors import InputError


@dataclass(frozen=True)
class Range:
    """Finite numbers from `least` to `most`; if `above`, `least` itself is too little.

    >>> 0.5 in Range(0, 1), math.nan in Range(0), 0 in Range(0, above=True)
    (True, False, False)
    >>> print(Range(0, 1)), print(Range(0, 1, above=True)), print(Range(1))
    between 0 and 1
    above 0, at most 1
    at least 1, and finite
    (None, None, None)
    """

    least: float
    most: float = math.inf
    above: bool = False

    def __contains__(self, number: float) -> bool:
        enough = self.least < number if self.above else self.least <= number
        return enough and number <= self.most and math.isfinite(number)

    def __str__(self) -> str:
        if math.isfinite(self.most) and not self.above:
            return f"between {self.least:g} and {self.most:.10g}"
        least = f"{'above' if self.above else 'at least'} {self.least:g}"
        return least + (", and finite" if self.most == math.inf else f", at most {self.most:.10g}")


SHARE = Range(0, 1)
ABOVE_0 = Range(0, above=True)
AT_LEAST_0 = Range(0)
MANY = 2**31 - 1  # of anything that is counted: what any library takes
COUNT = Range(1, MANY)
COUNT_OR_NONE = Range(0, MANY)
SEED = Range(0, 2**32 - 1)
WORKERS = Range(0, 1000)  # processes beside this one


def check_range(name: str, value: float, range_: Range) -> None:
    """InputError, which begins with `name`, for a number outside its range."""
    if value not in range_:
        raise InputError(f"{name} {value}: {range_}")


def check_ranges(config: object, ranges: Mapping[str, Range], prefix: str = "setting ") -> None:
    """InputError, which names it behind `prefix`, for a field of `config` outside its range.

    Each number of a field that is a tuple has the field's range. None, where a field may be None,
    is right.
    """
    for name, range_ in ranges.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            if number is not None and number not in range_:
                raise InputError(f"{prefix}{name} {value}: {range_}")

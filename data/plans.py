"""Plans of windows as JSON, and the bounds within which a cache, a run or a network may have one.

What is read may be a stranger's, and tangent windows take memory as they are made: so numbers are
held against the bounds before a plan is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any, Literal

from goodsam.data.errors import InputError
from goodsam.data.sphere import TangentWindows, VerticalWindows, WindowPlan
from goodsam.data.sphere.ring import ring_latitudes, window_size, windows_around
from goodsam.data.strangers import check_types
from goodsam.data.windows import Windows

MAX_WINDOWS = 4096  # windows of a panorama
MAX_PIXELS = 2**26  # pixels of all windows of a panorama
MAX_SPHERE = 2**21  # pixels of a whole sphere
MAX_SHOWN = 2**27  # tangent windows times the pixels of their sphere

PlanName = Literal["band", "vertical", "tangent"]
_BAND = {"height": int, "width": int, "window": int, "stride": int, "wrap": bool}
_SPHERES: dict[str, dict[str, type]] = {
    "vertical": {"plan": str, "height": int, "width": int, "window": list, "stride": list},
    "tangent": {"plan": str, "height": int, "width": int, "fov": float, "stride": float},
}


def plan_name(plan: WindowPlan) -> PlanName:
    """`band` for the paper's windows, whatever panorama they are of.

    >>> plan_name(Windows.of(400, 2048))
    'band'
    """
    if isinstance(plan, Windows):
        return "band"
    return "tangent" if isinstance(plan, TangentWindows) else "vertical"


def whole_sphere(name: Literal["vertical", "tangent"], height: int) -> WindowPlan:
    """The plan of this name, with its default windows. InputError for more than a cache holds."""
    _check_sphere(height, 2 * height)
    if name == "vertical":
        return VerticalWindows.of(height, 2 * height)
    return _tangent(height, 2 * height, 90.0, 45.0)


def plan_json(plan: WindowPlan) -> dict[str, Any]:
    """As docs/CACHE_FORMAT.md has it: the paper's windows do not name their plan.

    >>> plan_json(VerticalWindows.of(512, 1024))["window"]
    [256, 256]
    """
    if isinstance(plan, Windows):
        return asdict(plan)
    numbers = {"plan": plan_name(plan), "height": plan.height, "width": plan.width}
    if isinstance(plan, TangentWindows):
        return {**numbers, "fov": plan.fov, "stride": plan.stride}
    assert isinstance(plan, VerticalWindows)
    return {**numbers, "window": list(plan.window), "stride": list(plan.stride)}


def read_plan(values: Mapping[str, Any]) -> WindowPlan:
    """The reverse of `plan_json`. TypeError, KeyError, ValueError or InputError for anything else.

    A sphere is exactly twice as wide as high.
    """
    values = dict(values)
    name = values.get("plan", "band")
    if name not in _SPHERES and "plan" in values:
        raise ValueError(f"plan {name!r}: use {' or '.join(_SPHERES)}")
    types = _SPHERES.get(name, _BAND)
    check_types(values, types)
    if surplus := values.keys() - types.keys():
        raise TypeError(f"windows have a surplus {min(surplus)}")
    if name == "band":
        return Windows(**values)
    height, width = values["height"], values["width"]
    _check_sphere(height, width)
    if name == "tangent":
        fov, stride = values["fov"], values["stride"]
        if not (30 <= fov <= 150 and 0 < stride <= fov):
            raise ValueError(f"tangent windows of {fov:g} degrees every {stride:g}")
        _check_tangent(height, width, fov, stride)
        return _tangent(height, width, fov, stride)
    (h, w), (down, across) = _two(values["window"]), _two(values["stride"])
    if not (1 <= h <= height and 1 <= w <= width and 1 <= down <= h and 1 <= across <= w):
        raise ValueError(f"windows of {w} x {h} every {across} x {down} px")
    _check_windows(_vertical_count((height, width), h, (down, across)), h * w)
    return VerticalWindows(height, width, (h, w), (down, across))


def check_plan(plan: WindowPlan) -> None:
    """InputError for a plan that no cache may have: too many windows, or no sphere's."""
    if isinstance(plan, Windows):
        count = -(-plan.width // plan.stride)  # not len(windows): that would take the memory
        if count > MAX_WINDOWS or count * plan.height * plan.window > MAX_PIXELS:
            raise InputError(
                f"{count} windows of {plan.height} x {plan.window} are more than a cache holds "
                f"({MAX_WINDOWS} windows, {MAX_PIXELS} pixels): use a smaller --height or a "
                "larger --stride"
            )
        return
    _check_sphere(plan.height, plan.width)
    if isinstance(plan, TangentWindows):
        _check_tangent(plan.height, plan.width, plan.fov, plan.stride)
    elif isinstance(plan, VerticalWindows):
        h, w = plan.window
        _check_windows(_vertical_count((plan.height, plan.width), h, plan.stride), h * w)


def resized_plan(plan: WindowPlan, height: int, width: int) -> WindowPlan:
    """The same windows, in proportion, on panoramas of another size."""
    if (height, width) == (plan.height, plan.width):
        return plan
    if isinstance(plan, Windows):
        return plan.scaled(height, width)
    if isinstance(plan, TangentWindows):
        return _tangent(height, width, plan.fov, plan.stride)
    assert isinstance(plan, VerticalWindows)
    h, w = _scaled(plan.window, width / plan.width)
    down, across = _scaled(plan.stride, width / plan.width)
    return VerticalWindows(height, width, (h, w), (min(down, h), min(across, w)))


@lru_cache(maxsize=2)  # tangent windows remember where their pixels lie
def _tangent(height: int, width: int, fov: float, stride: float) -> TangentWindows:
    return TangentWindows(height, width, fov, stride)


def _scaled(sides: tuple[int, int], share: float) -> tuple[int, int]:
    return max(1, round(share * sides[0])), max(1, round(share * sides[1]))


def _two(sides: list[Any]) -> tuple[int, int]:
    if len(sides) != 2 or not all(type(side) is int for side in sides):
        raise TypeError(f"{sides!r} is no height and width")
    return sides[0], sides[1]


def _tangent_count(stride: float) -> int:
    if 180 / stride > MAX_WINDOWS:  # before there is a list of them
        return MAX_WINDOWS + 1
    return sum(windows_around(latitude, stride) for latitude in ring_latitudes(stride))


def _vertical_count(size: tuple[int, int], window: int, stride: tuple[int, int]) -> int:
    """Rows of windows times those of a row."""
    return (1 - (window - size[0]) // stride[0]) * -(-size[1] // stride[1])


def _check_sphere(height: int, width: int) -> None:
    if width != 2 * height or height < 8:
        raise InputError(f"{width} x {height} is no sphere: it is twice as wide as high")
    if height * width > MAX_SPHERE:
        raise InputError(
            f"a sphere of {width} x {height} is more than a cache holds ({MAX_SPHERE} pixels): use "
            "a smaller --height"
        )


def _check_tangent(height: int, width: int, fov: float, stride: float) -> None:
    count = _tangent_count(stride)
    _check_windows(count, window_size(width, fov) ** 2)
    if count * height * width > MAX_SHOWN:
        raise InputError(
            f"{count} tangent windows of a sphere of {width} x {height} are more than a cache "
            f"holds ({MAX_SHOWN} pixels of spheres): use a smaller --height"
        )


def _check_windows(count: int, pixels: int) -> None:
    """count: of a panorama. pixels: of each."""
    if count > MAX_WINDOWS or count * pixels > MAX_PIXELS:
        raise InputError(
            f"{count} windows of {pixels} pixels are more than a cache holds ({MAX_WINDOWS} "
            f"windows, {MAX_PIXELS} pixels)"
        )

"""Tangent windows by loops straight from the formulas of the gnomonic projection."""

import math

import numpy as np


def naive_direction(latitude, longitude):
    flat = np.cos(latitude)
    return flat * np.sin(longitude), np.sin(latitude) + 0 * longitude, flat * np.cos(longitude)


def naive_axes(plan, window):
    """What is right, up and ahead of a window that looks at its centre, upright."""
    latitude, longitude = np.radians(plan.centres[window])
    ahead = np.array(naive_direction(latitude, longitude))
    right = np.array([math.cos(longitude), 0.0, -math.sin(longitude)])
    return right, np.cross(ahead, right), ahead


def naive_place(plan, window, y, x):
    """Where a window's pixel lies on the sphere, px: row and column."""
    half, reach = plan.size / 2, math.tan(math.radians(plan.fov / 2))
    right, up, ahead = naive_axes(plan, window)
    ray = ahead + right * (x + 0.5 - half) / half * reach - up * (y + 0.5 - half) / half * reach
    latitude = math.asin(ray[1] / np.linalg.norm(ray))
    longitude = math.atan2(ray[0], ray[2])
    row = (0.5 - latitude / math.pi) * plan.height - 0.5
    return row, (longitude / (2 * math.pi) + 0.5) * plan.width - 0.5


def naive_pixel(sphere, row, column):
    """Past a pole the sphere goes on half way around."""
    height, width = sphere.shape
    if row < 0:
        row, column = -1 - row, column + width // 2
    elif row >= height:
        row, column = 2 * height - 1 - row, column + width // 2
    return sphere[row, column % width]


def naive_seen(plan, window, row, column):
    """Where a pixel of the sphere lies in a window, px, and how much it weighs; None: outside."""
    half, reach, last = plan.size / 2, math.tan(math.radians(plan.fov / 2)), plan.size - 1
    latitude = (0.5 - (row + 0.5) / plan.height) * math.pi
    longitude = ((column + 0.5) / plan.width - 0.5) * 2 * math.pi
    ray = np.array(naive_direction(latitude, longitude))
    across, up, ahead = (float(axis @ ray) for axis in naive_axes(plan, window))
    if ahead <= 0 or max(abs(across), abs(up)) > ahead * reach:
        return None
    across, down = across / ahead / reach, -up / ahead / reach
    x, y = (min(max((at + 1) * half - 0.5, 0), last) for at in (across, down))
    return y, x, 1e-3 + (1 - abs(across)) * (1 - abs(down))


def naive_bilinear(seen, y, x):
    """(..., h, w) -> (...)"""
    top, left = (min(int(at), side - 2) for at, side in zip((y, x), seen.shape[-2:], strict=True))
    return sum(
        seen[..., top + i, left + j] * (1 - abs(top + i - y)) * (1 - abs(left + j - x))
        for i in (0, 1)
        for j in (0, 1)
    )

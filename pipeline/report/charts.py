"""Line charts of a report: from a series of numbers to the points of an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from goodsam.pipeline.report.page import render

# All in pixels of the drawing: its size, and the lines that bound the curve.
FRAME = {"width": 320, "height": 130, "left": 54, "right": 314, "top": 8, "bottom": 110}
MAX_POINTS = 400  # of a curve that is wider than its pixels


def line_charts(steps: Sequence[float], series: Mapping[str, Sequence[float]]) -> Markup:
    """Small charts, one a series, each with its own scale: the values and their moving average."""
    charts = [_chart(steps, values, name) for name, values in series.items() if len(values)]
    return render("line_charts.html", charts=charts, frame=FRAME)


def _chart(steps: Sequence[float], values: Sequence[float], name: str) -> dict[str, Any]:
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    low, high = float(y.min()), float(y.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    left, right, top, bottom = (FRAME[side] for side in ("left", "right", "top", "bottom"))
    px = left + (right - left) * (x - x[0]) / max(x[-1] - x[0], 1e-9)
    py = top + (bottom - top) * (high - y) / (high - low)
    span = max(1, len(y) // 20)
    padded = np.pad(py, (span, span), mode="edge")
    smooth = np.convolve(padded, np.full(2 * span + 1, 1 / (2 * span + 1)), mode="valid")
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), MAX_POINTS)).round().astype(int))
    return {
        "name": name,
        "ticks": [
            (_short(high), top),
            (_short((low + high) / 2), (top + bottom) / 2),
            (_short(low), bottom),
        ],
        "raw": _points(px[keep], py[keep]),
        "smooth": _points(px[keep], smooth[keep]),
        "start": f"{x[0]:g}",
        "end": f"{x[-1]:g}",
        "first": _short(values[0]),
        "last": _short(values[-1]),
    }


def _points(x: np.ndarray, y: np.ndarray) -> str:
    """As a polyline has them: `54.0,8.0 56.5,9.1`."""
    return " ".join(f"{across:.1f},{down:.1f}" for across, down in zip(x, y, strict=True))


def _short(value: float) -> str:
    """Three digits, or `1.2e-05` for what would be a row of zeros."""
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"

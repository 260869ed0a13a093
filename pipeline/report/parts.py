"""Parts of a report: each prepares numbers or pictures for the template of its name.

A part takes names, numbers and pictures and gives HTML; every text in it is escaped.

    write_report(path, "A title", "One line.", section("Scores", "What they are.", table(...)))
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from goodsam.pipeline.report.page import render
from goodsam.pipeline.report.pictures import Layer, Shown, picture_uri, shown_layers
from goodsam.stages.score.confusion import Scores

# Text


def section(title: str, lead: str, *parts: Markup) -> Markup:
    """A card with a heading, a line of text, and HTML parts."""
    return render("section.html", title=title, lead=lead, parts=parts)


def heading(title: str) -> Markup:
    """A heading within a section."""
    return render("heading.html", title=title)


def paragraph(text: str, kind: str = "") -> Markup:
    """A paragraph. kind: how it looks, `soft` or `warning`."""
    return render("paragraph.html", text=text, kind=kind)


def warning(text: str) -> Markup:
    """A paragraph that wants to be seen."""
    return paragraph(text, "warning")


def folded(title: str, content: Markup) -> Markup:
    """Content that opens on a click."""
    return render("folded.html", title=title, content=content)


def counted(number: int, what: str) -> str:
    """`1 image`, `3 images`, `19 classes`."""
    plural = what if number == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number} {plural}"


# Numbers


def tiles(values: Sequence[tuple[str, str, str]]) -> Markup:
    """Big numbers: (what, number, note) each."""
    return render("tiles.html", values=values)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | tuple[str, str]]],
    chosen: Sequence[int] = (),
) -> Markup:
    """A table; the first column names the row. A cell (text, note) has a note below its text.

    chosen: the rows to set off. Tables of many columns are set closer.
    """
    cells = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    return render("table.html", header=header, rows=cells, chosen=chosen)


def class_bars(
    names: Sequence[str],
    palette: np.ndarray,
    values: Sequence[float | None],
    before: Sequence[float | None] | None = None,
    more_is_better: bool = True,
) -> Markup:
    """A bar per class, `values` in percent; with `before`, both and the difference between them.

    more_is_better: a rise is shown as good; otherwise no difference is judged.
    """
    rows = []
    for i, name in enumerate(names):
        now, then = values[i], None if before is None else before[i]
        difference, tone = _difference(then, now, more_is_better)
        rows.append(
            {
                "name": name,
                "colour": palette[i].tolist(),
                "now": now,
                "now_width": _width(now),
                "then": then,
                "then_width": _width(then),
                "difference": difference,
                "tone": tone,
            }
        )
    return render("class_bars.html", rows=rows, compared=before is not None)


def class_legend(names: Sequence[str], palette: np.ndarray) -> Markup:
    """The colours of the classes."""
    classes = list(zip(names, palette.tolist(), strict=True))
    return render("class_legend.html", classes=classes)


def matrix(scores: Scores) -> Markup:
    """The confusion matrix: each row the percent of a class's pixels by predicted class.

    Classes that occur neither in the truth nor in the prediction are left out; the last column is
    for pixels that were given no class, if there are any.
    """
    counts = scores.confusion
    rows = np.flatnonzero(counts.sum(axis=1))
    occurs = counts.sum(axis=0) > 0
    occurs[rows] = True
    columns = np.flatnonzero(occurs)
    titles = (*scores.names, "no class")
    sums = counts.sum(axis=1, keepdims=True)
    shares = 100 * counts / np.where(sums > 0, sums, 1)
    shades = np.minimum(shares / 100, 1) ** 0.6
    body = [
        (
            scores.names[r],
            [
                {
                    "column": titles[c],
                    "right": r == c,
                    "share": float(shares[r, c]),
                    "shade": float(shades[r, c]),
                }
                for c in columns
            ],
        )
        for r in rows
    ]
    return render("matrix.html", columns=[titles[c] for c in columns], rows=body)


def time_bars(seconds: Mapping[str, float]) -> Markup:
    """How long each stage took, as bars."""
    longest = max(seconds.values(), default=1) or 1
    stages = [(stage, value, _width(100 * value / longest)) for stage, value in seconds.items()]
    return render("time_bars.html", stages=stages)


def settings_list(settings: Mapping[str, Any]) -> Markup:
    """Settings as name and value; nested ones as `outer.inner`."""
    return render("settings_list.html", settings=_flat(settings))


def _width(value: float | None) -> float:
    """Of a bar, in percent of its track."""
    return 0.0 if value is None or math.isnan(value) else min(max(value, 0.0), 100.0)


def _difference(then: float | None, now: float | None, judged: bool) -> tuple[str, str]:
    """(`+1.2`, its tone), or no text where a value is missing."""
    if then is None or now is None or math.isnan(then) or math.isnan(now):
        return "", ""
    change = round(now - then, 1) + 0.0  # never -0.0
    tone = "soft" if change == 0 or not judged else "good" if change > 0 else "bad"
    return f"{change:+.1f}", tone


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            items += _flat(value, f"{prefix}{name}.")
        else:
            items.append((f"{prefix}{name}", str(value)))
    return items


# Panoramas


def strip(layers: Sequence[Layer], numbered: bool = False) -> Markup:
    """Panoramas side by side, which turn together when one of them is dragged."""
    figures = [(layer, _panorama([layer])) for layer in layers]
    return render("strip.html", figures=figures, numbered=numbered)


def viewer(title: str, layers: Sequence[Layer], note: str = "", opacity: float = 0.75) -> Markup:
    """One panorama with layers to switch and fade, to be dragged round the circle.

    The first layer lies below; the second is on at the start, at `opacity`.
    """
    return render(
        "viewer.html",
        title=title,
        name=f"viewer-{base64.b32encode(title.encode()).decode().rstrip('=')}",
        panorama=_panorama(layers),
        layers=layers,
        chosen=min(1, len(layers) - 1),
        fade=round(100 * opacity),
        note=note,
    )


def look_for_yourself(*parts: Markup) -> Markup:
    """The section of viewers, with a word on how to use them."""
    return section(
        "Look for yourself",
        "Drag a panorama round the circle, or use the arrow keys; choose a layer, by its number "
        "too, and fade it.",
        *parts,
    )


def looked_at(shown: Sequence[Shown], palette: np.ndarray, names: Sequence[str]) -> Markup:
    """The section of the evaluated images; nothing where there are none."""
    if not shown:
        return Markup()
    viewers = (viewer(one.name, shown_layers(one, palette), one.note) for one in shown)
    return look_for_yourself(class_legend(names, palette), *viewers)


def _panorama(layers: Sequence[Layer]) -> Markup:
    height, width = layers[0].image.shape[:2]
    pictures = []
    for layer in layers:
        uri, flat = picture_uri(layer.image)
        pictures.append({"title": layer.title, "uri": uri, "flat": flat})
    return render("panorama.html", layers=pictures, width=width, height=height)

"""Reports in HTML: small functions that make sections, and the assemblers that put them together.

A section function takes names, numbers and pictures and returns HTML; every text in it is escaped.
Pictures are uint8 (H, W, 3) arrays and become part of the page.

    write_report(path, "A title", "One line.", section("Scores", "What they are.", table(...)))
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from goodsam.data.classes import IGNORE, colourise
from goodsam.data.window_masks import WindowMasks
from goodsam.data.windows import Windows
from goodsam.pipeline.report.page import write_page
from goodsam.pipeline.tell import duration, percent
from goodsam.stages.score.confusion import Scores
from goodsam.stages.score.evaluate import Evaluation
from goodsam.stages.score.record import AGREEMENTS
from goodsam.stages.score.unlabelled import Unlabelled

MAX_WIDTH = 2048  # wider pictures are made smaller: a page must stay light enough to be sent

RIGHT, WRONG, UNKNOWN = np.array([(38, 44, 52), (235, 64, 84), (0, 0, 0)], dtype=np.uint8)


@dataclass(frozen=True)
class Layer:
    """A picture with a title and a line about it. image: uint8 (H, W, 3) RGB."""

    title: str
    image: np.ndarray
    note: str = ""


@dataclass(frozen=True)
class Result:
    """A row of the demo's table: who was scored, how, and the outcome."""

    name: str
    scores: Scores
    note: str = ""


# Pictures


def picture_uri(image: np.ndarray) -> tuple[str, bool]:
    """A `data:` address of uint8 (H, W, 3), and whether it is flat: few colours, kept exactly.

    Flat pictures (label maps) become palette PNGs, all others JPEGs.
    """
    codes = image.astype(np.uint32) @ np.array([65536, 256, 1], dtype=np.uint32)
    colours = np.unique(codes)
    flat = len(colours) <= 256
    h, w = image.shape[:2]
    size = (MAX_WIDTH, max(1, round(h * MAX_WIDTH / w)))
    buffer = io.BytesIO()
    if flat:
        picture = Image.fromarray(np.searchsorted(colours, codes).astype(np.uint8))
        rgb = np.stack([colours >> 16, (colours >> 8) & 255, colours & 255], axis=1)
        picture.putpalette(rgb.astype(np.uint8).tobytes())
        if w > MAX_WIDTH:
            picture = picture.resize(size, Image.Resampling.NEAREST)
        picture.save(buffer, "png", optimize=True)
    else:
        picture = Image.fromarray(image)
        if w > MAX_WIDTH:
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        picture.save(buffer, "jpeg", quality=87)
    kind = "png" if flat else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", flat


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): dark where the ids agree, red where they do not, black at truth 255."""
    picture = np.where((prediction == truth)[..., None], RIGHT, WRONG)
    return np.where((truth == IGNORE)[..., None], UNKNOWN, picture)


def masks_picture(
    image: np.ndarray, masks: Sequence[WindowMasks], windows: Windows, opacity: float = 0.7
) -> np.ndarray:
    """uint8 (H, W, 3): SAM's masks of the windows in colours of their own, the smallest on top.

    Pixels in no mask show the image, darkened.
    """
    ids = np.stack([_smallest_mask(window) for window in masks])  # (n, H, window), 0: none
    joined = windows.join(ids)
    source, _ = windows.sources
    seed = (joined * 2654435761 + 40503 * source[None]) % 2**32
    colours = np.stack([(seed >> shift) % 200 + 40 for shift in (3, 11, 19)], axis=-1)
    shown = (1 - opacity) * image + opacity * colours
    shown = np.where((joined == 0)[..., None], 0.45 * image, shown)
    return np.rint(shown).astype(np.uint8)


def _smallest_mask(masks: WindowMasks) -> np.ndarray:
    """int64 (H, W): 1 + the smallest mask over each pixel, 0 where there is none."""
    if not len(masks):
        return np.zeros(masks.cells.shape, dtype=np.int64)
    area = np.where(masks.incidence, masks.area[:, None], np.iinfo(np.int32).max)
    smallest = np.where(masks.incidence.any(axis=0), area.argmin(axis=0) + 1, 0)
    return smallest[masks.cells]


# Sections


def write_report(path: Path, title: str, lead: str, *sections: str, footer: str = "") -> None:
    """Write sections as one self-contained page, whole or not at all."""
    write_page(path, title, lead, sections, footer)


def section(title: str, lead: str, *parts: str) -> str:
    """A card with a heading, a line of text, and HTML parts."""
    text = f"<p class='soft'>{escape(lead)}</p>" if lead else ""
    return f"<section><h2>{escape(title)}</h2>{text}{''.join(parts)}</section>"


def heading(title: str) -> str:
    """A heading within a section."""
    return f"<h3>{escape(title)}</h3>"


def warning(text: str) -> str:
    """A paragraph that wants to be seen."""
    return f"<p class='warning'>{escape(text)}</p>"


def tiles(values: Sequence[tuple[str, str, str]]) -> str:
    """Big numbers: (what, number, note) each."""
    cells = (
        f"<div class='tile'><span>{escape(what)}</span><b>{escape(number)}</b>"
        f"<span>{escape(note)}</span></div>"
        for what, number, note in values
    )
    return f"<div class='tiles'>{''.join(cells)}</div>"


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str | tuple[str, str]]],
    chosen: Sequence[int] = (),
) -> str:
    """A table; the first column names the row. A cell (text, note) has a note below its text.

    chosen: the rows to set off. Tables of many columns are set closer.
    """
    wide = " wide" if len(header) > 12 else ""

    def cell(content: str | tuple[str, str]) -> str:
        text, note = content if isinstance(content, tuple) else (content, "")
        small = f"<small>{escape(note)}</small>" if note else ""
        return f"<td>{escape(text)}{small}</td>"

    head = "".join(f"<th scope='col'>{escape(title)}</th>" for title in header)
    body = "".join(
        f"<tr{' class=chosen' if i in chosen else ''}>{''.join(map(cell, row))}</tr>"
        for i, row in enumerate(rows)
    )
    return (
        f"<div class='scroll'{' tabindex=0' if wide else ''}><table class='numbers{wide}'>"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def class_bars(
    names: Sequence[str],
    palette: np.ndarray,
    values: Sequence[float | None],
    before: Sequence[float | None] | None = None,
    more_is_better: bool = True,
) -> str:
    """A bar per class, `values` in percent; with `before`, both and the difference between them.

    more_is_better: a rise is shown as good; otherwise no difference is judged.
    """
    parts = []
    for i, name in enumerate(names):
        now, then = values[i], None if before is None else before[i]
        bars = "" if before is None else _bar(then, "before")
        bars += _bar(now, "")
        number = percent(now)
        if before is not None:
            number = f"{percent(then)} → {percent(now)} {_difference(then, now, more_is_better)}"
        else:
            number = escape(number)
        parts.append(
            f"<div>{_swatch(palette[i])}{escape(name)}</div><div>{bars}</div>"
            f"<div class='value'>{number}</div>"
        )
    key = ""
    if before is not None:
        key = (
            "<p class='legend'><span><i class='key' style='background:var(--before)'></i>before"
            "</span><span><i class='key' style='background:var(--after)'></i>after</span></p>"
        )
    return f"<div class='bars'>{''.join(parts)}</div>{key}"


def matrix(scores: Scores) -> str:
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
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    head = "".join(f"<th scope='col'>{escape(titles[c])}</th>" for c in columns)
    body = []
    for r in rows:
        cells = []
        for c in columns:
            share = shares[r, c]
            colour = "--heat" if r == c else "--miss"
            hint = f"{scores.names[r]} predicted as {titles[c]}: {share:.2f} %"
            cells.append(
                f"<td title='{escape(hint)}' style='background:rgba(var({colour}),"
                f"{min(share / 100, 1) ** 0.6:.3f})'>{f'{share:.0f}' if share >= 0.5 else ''}</td>"
            )
        body.append(f"<tr><th scope='row'>{escape(scores.names[r])}</th>{''.join(cells)}</tr>")
    return (
        f"<div class='scroll' tabindex='0'><table class='matrix'><thead><tr><td></td>{head}</tr>"
        f"</thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def strip(layers: Sequence[Layer], numbered: bool = False) -> str:
    """Panoramas side by side, which turn together when one of them is dragged."""
    figures = []
    for number, layer in enumerate(layers, 1):
        badge = f"<span class='number'>{number}</span>" if numbered else ""
        figures.append(
            f"<figure>{_panorama([layer])}<figcaption>{badge}<b>{escape(layer.title)}</b> "
            f"{escape(layer.note)}</figcaption></figure>"
        )
    return f"<div class='strip' data-circle>{''.join(figures)}</div>"


def viewer(title: str, layers: Sequence[Layer], note: str = "", opacity: float = 0.75) -> str:
    """One panorama with layers to switch and fade, to be dragged round the circle.

    The first layer lies below; the second is on at the start, at `opacity`.
    """
    name = f"viewer-{base64.b32encode(title.encode()).decode().rstrip('=')}"
    chosen = min(1, len(layers) - 1)
    buttons = "".join(
        f"<label><input type='radio' name='{name}'{' checked' if i == chosen else ''}>"
        f"<span>{escape(layer.title)}</span></label>"
        for i, layer in enumerate(layers)
    )
    return (
        f"<figure class='viewer' data-circle>{_panorama(layers)}"
        f"<div class='controls'><fieldset><legend>Layer of {escape(title)}</legend>{buttons}"
        f"</fieldset><label class='fade'>Fade <input type='range' min='0' max='100' "
        f"value='{round(100 * opacity)}'></label></div>"
        f"<figcaption><b>{escape(title)}</b> {escape(note)}</figcaption></figure>"
    )


def line_charts(steps: Sequence[float], series: Mapping[str, Sequence[float]]) -> str:
    """Small charts, one a series, each with its own scale: the values and their moving average."""
    charts = "".join(
        f"<figure class='chart'>{_chart(steps, values, name)}<figcaption><b>{escape(name)}</b> "
        f"{_short(values[0])} → {_short(values[-1])}</figcaption></figure>"
        for name, values in series.items()
        if len(values)
    )
    return f"<div class='charts'>{charts}</div>"


def time_bars(seconds: Mapping[str, float]) -> str:
    """How long each stage took, as bars."""
    longest = max(seconds.values(), default=1) or 1
    parts = (
        f"<div>{escape(stage)}</div><div>{_bar(100 * value / longest, '')}</div>"
        f"<div class='value'>{escape(duration(value))}</div>"
        for stage, value in seconds.items()
    )
    return f"<div class='bars'>{''.join(parts)}</div>"


def settings_list(settings: Mapping[str, Any]) -> str:
    """Settings as name and value; nested ones as `outer.inner`."""
    items = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in _flat(settings)
    )
    return f"<dl>{items}</dl>"


def folded(title: str, content: str) -> str:
    """Content that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def class_legend(names: Sequence[str], palette: np.ndarray) -> str:
    """The colours of the classes."""
    entries = (
        f"<span>{_swatch(colour)}{escape(name)}</span>"
        for name, colour in zip(names, palette, strict=True)
    )
    return f"<p class='legend'>{''.join(entries)}</p>"


# Whole reports


@dataclass(frozen=True)
class Shown:
    """One evaluated image to be looked at, with label maps, uint8 (H, W): None if unknown.

    before: by the student before the adaptation. teacher: by the teacher assistant.
    """

    name: str
    image: np.ndarray
    prediction: np.ndarray
    truth: np.ndarray | None = None
    note: str = ""
    before: np.ndarray | None = None
    teacher: np.ndarray | None = None


def best_median_worst(evaluation: Evaluation) -> list[tuple[str, str]]:
    """(`best` | `median` | `worst`, name of the image) by mIoU, each image once."""
    names = [n for n in evaluation.ranked() if not math.isnan(evaluation.per_image[n].miou)]
    if not names:
        return []
    picks = {"best": names[0], "worst": names[-1], "median": names[len(names) // 2]}
    chosen: dict[str, str] = {}
    for rank in ("best", "worst", "median"):
        if picks[rank] not in chosen.values():
            chosen[rank] = picks[rank]
    return [(rank, chosen[rank]) for rank in ("best", "median", "worst") if rank in chosen]


def evaluation_report(
    path: Path,
    evaluation: Evaluation,
    shown: Sequence[Shown],
    palette: np.ndarray,
    what: str,
    settings: Mapping[str, Any],
) -> None:
    """The report of `goodsam eval` with labels. what: the model or predictions that were scored."""
    scores, boundary = evaluation.scores, evaluation.boundary
    present = sum(value is not None for value in scores.per_class.values())
    edges = []
    if boundary is not None:
        edges = [
            heading(f"Boundary F-score by class, at {boundary.radius} px"),
            class_bars(scores.names, palette, list(boundary.f)),
        ]
    write_report(
        path,
        "Evaluation",
        f"{what}, on {_count(len(evaluation.per_image), 'image')}.",
        section(
            "Scores",
            "One confusion matrix over the whole set, at native size; unlabelled pixels are left "
            "out, and the mean goes over the classes that occur in the truth. In percent.",
            *(f"<p class='soft'>{escape(evaluation.protocol.note)}.</p>",)
            * bool(evaluation.protocol.note),
            tiles(
                [
                    ("mIoU", percent(scores.miou), f"mean over {_count(present, 'class')}"),
                    ("pixel accuracy", percent(scores.pixel_accuracy), "of the labelled pixels"),
                    *(
                        [("boundary F", percent(boundary.mean), f"within {boundary.radius} px")]
                        if boundary
                        else []
                    ),
                ]
            ),
            heading("IoU by class"),
            class_bars(scores.names, palette, list(scores.per_class.values())),
            *edges,
        ),
        _looked_at(shown, palette, scores.names),
        section(
            "What is taken for what",
            "Each row is a class of the truth, each cell the percent of its pixels that were given "
            "the class of the column.",
            matrix(scores),
        ),
        section(
            "Images",
            "Each scored on its own, best first: for finding the hard ones, not for averaging.",
            folded(
                f"All {len(evaluation.per_image)}",
                table(
                    ["image", "mIoU", "pixel accuracy"],
                    [
                        [name, percent(own.miou), percent(own.pixel_accuracy)]
                        for name in evaluation.ranked()
                        for own in [evaluation.per_image[name]]
                    ],
                ),
            ),
        ),
        section("Settings", "", settings_list(settings)),
    )


def unlabelled_report(
    path: Path,
    seen: Unlabelled,
    shown: Sequence[Shown],
    palette: np.ndarray,
    what: str,
    settings: Mapping[str, Any],
) -> None:
    """The report of `goodsam eval` without labels: what can be seen, and that it is no accuracy."""
    names = tuple(seen.shares)
    keys = dict(zip(("windows", "roll", "teacher", "unchanged"), AGREEMENTS.values(), strict=True))
    known = {what: seen.mean(what) for what in keys}
    before = list(seen.shares_before.values()) or None
    changes = [change for change in seen.largest_changes() if percent(change[2]) != "0.00"]
    moved = (
        section(
            "Where the student changed its mind",
            "What it said of a pixel before the adaptation, and what it says now. A change may be "
            "for the better or for the worse.",
            table(
                ["before", "now", "of all pixels, percent"],
                [[then, now, percent(share)] for then, now, share in changes],
            ),
        )
        if changes
        else ""
    )
    write_report(
        path,
        "Predictions without labels",
        f"{what}, on {_count(len(seen.images), 'image')}.",
        section(
            "What can be said",
            "",
            warning(
                "There are no labels here, so nothing on this page is an accuracy. Agreement says "
                "how steady the prediction is, and a steady prediction can be wrong."
            ),
            heading("Labelled alike by, percent of the pixels"),
            tiles(
                [
                    (text, percent(known[key]), "")
                    for key, text in keys.items()
                    if known[key] is not None
                ],
            ),
            heading(f"Share of all pixels by class, percent{', before and after' * bool(before)}"),
            class_bars(names, palette, list(seen.shares.values()), before, more_is_better=False),
        ),
        _looked_at(shown, palette, names),
        moved,
        section(
            "Images",
            "The agreements of each, in percent.",
            folded(
                f"All {len(seen.images)}",
                table(
                    ["image", *(key for key in keys if known[key] is not None)],
                    [
                        [
                            name,
                            *(percent(getattr(one, key)) for key in keys if known[key] is not None),
                        ]
                        for name, one in seen.images.items()
                    ],
                ),
            ),
        ),
        section("Settings", "", settings_list(settings)),
    )


def _looked_at(shown: Sequence[Shown], palette: np.ndarray, names: Sequence[str]) -> str:
    if not shown:
        return ""
    return section(
        "Look for yourself",
        "Drag a panorama round the circle, or use the arrow keys; choose a layer, by its number "
        "too, and fade it.",
        class_legend(names, palette),
        *(viewer(one.name, shown_layers(one, palette), one.note) for one in shown),
    )


def shown_layers(shown: Shown, palette: np.ndarray) -> list[Layer]:
    """Panorama and prediction, and of truth, errors, changes and teacher what is known."""
    layers = [
        Layer("Panorama", shown.image),
        Layer("Prediction", colourise(shown.prediction, palette)),
    ]
    if shown.truth is not None:
        layers.append(Layer("Truth", colourise(shown.truth, palette)))
        layers.append(Layer("Errors", error_picture(shown.prediction, shown.truth)))
    if shown.before is not None:
        changed = shown.prediction != shown.before
        layers.append(Layer("Before", colourise(shown.before, palette)))
        now = colourise(shown.prediction, palette)
        layers.append(Layer("Changed its mind", np.where(changed[..., None], now, RIGHT)))
    if shown.teacher is not None:
        layers.append(Layer("Teacher assistant", colourise(shown.teacher, palette)))
        layers.append(Layer("Not as the teacher", error_picture(shown.prediction, shown.teacher)))
    return layers


def demo_report(
    path: Path,
    *,
    story: Sequence[Layer],
    results: Sequence[Result],
    before: str,
    after: str,
    palette: np.ndarray,
    panoramas: Mapping[str, Sequence[Layer]],
    metrics: Sequence[Mapping[str, float]],
    settings: Mapping[str, Any],
    seconds: Mapping[str, float],
    notes: Sequence[str] = (),
) -> None:
    """The report of `goodsam demo`.

    story: the pictures that tell it, in order, all of one panorama. results: the rows of the table;
    before, after: the names of the two that are held against each other. panoramas: by title, the
    layers of further ones. metrics: rows of metrics.jsonl. seconds: by stage.
    """
    row = {result.name: result for result in results}
    first, last = row[before].scores, row[after].scores
    moved = [
        (then, now)
        for then, now in zip(first.per_class.values(), last.per_class.values(), strict=True)
        if then is not None and now is not None
    ]
    up, down = sum(now > then for then, now in moved), sum(now < then for then, now in moved)
    write_report(
        path,
        "GoodSAM on the street world",
        "No label of a panorama is used: SAM's masks are fused with what the teacher assistant "
        "says, and the student learns from both.",
        section(
            "The method in pictures",
            "",
            tiles(
                [
                    (
                        "student, mIoU",
                        f"{percent(first.miou)} → {percent(last.miou)}",
                        f"{last.miou - first.miou:+.2f} points, held-out panoramas",
                    ),
                    (
                        "student, pixel accuracy",
                        f"{percent(first.pixel_accuracy)} → {percent(last.pixel_accuracy)}",
                        f"{last.pixel_accuracy - first.pixel_accuracy:+.2f} points",
                    ),
                    ("classes", f"{up} up, {down} down", f"of {len(moved)} in the truth"),
                    ("time", duration(sum(seconds.values())), "all stages together"),
                ]
            ),
            "<p></p>",
            strip(story, numbered=True),
            class_legend(last.names, palette),
        ),
        section(
            "Results",
            "mIoU over the classes that occur in the truth, and pixel accuracy, in percent, at "
            "native size.",
            table(
                ["", "mIoU", "pixel accuracy"],
                [
                    [
                        (result.name, result.note),
                        percent(result.scores.miou),
                        percent(result.scores.pixel_accuracy),
                    ]
                    for result in results
                ],
                chosen=[i for i, result in enumerate(results) if result.name == after],
            ),
            *(f"<p class='soft'>{escape(note)}</p>" for note in notes),
        ),
        section(
            "The student by class",
            "IoU in percent before and after. A dash: the class does not occur in the truth.",
            class_bars(
                last.names, palette, list(last.per_class.values()), list(first.per_class.values())
            ),
        ),
        section(
            "Look for yourself",
            "Drag a panorama round the circle, or use the arrow keys; choose a layer, by its "
            "number too, and fade it.",
            *(viewer(title, layers) for title, layers in panoramas.items()),
        ),
        section(
            "Training",
            "Each loss and measure over the optimiser's steps, on its own scale, with a moving "
            "average.",
            line_charts(*_columns(metrics)),
        ),
        section("Time", "", time_bars(seconds)),
        section("Settings", "", folded("All of them", settings_list(settings))),
    )


def _columns(metrics: Sequence[Mapping[str, float]]) -> tuple[list[float], dict[str, list[float]]]:
    """Steps, and each measure that every row has and that ever changes, over them."""
    steps = [row["step"] for row in metrics]
    names = [key for key in (metrics[0] if metrics else {}) if not key.startswith("share/")]
    shared = [key for key in names if all(key in row for row in metrics)]
    series = {key: [float(row[key]) for row in metrics] for key in shared if key != "step"}
    return steps, {name: values for name, values in series.items() if len(set(values)) > 1}


# Pieces of HTML


def _panorama(layers: Sequence[Layer]) -> str:
    h, w = layers[0].image.shape[:2]
    parts = []
    for i, layer in enumerate(layers):
        uri, flat = picture_uri(layer.image)
        hidden = "" if i == 0 else ";opacity:0"
        parts.append(
            f"<div class='layer{' flat' if flat else ''}' "
            f"style='background-image:url({uri}){hidden}'></div>"
        )
    label = escape(", ".join(layer.title for layer in layers))
    return (
        f"<div class='pano' tabindex='0' role='img' aria-label='{label}' data-aspect='{w / h:.6f}' "
        f"style='aspect-ratio:{w}/{h}'>{''.join(parts)}</div>"
    )


def _chart(steps: Sequence[float], values: Sequence[float], name: str) -> str:
    width, height, left, top, bottom = 320, 130, 54, 8, 20
    x, y = np.asarray(steps, dtype=float), np.asarray(values, dtype=float)
    low, high = float(y.min()), float(y.max())
    if high == low:
        low, high = low - 0.5, high + 0.5
    px = left + (width - left - 6) * (x - x[0]) / max(x[-1] - x[0], 1e-9)
    py = top + (height - top - bottom) * (high - y) / (high - low)
    span = max(1, len(y) // 20)
    padded = np.pad(py, (span, span), mode="edge")
    smooth = np.convolve(padded, np.full(2 * span + 1, 1 / (2 * span + 1)), mode="valid")
    keep = np.unique(np.linspace(0, len(x) - 1, min(len(x), 400)).round().astype(int))

    def line(heights: np.ndarray, kind: str) -> str:
        points = " ".join(f"{px[i]:.1f},{heights[i]:.1f}" for i in keep)
        return f"<polyline class='{kind}' points='{points}'/>"

    ticks = "".join(
        f"<line class='grid' x1='{left}' x2='{width - 6}' y1='{at:.1f}' y2='{at:.1f}'/>"
        f"<text x='{left - 5}' y='{at + 4:.1f}' text-anchor='end'>{_short(value)}</text>"
        for value, at in (
            (high, top),
            ((low + high) / 2, (top + height - bottom) / 2),
            (low, height - bottom),
        )
    )
    return (
        f"<svg viewBox='0 0 {width} {height}' role='img' aria-label='{escape(name)}'>"
        f"{ticks}{line(py, 'raw')}{line(smooth, 'smooth')}"
        f"<text x='{left}' y='{height - 4}'>step {x[0]:g}</text>"
        f"<text x='{width - 6}' y='{height - 4}' text-anchor='end'>{x[-1]:g}</text></svg>"
    )


def _short(value: float) -> str:
    """Three digits, or `1.2e-05` for what would be a row of zeros."""
    return f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.3g}"


def _bar(value: float | None, kind: str) -> str:
    width = 0.0 if value is None or math.isnan(value) else min(max(value, 0.0), 100.0)
    kind = kind if width else f"{kind} none"
    return f"<div class='track'><div class='bar {kind}' style='width:{width:.2f}%'></div></div>"


def _difference(then: float | None, now: float | None, judged: bool) -> str:
    if then is None or now is None or math.isnan(then) or math.isnan(now):
        return ""
    change = round(now - then, 1) + 0.0  # never -0.0
    tone = "soft" if change == 0 or not judged else "good" if change > 0 else "bad"
    return f"<span class='{tone}'>{change:+.1f}</span>"


def _swatch(colour: np.ndarray) -> str:
    return f"<i class='swatch' style='background:rgb({','.join(str(int(c)) for c in colour)})'></i>"


def _count(number: int, what: str) -> str:
    plural = what if number == 1 else f"{what}es" if what.endswith("s") else f"{what}s"
    return f"{number} {plural}"


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    items: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            items += _flat(value, f"{prefix}{name}.")
        else:
            items.append((f"{prefix}{name}", value))
    return items

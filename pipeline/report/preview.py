"""The page of `goodsam run --preview`: what the networks make of these photographs, and the price.

TA: the teacher assistant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from goodsam.data.classes import colourise
from goodsam.data.sphere import WindowPlan
from goodsam.pipeline.report.page import render, write_report
from goodsam.pipeline.report.parts import (
    class_legend,
    counted,
    heading,
    paragraph,
    section,
    strip,
    table,
    tiles,
    warning,
)
from goodsam.pipeline.report.pictures import Layer, masks_picture
from goodsam.pipeline.tell import duration
from goodsam.pipeline.whole.preview import Preview, Seen
from goodsam.pipeline.whole.price import Price, size_text

RARE = 0.05  # percent of the pixels: classes below it are left out of the table


def preview_report(
    path: Path,
    found: Preview,
    record: Mapping[str, Any],
    price: Price,
    recipe: Sequence[tuple[str, str, str, str]],
    what: str,
    machine: str,
    warnings: Sequence[str] = (),
) -> None:
    """Write the page.

    record: `measured` of what was seen. recipe: `Recipe.rows`. what, machine: in words. warnings:
    what speaks against going on, if anything.
    """
    windows = found.cache.identity.windows
    masked = record["masks"] > 0
    write_report(
        path,
        "Before the training: a preview",
        f"{len(found.seen)} of {what}, seen by every part of the method. Nothing has been trained "
        "yet.",
        section(
            "At a glance",
            "",
            paragraph(
                "No label is used here, so nothing on this page is an accuracy. Look at the "
                "pictures: what the ensemble gets wrong over and over, the student will learn."
            ),
            *(warning(text) for text in warnings),
            tiles(_numbers(record, price, masked)),
        ),
        section(
            "What they see",
            "Drag a panorama round the circle: all of them turn together.",
            class_legend(*_shown_classes(found, record)),
            *(part for one in found.seen for part in _panorama(one, found, windows, masked)),
        ),
        section(
            "By class",
            "Shares of all pixels, in percent, by the teacher assistant (TA), the ensemble and the "
            "student. Agreement: of the pixels that the ensemble gives to a class, those that the "
            "TA alone labels the same. Confidence: the TA's mean probability of that label. Where "
            "it is low, look at that class above.",
            _classes(found, record),
        ),
        section(
            "What is still to be done, and its price",
            "Measured on these panoramas, on this machine, and multiplied.",
            _prices(price),
        ),
        section(
            "The recipe",
            f"What was chosen for these photographs and this machine ({machine}), why, and how to "
            "choose otherwise.",
            _recipe(recipe),
        ),
    )


def _numbers(record: Mapping[str, Any], price: Price, masked: bool) -> list[tuple[str, str, str]]:
    numbers = [("TA's confidence", f"{record['confidence']:.0f} %", "its labels' probability")]
    if masked:
        covered = f"with {record['covered']:.0f} % of the pixels"
        numbers += [
            ("SAM's masks", f"{record['masks']:.0f} a window", covered),
            ("agreement", f"{record['agreement']:.0f} %", "TA and ensemble label alike"),
        ]
    return [
        *numbers,
        ("student so far", f"{record['student_agreement']:.0f} %", "labels as the ensemble does"),
        ("still to be done", duration(price.seconds), f"and {size_text(price.disk)} of disk"),
    ]


def _panorama(one: Seen, found: Preview, windows: WindowPlan, masked: bool) -> list[Markup]:
    """A heading and the pictures of a panorama, side by side."""

    def labels(title: str, ids: np.ndarray, note: str) -> Layer:
        return Layer(title, colourise(ids, found.palette), note)

    layers = [
        Layer("Panorama", one.image, "as the networks see it"),
        labels("Teacher assistant", one.teacher, "classes, window by window"),
        labels("Untouched student", one.student, "before any training"),
        Layer("Confidence", _shaded(one.confidence), "of the TA: bright is sure"),
    ]
    if masked:
        masks = masks_picture(one.image, one.masks, windows)
        layers[1:1] = [Layer("SAM's masks", masks, "things and their borders, no classes")]
        layers[3:3] = [labels("Ensemble", one.fused, "what the student will learn")]
    return [heading(one.name), strip(layers)]


def _shaded(confidence: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3): float (H, W), 0 to 1, in twelve steps from dark to bright."""
    steps = np.rint(np.clip(confidence, 0, 1) * 12) / 12
    dark, bright = np.array([20, 24, 40]), np.array([255, 244, 214])
    return np.rint(dark + steps[..., None] * (bright - dark)).astype(np.uint8)


def _shown(found: Preview, record: Mapping[str, Any]) -> list[int]:
    """The classes that somebody sees, the most frequent first."""
    rows = record["classes"]
    most = {
        i: max(rows[name][who] for who in ("teacher_assistant", "ensemble", "student"))
        for i, name in enumerate(found.names)
    }
    order = sorted(most, key=lambda i: -rows[found.names[i]]["ensemble"])
    return [i for i in order if most[i] >= RARE]


def _shown_classes(found: Preview, record: Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    shown = sorted(_shown(found, record))
    return [found.names[i] for i in shown], found.palette[shown]


def _classes(found: Preview, record: Mapping[str, Any]) -> Markup:
    rows = [
        {
            "name": found.names[i],
            "colour": found.palette[i].tolist(),
            **record["classes"][found.names[i]],
        }
        for i in _shown(found, record)
    ]
    return render("preview_classes.html", rows=rows)


def _prices(price: Price) -> Markup:
    rows = [
        [
            stage.name,
            counted(stage.count, stage.of) if stage.count else "nothing left",
            duration(stage.each),
            duration(stage.seconds) if stage.count else "-",
            size_text(stage.disk) if stage.disk else "-",
        ]
        for stage in price.stages
    ]
    total = ["all together", "", "", duration(price.seconds), size_text(price.disk)]
    numbers = table(["", "still to do", "each", "time", "disk"], [*rows, total], chosen=[len(rows)])
    room = (
        f"{size_text(price.memory)} of memory were taken at most; {size_text(price.free)} of disk "
        "are free."
    )
    return Markup("").join([numbers, paragraph(room)])


def _recipe(rows: Sequence[tuple[str, str, str, str]]) -> Markup:
    return render("preview_recipe.html", rows=rows)

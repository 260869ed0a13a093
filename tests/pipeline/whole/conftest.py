"""Photographs of the street world, and a SAM of few prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from goodsam.data.street.write import write_world
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.registry import SAMS

HEIGHT = 64
FEW_POINTS = replace(
    SAMS["street"],
    generator=GeneratorConfig(points_per_side=4, pred_iou_thresh=0.0, stability_score_thresh=0.0),
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two panoramas of 328 x 64."""
    root = tmp_path_factory.mktemp("photos")
    write_world(root, source=0, unlabelled=2, test=0, seed=5, height=HEIGHT)
    return root / "unlabelled"

"""A network that sees a whole sphere by its windows, one window at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry, ignored_runs
from goodsam.data.sphere import TangentWindows, VerticalWindows
from goodsam.data.windows import Windows
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.segment import normalise, segment
from goodsam.stages.segformer.segmenter import Segmenter


@pytest.fixture(scope="module")
def segmenter():
    torch.manual_seed(3)
    model = build_segformer("w16", ("road", "sky", "car", "person")).eval()
    with torch.no_grad():  # an untrained head gives one class everywhere: let the image decide
        model.decode_head.classifier.weight.mul_(50)
    return Segmenter(model, torch.device("cpu"))


def picture(height, width):
    small = np.random.default_rng(3).integers(0, 256, (8, 16, 3), dtype=np.uint8)
    return np.array(Image.fromarray(small).resize((width, height)))


@pytest.mark.parametrize(
    ("name", "plan"),
    [("vertical", VerticalWindows.of(64, 128)), ("tangent", TangentWindows(64, 128))],
)
def test_windows_are_seen_one_by_one_and_joined(segmenter, name, plan):
    image = picture(64, 128)
    seen = []
    for window in plan.cut_images(image):
        with torch.no_grad():
            seen.append(segment(segmenter.model, normalise(window[None], segmenter.device))[0])
    maps = torch.stack(seen)
    if name == "tangent":  # where windows overlap, probabilities are averaged
        maps = maps.softmax(dim=1)
    expected = plan.join(maps).argmax(0).numpy()
    labels = segmenter.over_sphere(name)(image)
    assert labels.shape == (64, 128)
    assert (labels == expected).mean() > 0.999
    assert len(np.unique(labels)) > 1
    assert (labels != segmenter(image)).any()  # which sees it as a whole


@pytest.mark.parametrize("plan", ["vertical", "tangent"])
def test_labels_reach_both_poles_of_a_photograph_that_a_run_would_fit(segmenter, plan):
    """The band is what its run saw; the sphere is as fine around the horizon, and not less."""
    ignored = np.zeros((40, 200), bool)
    ignored[36:] = True
    geometry = Geometry(Windows.of(40, 200), True, ignored_runs(ignored))
    band = Segmenter(segmenter.model, segmenter.device, geometry=geometry)
    image = picture(200, 400)
    assert (band(image)[:60] == 255).all()
    sphere = band.over_sphere(plan)
    assert sphere.view(image).shape == (100, 200, 3)
    labels = sphere(image)
    left_out = np.zeros(200, bool)
    left_out[2 * 66 : 2 * 70] = True  # the rows of the sphere that the run left out
    assert (labels[left_out] == 255).all()
    assert (labels[~left_out] < 4).all()
    assert sphere.fingerprint != band.fingerprint


def test_agreement_of_neighbours_is_of_the_plans_own(segmenter):
    image = picture(64, 128)
    agreement = {
        p: segmenter.over_sphere(p).window_agreement(image) for p in ("vertical", "tangent")
    }
    assert all(0 < percent < 100 for percent in agreement.values())
    assert agreement["vertical"] != agreement["tangent"]


def test_a_band_is_no_sphere(segmenter):
    with pytest.raises(InputError, match="no 2:1 sphere"):
        segmenter.over_sphere("tangent")(picture(40, 205))


def test_the_whole_sphere_of_a_geometry():
    bands = Geometry(Windows.of(400, 2048), fit=True)
    assert bands.over_sphere() == Geometry(Windows.of(1024, 2048), fit=True)
    assert bands.over_sphere().over_sphere() == bands.over_sphere()

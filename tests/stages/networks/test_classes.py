"""Class maps over a network's probabilities, and heads for other classes, by their formulas."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from goodsam.data.class_map import ClassMap
from goodsam.data.errors import InputError
from goodsam.data.geometry import Geometry
from goodsam.data.windows import Windows
from goodsam.stages.adapt.prediction import Prediction
from goodsam.stages.networks.classes import Mapped, give_head, remap
from goodsam.stages.networks.files import load_model, save_model
from goodsam.stages.networks.inference import logits_of
from goodsam.stages.segformer.origin import KEY, Origin
from goodsam.stages.segformer.segment import class_names, segment
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.networks.tiny import NAMES, PIXELS, write

GROUPS = {"thing": ["car", "person"], "street": "road"}  # sky and lamp are ignored


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    return load_model(write(tmp_path_factory.mktemp("tiny") / "m", "segformer")).eval()


def naive(network, pictures):
    """The sums of the probabilities, one class after another, and then their argmax."""
    logits = network(pixel_values=pictures).logits
    p = F.interpolate(logits.softmax(1), pictures.shape[-2:], mode="bilinear")
    thing, street = p[:, 1] + p[:, 3], p[:, 0]
    return torch.stack([thing, street, p[:, 2] + p[:, 4]], dim=1)


@pytest.mark.parametrize("forward", [lambda m: lambda x: segment(m, x), logits_of])
def test_probabilities_are_summed(network, forward):
    mapped = remap(network, GROUPS, "a model")
    assert class_names(mapped) == ("thing", "street")
    pictures = torch.randn(2, 3, 64, 96)
    with torch.inference_mode():
        found = forward(mapped)(pictures).softmax(dim=1)
        torch.testing.assert_close(found, naive(network, pictures), rtol=1e-4, atol=1e-5)


def test_ignored_pixels_are_known(network):
    mapped = remap(network, GROUPS, "a model")
    pictures = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        prediction = Prediction.of(segment(mapped, pictures), 2)
        shares = naive(network, pictures)
    assert prediction.classes == 2
    ignored = shares[:, 2] > shares[:, :2].amax(1)
    assert 0 < ignored.float().mean() < 1
    assert (prediction.ignored == ignored).float().mean() > 0.999
    expected = shares[:, :2] / shares[:, :2].sum(1, keepdim=True)
    torch.testing.assert_close(prediction.probabilities, expected, rtol=1e-3, atol=1e-4)


def test_a_map_that_names_all_ignores_nothing(network):
    mapped = remap(network, {"low": ["road", "car", "person"], "high": ["sky", "lamp"]}, "a model")
    with torch.inference_mode():
        logits = segment(mapped, torch.randn(1, 3, 64, 96))
    assert logits.shape[1] == 2
    assert Prediction.of(logits, 2).ignored is None


def test_a_segmenter_gives_255_where_the_map_ignores(network, tmp_path):
    save_model(network, tmp_path / "m")
    plain = Segmenter.load(tmp_path / "m", device="cpu")
    mapped = plain.with_classes(GROUPS)
    assert mapped.fingerprint != plain.fingerprint
    image = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    labels = mapped(image)
    assert set(np.unique(labels)) <= {0, 1, 255}
    assert 255 in labels
    found = mapped.maps(["a"], image[None], (64, 96), ("confidence", "probabilities"))
    assert (found.confidence[found.labels == 255] == 0).all()
    assert found.probabilities.shape == (1, 2, 64, 96)
    assert (mapped.classes(image[None])[0] == labels).all()


def test_a_run_keeps_its_map_beside_the_networks_own_classes(network, tmp_path):
    mapped = remap(copy.deepcopy(network), GROUPS, "a model")
    origin = Origin(Geometry(Windows.of(64, 256)), ("a",), classes=mapped.classes)
    setattr(mapped.config, KEY, origin.to_json())
    save_model(mapped, tmp_path / "ta")
    again = load_model(tmp_path / "ta")
    assert isinstance(again, Mapped)
    assert again.classes == mapped.classes
    assert class_names(again.network) == NAMES
    assert class_names(remap(again, {"all": ["street", "thing"]}, "ta")) == ("all",)
    with pytest.raises(InputError, match="which ta does not have"):
        remap(again, {"all": ["road"]}, "ta")


@pytest.mark.parametrize("groups", [{"a": "a", "b": "b"}, {"a": "b", "b": "a"}])
def test_a_map_onto_the_same_names_is_refused(groups, tmp_path):
    """A student with them would be mapped once more when it is loaded."""
    network = load_model(write(tmp_path / "m", "segformer", ("a", "b")))
    with pytest.raises(InputError, match=r"gives the classes that ta has.*leave it out"):
        remap(network, groups, "ta")


@pytest.mark.parametrize("family", [*PIXELS])
def test_a_new_head_keeps_the_weights_of_the_classes_it_knows(family, tmp_path):
    network = load_model(write(tmp_path / "m", family)).eval()
    pictures = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        before = segment(network, pictures)
    names = ("sky", "boat", "road", "quay")
    assert give_head(network, names, seed=0) == 2
    assert class_names(network) == names
    with torch.inference_mode():
        after = segment(network.eval(), pictures)
    assert after.shape == (1, 4, 64, 64)
    torch.testing.assert_close(after[:, [0, 2]], before[:, [2, 0]], rtol=1e-4, atol=1e-4)
    save_model(network, tmp_path / "again")
    again = load_model(tmp_path / "again").eval()
    with torch.inference_mode():
        torch.testing.assert_close(segment(again, pictures), after, rtol=1e-4, atol=1e-4)
    twin = load_model(tmp_path / "m")
    give_head(twin, names, seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(twin.parameters(), network.parameters(), strict=True)
    )


def test_a_universal_network_gets_no_new_head(tmp_path):
    network = load_model(write(tmp_path / "m", "eomt"))
    with pytest.raises(InputError, match="a eomt gets no new head"):
        give_head(network, ("a",), seed=0)


def test_a_map_of_another_model_is_not_applied(network):
    """A student's record of the map is of its teacher's classes, not of its own."""
    from goodsam.stages.networks.classes import map_classes

    other = ClassMap.parse({"x": "a"}, ("a", "b"), "another")
    assert map_classes(network, other) is network

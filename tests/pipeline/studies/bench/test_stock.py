"""The benches' peer: what transformers alone makes of a network of every family."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.models.segformer.modeling_segformer import SegformerDecodeHead

from goodsam.data.street.picture import panorama
from goodsam.data.street.seeds import split_seed
from goodsam.pipeline.studies.bench.stock import stock
from goodsam.stages.networks.families import FAMILIES
from goodsam.stages.segformer.segmenter import Segmenter
from tests.stages.networks.tiny import BUILDERS, write

CPU = torch.device("cpu")


@pytest.mark.parametrize("family", BUILDERS)
def test_it_labels_as_ours_does_where_both_see_the_same(family, tmp_path):
    """Squares are squashed by transformers, and Mask2Former's masks made smaller or larger."""
    ours = Segmenter.load(write(tmp_path / "network", family), device="cpu")
    image = panorama(split_seed("tuning", 0, 0), 64, 328).image
    labels = stock(ours.model, CPU)(image)
    assert labels.shape == (64, 328)
    assert labels.dtype == np.uint8
    kind = FAMILIES[ours.model.config.model_type]
    if not kind.square and family != "mask2former":
        assert (labels == ours(image)).mean() > 0.999


def test_a_class_map_is_applied_to_its_labels(tmp_path):
    plain = Segmenter.load(write(tmp_path / "network", "segformer"), device="cpu")
    image = panorama(split_seed("tuning", 0, 0), 64, 328).image
    found = stock(plain.model, CPU)(image)
    common = int(np.bincount(found.ravel()).argmax())
    mapped = plain.with_classes({"thing": plain.names[common]})
    expected = np.where(found == common, 0, 255)
    np.testing.assert_array_equal(stock(mapped.model, CPU)(image), expected)


def test_a_segformer_is_untouched_by_ours(tmp_path, monkeypatch):
    """Its decoder runs in the order of transformers, on weights that lie as it loads them."""
    ours = Segmenter.load(write(tmp_path / "network", "segformer"), device="cpu")
    image = panorama(split_seed("tuning", 0, 0), 64, 328).image
    seen = []
    passed = SegformerDecodeHead.forward
    monkeypatch.setattr(
        SegformerDecodeHead,
        "forward",
        lambda head, *args, **kwargs: seen.append(head) or passed(head, *args, **kwargs),
    )
    stock(ours.model, CPU)(image)
    (head,) = seen
    assert type(head) is SegformerDecodeHead
    assert all(parameter.is_contiguous() for parameter in head.parameters())
    assert any(not parameter.is_contiguous() for parameter in ours.model.parameters())

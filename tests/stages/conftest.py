"""Networks that tests of this room share."""

from __future__ import annotations

import pytest
import torch

from goodsam.data.classes import CITYSCAPES
from goodsam.stages.segformer.build import build_segformer
from goodsam.stages.segformer.files import save_segformer


@pytest.fixture(scope="session")
def write_model():
    """write_model(folder, names, seed): a SegFormer directory of random weights; the folder."""

    def write(folder, names=CITYSCAPES, seed=0):
        torch.manual_seed(seed)
        model = build_segformer("w16", tuple(names)).eval()
        with torch.no_grad():  # an untrained head gives one class everywhere: let the image decide
            model.decode_head.classifier.weight.mul_(50)
        save_segformer(model, folder)
        return folder

    return write

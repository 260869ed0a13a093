"""What the registry says of each SAM."""

from dataclasses import replace
from pathlib import Path

import pytest

from goodsam.data.errors import InputError
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.published import PUBLISHED
from goodsam.stages.sam.registry import SAMS, Download, Hub, default_generator, known_sam


def test_sams_have_their_authors_defaults_and_the_demo_s_its_own() -> None:
    official = GeneratorConfig()
    for name in SAMS:
        if name.startswith(("vit_", "sam_hq", "mobile")):
            assert default_generator(name) == official
        elif name != "street":
            assert default_generator(name) == replace(official, pred_iou_thresh=0.8)
    assert default_generator("street").points_per_side == 16


def test_every_sam_has_weights_and_a_licence() -> None:
    for name, sam in SAMS.items():
        assert sam.licence == ("SAM License" if name == "sam3" else "Apache-2.0")
        match sam.weights:
            case Path():
                assert sam.weights.is_file()
            case Download(url, sha256):
                assert url.startswith("https://")
                assert len(bytes.fromhex(sha256)) == 32
            case Hub(repository):
                assert repository in PUBLISHED  # whose shapes are known without a download


@pytest.mark.parametrize("ask", [known_sam, default_generator])
def test_an_unknown_name_is_told_the_known_ones(ask) -> None:
    with pytest.raises(InputError, match="'vit_x': unknown; take one of street, vit_h"):
        ask("vit_x")


def test_defaults_are_read_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    few = GeneratorConfig(points_per_side=2)
    monkeypatch.setitem(SAMS, "street", replace(SAMS["street"], generator=few))
    assert default_generator("street") is few

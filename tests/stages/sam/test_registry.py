"""What the registry says of each SAM."""

from dataclasses import replace
from pathlib import Path

import pytest

from goodsam.data.errors import InputError
from goodsam.stages.sam.generate import GeneratorConfig
from goodsam.stages.sam.registry import SAMS, default_generator, known_sam


def test_official_sams_have_sam_s_own_defaults_and_the_demo_s_has_its_own() -> None:
    assert [name for name in SAMS if default_generator(name) == GeneratorConfig()] == [
        "vit_h",
        "vit_l",
        "vit_b",
    ]
    assert default_generator("street").points_per_side == 16


def test_every_sam_has_weights_and_a_licence() -> None:
    for sam in SAMS.values():
        assert sam.licence == "Apache-2.0"
        if isinstance(sam.weights, Path):
            assert sam.weights.is_file()
        else:
            assert sam.weights.url.startswith("https://")
            assert len(bytes.fromhex(sam.weights.sha256)) == 32


@pytest.mark.parametrize("ask", [known_sam, default_generator])
def test_an_unknown_name_is_told_the_known_ones(ask) -> None:
    with pytest.raises(InputError, match="'vit_x': unknown; take one of street, vit_h"):
        ask("vit_x")


def test_defaults_are_read_when_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    few = GeneratorConfig(points_per_side=2)
    monkeypatch.setitem(SAMS, "street", replace(SAMS["street"], generator=few))
    assert default_generator("street") is few

"""A stranger's network of any family: refused before anything is built, run or fetched."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import GatedRepoError

from goodsam.data.errors import InputError
from goodsam.stages.networks import files
from goodsam.stages.networks.files import load_model
from tests.stages.networks.tiny import write

pytestmark = [pytest.mark.attack("models and runs"), pytest.mark.timeout(60)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("families")
    families = ("upernet-swin", "mask2former", "eomt", "mobilenet_v2", "oneformer")
    return {family: write(root / family, family) for family in families}


def changed(folder, tmp_path, values, name="config.json"):
    """A copy of a network's folder with other values in a file of it."""
    copied = tmp_path / "model"
    copied.mkdir()
    for path in folder.iterdir():
        (copied / path.name).symlink_to(path)
    before = json.loads((folder / name).read_text()) if (folder / name).exists() else {}
    (copied / name).unlink(missing_ok=True)
    (copied / name).write_text(json.dumps({**before, **values}))
    return copied


SWIN = {"model_type": "swin", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 1, 1]}
CONFIGS = [
    ("upernet-swin", {"backbone_config": {**SWIN, "depths": [10**6, 1, 1, 1]}}, "depths 1000000"),
    ("upernet-swin", {"backbone_config": {**SWIN, "depths": [500] * 4}}, "2001 layers"),
    ("upernet-swin", {"backbone_config": {**SWIN, "depths": [1] * 10**4}}, "10000 values"),
    ("upernet-swin", {"backbone_config": {**SWIN, "embed_dim": 10**9}}, "embed_dim"),
    ("upernet-swin", {"backbone_config": {**SWIN, "embed_dim": 10**5}}, "numbers, the most is"),
    ("upernet-swin", {"backbone_config": {**SWIN, "window_size": 4000}}, "numbers, the most is"),
    (
        "upernet-swin",
        {"backbone_config": {"model_type": "timm_backbone"}},
        "backbone is a timm",
    ),
    ("upernet-swin", {"backbone_config": None, "backbone": "resnet50"}, "from elsewhere"),
    ("upernet-swin", {"use_pretrained_backbone": True}, "from elsewhere"),
    ("upernet-swin", {"hidden_size": float("inf")}, "hidden_size inf"),
    ("upernet-swin", {"hidden_size": -16}, "makes no network"),
    ("upernet-swin", {"id2label": {"3": "road"}}, "number its classes"),
    ("upernet-swin", {"id2label": {str(i): str(i) for i in range(5000)}}, "4096 classes"),
    ("upernet-swin", {"id2label": {"0": "a", "1": "a"}, "label2id": {"a": 0}}, "of another size"),
    ("eomt", {"image_size": 10**5}, "image_size 100000"),
    ("eomt", {"image_size": [64, 128]}, "makes no network"),
    ("eomt", {"num_queries": 10**5}, "num_queries 100000"),
    ("mask2former", {"encoder_layers": 10**6}, "encoder_layers 1000000"),
    ("mobilenet_v2", {"auto_map": {"AutoModel": "evil.Model"}}, "code of its own"),
    ("mobilenet_v2", {"attn_implementation": "evil/kernels"}, "attn_implementation"),
    ("mobilenet_v2", {"model_type": "fuyu"}, "a fuyu, not a SegFormer nor of another family"),
    ("mobilenet_v2", {"depth_multiplier": 1.0}, "weights are of another size"),
    ("mobilenet_v2", {"goodsam_pictures": {"mean": "x"}}, "goodsam_pictures"),
]


@pytest.mark.parametrize(("family", "values", "says"), CONFIGS, ids=[c[2] for c in CONFIGS])
def test_a_config_that_asks_for_too_much_is_refused_in_one_line(
    folders, family, values, says, tmp_path
):
    folder = changed(folders[family], tmp_path, values)
    with pytest.raises(InputError, match=says) as error:
        load_model(folder)
    assert str(folder) in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"image_std": [0, 1, 1]}, "not above 0"),
        ({"image_mean": [1, 2]}, "three numbers of image_mean"),
        ({"image_mean": ["a", 2, 3]}, "three numbers of image_mean"),
        ({"rescale_factor": 0}, "not above 0"),
        ({"image_std": [float("nan")] * 3}, "three numbers"),
    ],
)
def test_a_preprocessor_that_makes_no_pictures_is_refused(folders, values, says, tmp_path):
    folder = changed(folders["mobilenet_v2"], tmp_path, values, "preprocessor_config.json")
    with pytest.raises(InputError, match=says):
        load_model(folder)


def test_a_task_without_a_tokenizer_is_refused(folders, tmp_path):
    folder = changed(folders["oneformer"], tmp_path, {})
    (folder / "vocab.json").unlink()
    with pytest.raises(InputError, match="no tokenizer that could be read"):
        load_model(folder)


def test_a_gated_network_says_how_to_get_it(monkeypatch):
    def gated(name):
        response = SimpleNamespace(headers={}, request=None)
        raise OSError("You are trying to access a gated repo.") from GatedRepoError(
            "gated", response=response
        )

    monkeypatch.setattr(files.PreTrainedConfig, "get_config_dict", gated)
    with pytest.raises(InputError, match=r"^some/one: gated; accept its terms at .*HF_TOKEN$"):
        load_model("some/one")
